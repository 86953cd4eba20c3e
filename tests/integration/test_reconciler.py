"""What people do in ServiceNow is seen within a minute; twins of ours are merged; within a tenth of the calls."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from crashing import Crash, at, die
from intake_world import rows
from reconciler_world import CLOSES, states, twin
from sqlalchemy import update
from sync_world import DISPLAY, OBSERVE, World, itsm

from bridge.servicenow import changes
from bridge.servicenow.table import TableApi
from bridge.simulator.faults import FaultKind
from bridge.simulator.seed import fixed_id
from bridge.store import reconciling
from bridge.store.reconciler_tables import reconcilers, strays
from bridge.store.strays import release
from bridge.store.tables import correlations, deliveries
from bridge.sync import reconciler
from bridge.sync.burst import CALLS_MAX

FRED = fixed_id("sys_user", "fred")


@pytest.fixture
def opened(world: World) -> World:
    world.fire()
    world.idle()
    world.watch(minutes=1)
    return world


# --- what people do


@pytest.mark.parametrize(
    ("edit", "entry", "reason"),
    [
        (CLOSES, "ended_by_person", "by_person"),
        ({**CLOSES, "state": "6"}, "ended_by_person", "by_person"),
        ({"state": "8"}, "ended_by_person", "by_person"),
    ],
    ids=["closed", "resolved", "cancelled"],
)
def test_an_end_by_a_person_is_seen_within_a_minute(
    opened: World, edit: dict[str, str], entry: str, reason: str
) -> None:
    opened.person(**edit)
    opened.watch(minutes=1)
    (told,) = opened.log(entry)
    assert (told["reason"], told["detail"]["by"], opened.row().open) == (reason, "analyst", False)


def test_a_turn_that_was_never_ended_before_the_clock_was_set_back_binds_nobody(world: World) -> None:
    world.fire()
    world.idle()
    with world.store.transaction() as tx:
        now = world.store.now(tx)
        assert reconciling.claim(tx, "test", ["incident"], now, pause_max=timedelta(hours=1)) is not None
    world.clock.advance(hours=-1)
    world.person(**CLOSES)
    world.watch(minutes=1)
    assert world.row().open is False


def test_what_a_person_does_is_seen_within_a_minute_though_the_clock_was_set_back(opened: World) -> None:
    opened.clock.advance(hours=-1)
    opened.person(**CLOSES)
    opened.watch(minutes=1)
    assert opened.row().open is False


def test_nor_does_anybody_wait_for_the_clock_where_no_turn_has_ever_seen_its_table(world: World) -> None:
    world.fire()
    world.idle()
    world.fail(FaultKind.ACL, "GET", times=None)
    world.watch(minutes=1)
    world.clock.advance(hours=-1)
    world.simulator.faults.clear()
    world.person(**CLOSES)
    world.watch(minutes=1)
    assert world.row().open is False


def a_lasting_refusal(world: World, _: pytest.MonkeyPatch) -> None:
    world.fail(FaultKind.ACL, "GET", times=None)


def more_changes_than_it_may_ask_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PAGE_ROWS", 1)
    for number in range(60):
        world.simulator.person_creates("incident", correlation_display=DISPLAY, short_description=f"{number}")


def test_a_turn_whose_process_died_costs_the_budget_what_a_full_one_costs(opened: World) -> None:
    opened.reconciler = opened.another_reconciler(itsm(), calls_per_hour=600)
    opened.watch(minutes=10)
    with at("turn:committed", die), pytest.raises(Crash):
        opened.watch(minutes=10)
    died_at = opened.clock()
    while not opened.reconciler.sweep():
        opened.clock.advance(seconds=10)
    assert opened.clock() - died_at == timedelta(hours=CALLS_MAX / (600 / 10))


@pytest.mark.parametrize("trouble", [a_lasting_refusal, more_changes_than_it_may_ask_for])
def test_a_clock_that_was_set_back_does_not_widen_the_budget(
    opened: World, trouble: Callable[[World, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.reconciler = opened.another_reconciler(itsm(), calls_per_hour=600)
    trouble(opened, monkeypatch)
    opened.watch(minutes=1)
    opened.clock.advance(hours=-1)
    calls = len(opened.simulator.calls)
    opened.watch(minutes=10, step=2)
    assert 0 < len(opened.simulator.calls) - calls <= 600 / 10 / 6 + CALLS_MAX


@pytest.mark.parametrize(
    ("edit", "fields"),
    [
        ({"assigned_to": FRED}, ["assigned_to"]),
        ({"assignment_group": fixed_id("sys_user_group", "SOC L2")}, ["assignment_group"]),
        ({"impact": "1", "urgency": "1"}, ["impact", "priority", "urgency"]),
        ({"short_description": "mine"}, ["short_description"]),
        ({"state": "2"}, ["state"]),
    ],
    ids=["taken", "reassigned", "reprioritised", "edited", "moved on"],
)
def test_what_a_person_edits_is_told_within_a_minute(opened: World, edit: dict[str, str], fields: list[str]) -> None:
    opened.person(**edit)
    opened.watch(minutes=1)
    (told,) = opened.log("edited")
    assert set(told["detail"]["fields"]) <= set(fields)
    assert told["detail"]["fields"]
    assert (told["detail"]["by"], opened.row().open) == ("analyst", True)


def test_an_edit_is_told_once(opened: World) -> None:
    opened.person(assigned_to=FRED)
    opened.watch(minutes=20)
    assert len(opened.log("edited")) == 1


def test_a_record_that_a_person_opens_again_is_seen_within_a_minute(opened: World) -> None:
    opened.resolve()
    opened.idle()
    opened.watch(minutes=1)
    opened.person(state="2")
    opened.watch(minutes=1)
    assert opened.row().open
    assert opened.log("reopened")[0]["reason"] == "reopened_by_person"


def test_what_we_write_ourselves_is_no_news(opened: World) -> None:
    opened.fire(level="critical")
    opened.idle()
    calls = len(opened.simulator.calls)
    opened.watch(minutes=10)
    after = opened.simulator.calls[calls:]
    assert after
    assert all("correlation_displayENDSWITH" in path for _method, path, _status in after)
    assert opened.log("edited") == []


def test_a_deleted_record_is_seen_within_the_hour(opened: World) -> None:
    opened.simulator.person_deletes("incident", opened.record()["sys_id"])
    opened.watch(minutes=70)
    assert not opened.row().open
    assert opened.log("record_gone")[0]["reason"] == "deleted"


def test_a_sweep_asks_for_a_hundred_at_a_time(world: World) -> None:
    for number in range(130):
        world.fire(f"r{number}")
    world.idle()
    gone = world.records()[-1]
    world.simulator.person_deletes("incident", gone["sys_id"])
    world.watch(minutes=70)
    sweeps = [path for _method, path, _status in world.simulator.calls if "sys_idIN" in path]
    assert len(sweeps) == 2
    assert world.row(gone["correlation_id"]).open is False
    assert sum(row.open for row in rows(world.store, correlations)) == 129


def test_a_change_that_becomes_known_during_a_round_is_read_by_the_next(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round has read the record already when a person closes it, and the reconciler sees it."""
    real = TableApi.update

    def slow(*args: Any, **more: Any) -> Any:
        written = real(*args, **more)
        opened.person(**CLOSES)
        opened.clock.advance(minutes=1)
        opened.reconciler.sweep()
        return written

    with monkeypatch.context() as patched:
        patched.setattr(TableApi, "update", slow)
        opened.fire(level="critical")
        opened.worker.work()
    opened.idle()
    assert not opened.row().open


