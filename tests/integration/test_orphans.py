"""Records of ours that the store does not know: told, adopted, taken by their problem; and a restored store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from crashing import Crash, at, die
from intake_world import alert, library_of, rows
from publishing_world import Command
from reconciler_world import CLOSES, states, twin
from sqlalchemy import update
from storms import take_in
from sync_world import DISPLAY, INSTALLATION, PROBE, World, itsm
from test_intake_formerly import edited

from bridge.cli import main
from bridge.errors import Permanent, Transient
from bridge.simulator.faults import FaultKind
from bridge.store import reconciling
from bridge.store.adopting import Place, adopt, adopt_expected
from bridge.store.held import LEASE
from bridge.store.reconciler_tables import strays
from bridge.store.strays import Outcome, list_told, next_due, orphans, settle
from bridge.store.tables import correlations, installation


@pytest.fixture
def opened(world: World) -> World:
    world.fire()
    world.idle()
    world.watch(minutes=1)
    return world


def test_an_orphan_is_reported_once_and_left(opened: World) -> None:
    twin(opened, "unknown")
    opened.watch(minutes=10)
    (stray,) = rows(opened.store, strays)
    assert (stray.outcome, states(opened)) == ("orphan", ["1", "1"])
    assert len(opened.log("orphan")) == 1


def test_an_orphan_that_has_ended_is_nobodys_business(world: World) -> None:
    twin(world, "unknown", **CLOSES)
    world.watch(minutes=2)
    assert rows(world.store, strays) == []


def test_an_orphan_that_is_deleted_is_forgotten(opened: World) -> None:
    lost = twin(opened, "unknown")
    opened.watch(minutes=1)
    opened.simulator.person_deletes("incident", lost["sys_id"])
    opened.watch(minutes=70)
    assert rows(opened.store, strays) == []


NOISE = PROBE + "suppress: [{name: noise, reason: a test, permanent: true, when: {.kind: noisy}}]\n"


def orphan_of(world: World, rule: str, **fields: str) -> str:
    """Its number, once the reconciler has found it."""
    row = twin(world, rule, **fields)
    world.turn()
    return row["number"]


def adopted(world: World, number: str) -> str:
    places = [Place(target="itsm", tenant="default", first_state="1")]
    with world.store.transaction() as tx:
        (stray,) = orphans(tx, [number])
        return adopt(tx, stray, places, actor="test", now=world.store.now(tx))


def test_an_orphan_of_a_problem_that_is_known_is_its_incident_once_adopted(anywhere: World) -> None:
    anywhere.resolve()
    anywhere.idle()
    number = orphan_of(anywhere, "r1")
    assert adopted(anywhere, number) == "taken"
    anywhere.idle()
    assert anywhere.record()["state"] == "6"
    (entry,) = anywhere.log("adopted")
    assert (entry["number"], entry["instance"], rows(anywhere.store, strays)) == (number, "test", [])


def test_an_adopted_incident_that_people_are_on_is_left_to_them(anywhere: World) -> None:
    anywhere.resolve()
    anywhere.idle()
    adopted(anywhere, orphan_of(anywhere, "r1", state="2"))
    anywhere.idle()
    assert anywhere.record()["state"] == "2"
    assert "left to you to close" in anywhere.notes()[0]


def test_an_orphan_of_a_problem_that_no_alert_has_told_of_is_taken_by_the_next(anywhere: World) -> None:
    number = orphan_of(anywhere, "r1")
    assert adopted(anywhere, number) == "expected"
    anywhere.fire()
    anywhere.idle()
    anywhere.turn()
    assert (anywhere.record()["number"], anywhere.row().open) == (number, True)
    assert rows(anywhere.store, strays) == []


def test_one_that_was_adopted_closes_where_the_next_word_of_its_problem_is_that_it_is_resolved(world: World) -> None:
    number = orphan_of(world, "r1")
    assert adopted(world, number) == "expected"
    world.watch(minutes=5)
    world.resolve()
    world.watch(minutes=3)
    assert (world.record()["number"], world.record()["state"]) == (number, "6")
    assert rows(world.store, strays) == []


def test_one_closes_too_where_the_mapping_has_given_its_problem_another_id_since(world: World) -> None:
    number = orphan_of(world, "r1")
    assert adopted(world, number) == "expected"
    world.library = library_of(world.store, edited(PROBE))
    world.aim(itsm())
    world.resolve("r1")
    world.watch(minutes=5)
    assert (world.row("rule/r1").failure, world.row("rule/r1").waits_for_person) == (None, False)
    assert (world.record()["number"], world.record()["state"]) == (number, "6")


def test_one_whose_problem_waits_at_another_table_is_told_and_not_asked_about_again_and_again(world: World) -> None:
    number = orphan_of(world, "r1")
    world.aim(itsm(table="sn_si_incident"))
    world.fail(FaultKind.ACL, "POST")
    world.fire()
    world.idle()
    assert world.row().waits_for_person
    with pytest.raises(Permanent, match=f"{number} is not adopted.*bridge incidents sync 'r1'"):
        adopted(world, number)


def test_one_whose_problem_is_tried_again_soon_stays_expected(world: World) -> None:
    number = orphan_of(world, "r1")
    adopted(world, number)
    world.aim(itsm(table="sn_si_incident"))
    world.fail(FaultKind.RATE_LIMIT, "POST")
    world.fire()
    world.worker.work()
    assert not world.row().waits_for_person
    with world.store.transaction() as tx:
        now = world.store.now(tx)
        stray = next_due(tx, "test", {"default"}, now)
        assert stray is not None
        with pytest.raises(Transient, match="is being worked"):
            adopt_expected(tx, stray, [Place(target="itsm", tenant="default", first_state="1")], now)


def test_what_is_adopted_while_the_reconciler_looks_at_it_stays_so(anywhere: World) -> None:
    number = orphan_of(anywhere, "r1")
    with anywhere.store.reading() as tx:
        (looked_at,) = orphans(tx, [number])
    adopted(anywhere, number)
    with anywhere.store.transaction() as tx:
        settle(tx, looked_at, None, Outcome.ORPHAN, anywhere.store.now(tx), said="Nobody knows it.")
        assert [(one.number, one.outcome) for one in list_told(tx, limit=10)] == [(number, "expected")]


def test_one_that_was_adopted_waits_on_where_all_that_its_problem_says_is_suppressed(world: World) -> None:
    number = orphan_of(world, "r1")
    adopted(world, number)
    world.library = library_of(world.store, NOISE)
    take_in(world, [alert("r1", kind="noisy")])
    world.watch(minutes=5)
    with world.store.reading() as tx:
        assert [(one.number, one.outcome) for one in list_told(tx, limit=10)] == [(number, "expected")]
    world.fire("r1")
    world.idle()
    assert [record["number"] for record in world.records()] == [number]


def test_one_whose_problem_is_told_of_at_another_table_only_is_asked_about_now_and_then(anywhere: World) -> None:
    adopted(anywhere, orphan_of(anywhere, "r1"))
    anywhere.fire()
    with anywhere.store.transaction() as tx:
        now = anywhere.store.now(tx)
        stray = next_due(tx, "test", {"default"}, now)
        assert stray is not None
        adopt_expected(tx, stray, [], now)
        assert next_due(tx, "test", {"default"}, now) is None
        assert next_due(tx, "test", {"default"}, now + timedelta(minutes=1)) is not None


def test_one_that_was_adopted_is_listed_until_an_alert_of_its_problem_comes(world: World) -> None:
    number = orphan_of(world, "r1")
    adopted(world, number)
    world.watch(minutes=130)
    with world.store.reading() as tx:
        assert [(one.number, one.outcome) for one in list_told(tx, limit=10)] == [(number, "expected")]
    assert len(world.log("adopted")) == 1


def test_an_orphan_is_taken_by_its_problem_without_an_order_too(world: World) -> None:
    number = orphan_of(world, "r1")
    world.fire()
    world.idle()
    assert (world.record()["number"], world.row().open) == (number, True)


def ours(world: World, **fields: str) -> str:
    """A record of r1 that this store does not know, and that nobody has changed since it was made. Its sys_id."""
    about = {"correlation_id": "r1", "correlation_display": DISPLAY, "short_description": "r1"}
    row = world.simulator.person_creates("incident", world.servicenow.username, **about, **fields)
    world.made_for_us.add(row["number"])
    world.turn()
    return row["sys_id"]


TAKES = pytest.mark.parametrize("by_order", [False, True], ids=["by its problem", "by a person's order"])


def take(world: World, *, by_order: bool, level: str = "critical") -> None:
    """An alert of the orphan's problem comes; the record is taken by that, or before that is worked."""
    world.fire(level=level)
    if by_order:
        adopted(world, world.record()["number"])
    world.idle()


