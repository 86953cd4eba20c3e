"""Several problems, one incident: taken in by the values that they share, in step together, and taken out again."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from crashing import at
from intake_world import library_of, rows
from sqlalchemy import select, update
from sync_world import OBSERVE, PROBE, World, itsm

from bridge.alert import JoinKey
from bridge.correlation.policy import (
    CORRELATIONS_PER_INCIDENT_MAX,
    Decision,
    End,
    Episode,
    Kind,
    Reason,
    Taker,
)
from bridge.correlation.progress import ended
from bridge.errors import Permanent, Transient
from bridge.settings import Staging, Write
from bridge.simulator.faults import FaultKind
from bridge.simulator.transform import Staging as Simulated
from bridge.simulator.transform import TransformMap
from bridge.store import joins, settle, work
from bridge.store.held import LEASE, Held, Settlement
from bridge.store.settle import LeaseLost
from bridge.store.tables import correlations, episodes, incidents, join_keys

CHECKS_MAX = 400  # of a twentieth of a second
JOIN = """  join:
    - {same: [.host], within: 4h}
    - {same: [.user, .site], within: 1h}
route:"""


def join(world: World, text: str = JOIN) -> World:
    """The same world, whose mapping joins."""
    world.library = library_of(world.store, PROBE.replace("route:", text, 1))
    world.aim(itsm())
    return world


@pytest.fixture
def joining(world: World) -> World:
    return join(world)


@pytest.fixture
def joining_anywhere(anywhere: World) -> World:
    return join(anywhere)


def state(world: World, rule: str) -> tuple[bool, str]:
    row = world.row(rule)
    return row.open, row.last_decision


def parts(world: World) -> dict[str, str]:
    """Correlation ID -> its part in its newest incident."""
    with world.store.reading() as tx:
        newest = (episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode)
        query = select(correlations.c.correlation_id, episodes.c.part).join_from(correlations, episodes, newest[0])
        return {row.correlation_id: row.part for row in tx.execute(query.where(newest[1]))}


def split(world: World, rule: str) -> None:
    with world.store.transaction() as tx:
        joins.split(tx, world.row(rule).id, actor="cli:robin", now=world.store.now(tx))


def told(world: World, number: int = 0) -> list[str]:
    """The notes without their [ref]."""
    return [note.rpartition("\n")[0] for note in world.notes(number)]


# --- taken in


def test_what_shares_a_value_with_an_open_incident_is_taken_in_and_told(joining_anywhere: World) -> None:
    world = joining_anywhere
    world.fire("r1", host="web-1")
    world.idle()
    world.fire("r2", host="web-1")
    world.fire("r2", host="web-1", level="low")
    world.idle()
    assert world.record()["correlation_id"] == "r1"
    assert told(world) == ["2 alerts of r2 joined: they share this incident from now on.\nAlerts so far: 3."]
    assert world.writes() == ["POST", "PATCH"]
    assert world.decisions() == ["create: first_alert", "join: same_values", "update: joined"]
    assert (parts(world), state(world, "r2")) == ({"r1": "opened", "r2": "joined"}, (True, "update: joined"))
    assert [(entry["correlation_id"], entry["number"]) for entry in world.log("joined")] == [
        ("r2", world.record()["number"])
    ]


def test_a_join_whose_commit_was_not_heard_of_is_a_join(joining_anywhere: World) -> None:
    """What had been planned for it is gone with the commit: there is nothing to fail."""
    world = joining_anywhere
    world.fire("r1", host="web-1")
    world.idle()
    world.fire("r2", host="web-1")

    def unheard() -> None:
        raise Transient("store_unavailable", "the connection broke at the commit", retry_after=2)

    with at("joined:committed", unheard):
        world.idle()
    world.idle()
    assert parts(world) == {"r1": "opened", "r2": "joined"}
    assert world.writes() == ["POST", "PATCH"]


def test_who_stood_still_until_another_had_given_its_plan_up_holds_nothing(joining: World) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.fire("r2", host="web-1")
    with joining.store.transaction() as tx:
        lease = work.claim(tx, joining.store.now(tx), paused=())
    assert lease is not None
    joining.clock.advance(seconds=LEASE.total_seconds() + 1)
    joining.idle()
    assert parts(joining) == {"r1": "opened", "r2": "joined"}
    with joining.store.reading() as tx:
        assert work.hold(tx, lease) is None


@pytest.mark.parametrize(
    "values",
    [{}, {"host": ""}, {"host": "web-2"}, {"user": "ada"}, {"user": "ada", "site": "oslo"}],
    ids=["without the value", "with an empty value", "with another value", "without all values of a rule", "by a rule"],
)
def test_what_shares_no_value_has_an_incident_of_its_own(joining: World, values: dict[str, str]) -> None:
    joining.fire("r1", host="web-1", user="eve", site="oslo")
    joining.fire("r2", **values)
    joining.pass_time(minutes=1)
    assert len(joining.records()) == 2


def test_any_of_several_value_sets_will_do(joining: World) -> None:
    joining.fire("r1", host="web-1", user="ada", site="oslo")
    joining.idle()
    joining.fire("r2", host="web-2", user="ADA", site="oslo")
    joining.idle()
    assert len(joining.records()) == 1


@pytest.mark.parametrize(("hours", "records"), [(3.9, 1), (4.1, 2)])
def test_an_incident_takes_in_for_as_long_as_the_rule_says(joining: World, hours: float, records: int) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.clock.advance(hours=hours)
    joining.fire("r2", host="web-1")
    joining.idle()
    assert len(joining.records()) == records


def test_once_an_incident_is_too_old_the_next_one_takes_in(joining: World) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.clock.advance(hours=5)
    for rule in ("r2", "r3"):
        joining.fire(rule, host="web-1")
        joining.idle()
    assert [record["correlation_id"] for record in joining.records()] == ["r1", "r2"]
    assert parts(joining) == {"r1": "opened", "r2": "opened", "r3": "joined"}


def test_what_joined_by_one_value_does_not_bring_its_other_values_along(joining: World) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.fire("r2", host="web-1", user="ada", site="oslo")
    joining.idle()
    joining.fire("r3", user="ada", site="oslo")
    joining.idle()
    assert [record["correlation_id"] for record in joining.records()] == ["r1", "r3"]


def test_an_incident_has_at_most_so_many_correlations(joining: World) -> None:
    joining.fire("r0", host="web-1")
    joining.idle()
    for number in range(1, CORRELATIONS_PER_INCIDENT_MAX + 2):
        joining.fire(f"r{number}", host="web-1")
    joining.pass_time(minutes=1)
    assert [record["correlation_id"] for record in joining.records()] == ["r0", f"r{CORRELATIONS_PER_INCIDENT_MAX}"]
    assert joining.writes().count("POST") == 2


def test_what_a_person_closed_takes_nothing_in(joining: World) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.person(state="6", close_code="Solution provided", close_notes="done")
    joining.fire("r2", host="web-1")  # the bridge does not know yet that it is closed
    joining.idle()
    assert [record["correlation_id"] for record in joining.records()] == ["r1", "r2"]
    assert parts(joining)["r2"] == "opened"
    assert told(joining) == []
    assert [entry["reason"] for entry in joining.log("split")] == ["ended_before_it_was_told"]


def test_an_incident_that_cannot_be_written_to_takes_nothing_in(joining: World) -> None:
    joining.fire("r1", host="web-1", level="low")
    joining.idle()
    joining.fail(FaultKind.ACL, "PATCH", times=1)
    joining.fire("r1", host="web-1", level="high")
    joining.idle()
    assert joining.row("r1").waits_for_person
    joining.fire("r2", host="web-1")
    joining.idle()
    assert parts(joining)["r2"] == "opened"


def test_two_that_arrive_at_the_same_moment_make_one_incident(joining: World) -> None:
    joining.fire("r1", host="web-1")
    joining.fire("r2", host="web-1")
    joining.pass_time(minutes=1)
    assert joining.record()["correlation_id"] == "r1"
    assert parts(joining) == {"r1": "opened", "r2": "joined"}


def test_workers_that_hold_two_of_a_kind_at_once_make_one_incident(joining_anywhere: World) -> None:
    world = joining_anywhere
    rules = [f"r{number}" for number in range(6)]
    for rule in rules:
        world.fire(rule, host="web-1", user="ada", site="oslo")
    workers = [world.another_worker(itsm()) for _ in rules]
    start = threading.Barrier(len(workers))

    def run(worker: Any) -> None:
        start.wait()
        worker.work()

    for _ in range(10):  # of those that wait to join, some look again before the first is created
        threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        world.wake()
    world.idle()
    assert len(world.records()) == 1
    assert sorted(parts(world).values()) == ["joined"] * 5 + ["opened"]
    assert world.log("failed") == []


def test_many_workers_make_one_incident_of_what_joins_and_tell_each_once(joining_anywhere: World) -> None:
    world = joining_anywhere
    rules = [f"r{number}" for number in range(8)]
    for rule in rules * 2:
        world.fire(rule, host="web-1")
    done = threading.Event()
    workers = [world.another_worker(itsm()) for _ in range(4)]
    shared = ["joined"] * 7 + ["opened"]

    def run(worker: Any) -> None:
        while not done.is_set():
            if not worker.work():
                done.wait(0.01)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for rule in rules:
        world.fire(rule, host="web-1", level="critical")
    for _ in range(CHECKS_MAX):
        if sorted(parts(world).values()) == shared and all(in_step(world, rule) for rule in rules):
            break
        done.wait(0.05)
        if world.store.is_sqlite:  # whose clock stands still here: what waits to join is looked at again all the same
            world.wake()
    done.set()
    for thread in threads:
        thread.join()
    assert world.record()["impact"] == "1"
    assert sorted(parts(world).values()) == shared
    notes, first = "\n".join(world.notes()), world.record()["correlation_id"]
    assert [notes.count(f"of {rule} joined") for rule in rules if rule != first] == [1] * 7


def in_step(world: World, rule: str) -> bool:
    row = world.row(rule)
    return bool(row.applied_seq == row.last_seq)


def test_the_brake_holds_no_join(joining: World) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.aim(itsm(max_creates_per_hour=1))
    joining.fire("r2", host="web-1")
    joining.idle()
    assert state(joining, "r2") == (True, "update: joined")


@pytest.mark.parametrize("level", ["critical", "low"])
def test_what_the_brake_holds_takes_nothing_in_until_its_turn_comes(joining: World, level: str) -> None:
    joining.aim(itsm(max_creates_per_hour=1))
    joining.fail(FaultKind.RATE_LIMIT, "POST", seconds=30)
    joining.fire("r1", host="web-1", level="low")
    joining.idle()  # what is tried has its keys
    joining.fire("full", level="critical")
    joining.pass_time(minutes=2)
    joining.wake()
    joining.idle()
    assert (state(joining, "full")[0], state(joining, "r1")) == (True, (False, "nothing: brake"))
    joining.fire("r2", host="web-1", level=level)
    joining.idle()
    assert state(joining, "r2") == (False, "nothing: brake")
    joining.pass_time(minutes=65)
    first, second = ("r2", "r1") if level == "critical" else ("r1", "r2")
    assert parts(joining) == {"full": "opened", first: "opened", second: "joined"}


# --- while the incident is on its way


def test_what_would_join_an_incident_in_doubt_waits_until_it_is_known(joining: World) -> None:
    joining.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    joining.fire("r1", host="web-1")
    joining.fire("r2", host="web-1")
    joining.idle()
    assert state(joining, "r2") == (False, "nothing: waits_to_join")
    joining.pass_time(minutes=7)
    assert joining.record()["correlation_id"] == "r1"
    assert parts(joining)["r2"] == "joined"


def test_a_create_that_is_refused_strands_none_that_waited_for_it(joining: World) -> None:
    joining.fail(FaultKind.ACL, "POST", times=1)
    joining.fire("r1", host="web-1")
    joining.fire("r2", host="web-1")
    joining.pass_time(minutes=1)
    assert joining.row("r1").waits_for_person
    assert joining.record()["correlation_id"] == "r2"
    joining.ask_sync("r1")
    joining.pass_time(minutes=1)
    assert parts(joining) == {"r1": "joined", "r2": "opened"}


def test_a_crash_between_joining_and_its_note_loses_neither(joining: World) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.fire("r2", host="web-1")
    assert joining.worker.work()
    assert parts(joining)["r2"] == "joining"
    joining.aim(itsm())  # another process, which knows only the store
    joining.idle()
    assert [note for note in told(joining) if "r2 joined" in note] != []
    assert parts(joining)["r2"] == "joined"


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER_COMMIT, FaultKind.RESET_BEFORE_COMMIT], ids=str)
def test_a_note_of_joining_whose_answer_was_lost_is_there_once(joining: World, kind: FaultKind) -> None:
    joining.fire("r1", host="web-1")
    joining.idle()
    joining.fail(kind, "PATCH", times=1)
    joining.fire("r2", host="web-1")
    joining.pass_time(minutes=10)
    assert len(told(joining)) == 1
    assert parts(joining)["r2"] == "joined"


# --- in step together


def test_it_closes_when_the_last_of_them_is_resolved(joining: World) -> None:
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    joining.resolve("r1", host="web-1")
    joining.idle()
    assert joining.record()["state"] == "1"
    joining.resolve("r2", host="web-1")
    joining.idle()
    assert joining.record()["state"] == "6"
    assert [joining.row(rule).open for rule in ("r1", "r2")] == [False, False]
    assert told(joining)[-1] == "Closed: the source reports this resolved."


def test_the_severity_is_the_worst_of_them_and_the_note_says_whose(joining: World) -> None:
    joining.fire("r1", host="web-1", level="low")
    joining.idle()
    joining.fire("r2", host="web-1", level="low")
    joining.idle()
    joining.fire("r2", host="web-1", level="high")
    joining.fire("r1", host="web-1", level="low")
    joining.idle()
    assert joining.record()["impact"] == "2"
    assert told(joining)[-1] == "About r2:\nThe severity rose to High."


def test_a_worse_one_that_joins_raises_it_in_one_write(joining: World) -> None:
    joining.fire("r1", host="web-1", level="low")
    joining.idle()
    joining.fire("r2", host="web-1", level="high")
    joining.idle()
    assert joining.record()["impact"] == "2"
    assert told(joining) == ["1 alert of r2 joined: they share this incident from now on.\nThe severity rose to High."]
    assert parts(joining)["r2"] == "joined"


def test_repeats_are_counted_together(joining: World) -> None:
    for rule in ("r1", "r2", "r1", "r2", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
        joining.clock.advance(seconds=1)
    joining.pass_time(minutes=16)
    assert told(joining)[-1] == "About r2:\nAlerts so far: 5."
    assert joining.row("r1").due_at is None
    assert joining.row("r2").due_at is None


def test_a_failure_is_waited_out_by_all_of_them(joining: World) -> None:
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    joining.fail(FaultKind.ACL, "PATCH", times=1)
    joining.fire("r1", host="web-1", level="critical")
    joining.idle()
    joining.fire("r2", host="web-1", level="critical")
    before = len(joining.writes())
    joining.idle()
    assert [joining.row(rule).waits_for_person for rule in ("r1", "r2")] == [True, True]
    assert len(joining.writes()) == before
    joining.ask_sync("r2")
    joining.idle()
    assert [joining.row(rule).failure for rule in ("r1", "r2")] == [None, None]


def test_an_import_of_what_joined_finds_the_record_that_another_opened(joining: World) -> None:
    staging = Staging(table="u_bridge_incident")
    way = TransformMap(name="Bridge", target="incident", prefix="u_", coalesce=(("u_key",),), fields={"u_key": "u_key"})
    joining.simulator.add_columns("incident", ("u_key",))
    joining.simulator.add_staging(Simulated(name=staging.table, maps=(way,)))
    joining.aim(itsm(write=Write.IMPORT_SET, staging=staging, key_field="u_key"))
    for rule in ("r1", "r2", "r2"):
        joining.fire(rule, host="web-1", level="high" if rule == "r2" else "low")
        joining.idle()
    assert (joining.record()["u_key"], joining.record()["correlation_id"]) == ("r1#1", "r1")
    assert joining.row("r2").last_decision == "nothing: repeat"


# --- after the end


def closed(world: World) -> World:
    for rule in ("r1", "r2"):
        world.fire(rule, host="web-1")
        world.idle()
    for rule in ("r1", "r2"):
        world.resolve(rule, host="web-1")
    world.idle()
    assert world.record()["state"] == "6"
    return world


def test_the_one_that_comes_back_reopens_it_for_all(joining: World) -> None:
    closed(joining)
    joining.fire("r2", host="web-1")
    joining.idle()
    assert joining.record()["state"] == "1"
    assert [joining.row(rule).open for rule in ("r1", "r2")] == [True, True]
    joining.fire("r1", host="web-1")
    joining.resolve("r2", host="web-1")
    joining.idle()
    assert joining.record()["state"] == "1"
    joining.resolve("r1", host="web-1")
    joining.idle()
    assert joining.record()["state"] == "6"


def test_those_that_come_back_too_late_begin_anew_and_join_anew(joining: World) -> None:
    closed(joining)
    joining.clock.advance(days=8)
    for rule in ("r2", "r1"):
        joining.fire(rule, host="web-1")
        joining.idle()
    assert [record["correlation_id"] for record in joining.records()] == ["r1", "r2"]
    assert parts(joining) == {"r1": "joined", "r2": "opened"}
    assert told(joining, 1)[0].startswith("Follows INC")


def test_when_a_person_closes_it_each_keeps_quiet(joining: World) -> None:
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    joining.person(state="6", close_code="Solution provided", close_notes="done")
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
    joining.pass_time(minutes=16)
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
        assert joining.row(rule).last_decision == "nothing: closed_by_person"
    assert [joining.row(rule).open for rule in ("r1", "r2")] == [False, False]
    assert len(joining.records()) == 1


# --- two rounds at once


def held_by(world: World, rule: str) -> Held:
    """A round of the correlation's incident, as far as its lease."""
    with world.store.transaction() as tx:
        lease = work.claim(tx, world.store.now(tx), paused=())
        assert lease is not None
        held = work.hold(tx, lease)
    assert rule in [one.correlation_id for one in held.all]
    return held