def test_a_correlation_that_waits_for_a_person_is_tried_again_when_its_record_changes(opened: World) -> None:
    opened.person(correlation_display="somebody else's")
    opened.fire(level="critical")
    opened.idle()
    assert opened.row().failure == "id_in_use"
    opened.person(correlation_display=DISPLAY)
    opened.watch(minutes=1)
    assert opened.record()["impact"] == "1"


# --- what it costs


def test_a_table_is_polled_once_in_45_seconds(opened: World) -> None:
    calls = len(opened.simulator.calls)
    opened.watch(minutes=3, step=1)
    assert len(opened.simulator.calls) - calls == 4


@pytest.mark.parametrize("calls_per_hour", [100, 600, 20_000])
def test_it_keeps_within_a_tenth_of_the_calls(opened: World, calls_per_hour: int) -> None:
    opened.reconciler = opened.another_reconciler(itsm(), calls_per_hour=calls_per_hour)
    calls = len(opened.simulator.calls)
    opened.watch(hours=4, step=5)
    assert 0 < len(opened.simulator.calls) - calls <= 4 * calls_per_hour / 10 + 2


def test_of_two_processes_one_reconciles(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    second = anywhere.another_reconciler(itsm())
    calls = len(anywhere.simulator.calls)
    together(anywhere.reconciler.sweep, second.sweep)
    assert len(anywhere.simulator.calls) - calls == 1


def test_a_turn_that_was_overtaken_writes_nothing(opened: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process was suspended for longer than the lease, in the middle of its poll."""
    real = changes.changed

    def suspended(*args: Any, **more: Any) -> Any:
        page = real(*args, **more)
        monkeypatch.setattr(reconciler, "changed", real)
        opened.clock.advance(minutes=5)
        opened.another_reconciler(itsm()).sweep()
        return page

    opened.clock.advance(minutes=1)
    monkeypatch.setattr(reconciler, "changed", suspended)
    opened.reconciler.sweep()
    (turn,) = rows(opened.store, reconcilers)
    assert turn.epoch >= 3
    assert turn.lease_until is None
    assert turn.due_at > opened.clock.now


def test_nothing_is_asked_of_a_target_that_is_only_observed(world: World) -> None:
    world.aim(itsm(mode=OBSERVE))
    world.watch(minutes=5)
    assert world.simulator.calls == []


def test_an_instance_that_does_not_answer_is_asked_later(opened: World) -> None:
    opened.servicenow.down()
    opened.watch(minutes=2)
    opened.servicenow.up()
    (turn,) = rows(opened.store, reconcilers)
    assert turn.failure
    opened.person(**CLOSES)
    opened.watch(minutes=10)
    assert not opened.row().open
    assert rows(opened.store, reconcilers)[0].failure is None


def test_pages_go_on_where_the_last_turn_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PAGE_ROWS", 2)
    monkeypatch.setattr(reconciler, "PAGES_PER_TABLE", 1)
    for number in range(7):
        world.fire(f"r{number}")
    world.idle()
    for record in world.records():
        world.simulator.edit_as_person("incident", record["sys_id"], CLOSES, user="analyst")
    world.watch(minutes=6)
    assert not any(row.open for row in rows(world.store, correlations))


class Elsewhere(TableApi):
    """An instance that takes the times of a query for the user's own: `hours` is what those differ from UTC."""

    hours = 0

    def page(self, table: str, query: str, *args: Any, **more: Any) -> Any:
        def shift(match: re.Match[str]) -> str:
            moment = datetime.fromisoformat(match[0]) + timedelta(hours=self.hours)
            return moment.strftime("%Y-%m-%d %H:%M:%S")

        return super().page(table, re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", shift, query), *args, **more)


@pytest.mark.parametrize("hours", [6, -6])
def test_times_that_a_query_does_not_mean_as_utc_are_told(
    opened: World, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.clock.advance(hours=3)
    opened.fire(level="critical")
    opened.fire("r2")
    opened.idle()
    opened.watch(minutes=1)
    monkeypatch.setattr(Elsewhere, "hours", hours)
    monkeypatch.setattr("sync_world.TableApi", Elsewhere)
    opened.aim(itsm())
    opened.clock.advance(hours=5)
    opened.fire("r2", level="critical")
    opened.idle()
    opened.watch(minutes=2)
    with opened.store.reading() as tx:
        assert "set the integration user's time zone to GMT" in reconciling.unreconciled(tx)


def test_what_is_not_seen_of_several_instances_is_told_in_whole_sentences(opened: World) -> None:
    opened.watch(minutes=1)
    with opened.store.transaction() as tx:
        row = dict(tx.execute(reconcilers.select()).mappings().one())
        tx.execute(reconcilers.update().values(failure="It is refused."))
        tx.execute(reconcilers.insert().values(row | {"instance": "zz", "failure": "It is away"}))
    with opened.store.reading() as tx:
        told = reconciling.unreconciled(tx)
    first = f"What people change at {row['instance']} is not seen: It is refused."
    assert told == f"{first} What people change at zz is not seen: It is away."


def test_the_record_that_changed_last_may_be_deleted(opened: World) -> None:
    opened.fire("r2")
    opened.idle()
    opened.clock.advance(minutes=20)
    opened.fire("r2", level="critical")
    opened.idle()
    opened.watch(minutes=1)
    opened.simulator.person_deletes("incident", opened.records()[1]["sys_id"])
    opened.watch(minutes=70)
    assert rows(opened.store, reconcilers)[0].failure is None


# --- twins


def test_a_twin_is_closed_and_linked(opened: World) -> None:
    kept = opened.record()
    twin(opened)
    opened.watch(minutes=1)
    first, second = opened.records()
    assert (first["state"], second["state"]) == ("1", "6")
    assert second["parent_incident"] == kept["sys_id"]
    assert kept["number"] in second["close_notes"]
    assert [entry["outcome"] for entry in opened.log("twin")] == ["closed"]


def test_a_twin_that_a_person_works_on_stays_and_the_other_is_closed(opened: World) -> None:
    twin(opened, assigned_to=FRED)
    opened.watch(minutes=3)
    first, second = opened.records()
    assert (first["state"], second["state"]) == ("6", "1")
    opened.fire(level="critical")
    opened.idle()
    assert (opened.records()[0]["impact"], opened.records()[1]["impact"]) == ("3", "1")


def test_the_close_of_a_twin_that_a_person_opened_again_is_not_that_of_the_other(opened: World) -> None:
    """The other has it as an open child by our own link: it is left to people."""
    other = twin(opened)
    opened.watch(minutes=1)
    opened.simulator.edit_as_person("incident", other["sys_id"], {"state": "2", "assigned_to": FRED}, user="analyst")
    opened.watch(minutes=5)
    (stray,) = rows(opened.store, strays)
    assert (states(opened), stray.outcome, stray.closed_at) == (["1", "2"], "two", None)


def test_people_are_told_what_a_twin_that_became_the_incident_does_not_show(world: World) -> None:
    world.fire(level="critical")
    world.idle()
    twin(world, "r1", impact="3", state="2", assigned_to=FRED)
    world.watch(minutes=5)
    assert states(world) == ["6", "2"]
    assert any("severity rose" in note for note in world.notes(1))


def test_twins_that_people_work_on_both_are_reported_and_left(opened: World) -> None:
    opened.person(assigned_to=FRED)
    twin(opened, state="2")
    opened.watch(minutes=5)
    assert states(opened) == ["1", "2"]
    (stray,) = rows(opened.store, strays)
    assert stray.outcome == "two"
    assert len(opened.log("twin")) == 1


def test_a_reported_twin_that_a_person_closes_is_reported_no_more(opened: World) -> None:
    opened.person(assigned_to=FRED)
    other = twin(opened, state="2")
    opened.watch(minutes=1)
    opened.simulator.edit_as_person("incident", other["sys_id"], CLOSES, user="analyst")
    opened.watch(minutes=1)
    assert rows(opened.store, strays)[0].outcome == "over"


def test_a_twin_with_open_children_is_left_to_people(opened: World) -> None:
    opened.person(assigned_to=FRED)
    other = twin(opened)
    opened.simulator.person_creates("incident", parent_incident=other["sys_id"], short_description="child")
    opened.watch(minutes=1)
    assert states(opened)[1] == "1"


def test_a_twin_that_was_closed_is_no_open_child_of_the_incident(opened: World) -> None:
    """What is resolved stays active for days."""
    twin(opened)
    opened.watch(minutes=1)
    opened.resolve()
    opened.watch(minutes=5)
    assert states(opened) == ["6", "6"]


def test_a_twin_of_an_incident_that_has_ended_is_closed(opened: World) -> None:
    opened.resolve()
    opened.idle()
    twin(opened)
    opened.watch(minutes=1)
    assert states(opened) == ["6", "6"]


def test_another_installations_record_is_no_twin(opened: World) -> None:
    opened.simulator.person_creates("incident", correlation_id="r1", correlation_display="Probe · ffffffff")
    opened.watch(minutes=5)
    assert states(opened) == ["1", "1"]
    assert rows(opened.store, strays) == []


@pytest.mark.parametrize(
    "kind", [FaultKind.RESET_AFTER_COMMIT, FaultKind.RESET_BEFORE_COMMIT, FaultKind.LATE_COMMIT], ids=str
)
def test_a_close_of_a_twin_that_went_wrong_is_made_once(opened: World, kind: FaultKind) -> None:
    twin(opened)
    opened.fail(kind, "PATCH", seconds=30)
    opened.watch(minutes=5)
    assert states(opened) == ["1", "6"]
    assert rows(opened.store, strays)[0].outcome == "closed"


def test_a_close_of_a_twin_that_is_refused_is_reported(opened: World) -> None:
    twin(opened)
    opened.fail(FaultKind.ACL, "PATCH")
    opened.watch(minutes=5)
    (stray,) = rows(opened.store, strays)
    assert (states(opened), stray.outcome) == (["1", "1"], "two")
    assert "could not be closed" in stray.outcome_text


def test_a_target_without_a_close_code_reports_its_twins(opened: World) -> None:
    opened.aim(itsm(close=None))
    twin(opened)
    opened.watch(minutes=5)
    assert (states(opened), rows(opened.store, strays)[0].outcome) == (["1", "1"], "two")


def test_a_sixth_close_within_an_hour_asks_a_person(world: World) -> None:
    for number in range(7):
        world.fire(f"r{number}")
    world.idle()
    for number in range(7):
        twin(world, f"r{number}")
    world.watch(minutes=10)
    assert states(world).count("6") == 5
    world.watch(minutes=70)
    assert states(world).count("6") == 5, "it stops, and does not go on by itself"
    with world.store.transaction() as tx:
        assert release(tx, "test", "incident", world.store.now(tx)) == 2
    world.watch(minutes=5)
    assert states(world).count("6") == 7


def test_a_close_that_is_tried_again_counts_once(world: World) -> None:
    for number in range(5):
        world.fire(f"r{number}")
    world.idle()
    for number in range(4):
        twin(world, f"r{number}")
    world.watch(minutes=5)
    twin(world, "r4")
    world.fail(FaultKind.RESET_BEFORE_COMMIT, "PATCH")
    world.watch(minutes=5)
    assert states(world).count("6") == 5


def test_the_record_of_a_create_under_way_is_no_twin(world: World) -> None:
    """The answer was lost, and the reconciler sees the record before the round looks it up."""
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.worker.work()
    world.reconciler.sweep()
    world.watch(minutes=3)
    assert world.record()["state"] == "1"
    assert world.row().open
    assert rows(world.store, strays) == []


def test_a_create_that_commits_after_its_window_is_taken_by_the_problem(world: World) -> None:
    """It was resolved meanwhile and no second create was sent: the record that came late is closed."""
    world.fail(FaultKind.LATE_COMMIT, "POST", seconds=400)
    world.fire()
    world.idle()
    world.pass_time(seconds=5)
    world.resolve()
    world.watch(minutes=10)
    assert world.record()["state"] == "6"
    assert rows(world.store, strays) == []


def test_a_create_that_commits_after_it_was_sent_again_leaves_one_incident(world: World) -> None:
    world.fail(FaultKind.LATE_COMMIT, "POST", seconds=400)
    world.fire()
    world.idle()
    world.watch(minutes=12, step=5)
    assert sorted(states(world)) == ["1", "6"]


# --- the store's part of it, on both engines


def test_an_end_by_a_person_is_seen(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    anywhere.turn()
    anywhere.person(**CLOSES)
    anywhere.turn()
    assert (anywhere.row().open, anywhere.log("ended_by_person")[0]["detail"]["by"]) == (False, "analyst")


def test_a_deletion_is_swept(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    anywhere.turn()
    anywhere.simulator.person_deletes("incident", anywhere.record()["sys_id"])
    anywhere.turn(sweeps=True)
    assert not anywhere.row().open


def test_twins_are_merged(anywhere: World) -> None:
    for rule in ("r1", "r2", "r3"):
        anywhere.fire(rule)
    anywhere.idle()
    twin(anywhere, "r1")
    twin(anywhere, "r2", assigned_to=FRED)
    twin(anywhere, "unknown")
    for _ in range(3):
        anywhere.turn()
    by_id = {(row["correlation_id"], row["assigned_to"]): row["state"] for row in anywhere.records()}
    assert sorted(states(anywhere)) == ["1", "1", "1", "1", "6", "6"]
    assert by_id["r2", FRED] == "1"
    assert sorted(row.outcome for row in rows(anywhere.store, strays)) == ["closed", "closed", "orphan"]


def test_after_the_clock_was_set_back_one_turn_is_due_though_it_fails(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    anywhere.turn()
    hour = timedelta(hours=1)
    with anywhere.store.transaction() as tx:
        (turn,) = tx.execute(reconcilers.select()).all()
        tx.execute(update(reconcilers).values(due_at=turn.due_at + hour, done_at=turn.done_at + hour))
    anywhere.fail(FaultKind.ACL, "GET", times=None)
    assert [anywhere.reconciler.sweep() for _ in range(3)] == [True, False, False]


def together(*functions: Any) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def changed_and_waits_for_a_person(world: World) -> None:
    world.fire(level="low")
    world.idle()
    with world.store.transaction() as tx:
        tx.execute(update(deliveries).values(body=None, content=None))
    world.person(short_description="being looked at")
    world.watch(hours=1)


def test_what_waits_for_a_person_is_not_tried_at_each_poll_after_its_record_was_changed(world: World) -> None:
    changed_and_waits_for_a_person(world)
    assert 2 <= len(world.log("failed")) <= 13


def test_nor_for_ever_where_nothing_else_changes_in_its_table(world: World) -> None:
    changed_and_waits_for_a_person(world)
    before = len(world.log("failed"))
    world.watch(hours=7, step=300)
    assert 1 <= len(world.log("failed")) - before <= 4