@TAKES
def test_an_orphan_that_shows_less_than_the_alert_that_found_it_is_raised(anywhere: World, by_order: bool) -> None:
    ours(anywhere, impact="3")
    take(anywhere, by_order=by_order)
    assert (anywhere.record()["impact"], anywhere.writes()) == ("1", ["PATCH"])
    assert "The severity rose to Critical." in anywhere.notes()[0]


@TAKES
def test_one_that_shows_more_is_told_the_alert_and_left_as_bad_as_it_is(anywhere: World, by_order: bool) -> None:
    ours(anywhere, impact="1")
    take(anywhere, by_order=by_order, level="low")
    assert (anywhere.record()["impact"], anywhere.writes()) == ("1", ["PATCH"])
    assert "Alerts so far: 1." in anywhere.notes()[0]
    anywhere.fire(level="high")
    anywhere.idle()
    assert anywhere.record()["impact"] == "1"


@TAKES
def test_what_may_be_a_persons_in_an_orphan_is_left_and_the_rise_is_told_in_a_note(
    anywhere: World, by_order: bool
) -> None:
    sys_id = ours(anywhere, impact="1")
    anywhere.simulator.edit_as_person("incident", sys_id, {"impact": "3"}, user="analyst")
    anywhere.simulator.edit_as_person("incident", sys_id, {"work_notes": "x"}, user=anywhere.servicenow.username)
    take(anywhere, by_order=by_order)
    assert anywhere.record()["impact"] == "3"
    assert "The severity rose to Critical." in anywhere.notes()[-1]


