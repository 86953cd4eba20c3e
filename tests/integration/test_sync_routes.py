"""A route that has changed: what is open stays where it is, the next incident is where the route sends it by now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from crashing import Crash, at, die
from intake_world import library_of, rows
from sqlalchemy import update
from sync_world import OBSERVE, PROBE, World, itsm
from test_sync_join import JOIN, held_by, parts
from ways_world import KEY, SIR_CLOSE, aim, staged, unique

from bridge.servicenow.table import TableApi
from bridge.settings import Target
from bridge.simulator.faults import FaultKind
from bridge.store import brake, orders, queries
from bridge.store.rows import CorrelationRow
from bridge.store.start import wake_observed
from bridge.store.tables import incidents, intents

ROUTED = PROBE.replace(
    '  - {to: itsm, assignment_group: "{{ team }}"}',
    '  - {when: {.level: critical}, to: major}\n  - {to: itsm, assignment_group: "{{ team }}"}',
)
ENDS = {"state": "7", "close_code": "Solution provided", "close_notes": "Done."}


def routed(world: World, *targets: Target, mapping: str = ROUTED) -> World:
    """What is critical goes to `major`, all else to `itsm`."""
    world.library = library_of(world.store, mapping)
    world.aim_at(*(targets or (itsm(), major())))
    return world


def major(**changes: Any) -> Target:
    return itsm(name="major", **changes)


def ended_by_a_person(world: World, rule: str = "r1") -> World:
    """It had an incident at `itsm`, and comes back to be `major`."""
    world.fire(rule, level="low")
    world.idle()
    world.clock.advance(minutes=1)
    world.person(**ENDS)
    world.clock.advance(minutes=1)
    world.fire(rule, level="critical")
    return world


def found(world: World, rule: str = "r1") -> CorrelationRow:
    """As `bridge incidents show` finds it."""
    with world.store.reading() as tx:
        (row,) = queries.find_correlations(tx, rule)
    return row


def incidents_of(world: World) -> list[tuple[str, str]]:
    return [(row.target, row.state) for row in rows(world.store, incidents)]


def pause(world: World, target: str) -> None:
    with world.store.transaction() as tx:
        orders.pause(tx, target, actor="test", now=world.store.now(tx))


def resume(world: World, target: str) -> None:
    with world.store.transaction() as tx:
        orders.resume(tx, target, actor="test", now=world.store.now(tx))


def braked(world: World) -> list[brake.Waiting]:
    with world.store.reading() as tx:
        return brake.waiting(tx)


def release(world: World, target: str) -> int:
    with world.store.transaction() as tx:
        now = world.store.now(tx)
        return brake.release(tx, target, instance="test", table="incident", actor="test", now=now)[0]


def test_the_incident_after_one_that_a_person_ended_is_where_the_route_sends_it_by_now(anywhere: World) -> None:
    ended_by_a_person(routed(anywhere)).idle()
    assert incidents_of(anywhere) == [("itsm", "ended"), ("major", "open")]
    created = [entry for entry in anywhere.log("decided") if entry["outcome"] == "create"]
    assert [entry["target"] for entry in created] == ["itsm", "major"]


def test_what_is_opened_at_another_target_is_as_that_one_says(world: World) -> None:
    aim(world, unique())
    ended_by_a_person(routed(world, itsm(), replace(unique(), name="major", defaults=(("category", "major"),)))).idle()
    assert [(record[KEY], record["category"]) for record in world.records()] == [("", "inquiry"), ("r1#2", "major")]


def test_what_comes_back_soon_after_we_closed_it_is_reopened_where_it_was(world: World) -> None:
    routed(world)
    world.fire(level="low")
    world.idle()
    world.resolve()
    world.idle()
    world.fire(level="critical")
    world.idle()
    assert incidents_of(world) == [("itsm", "open")]
    assert (world.record()["state"], world.record()["impact"]) == ("1", "1")


def test_what_comes_back_late_is_opened_anew_where_the_route_sends_it_though_a_return_could_only_reopen_before(
    world: World,
) -> None:
    aim(world, unique("correlation_id"))
    routed(world, unique("correlation_id"), major())
    world.simulator.rows.unique.clear()  # it is of one table: `major` is another in all but its name
    world.fire(level="low")
    world.idle()
    world.resolve()
    world.idle()
    world.clock.advance(days=8)
    world.fire(level="critical")
    world.idle()
    assert incidents_of(world) == [("itsm", "ended"), ("major", "open")]


def test_an_incident_that_a_person_opened_again_goes_on_wherever_the_route_leads(world: World) -> None:
    routed(world)
    world.fire(level="low")
    world.idle()
    world.person(**ENDS)
    world.turn()
    world.person(state="2")
    world.clock.advance(hours=25)
    world.fire(level="critical")
    world.idle()
    assert incidents_of(world) == [("itsm", "open")]


def test_a_reopen_that_is_refused_is_a_create_where_the_route_leads(world: World) -> None:
    routed(world)
    world.fire(level="low")
    world.idle()
    world.resolve()
    world.idle()
    world.fail(FaultKind.BUSINESS_RULE, "PATCH")
    world.fire(level="critical")
    world.pass_time(minutes=10, step=10)
    assert incidents_of(world) == [("itsm", "ended"), ("major", "open")]


def test_nothing_is_opened_at_a_paused_target_to_which_the_route_leads(world: World) -> None:
    routed(world)
    pause(world, "major")
    ended_by_a_person(world)
    world.pass_time(minutes=5)
    assert len(world.records()) == 1
    resume(world, "major")
    world.idle()
    assert incidents_of(world) == [("itsm", "ended"), ("major", "open")]


def test_what_has_ended_at_a_paused_target_waits_since_it_may_be_open_there_again(world: World) -> None:
    routed(world)
    ended_by_a_person(world)
    pause(world, "itsm")
    world.pass_time(minutes=5)
    assert len(world.records()) == 1
    resume(world, "itsm")
    world.idle()
    assert incidents_of(world) == [("itsm", "ended"), ("major", "open")]


def test_what_was_planned_at_a_target_that_is_paused_by_now_is_opened_where_the_route_leads(anywhere: World) -> None:
    routed(anywhere)
    anywhere.fail(FaultKind.RATE_LIMIT, "POST", seconds=1)
    anywhere.fire(level="low")
    anywhere.idle()
    pause(anywhere, "itsm")
    anywhere.fire(level="critical")
    assert (found(anywhere).target, found(anywhere).paused_at) == ("major", None)
    anywhere.clock.advance(minutes=1)  # the instance is asked again
    anywhere.wake()
    anywhere.idle()
    assert incidents_of(anywhere) == [("major", "open")]


def test_what_may_have_been_made_at_a_paused_target_is_looked_up_there_and_not_made_elsewhere(world: World) -> None:
    routed(world)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire(level="low")
    world.idle()
    pause(world, "itsm")
    world.fire(level="critical")
    world.pass_time(minutes=10, step=30)
    assert (incidents_of(world), world.writes()) == ([("itsm", "open")], ["POST"])


@pytest.mark.parametrize(("at_itsm", "at_major", "records"), [(1, 200, 3), (200, 1, 2)], ids=["not", "held"])
def test_it_is_held_by_the_brake_of_the_target_where_it_is_to_be_opened(
    world: World, at_itsm: int, at_major: int, records: int
) -> None:
    routed(world, itsm(max_creates_per_hour=at_itsm), major(max_creates_per_hour=at_major))
    ended_by_a_person(world)
    world.fire("r2", level="critical")
    world.idle()
    assert len(world.records()) == records


def test_what_the_brake_of_the_new_target_holds_is_released_there(anywhere: World) -> None:
    routed(anywhere, itsm(), major(max_creates_per_hour=0))
    ended_by_a_person(anywhere).idle()
    assert [(one.target, one.problems) for one in braked(anywhere)] == [("major", 1)]
    assert (release(anywhere, "itsm"), release(anywhere, "major")) == (0, 1)
    anywhere.idle()
    assert incidents_of(anywhere) == [("itsm", "ended"), ("major", "open")]


def test_what_a_changed_mapping_sends_elsewhere_while_the_brake_holds_it_is_released_there(world: World) -> None:
    targets = itsm(max_creates_per_hour=0), major(max_creates_per_hour=0)
    routed(world, *targets)
    world.fire(level="low")
    world.idle()
    routed(world, *targets, mapping=ROUTED.replace(".level: critical", ".level: low"))
    world.pass_time(minutes=6)  # it is asked about again by then
    assert (release(world, "itsm"), release(world, "major")) == (0, 1)
    world.idle()
    assert incidents_of(world) == [("major", "open")]


def test_where_it_is_to_be_opened_is_only_observed_it_is_told_and_not_written(world: World) -> None:
    routed(world, itsm(), major(mode=OBSERVE))
    ended_by_a_person(world).idle()
    assert (incidents_of(world), world.row().last_decision) == ([("itsm", "ended")], "would_create: new_episode")
    (told,) = [entry for entry in world.log("decided") if entry.get("detail") == {"mode": "observe"}]
    assert (told["target"], told.get("number")) == ("major", None)
    world.aim_at(itsm(), major())
    with world.store.transaction() as tx:
        wake_observed(tx, ["major"], world.store.now(tx))
    world.idle()
    assert incidents_of(world) == [("itsm", "ended"), ("major", "open")]


def test_where_it_was_is_only_observed_by_now_it_is_opened_where_the_route_leads(world: World) -> None:
    routed(world)
    world.fire(level="low")
    world.idle()
    world.clock.advance(minutes=1)
    world.person(**ENDS)
    world.turn()
    world.clock.advance(hours=25)
    world.aim_at(itsm(mode=OBSERVE), major())
    world.fire(level="critical")
    world.idle()
    assert incidents_of(world) == [("itsm", "ended"), ("major", "open")]


def test_it_joins_what_is_open_where_the_route_leads_and_nothing_where_it_was(world: World) -> None:
    routed(world, mapping=ROUTED.replace("route:", JOIN, 1))
    world.fire(level="low", host="web-1")
    world.idle()
    world.clock.advance(minutes=1)
    world.person(**ENDS)
    world.turn()
    world.fire("here", level="low", host="web-1")
    world.fire("there", level="critical", host="web-1")
    world.idle()
    world.clock.advance(hours=1)
    world.fire(level="critical", host="web-1")
    world.idle()
    assert (found(world).shared_with, found(world).target) == (("there",), "major")


def test_a_mapping_is_given_the_url_of_the_record_before_and_not_one_of_the_new_table(world: World) -> None:
    told = ROUTED.replace('short_description: "{{ rule }}"', 'short_description: "{{ rule }} {{ incident_url }}"')
    routed(world, itsm(), major(table="sn_si_incident", close=SIR_CLOSE), mapping=told)
    ended_by_a_person(world)
    with pytest.raises(Crash), at("intent:committed", die):
        world.idle()
    intended = [msgspec.json.decode(row.fields)["short_description"] for row in rows(world.store, intents)]
    url = TableApi(world._client).record_url("incident", world.record()["sys_id"])
    assert intended == ["r1", f"r1 {url}"]


def test_of_a_create_nothing_was_read_before_though_the_record_of_the_last_one_was(world: World) -> None:
    ended_by_a_person(routed(world)).idle()
    assert [row.before for row in rows(world.store, intents)] == [b"{}", b"{}"]


def test_a_target_that_is_not_there_is_missed_only_where_an_incident_is_to_be_opened(world: World) -> None:
    routed(world, itsm())
    ended_by_a_person(world)
    world.idle()
    assert world.row().failure == "unknown_target"
    world.resolve()
    world.ask_sync()
    world.idle()
    assert (world.row().failure, world.row().last_decision) == (None, "nothing: already_closed")


def test_an_alert_for_elsewhere_that_comes_while_a_round_meets_a_pause_does_not_wait_for_it(world: World) -> None:
    routed(world)

    def while_it_reads() -> None:
        pause(world, "itsm")
        world.fire(level="critical")

    world.fire(level="low")
    with at("read:send", while_it_reads):
        world.idle()
    world.pass_time(minutes=30)
    assert incidents_of(world) == [("major", "open")]


JOINED = ROUTED.replace("route:", JOIN, 1)


def test_what_was_to_be_opened_elsewhere_first_takes_nothing_in_there(world: World) -> None:
    routed(world, mapping=JOINED)
    world.fail(FaultKind.RATE_LIMIT, "POST", seconds=1)
    world.fire("r1", level="low", host="web-1")
    world.idle()
    world.fire("r1", level="critical", host="web-1")
    world.clock.advance(minutes=1)
    world.wake()
    world.idle()
    assert incidents_of(world) == [("major", "open")]
    world.fire("r2", level="low", host="web-1")
    world.idle()
    assert incidents_of(world) == [("major", "open"), ("itsm", "open")]


def test_what_waits_at_a_paused_target_keeps_nobody_waiting_where_it_was_to_be_opened_first(world: World) -> None:
    routed(world, mapping=JOINED)
    world.fail(FaultKind.RATE_LIMIT, "POST", seconds=1)
    world.fire("r1", level="low", host="web-1")
    world.idle()
    pause(world, "major")
    world.fire("r1", level="critical", host="web-1")
    world.clock.advance(minutes=1)
    world.wake()
    world.idle()
    world.fire("r2", level="low", host="web-1")
    world.pass_time(minutes=10)
    assert incidents_of(world)[-1] == ("itsm", "open")


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER_COMMIT, FaultKind.RESET_BEFORE_COMMIT], ids=str)
def test_what_may_have_been_made_is_looked_up_though_the_route_leads_to_a_paused_target_by_now(
    world: World, kind: FaultKind
) -> None:
    routed(world, mapping=JOINED)
    world.fail(kind, "POST")
    world.fire("r1", level="low", host="web-1")
    world.idle()
    pause(world, "major")
    world.fire("r1", level="critical", host="web-1")
    world.fire("r2", level="low", host="web-1")
    world.pass_time(minutes=10, step=30)
    assert [target for target, state in incidents_of(world) if state == "open"] == ["itsm"]
    assert len(world.records()) == 1
    failed = len(world.log("failed"))
    world.pass_time(hours=2)
    assert len(world.log("failed")) == failed
    resume(world, "major")
    world.idle()
    assert len(world.records()) == (1 if kind is FaultKind.RESET_AFTER_COMMIT else 2)


def test_what_may_have_been_made_where_nothing_is_asked_for_now_is_not_looked_up(world: World) -> None:
    routed(world)
    world.fail(FaultKind.RESET_BEFORE_COMMIT, "POST")
    world.fire(level="low")
    world.idle()
    pause(world, "itsm")
    pause(world, "major")
    world.fire(level="critical")
    asked = world.reads()
    world.pass_time(minutes=30)
    assert world.reads() == asked


def test_what_was_made_and_is_settled_by_nobody_yet_takes_in_wherever_its_route_leads_by_now(anywhere: World) -> None:
    routed(anywhere, mapping=JOINED)
    anywhere.fire("r1", level="low", host="web-1")

    def its_lease_runs_out() -> None:
        with anywhere.store.transaction() as tx:
            tx.execute(update(incidents).values(lease_until=anywhere.store.now(tx)))

    def another_takes_it_over() -> None:
        its_lease_runs_out()
        held_by(anywhere, "r1")

    with at("write:answered", another_takes_it_over):
        anywhere.worker.work()
    anywhere.fire("r1", level="critical", host="web-1")
    anywhere.fire("r2", level="low", host="web-1")
    anywhere.idle()
    its_lease_runs_out()  # before that one has looked it up
    anywhere.idle()
    anywhere.wake()
    anywhere.idle()
    assert incidents_of(anywhere) == [("itsm", "open")]
    assert parts(anywhere) == {"r1": "opened", "r2": "joined"}


@pytest.mark.parametrize("kind", [FaultKind.ACL, FaultKind.SERVER_ERROR], ids=["may be read", "can be read now"])
def test_what_was_refused_where_nothing_may_be_read_is_made_where_the_route_leads_by_now(
    world: World, kind: FaultKind
) -> None:
    routed(world, itsm(), major(table="sn_si_incident", close=SIR_CLOSE))
    world.fail(FaultKind.ACL, "POST")
    world.fail(kind, "GET", times=None)
    world.fire(level="low")
    world.idle()
    world.ask_sync()
    world.idle()
    assert world.row().failure  # its look-up came to nothing as well
    world.fire(level="critical")
    world.ask_sync()
    with at("intent:committed", die), pytest.raises(Crash):
        world.idle()
    assert [row.target for row in rows(world.store, intents)] == ["itsm", "major"]


@pytest.mark.parametrize("by_a_person", [True, False], ids=["paused", "left alone"])
def test_what_waits_for_its_room_and_for_a_paused_target_holds_no_lesser_problem_up(
    world: World, *, by_a_person: bool
) -> None:
    low_stays = PROBE.replace("  - {to: itsm", "  - {when: {.level: low}, to: itsm}\n  - {to: major", 1)
    routed(world, itsm(), major(max_creates_per_hour=1), mapping=low_stays)
    world.fire("r1", level="low")
    world.idle()
    world.clock.advance(minutes=1)
    world.person(**ENDS)
    world.fire("full", level="critical")
    world.idle()  # the hour's one create at major
    world.clock.advance(minutes=1)
    world.fire("r1", level="critical")
    world.idle()
    assert world.row("r1").last_decision == brake.BRAKED
    if by_a_person:  # where its last incident is: it cannot be claimed
        pause(world, "itsm")
    else:
        world.worker._held = lambda: frozenset(["itsm"])
    world.clock.advance(seconds=1)
    world.fire("r2", level="high")
    world.pass_time(hours=2)
    assert world.row("r2").open


def test_what_a_person_lets_go_while_its_round_is_told_to_wait_goes(anywhere: World) -> None:
    anywhere.aim(itsm(max_creates_per_hour=0))
    anywhere.fire()
    anywhere.idle()
    anywhere.wake()
    freed = []
    with at("intent:committed", lambda: freed.append(release(anywhere, "itsm"))):
        anywhere.idle()
    anywhere.wake()
    anywhere.idle()
    assert (freed, len(anywhere.records())) == ([1], 1)


def test_what_a_person_lets_go_and_then_waits_to_join_is_not_held_again(world: World) -> None:
    routed(world, itsm(max_creates_per_hour=0), major(), mapping=JOINED)
    world.fire("r1", level="low", host="web-1")
    world.fire("r2", level="low", host="web-1")
    world.idle()
    assert release(world, "itsm") == 2
    world.fail(FaultKind.RATE_LIMIT, "POST", seconds=5)
    world.idle()
    world.fail(FaultKind.ACL, "POST")  # what the other waits to join comes to nothing
    world.pass_time(minutes=10, step=10)
    assert len(world.records()) == 1
    told = world.decisions()
    assert ("nothing: brake" in told[2:], told.count("nothing: waits_to_join")) == (False, 1)


def test_what_an_import_made_is_never_made_elsewhere_though_it_may_not_be_read(world: World) -> None:
    aim(world, staged())
    routed(world, staged(), major(table="sn_si_incident", close=SIR_CLOSE))
    world.fail(FaultKind.ACL, "GET", path="/table/incident/", times=None)  # what it made is not shown
    world.fire(level="low")
    world.idle()
    world.fail(FaultKind.ACL, "GET", times=None)
    world.fire(level="critical")
    world.ask_sync()
    world.idle()
    assert incidents_of(world) == [("itsm", "planned")]
    assert len(world.records()) == 1


def test_what_was_refused_stays_where_it_may_not_be_looked_up_while_the_route_leads_to_the_same_table(
    world: World,
) -> None:
    routed(world)
    world.fail(FaultKind.ACL, "POST")
    world.fail(FaultKind.ACL, "GET", times=None)
    world.fire(level="low")
    world.idle()
    world.fire(level="critical")
    world.ask_sync()
    world.idle()
    assert (incidents_of(world), world.row().waits_for_person) == ([("itsm", "planned")], True)


def test_what_is_being_made_takes_in_what_comes_meanwhile_though_its_next_alert_is_for_elsewhere(world: World) -> None:
    routed(world, mapping=JOINED)
    world.fail(FaultKind.DROPPED, "POST")
    world.fire("r1", level="low", host="web-1")
    world.idle()  # it may have been made
    world.fire("r1", level="critical", host="web-1")
    world.fire("r2", level="low", host="web-1")
    world.idle()
    assert world.row("r2").last_decision == "nothing: waits_to_join"


def test_a_release_outlives_an_older_alert_that_comes_while_it_waits_to_join(world: World) -> None:
    routed(world, itsm(max_creates_per_hour=0), major(), mapping=JOINED)
    for rule in ("r1", "r2"):
        world.fire(rule, level="low", host="web-1", at="2026-03-10T11:00:00Z")
        world.idle()
    world.resolve("r2", host="web-1", at="2026-03-10T11:10:00Z")
    world.idle()
    world.fire("r2", level="low", host="web-1", at="2026-03-10T11:20:00Z")
    world.idle()
    assert release(world, "itsm") == 2
    world.fail(FaultKind.DROPPED, "POST")  # r1 may have been made: r2 waits to join it
    world.idle()
    assert world.row("r2").last_decision == brake.RELEASED_WAITS
    world.fire("r2", level="low", host="web-1", at="2026-03-10T11:05:00Z")  # before the resolve
    world.idle()
    assert world.row("r2").last_decision == brake.RELEASED_WAITS
    world.fail(FaultKind.ACL, "POST")  # what it waits to join comes to nothing
    world.pass_time(minutes=10, step=10)
    assert world.row("r2").open