def taker(world: World, rule: str) -> Taker:
    with world.store.reading() as tx:
        row = tx.execute(select(incidents).where(incidents.c.correlation_id == rule)).one()
        return Taker(incident=row.id, is_open=True, since=world.store.now(tx))


def attach(world: World, held: Held, into: Taker) -> bool:
    decision = Decision(kind=Kind.JOIN, reason=Reason.SAME_VALUES)
    with world.store.transaction() as tx:
        return joins.attach(tx, held, into, decision, world.store.now(tx), revision="r")


def test_what_joins_while_the_incident_is_being_closed_begins_anew(joining_anywhere: World) -> None:
    world = joining_anywhere
    world.fire("r1", host="web-1")
    world.idle()
    world.resolve("r1", host="web-1")
    closing = held_by(world, "r1")
    world.fire("r2", host="web-1")
    assert attach(world, held_by(world, "r2"), taker(world, "r1"))
    settlement = Settlement(
        kind="close",
        reason="resolved",
        read_seq=closing.read_seq,
        progress=ended(closing.folded),
        episode=replace(episode_of(closing), open=False, end=End.BY_US, ended_at=world.store.moment()),
    )
    with world.store.transaction() as tx:
        settle.settle(tx, closing, settlement, closing.incident, world.store.now(tx), decision="close: resolved")
    assert parts(world)["r2"] == "joining"
    world.idle()
    assert [record["correlation_id"] for record in world.records()] == ["r1", "r2"]
    assert parts(world)["r2"] == "opened"