def test_an_orphan_that_a_create_which_was_turned_away_finds_is_raised_too(world: World) -> None:
    ours(world, impact="3")
    world.clock.advance(hours=1)
    world.fail(FaultKind.RATE_LIMIT, "GET", path="/table/incident?", seconds=1)
    world.fire(level="critical")
    world.pass_time(minutes=5, step=10)
    assert (world.record()["impact"], world.writes()) == ("1", ["PATCH"])


def test_an_orphan_taken_by_a_process_that_died_before_it_noted_so_is_raised_too(world: World) -> None:
    ours(world, impact="3")
    world.clock.advance(hours=1)
    world.fire(level="critical")

    with pytest.raises(Crash), at("applied:commit", die):
        world.idle()
    world.pass_time(minutes=10, step=10)
    assert (world.record()["impact"], world.writes()) == ("1", ["PATCH"])


def test_an_orphan_that_a_person_closes_before_it_is_read_stays_closed(anywhere: World) -> None:
    sys_id = ours(anywhere, impact="1")
    anywhere.fire(level="critical")

    def close() -> None:
        anywhere.simulator.edit_as_person("incident", sys_id, CLOSES, user="analyst")

    with at("applied:committed", close):
        anywhere.idle()
    assert (states(anywhere), anywhere.row().last_decision) == (["7"], "nothing: closed_by_person")


def test_a_problem_that_has_an_incident_adopts_no_other(opened: World) -> None:
    number = orphan_of(opened, "r2")
    opened.fire("r2")
    with opened.store.transaction() as tx:
        tx.execute(update(correlations).values(open=True))
    with pytest.raises(Permanent, match="has an open incident"):
        adopted(opened, number)
    with opened.store.transaction() as tx:
        tx.execute(update(correlations).where(correlations.c.correlation_id == "r2").values(open=False))
    opened.idle()


# --- a store that is older than ServiceNow


def restore(world: World) -> None:
    with world.store.transaction() as tx:
        reconciling.mark_restored(tx, world.store.now(tx))


def test_a_restored_store_looks_before_each_create(anywhere: World) -> None:
    twin(anywhere)
    with anywhere.store.transaction() as tx:
        tx.execute(installation.insert().values(id=INSTALLATION, created_at=anywhere.store.now(tx)))
    restore(anywhere)
    anywhere.fire()
    anywhere.idle()
    assert (anywhere.writes(), anywhere.row().open) == (["PATCH"], True)


def test_a_restored_store_opens_the_next_incident_of_what_has_ended_since(anywhere: World) -> None:
    twin(anywhere, **CLOSES)
    with anywhere.store.transaction() as tx:
        tx.execute(installation.insert().values(id=INSTALLATION, created_at=anywhere.store.now(tx)))
    restore(anywhere)
    anywhere.fire()
    anywhere.idle()
    assert states(anywhere) == ["7", "1"]


def test_once_all_was_seen_a_restored_store_creates_as_ever(anywhere: World) -> None:
    with anywhere.store.transaction() as tx:
        tx.execute(installation.insert().values(id=INSTALLATION, created_at=anywhere.store.now(tx)))
    restore(anywhere)
    anywhere.turn()
    (row,) = rows(anywhere.store, installation)
    assert row.restored_at is None
    anywhere.fire()
    anywhere.idle()
    assert not any("correlation_id=r1" in path for _method, path, _status in anywhere.simulator.calls)


