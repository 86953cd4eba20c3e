"""Calls that fail, fail but happened, or happen late: in the end there is one incident, and it is in step."""

from __future__ import annotations

from datetime import timedelta

import pytest
from crashing import Crash, at
from intake_world import library_of, rows
from sqlalchemy import select, update
from sync_world import PROBE, World, itsm

from bridge.servicenow.table import TableApi
from bridge.simulator.faults import FaultKind
from bridge.store.start import void_leases
from bridge.store.tables import correlations, incidents, intents

LATE_COMMIT_SECONDS = 310 + 15  # of the target, from the intent's deadline

NOT_APPLIED = (
    FaultKind.RATE_LIMIT,
    FaultKind.UNAUTHENTICATED,
    FaultKind.SERVER_ERROR,
    FaultKind.HIBERNATING,
    FaultKind.LOGIN,
    FaultKind.CLOSED,
    FaultKind.RESET_BEFORE_COMMIT,
    FaultKind.DROPPED,
)
APPLIED = (FaultKind.CANCELLED, FaultKind.RESET_AFTER_COMMIT, FaultKind.TRUNCATED, FaultKind.LATE_COMMIT)
FAULTS = pytest.mark.parametrize("kind", [*NOT_APPLIED, *APPLIED], ids=str)


def minutes_pass(world: World, minutes: float = 10) -> None:
    world.pass_time(minutes=minutes, step=10)


@FAULTS
def test_an_update_that_went_wrong_is_there_once(world: World, kind: FaultKind) -> None:
    world.fire()
    world.idle()
    world.fail(kind, "PATCH", seconds=90)
    world.fire(level="critical")
    world.idle()
    minutes_pass(world)
    assert world.record()["impact"] == "1"
    assert len(world.notes()) == 1


@FAULTS
def test_a_close_that_went_wrong_is_there_once(world: World, kind: FaultKind) -> None:
    world.fire()
    world.idle()
    world.fail(kind, "PATCH", seconds=90)
    world.resolve()
    world.idle()
    minutes_pass(world)
    assert world.record()["state"] == "6"
    assert len(world.notes()) == 1
    assert world.row().open is False


@FAULTS
def test_a_read_that_went_wrong_is_tried_again(world: World, kind: FaultKind) -> None:
    world.fire()
    world.idle()
    world.fail(kind, "GET", seconds=5)
    world.fire(level="critical")
    world.idle()
    minutes_pass(world, 2)
    assert world.record()["impact"] == "1"


def test_a_create_that_is_not_there_is_looked_for_at_growing_intervals_until_its_window_is_over(world: World) -> None:
    world.fail(FaultKind.RESET_BEFORE_COMMIT, "POST")
    world.fire()
    world.idle()
    began, seen, seconds = world.clock(), world.reads(), list[int]()
    while world.writes() == ["POST"]:
        world.pass_time(seconds=1, step=1)
        if world.reads() > seen:
            seen = world.reads()
            seconds.append(int((world.clock() - began).total_seconds()))
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 128, 256, LATE_COMMIT_SECONDS]


def test_a_create_whose_answer_was_lost_is_looked_up_and_adopted(world: World) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.idle()
    minutes_pass(world, 1)
    assert world.writes() == ["POST"]
    assert world.log("written")[0]["detail"]["looked_up"] is True


def test_a_create_that_commits_late_is_found_and_not_repeated(world: World) -> None:
    world.fail(FaultKind.LATE_COMMIT, "POST", seconds=300)
    world.fire()
    world.idle()
    minutes_pass(world)
    assert world.writes() == ["POST"]
    assert world.row().open is True


def test_a_note_that_is_there_is_not_sent_again(world: World) -> None:
    world.fire()
    world.idle()
    world.fail(FaultKind.RESET_AFTER_COMMIT, "PATCH")
    world.fire(level="critical")
    world.idle()
    minutes_pass(world)
    assert world.writes() == ["POST", "PATCH"]


def test_a_note_that_is_not_there_is_sent_again_after_its_window(world: World) -> None:
    world.fire()
    world.idle()
    world.fail(FaultKind.RESET_BEFORE_COMMIT, "PATCH")
    world.fire(level="critical")
    world.idle()
    world.pass_time(seconds=LATE_COMMIT_SECONDS - 1, step=5)
    assert world.writes() == ["POST", "PATCH"]
    world.pass_time(seconds=1)
    assert world.writes() == ["POST", "PATCH", "PATCH"]


@pytest.mark.parametrize(
    ("fault", "writes"),
    [
        (FaultKind.RESET_BEFORE_COMMIT, ["POST", "PATCH", "PATCH"]),  # the fields differ: it has not happened
        (FaultKind.RESET_AFTER_COMMIT, ["POST", "PATCH"]),  # they agree: it has, and the note is not sent twice
    ],
)
def test_where_notes_may_not_be_read_the_fields_tell_whether_an_update_happened(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: FaultKind, writes: list[str]
) -> None:
    world.fire()
    world.idle()
    world.fail(fault, "PATCH")
    monkeypatch.setattr(TableApi, "has_note", lambda *_args, **_more: None)
    world.fire(level="critical")
    world.idle()
    minutes_pass(world)
    assert world.writes() == writes


