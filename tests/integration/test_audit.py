"""The statement of completeness: what became of everything, and the record held against itself, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from crashing import at
from intake_world import PROBE, alert, body_of, delivery, delivery_of, library_of
from sqlalchemy import Table, delete, insert, select, update
from sync_world import OBSERVE, Clock, World, itsm

from bridge.audit import Stopped, audit
from bridge.library import Library, Published
from bridge.log.entries import Action, Entry, append
from bridge.log.statement import End, Statement, Why
from bridge.mapping.load import compile_files
from bridge.simulator.faults import FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.store import orders
from bridge.store.discard import bring_back, discard
from bridge.store.engine import Store
from bridge.store.intake import commit
from bridge.store.prepare import ALERTS_MAX
from bridge.store.removal import let_go
from bridge.store.replay import replay
from bridge.store.revisions import register
from bridge.store.tables import (
    alerts,
    correlations,
    deliveries,
    episodes,
    incidents,
    installation,
    intents,
    log_entries,
)

DAY = timedelta(days=1)


def audited(store: Store, **given: Any) -> Statement:
    """Of the last day, as it is now."""
    now = store.moment()
    whole = {"since": now - DAY, "until": now + timedelta(seconds=1), "expected": {}, "kept_from": None}
    return audit(store, **(whole | given))


def of(statement: Statement, source: str = "probe") -> Any:
    return next(one for one in statement.sources if one.source == source)


def codes(statement: Statement) -> list[tuple[str, str]]:
    return [(one.code, one.about) for one in statement.differences]


class Intake:
    """Deliveries of the probe, without anything that works them."""

    def __init__(self, store: Store) -> None:
        self.store, self.library, self._sent = store, library_of(store), 0

    def take(self, *many: dict[str, Any], source: str = "probe", at: datetime | None = None) -> None:
        self._sent += 1
        one = replace(delivery(self.library, *many, sender_id=f"{source} {self._sent}"), source=source)
        one = replace(one, fingerprint=self._sent.to_bytes(16, "big"))
        with self.store.transaction() as tx:
            commit(tx, [one], at or self.store.now(tx))

    def take_body(self, body: bytes) -> None:
        with self.store.transaction() as tx:
            commit(tx, [delivery_of(self.library, body)], self.store.now(tx))

    def change(self, table: Table, *where: Any, **values: Any) -> None:
        with self.store.transaction() as tx:
            tx.execute(update(table).where(*where).values(**values))

    def remove(self, table: Table, *where: Any) -> None:
        with self.store.transaction() as tx:
            assert tx.execute(delete(table).where(*where)).rowcount == 1


@pytest.fixture
def spoilt(store: Store, sync_password: None) -> Iterator[World]:
    """A world whose rows a test spoils: what must hold there does not."""
    with SimulatorServer(clock=store.moment) as servicenow:
        world = World(store, servicenow, Clock())
        yield world
        world.close()


@pytest.fixture
def taken(store: Store) -> Intake:
    return Intake(store)


# --- each kind of end


def test_an_alert_that_has_its_incident_is_applied(anywhere: World) -> None:
    anywhere.fire()
    anywhere.fire()
    anywhere.idle()
    found = audited(anywhere.store)
    assert of(found).ends == {End.APPLIED: {"new": 1, "repeat": 1}}
    assert (found.word, found.open, found.differences) == ("complete", (), ())


def test_at_a_target_that_is_observed_nothing_was_applied(anywhere: World) -> None:
    anywhere.aim(itsm(mode=OBSERVE))
    anywhere.fire()
    anywhere.idle()
    found = audited(anywhere.store)
    assert (of(found).ends, found.word) == ({End.OBSERVED: {"new": 1}}, "complete")


def test_ends_at_intake_are_counted_by_their_rule(taken: Intake) -> None:
    taken.take(alert("r1", kind="noisy"), alert("r2", kind="unwanted"), alert("r3", kind="unwanted"), {"level": "low"})
    found = of(audited(taken.store))
    assert found.ends == {
        End.SUPPRESSED: {"noise": 1},
        End.DROPPED: {"route_drop": 2},
        End.QUARANTINED: {"empty_identity": 1},
    }
    assert (found.received, found.alerts, found.held) == (1, 4, 1)


def test_what_a_person_discards_is_told_apart_from_what_the_route_drops(taken: Intake) -> None:
    taken.take({"level": "low"}, alert("r2", kind="unwanted"))
    with taken.store.transaction() as tx:
        discard(tx, [(1, 0)], reason="a test", actor="test", now=taken.store.now(tx))
    found = audited(taken.store)
    assert of(found).ends == {End.DISCARDED: {"discarded": 1}, End.DROPPED: {"route_drop": 1}}
    assert found.differences == ()


# --- each kind of open


def test_what_no_round_has_looked_at_waits(taken: Intake) -> None:
    taken.take(alert("r1"), alert("r1", level="low"))
    found = audited(taken.store)
    (one,) = found.open
    assert (one.correlation_id, one.alerts, one.why, one.text) == ("r1", 2, Why.WAITING, "due now")
    assert (of(found).ends, of(found).open, found.word) == ({End.OPEN: {"new": 1, "repeat": 1}}, 2, "open")
    assert of(found).oldest_open == one.oldest


def test_the_state_of_its_problem_says_why_an_alert_is_open(taken: Intake) -> None:
    """One problem for each reason; the row says it, as sync leaves it."""
    now = taken.store.moment()
    failure = {"failure": "acl_refused", "failure_text": "Ask for the role."}
    states: dict[str, dict[str, Any]] = {
        "person": {"waits_for_person": True, "due_at": None, "failures": 1, **failure},
        "failing": {"failures": 2, "due_at": now + timedelta(minutes=5), **failure},
        "paused": {"target": "elsewhere"},
        "waiting": {"due_at": now + timedelta(hours=1)},
        "let_go": {"due_at": None, "last_decision": "let_go: mapping_removed"},
        "lost": {"due_at": None},
    }
    taken.take(*(alert(name) for name in states))
    for name, values in states.items():
        taken.change(correlations, correlations.c.correlation_id == name, **values)
    with taken.store.transaction() as tx:
        orders.pause(tx, "elsewhere", actor="test", now=now)
    found = audited(taken.store)
    assert {one.correlation_id: one.why.value for one in found.open} == {name: name for name in states}
    assert codes(found) == [("alert_lost", "problem lost")]
    assert found.word == "differences"


def test_a_round_under_way_holds_its_alerts(spoilt: World) -> None:
    spoilt.fail(FaultKind.LOGIN, "POST", times=None)
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        tx.execute(update(incidents).values(lease_until=spoilt.store.now(tx) + timedelta(minutes=2)))
    (one,) = audited(spoilt.store).open
    assert one.why is Why.LEASED


def test_what_the_brake_holds_is_open_although_it_was_decided_on(anywhere: World) -> None:
    anywhere.aim(itsm(max_creates_per_hour=1))
    for rule in ("r1", "r2"):
        anywhere.fire(rule)
    anywhere.idle()
    found = audited(anywhere.store)
    (one,) = found.open
    assert (one.correlation_id, one.why, one.alerts) == ("r2", Why.BRAKED, 1)
    assert of(found).ends == {End.APPLIED: {"new": 1}, End.OPEN: {"new": 1}}


def test_the_open_ones_of_earlier_days_are_listed_too(taken: Intake) -> None:
    taken.take(alert("r1"), at=taken.store.moment() - 3 * DAY)
    found = audited(taken.store)
    assert ([one.correlation_id for one in found.open], of(found).alerts, of(found).open) == (["r1"], 0, 1)


def test_those_that_wait_longest_are_named_first(taken: Intake) -> None:
    now = taken.store.moment()
    for hours in (1, 3, 2):
        taken.take(alert(f"r{hours}"), at=now - timedelta(hours=hours))
    assert [one.correlation_id for one in audited(taken.store).open] == ["r3", "r2", "r1"]


def test_suppressed_alerts_alone_are_not_open(taken: Intake) -> None:
    taken.take(alert("r1", kind="noisy"))
    assert audited(taken.store).word == "complete"


# --- the record against itself


def test_an_alert_whose_row_is_gone_is_named(taken: Intake) -> None:
    taken.take(alert("r1"), alert("r2"), alert("r3"))
    taken.remove(alerts, alerts.c.position == 1)
    assert codes(audited(taken.store)) == [("alert_missing", "alert 1-1")]


def test_an_alert_that_was_put_in_is_named(taken: Intake) -> None:
    taken.take(alert("r1"))
    with taken.store.transaction() as tx:
        row = {"delivery_id": 1, "position": 1, "covers_rest": False, "outcome": "dropped", "reason": "route_drop"}
        tx.execute(insert(alerts).values(**row, received_at=taken.store.now(tx)))
    assert codes(audited(taken.store)) == [("alert_not_logged", "alert 1-1")]


def test_an_outcome_that_was_changed_is_named(taken: Intake) -> None:
    taken.take(alert("r1"), alert("r2"))
    taken.change(alerts, alerts.c.position == 0, outcome="suppressed", reason="noise")
    assert ("outcome_changed", "alert 1-0") in codes(audited(taken.store))


def test_a_delivery_without_its_entry_is_named(taken: Intake) -> None:
    taken.take(alert("r1"))
    taken.take(alert("r2"))
    taken.remove(log_entries, log_entries.c.delivery == 1)
    assert codes(audited(taken.store)) == [("delivery_not_logged", "delivery 1")]


def test_a_ping_without_its_entry_is_named(taken: Intake) -> None:
    taken.take_body(body_of())
    assert codes(audited(taken.store)) == []
    taken.remove(log_entries, log_entries.c.delivery == 1)
    assert codes(audited(taken.store)) == [("delivery_not_logged", "delivery 1")]


def test_a_delivery_that_is_logged_twice_is_named(taken: Intake) -> None:
    taken.take(alert("r1"))
    with taken.store.transaction() as tx:
        row = tx.execute(select(log_entries).where(log_entries.c.delivery == 1)).one()._asdict()
        tx.execute(insert(log_entries).values(**{name: row[name] for name in row if name not in ("id", "xact")}))
    assert codes(audited(taken.store)) == [("delivery_logged_twice", "delivery 1")]


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_delivery_whose_rows_are_gone_is_named(taken: Intake, gone: int) -> None:
    """The first and the last of a period too, where no other delivery tells where it began and ended."""
    for rule in ("r1", "r2", "r3"):
        taken.take(alert(rule))
    taken.remove(alerts, alerts.c.delivery_id == gone)
    taken.remove(deliveries, deliveries.c.id == gone)
    assert codes(audited(taken.store)) == [("delivery_missing", f"delivery {gone}")]


def test_of_a_period_without_a_row_left_all_that_was_logged_is_named(taken: Intake) -> None:
    now = taken.store.moment()
    for days in (5, 3, 1):
        taken.take(alert(f"r{days}"), at=now - days * DAY)
    taken.remove(alerts, alerts.c.delivery_id == 2)
    taken.remove(deliveries, deliveries.c.id == 2)
    found = audited(taken.store, since=now - 4 * DAY, until=now - 2 * DAY)
    assert codes(found) == [("delivery_missing", "delivery 2")]


def test_a_replay_is_no_difference(taken: Intake) -> None:
    taken.take({"name": "r1"}, {"name": "r2"}, {"level": "low"}, alert("r4"))
    mapping = compile_files("probe", {"probe.yaml": PROBE.replace("rule: .rule", "rule: .rule ?? .name")})
    with taken.store.transaction() as tx:
        files, now = mapping.files, taken.store.now(tx)
        revision = register(tx, mapping="probe", digest=mapping.digest, files=files, now=now)
    later = Library({"probe": Published(mapping=mapping, revision_id=revision)})
    ids = [(1, 0), (1, 1), (1, 2)]
    done = replay(taken.store, ids, library=later, mapping_of={"probe": "probe"}, actor="test")
    assert (done.mapped, done.waiting) == (2, 1)
    found = audited(taken.store)
    assert (codes(found), of(found).held) == ([], 1)


def test_what_a_replay_has_made_and_is_gone_is_named(taken: Intake) -> None:
    test_a_replay_is_no_difference(taken)
    taken.remove(alerts, alerts.c.position == 1)
    assert codes(audited(taken.store)) == [("alert_missing", "alert 1-1")]


def test_what_was_discarded_and_brought_back_is_no_difference(taken: Intake) -> None:
    taken.take({"level": "low"}, {"level": "high"})
    with taken.store.transaction() as tx:
        now = taken.store.now(tx)
        discard(tx, [(1, 0), (1, 1)], reason="a test", actor="test", now=now)
        bring_back(tx, [(1, 1)], actor="test", now=now)
    assert codes(audited(taken.store)) == []


def test_the_rest_of_a_delivery_that_is_replayed_is_no_difference(taken: Intake) -> None:
    taken.take(*(alert(f"r{number}") for number in range(ALERTS_MAX + 2)))
    assert of(audited(taken.store)).alerts == ALERTS_MAX + 1
    of_probe = {"probe": "probe"}
    replay(taken.store, [(1, ALERTS_MAX)], library=taken.library, mapping_of=of_probe, actor="test")
    found = audited(taken.store)
    assert (of(found).alerts, codes(found)) == (ALERTS_MAX + 2, [])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda entry: entry["action"] == "intended", "intent_not_logged"),
        (lambda entry: entry["action"] == "written", "outcome_not_logged"),
    ],
)
def test_a_write_without_its_entry_is_named(spoilt: World, wrong: Callable[[dict[str, Any]], bool], named: str) -> None:
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        rows = tx.execute(select(log_entries.c.id, log_entries.c.entry)).all()
        (gone,) = [row.id for row in rows if wrong(msgspec.json.decode(row.entry))]
        tx.execute(delete(log_entries).where(log_entries.c.id == gone))
    assert codes(audited(spoilt.store)) == [(named, "intent 1")]


def test_a_write_that_only_the_log_knows_is_named(spoilt: World) -> None:
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        now = spoilt.store.now(tx)
        detail = {"intent": 99}
        append(tx, Entry(at=now, action=Action.WRITTEN, actor="sync", outcome="update", incident=1, detail=detail))
    assert codes(audited(spoilt.store)) == [("intent_missing", "intent 99")]


def test_an_outcome_that_was_taken_back_in_the_store_is_named(spoilt: World) -> None:
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        tx.execute(update(intents).values(outcome="not_applied"))
    assert codes(audited(spoilt.store)) == [("outcome_changed", "intent 1")]


@pytest.fixture
def gone(world: World) -> World:
    """Who made the record lost the lease meanwhile, and a person deleted it before anybody settled that."""

    def meanwhile() -> None:
        with world.store.transaction() as tx:
            tx.execute(update(incidents).values(epoch=incidents.c.epoch + 1, lease_until=world.clock.now))
        world.simulator.person_deletes("incident", world.record()["sys_id"])

    world.fire()
    with at("write:answered", meanwhile):
        world.worker.work()
    world.pass_time(minutes=10)
    return world


def test_a_record_that_was_deleted_before_anybody_settled_it_is_no_difference(gone: World) -> None:
    assert [entry["outcome"] for entry in gone.log("looked_up")] == ["gone"]
    assert codes(audited(gone.store)) == []


def test_that_it_is_gone_without_an_entry_of_it_is_named(gone: World) -> None:
    with gone.store.transaction() as tx:
        tx.execute(delete(log_entries).where(log_entries.c.action == "looked_up"))
    assert codes(audited(gone.store)) == [("outcome_not_logged", "intent 1")]


def test_a_write_that_failed_without_an_entry_of_it_is_named(spoilt: World) -> None:
    spoilt.fail(FaultKind.LOGIN, "POST", times=None)
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        assert tx.execute(delete(log_entries).where(log_entries.c.action == "called")).rowcount == 1
    assert codes(audited(spoilt.store)) == [("outcome_not_logged", "intent 1")]


def test_of_a_write_from_before_failures_were_told_no_entry_is_missed(spoilt: World) -> None:
    spoilt.fail(FaultKind.LOGIN, "POST", times=None)
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        tx.execute(delete(log_entries).where(log_entries.c.action == "called"))
        row = tx.execute(select(log_entries).where(log_entries.c.action == "intended")).one()
        entry = msgspec.json.decode(row.entry)
        del entry["detail"]["attempt"]
        tx.execute(update(log_entries).where(log_entries.c.id == row.id).values(entry=msgspec.json.encode(entry)))
    assert codes(audited(spoilt.store)) == []


def test_a_write_that_failed_is_no_difference(anywhere: World) -> None:
    anywhere.fail(FaultKind.LOGIN, "POST", times=None)
    anywhere.fire()
    anywhere.idle()
    found = audited(anywhere.store)
    assert (codes(found), [one.why for one in found.open]) == ([], [Why.FAILING])


def test_a_problem_whose_incident_was_ended_by_hand_is_named(spoilt: World) -> None:
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        tx.execute(update(incidents).values(state="ended"))
    assert codes(audited(spoilt.store)) == [("incident_missing", "problem r1")]


def test_a_problem_that_fires_and_was_closed_by_hand_is_named(spoilt: World) -> None:
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        tx.execute(update(correlations).values(open=False))
    assert codes(audited(spoilt.store)) == [("incident_missing", "problem r1")]


def test_an_incident_without_a_problem_is_named(spoilt: World) -> None:
    spoilt.fire()
    spoilt.idle()
    with spoilt.store.transaction() as tx:
        tx.execute(delete(episodes))
        tx.execute(update(correlations).values(open=False, last_decision="nothing: dropped"))
    number = spoilt.record()["number"]
    assert codes(audited(spoilt.store)) == [("problem_missing", f"incident {number}")]


def test_an_incident_whose_alerts_are_gone_is_named(spoilt: World) -> None:
    spoilt.fire()
    spoilt.idle()
    number = spoilt.record()["number"]
    with spoilt.store.transaction() as tx:
        tx.execute(delete(alerts))
    gone = ("alerts_missing", f"incident {number}")
    assert gone in codes(audited(spoilt.store))
    future = spoilt.store.moment() + DAY
    assert codes(audited(spoilt.store, kept_from=future)) == [gone]  # of one that is open some are never pruned
    with spoilt.store.transaction() as tx:
        tx.execute(update(incidents).values(state="ended"))
        tx.execute(update(correlations).values(open=False, last_decision="noticed: by_person"))
    assert codes(audited(spoilt.store, kept_from=future)) == []


def test_what_people_close_leaves_no_difference(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    anywhere.person(state="7", close_code="Solution provided", close_notes="done")
    anywhere.turn()
    anywhere.fire()
    anywhere.idle()
    found = audited(anywhere.store)
    assert (anywhere.row().open, found.word, codes(found)) == (False, "complete", [])


def test_a_mapping_that_was_let_go_leaves_no_difference(anywhere: World) -> None:
    anywhere.fire()
    with anywhere.store.transaction() as tx:
        let_go(tx, "probe")
    found = audited(anywhere.store)
    assert (found.word, [one.why for one in found.open]) == ("open", [Why.LET_GO])


def test_before_what_was_pruned_nothing_is_compared(taken: Intake) -> None:
    now = taken.store.moment()
    taken.take(alert("r1"), at=now - timedelta(hours=5))
    taken.take(alert("r2"), at=now - timedelta(hours=1))
    taken.remove(log_entries, log_entries.c.delivery == 1)
    kept_from = now - timedelta(hours=2)
    found = audited(taken.store, kept_from=kept_from)
    assert (codes(found), found.compared_from, of(found).received) == ([], kept_from, 2)
    taken.remove(log_entries, log_entries.c.delivery == 2)
    assert codes(audited(taken.store, kept_from=kept_from)) == [("delivery_not_logged", "delivery 2")]


# --- the figures


def test_an_empty_store_is_complete(store: Store) -> None:
    found = audited(store)
    assert (found.sources, found.word) == ((), "complete")


def test_a_configured_source_that_brought_nothing_is_listed_with_its_silence(store: Store) -> None:
    found = of(audited(store, expected={"quiet": timedelta(hours=12)}), "quiet")
    assert (found.received, found.silence.broken) == (0, True)
    assert found.silence.lasted >= DAY


def test_a_source_is_not_silent_before_there_was_a_bridge(store: Store) -> None:
    with store.transaction() as tx:
        tx.execute(installation.insert().values(id="0a1b2c3d", created_at=store.now(tx) - timedelta(hours=1)))
    silence = of(audited(store, expected={"new": timedelta(hours=12)}), "new").silence
    assert (silence.broken, silence.lasted < timedelta(hours=2)) == (False, True)


def test_a_moment_belongs_to_the_day_that_begins_with_it(taken: Intake) -> None:
    midnight = datetime(2026, 3, 8, tzinfo=UTC)
    for moment in (midnight - timedelta(microseconds=1), midnight, midnight + DAY):
        taken.take(alert("r1"), at=moment)
    found = of(audited(taken.store, since=midnight, until=midnight + DAY))
    assert (found.received, found.alerts) == (1, 1)


def test_a_source_is_counted_by_itself(taken: Intake) -> None:
    taken.take(alert("r1"))
    taken.take(alert("r2"), alert("r3"), source="other")
    found = audited(taken.store)
    assert [(one.source, one.received, one.alerts) for one in found.sources] == [("other", 1, 2), ("probe", 1, 1)]


def test_refused_deliveries_are_counted_by_reason(store: Store) -> None:
    with store.transaction() as tx:
        now = store.now(tx)
        refused = [("probe", "bad_signature", 2), ("probe", "bad_signature", 3), ("unknown", "unknown_source", 1)]
        for source, reason, many in refused:
            detail = {"deliveries": many}
            told = {"source": source, "reason": reason, "detail": detail, "actor": f"source:{source}"}
            append(tx, Entry(at=now, action=Action.REFUSED, **told))  # type: ignore[arg-type]
    found = audited(store, expected={"probe": None})
    assert (of(found).refused, of(found, "unknown").refused) == ({"bad_signature": 5}, {"unknown_source": 1})
    assert of(found, "unknown").silence is None


def test_the_longest_silence_is_measured_whole_although_it_began_before_the_period(taken: Intake) -> None:
    midnight = datetime(2026, 3, 8, tzinfo=UTC)
    for hours in (-20, 6, 7, 23):
        taken.take(alert("r1"), at=midnight + timedelta(hours=hours))
    given = {"since": midnight, "until": midnight + DAY}
    found = of(audited(taken.store, **given, expected={"probe": timedelta(hours=24)}))
    assert (found.silence.began, found.silence.lasted) == (midnight - timedelta(hours=20), timedelta(hours=26))
    assert found.silence.broken


def test_a_silence_between_two_deliveries_of_the_period_is_found(taken: Intake) -> None:
    midnight = datetime(2026, 3, 8, tzinfo=UTC)
    for minutes in (0, 10, 55, 59, 90, 24 * 60 - 1):
        taken.take(alert("r1"), at=midnight + timedelta(minutes=minutes))
    found = of(audited(taken.store, since=midnight, until=midnight + timedelta(minutes=60)))
    assert (found.silence.began, found.silence.lasted) == (
        midnight + timedelta(minutes=10),
        timedelta(minutes=45),
    )
    assert not found.silence.broken


def test_the_time_to_an_incident_runs_from_the_answer_to_the_create_that_was_applied(world: World) -> None:
    world.fail(FaultKind.LOGIN, "POST", times=None)
    world.fire()
    world.idle()
    world.pass_time(minutes=4)
    world.fire()
    world.simulator.faults.clear()
    world.pass_time(minutes=6)
    found = of(audited(world.store))
    told = world.log("written")[0]
    took = datetime.fromisoformat(told["at"]) - datetime.fromisoformat(world.log("delivered")[0]["at"])
    assert (found.creates, found.p99, found.worst) == (1, took, took)
    assert took > timedelta(minutes=4)


def test_what_a_brake_held_counts_from_its_alert(world: World) -> None:
    world.aim(itsm(max_creates_per_hour=1))
    for rule in ("r1", "r2"):
        world.fire(rule)
    world.idle()
    world.pass_time(minutes=70)
    found = of(audited(world.store))
    assert found.creates == 2
    assert timedelta(minutes=60) <= found.worst < timedelta(minutes=70)


def test_what_was_closed_by_a_person_does_not_count_while_it_was_left_alone(world: World) -> None:
    world.fire()
    world.idle()
    world.person(state="7", close_code="Solution provided", close_notes="done")
    for _ in range(27):
        world.fire(level="low")
        world.pass_time(minutes=60)
    found = of(audited(world.store, since=world.clock.now - 2 * DAY))
    assert (len(world.records()), found.creates) == (2, 2)
    assert found.worst <= timedelta(minutes=1)


def test_whoever_wants_it_to_end_ends_it(taken: Intake) -> None:
    taken.take(alert("r1"))
    with pytest.raises(Stopped):
        audited(taken.store, stopped=lambda: True)


def test_what_comes_in_while_it_reads_is_no_difference(taken: Intake) -> None:
    """Rows and entries are of one moment."""
    taken.take(alert("r1"))

    def meanwhile() -> bool:
        taken.take(alert("r2"))
        return False

    assert codes(audited(taken.store, until=taken.store.moment() + DAY, stopped=meanwhile)) == []