def test_a_turn_that_fails_leaves_the_store_restored(anywhere: World) -> None:
    with anywhere.store.transaction() as tx:
        tx.execute(installation.insert().values(id=INSTALLATION, created_at=anywhere.store.now(tx)))
    restore(anywhere)
    anywhere.fail(FaultKind.SERVER_ERROR, "GET")
    anywhere.turn()
    assert rows(anywhere.store, installation)[0].restored_at is not None


def test_a_turn_that_was_overtaken_does_not_say_that_all_was_seen(anywhere: World) -> None:
    """The turn that has overtaken it has seen the table, and is not over."""
    with anywhere.store.transaction() as tx:
        tx.execute(installation.insert().values(id=INSTALLATION, created_at=anywhere.store.now(tx)))
    anywhere.turn()
    restore(anywhere)
    with anywhere.store.transaction() as tx:
        overtaken = reconciling.claim(tx, "test", ["incident"], anywhere.store.now(tx), pause_max=timedelta(minutes=1))
    with anywhere.store.transaction() as tx:
        now = anywhere.store.now(tx) + timedelta(minutes=5)
        turn = reconciling.claim(tx, "test", ["incident"], now, pause_max=timedelta(minutes=1))
        assert overtaken is not None
        assert turn is not None
        seen = reconciling.Place(seen_to="2026-03-10 12:00:00")
        reconciling.note_page(tx, turn, "incident", [], seen, elsewhere=[])
        reconciling.end_turn(tx, overtaken, now, failure="", everywhere={("test", "incident")})
    assert rows(anywhere.store, installation)[0].restored_at is not None


# --- the commands


@pytest.fixture
def incidents(command: Command, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`bridge incidents …`: what it prints, errors where it fails."""

    def run(*words: str, status: int = 0) -> str:
        assert main(["incidents", *words, "--config", str(command.place.folder / "bridge.yaml")]) == status
        said = capsys.readouterr()
        return said.err if status else said.out

    return run


def a_stray(command: Command, number: str = "INC0010042", outcome: str | None = "orphan") -> None:
    about = {"instance": "corp", "table": "incident", "sys_id": number, "number": number, "correlation_id": "r1"}
    about |= {"key": "r1", "created_on": "2026-03-10 12:00:00", "version": ""}
    with command.place.store.transaction() as tx:
        told = {"found_at": command.place.store.now(tx), "outcome": outcome, "outcome_text": "What to do."}
        tx.execute(strays.insert().values(**about, **told, failures=0, released=False))


def test_strays_are_listed(command: Command, incidents: Callable[..., str]) -> None:
    a_stray(command)
    a_stray(command, "INC0010043", "two")
    a_stray(command, "INC0010044", "closed")
    found = json.loads(incidents("strays", "--json"))
    assert [(one["number"], one["outcome"]) for one in found] == [("INC0010043", "two"), ("INC0010042", "orphan")]
    assert "What to do." in incidents("strays")
    assert "Still to be looked at" not in incidents("strays")


def test_strays_that_wait_to_be_looked_at_are_told_as_such(command: Command, incidents: Callable[..., str]) -> None:
    a_stray(command, outcome=None)
    said = "Still to be looked at: 1 record with our mark. Ask again in a minute.\n"
    assert incidents("strays") == incidents("adopt", "--all") == said
    a_stray(command, "INC0010043")
    assert incidents("strays").endswith(said)


def test_orphans_are_adopted_by_number_or_all_together(command: Command, incidents: Callable[..., str]) -> None:
    a_stray(command)
    assert json.loads(incidents("adopt", "inc0010042", "--json")) == {"INC0010042": "expected"}
    assert json.loads(incidents("adopt", "--all", "--json")) == {}
    assert command.place.log("adopted")[0]["actor"] == "cli:robin"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [(("INC9",), 1, "INC9 is no orphan"), ((), 2, "or say --all"), (("INC9", "--all"), 2, "or say --all")],
)
def test_what_cannot_be_adopted_is_told(
    incidents: Callable[..., str], words: tuple[str, ...], status: int, said: str
) -> None:
    assert said in incidents("adopt", *words, status=status)


def test_what_is_adopted_beside_a_round_that_stood_still_is_the_one_incident(world: World) -> None:
    world.resolve()
    world.idle()
    adopted(world, orphan_of(world, "r1"))
    world.idle()
    world.watch(minutes=2)
    assert states(world) == ["6"]
    number = orphan_of(world, "r1")
    world.clock.advance(minutes=5)
    world.fire()

    def it_stands_still() -> None:
        world.clock.advance(seconds=LEASE.total_seconds() + 1)
        adopted(world, number)

    with at("read:answered", it_stands_still):  # before it opens the first one again
        world.idle()
    world.watch(minutes=30)
    assert states(world) == ["6", "1"]