def test_an_instance_that_is_down_loses_nothing(world: World) -> None:
    world.servicenow.down()
    for rule in ("r1", "r2", "r1"):
        world.fire(rule)
    world.idle()
    minutes_pass(world, 3)
    assert world.row().failure == "connect_failed"
    world.servicenow.up()
    minutes_pass(world)
    assert sorted(record["correlation_id"] for record in world.records()) == ["r1", "r2"]


def test_tries_grow_apart_while_calls_are_refused(world: World) -> None:
    world.fail(FaultKind.RATE_LIMIT, "POST", times=None, seconds=0)
    world.fire()
    world.idle()
    minutes_pass(world, 60)
    assert 10 < len(world.writes()) < 40


def test_alerts_that_come_while_a_create_is_in_doubt_are_in_the_incident(world: World) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire(level="low")
    world.idle()
    world.fire(level="critical")
    minutes_pass(world)
    assert world.record()["impact"] == "1"


def test_a_problem_that_resolves_while_its_create_is_in_doubt_is_closed(world: World) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.idle()
    world.resolve()
    minutes_pass(world)
    assert world.record()["state"] == "6"


def test_a_create_that_is_refused_waits_for_a_person_who_is_told_what_to_do(world: World) -> None:
    world.aim(itsm(defaults=(("state", "7"),)))  # closed at once: the data policy wants a close code
    world.fire()
    world.idle()
    minutes_pass(world, 30)
    row = world.row()
    assert (row.failure, row.waits_for_person, row.due_at) == ("data_policy", True, None)
    assert "Give the fields it names" in row.failure_text
    assert world.writes() == ["POST"]
    world.aim(itsm())
    world.ask_sync()
    world.idle()
    assert world.record()["state"] == "1"
    assert world.row().waits_for_person is False


def test_a_create_refused_at_a_target_that_is_gone_since_goes_where_the_route_says_now(world: World) -> None:
    world.aim(itsm(name="old", defaults=(("state", "7"),)))
    world.library = library_of(world.store, PROBE.replace("to: itsm", "to: old"))
    world.aim(itsm(name="old", defaults=(("state", "7"),)))
    world.fire()
    world.idle()
    assert world.row().waits_for_person
    world.library = library_of(world.store, PROBE)
    world.aim(itsm())
    world.fire()
    world.ask_sync()
    world.idle()
    assert world.record()["state"] == "1"


def test_a_row_that_cannot_be_read_waits_for_a_person_and_holds_nothing_else_up(anywhere: World) -> None:
    anywhere.fire("r1")
    with anywhere.store.transaction() as tx:
        tx.execute(update(correlations).values(applied=b'{"status": "of another version"}'))
    anywhere.fire("r2")
    anywhere.idle()
    assert [record["correlation_id"] for record in anywhere.records()] == ["r2"]
    row = anywhere.row("r1")
    assert (row.failure, row.waits_for_person, row.due_at) == ("row_unreadable", True, None)
    (failed,) = anywhere.log("failed")
    assert (failed["correlation_id"], failed["reason"]) == ("r1", "row_unreadable")


def test_new_alerts_do_not_free_what_waits_for_a_person(anywhere: World) -> None:
    anywhere.aim(itsm(defaults=(("state", "7"),)))
    anywhere.fire()
    anywhere.idle()
    anywhere.fire()
    anywhere.idle()
    assert anywhere.writes() == ["POST"]


def test_a_foreign_record_with_our_id_is_not_written_to(world: World) -> None:
    foreign = world.simulator.person_creates("incident", correlation_id="r1", short_description="of another tool")
    world.fail(FaultKind.RATE_LIMIT, "POST")
    world.fire()
    world.idle()
    minutes_pass(world)
    assert (world.row().failure, world.row().waits_for_person) == ("id_in_use", True)
    assert foreign["number"] in world.row().failure_text
    assert world.simulator.record("incident", foreign["sys_id"]) == foreign
    assert len(world.records()) == 1


def test_a_record_of_an_earlier_episode_is_neither_a_hit_nor_foreign(world: World) -> None:
    world.fire()
    world.idle()
    world.person(state="8")
    world.resolve()
    world.idle()
    world.fail(FaultKind.RESET_BEFORE_COMMIT, "POST")
    world.fire()
    world.idle()
    minutes_pass(world)
    assert [record["state"] for record in world.records()] == ["8", "1"]