def episode_of(held: Held) -> Episode:
    assert held.incident.episode is not None
    return held.incident.episode


def test_an_incident_that_has_ended_meanwhile_takes_nothing_in(joining_anywhere: World) -> None:
    world = joining_anywhere
    world.fire("r1", host="web-1")
    world.idle()
    into = taker(world, "r1")
    world.resolve("r1", host="web-1")
    world.idle()
    world.fire("r2", host="web-1")
    assert not attach(world, held_by(world, "r2"), into)
    world.idle()
    assert parts(world) == {"r1": "opened", "r2": "opened"}


def test_a_lost_lease_joins_nothing(joining_anywhere: World) -> None:
    world = joining_anywhere
    world.fire("r1", host="web-1")
    world.idle()
    world.fire("r2", host="web-1")
    held = held_by(world, "r2")
    with world.store.transaction() as tx:
        tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(epoch=held.epoch + 1))
    with pytest.raises(LeaseLost):
        attach(world, held, taker(world, "r1"))
    with world.store.transaction() as tx:
        tx.execute(update(incidents).values(lease_until=None))
    world.idle()
    assert parts(world) == {"r1": "opened", "r2": "joined"}


def test_of_two_creates_with_one_key_the_second_finds_the_first(joining_anywhere: World) -> None:
    world = joining_anywhere
    for rule in ("r1", "r2"):
        world.fire(rule, host="web-1")
    first, second = held_by(world, "r1"), held_by(world, "r2")
    keys = [JoinKey(digest=digest, within=timedelta(hours=1)) for digest in ("b", "a")]
    start, done = threading.Barrier(2), []

    def hold(held: Held, keys: list[JoinKey]) -> None:
        start.wait()
        try:
            with world.store.transaction() as tx:
                joins.hold_keys(tx, held, "itsm", keys, world.store.now(tx))
            done.append("held")
        except joins.Taken:
            done.append("taken")

    threads = [threading.Thread(target=hold, args=pair) for pair in ((first, keys), (second, keys[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["held", "taken"]
    assert len({row.incident for row in rows(world.store, join_keys)}) == 1
    with world.store.transaction() as tx:
        tx.execute(join_keys.delete())
        tx.execute(update(incidents).values(lease_until=None))
    world.idle()
    world.wake()
    world.idle()
    assert len(world.records()) == 1


# --- observing


def test_observe_says_what_would_join(joining: World) -> None:
    joining.aim(itsm(mode=OBSERVE))
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    assert [joining.row(rule).last_decision for rule in ("r1", "r2")] == [
        "would_create: first_alert",
        "would_join: same_values",
    ]
    joining.resolve("r1", host="web-1")
    joining.fire("r3", host="web-1")
    joining.idle()
    assert joining.row("r3").last_decision == "would_create: first_alert"
    assert joining.writes() == []


def test_what_was_observed_joins_once_it_is_written(joining: World) -> None:
    joining.aim(itsm(mode=OBSERVE))
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    joining.aim(itsm())
    joining.wake()
    joining.pass_time(minutes=1)
    assert len(joining.records()) == 1
    assert sorted(parts(joining).values()) == ["joined", "opened"]


# --- taken out again


def test_what_is_taken_out_has_an_incident_of_its_own_and_both_say_so(joining: World) -> None:
    for rule in ("r1", "r2", "r3"):
        joining.fire(rule, host="web-1")
        joining.idle()
    split(joining, "r2")
    joining.idle()
    first, second = joining.records()
    assert (first["correlation_id"], second["correlation_id"]) == ("r1", "r2")
    assert told(joining)[-1].startswith("r2 was taken out of this incident")
    assert told(joining, 1) == [f"Taken out of {first['number']}: a problem of its own."]
    assert parts(joining) == {"r1": "opened", "r2": "opened", "r3": "joined"}
    assert [(entry["actor"], entry["correlation_id"]) for entry in joining.log("split")] == [("cli:robin", "r2")]


def test_what_is_taken_out_does_not_join_that_one_again(joining: World) -> None:
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    split(joining, "r2")
    joining.idle()
    joining.resolve("r2", host="web-1")
    joining.idle()
    joining.clock.advance(hours=1)
    joining.fire("r3", host="web-1")
    joining.fire("r2", host="web-1")
    joining.idle()
    assert parts(joining) == {"r1": "opened", "r2": "opened", "r3": "joined"}
    assert [record["state"] for record in joining.records()] == ["1", "1"]


def test_what_is_taken_out_takes_in_others_where_what_it_left_has_ended(joining: World) -> None:
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    split(joining, "r2")
    joining.fail(FaultKind.ACL, "POST", times=1)
    joining.resolve("r1", host="web-1")
    joining.idle()
    joining.ask_sync("r2")
    joining.idle()
    joining.fire("r3", host="web-1")
    joining.idle()
    assert parts(joining) == {"r1": "opened", "r2": "opened", "r3": "joined"}
    assert [record["state"] for record in joining.records()] == ["6", "1"]


def test_what_stays_behind_closes_without_it(joining: World) -> None:
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    joining.resolve("r1", host="web-1")
    joining.idle()
    split(joining, "r2")
    joining.idle()
    assert [record["state"] for record in joining.records()] == ["6", "1"]
    assert "r2 was taken out" in told(joining)[-1]


def test_what_stays_behind_counts_without_it(joining: World) -> None:
    for rule in ("r1", "r2", "r2", "r2"):
        joining.fire(rule, host="web-1")
    joining.pass_time(minutes=1)
    split(joining, "r2")
    joining.idle()
    assert told(joining)[-1].endswith("Alerts so far: 1.")
    joining.fire("r1", host="web-1")
    joining.pass_time(minutes=16)
    assert told(joining)[-1] == "Alerts so far: 2."


@pytest.mark.parametrize(
    ("rule", "code"), [("r1", "opened_for"), ("r3", "no_open_incident")], ids=["what it was opened for", "no incident"]
)
def test_what_cannot_be_taken_out_is_refused(joining: World, rule: str, code: str) -> None:
    for name in ("r1", "r2"):
        joining.fire(name, host="web-1")
        joining.idle()
    joining.resolve("r3")
    joining.idle()
    with pytest.raises(Permanent) as refused:
        split(joining, rule)
    assert refused.value.code == code
    assert joining.log("split") == []


def test_nothing_is_taken_out_of_what_is_being_written(joining: World) -> None:
    for rule in ("r1", "r2"):
        joining.fire(rule, host="web-1")
        joining.idle()
    joining.fire("r2", host="web-1")
    held_by(joining, "r2")
    with pytest.raises(Transient, match="try again"):
        split(joining, "r2")
    assert parts(joining)["r2"] == "joined"


def test_what_is_taken_out_beside_a_round_that_stood_still_has_an_incident_of_its_own(anywhere: World) -> None:
    join(anywhere)
    anywhere.fire("r1", host="web-1", level="low")
    anywhere.idle()
    anywhere.fire("r2", host="web-1", level="low")
    anywhere.idle()
    anywhere.fire("r2", host="web-1", level="critical")

    def its_lease_runs_out() -> None:
        with anywhere.store.transaction() as tx:
            tx.execute(update(incidents).values(lease_until=anywhere.store.now(tx)))
        split(anywhere, "r2")

    with at("read:answered", its_lease_runs_out):
        anywhere.idle()
    anywhere.idle()
    assert len(anywhere.records()) == 2