@pytest.mark.parametrize(("before", "after"), [(0, 0), (-1, -1), (1, 1), (0, 1), (0, -1)])
def test_a_record_that_a_person_ended_before_its_create_was_settled_is_the_incident_whatever_the_clocks_say(
    world: World, before: int, after: int
) -> None:
    world.simulator.offset = timedelta(hours=before)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.idle()
    world.person(state="8")
    world.simulator.offset = timedelta(hours=after)
    minutes_pass(world)
    assert len(world.records()) == 1
    assert world.row().failure is None


def test_so_it_is_where_our_clock_ran_ahead_and_was_set_right_meanwhile(world: World) -> None:
    world.simulator.offset = timedelta(hours=-1)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.idle()
    world.person(state="8")
    world.clock.advance(hours=-1)
    world.simulator.offset = timedelta()
    with world.store.transaction() as tx:
        void_leases(tx)
        tx.execute(update(correlations).values(due_at=world.store.now(tx)))
    world.idle()
    world.pass_time(minutes=80)
    assert len(world.records()) == 1
    assert world.row().failure is None


@pytest.mark.parametrize("sent", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("method", ["create", "update"])
def test_a_crash_between_intent_and_outcome_leaves_one_write(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, *, sent: bool
) -> None:
    if method == "update":
        world.fire()
        world.idle()
    real = getattr(TableApi, method)

    def dies(*args: object, **more: object) -> None:
        if sent:
            real(*args, **more)
        raise Crash

    monkeypatch.setattr(TableApi, method, dies)
    world.fire(level="critical")
    with pytest.raises(Crash):
        world.idle()
    monkeypatch.undo()
    monkeypatch.setenv("SYNC_WORLD_PASSWORD", "bridge")
    world.idle()  # the lease is still held
    minutes_pass(world, 15)
    assert world.record()["impact"] == "1"
    assert len(world.notes()) == int(method == "update")
    assert len(world.writes()) == (2 if method == "update" else 1)
    assert world.row().failure is None


def test_a_write_that_outlived_its_lease_is_settled_by_the_next_holder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fire(level="high")
    real = TableApi.create
    epoch = update(incidents).values(epoch=incidents.c.epoch + 1, lease_until=world.clock.now)

    def slow(*args: object, **more: object) -> object:
        answer = real(*args, **more)  # type: ignore[arg-type]
        with world.store.transaction() as tx:
            tx.execute(epoch)  # another holder took it over in the meantime, and let go
        return answer

    monkeypatch.setattr(TableApi, "create", slow)
    world.worker.work()
    monkeypatch.setattr(TableApi, "create", real)
    assert world.row().open is False
    assert len(world.log("lease_lost")) == 1
    world.idle()
    assert world.writes() == ["POST"]
    assert world.row().open is True


def test_a_failure_that_outlived_its_lease_changes_nothing_but_the_intent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fire()
    world.fail(FaultKind.ACL, "POST")
    real = TableApi.create

    def slow(*args: object, **more: object) -> object:
        with world.store.transaction() as tx:
            tx.execute(update(incidents).values(epoch=incidents.c.epoch + 1))
        return real(*args, **more)  # type: ignore[arg-type]

    before = world.row()
    monkeypatch.setattr(TableApi, "create", slow)
    world.worker.work()
    monkeypatch.setattr(TableApi, "create", real)
    after = world.row()
    assert (after.failure, after.due_at) == (None, before.due_at)
    with world.store.reading() as tx:
        assert tx.execute(select(intents.c.outcome)).scalar_one() == "permanent"
    world.pass_time(minutes=3)
    assert len(world.records()) == 1


def test_a_bug_in_one_round_is_a_failure_of_that_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(TableApi, "create", bug)
        world.fire()
        world.idle()
    assert world.row().failure == "internal_error"
    minutes_pass(world)
    assert len(world.records()) == 1


def test_an_alert_that_arrives_during_a_write_leaves_the_correlation_due(
    anywhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anywhere.fire(level="low")
    real = TableApi.create

    def meanwhile(*args: object, **more: object) -> object:
        anywhere.fire(level="critical")
        return real(*args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(TableApi, "create", meanwhile)
        anywhere.worker.work()
    row = anywhere.row()
    assert (row.last_seq, row.applied_seq) == (2, 1)
    assert row.due_at is not None
    anywhere.idle()
    assert anywhere.record()["impact"] == "1"


def test_a_create_whose_deadline_passes_between_its_intent_and_its_send_is_not_sent(world: World) -> None:
    """The machine was suspended."""
    world.fire()
    with at("intent:committed", lambda: world.clock.advance(minutes=10)):
        assert world.worker.work()
    assert world.writes() == []
    (intent,) = rows(world.store, intents)
    assert (intent.outcome, intent.outcome_code) == ("not_applied", "deadline_passed")
    minutes_pass(world)
    assert world.writes() == ["POST"]
    assert world.row().open is True
