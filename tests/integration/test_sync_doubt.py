"""What is taken for the record of a create that failed, or whose answer was lost: never one that ended before it."""

from __future__ import annotations

import pytest
from intake_world import library_of
from reconciler_world import CLOSES, states, twin
from sync_world import PROBE, World, itsm

from bridge.simulator.faults import FaultKind
from bridge.simulator.seed import fixed_id


@pytest.fixture
def merged(world: World) -> World:
    """Long ago the problem had an incident and a twin: we closed the twin, and a person the incident."""
    world.fire()
    world.idle()
    world.watch(minutes=1)
    twin(world)
    world.watch(minutes=1)
    world.person(**CLOSES)
    world.watch(minutes=1)
    assert states(world) == ["7", "6"]
    world.clock.advance(hours=30)
    return world


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMIT, FaultKind.RESET_BEFORE_COMMIT, FaultKind.RESET_AFTER_COMMIT])
def test_a_create_that_went_wrong_is_not_taken_to_have_made_a_twin_that_was_closed_long_ago(
    merged: World, kind: FaultKind
) -> None:
    merged.fail(kind, "POST")
    merged.fire()
    merged.idle()
    merged.watch(minutes=10, step=5)
    assert (states(merged), merged.row().open) == (["7", "6", "1"], True)


def test_a_create_that_was_turned_away_adopts_no_ticket_that_ended_before_it(world: World) -> None:
    world.aim(itsm(adopt_any=True))
    world.simulator.person_creates("incident", correlation_id="r1", correlation_display="another tool")
    world.person(**CLOSES)
    world.clock.advance(hours=24 * 300)
    world.fail(FaultKind.RATE_LIMIT, "POST")
    world.fire()
    world.idle()
    world.pass_time(minutes=5)
    assert (states(world), world.row().open) == (["7", "1"], True)


def test_what_a_lost_create_made_is_taken_though_a_person_has_closed_it_since(world: World) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.idle()
    world.person(**CLOSES)
    world.watch(minutes=10, step=5)
    assert (states(world), world.row().last_decision) == (["7"], "nothing: closed_by_person")


def only_its_note_is_read(world: World) -> None:
    """Of the write that comes next the answer is lost; then its note is there, and its record may not be read."""
    world.clock.advance(minutes=1)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "PATCH")
    world.idle()
    world.fail(FaultKind.ACL, "GET", after=1)
    world.pass_time(minutes=5, step=5)


def test_the_state_of_a_reopen_that_only_its_note_tells_of_is_no_persons(world: World) -> None:
    for told in (world.fire, world.resolve):
        told()
        world.idle()
    world.fire()
    only_its_note_is_read(world)
    world.resolve()
    world.pass_time(minutes=5, step=5)
    assert (states(world), world.row().last_decision) == (["6"], "close: resolved")


def test_the_state_of_a_close_that_only_its_note_tells_of_is_no_persons(world: World) -> None:
    world.fire()
    world.idle()
    world.resolve()
    only_its_note_is_read(world)
    assert world.row().last_decision == "close: resolved"
    world.person(comments="Thanks.")
    world.fire()
    world.pass_time(minutes=5, step=5)
    assert (states(world), world.row().last_decision) == (["1"], "reopen: came_back")


def fires_worse(world: World) -> None:
    world.fire(level="critical")


WRITES = {"update": (fires_worse,), "close": (World.resolve,), "reopen": (World.resolve, fires_worse)}


@pytest.fixture(params=WRITES)
def looked_up(world: World, request: pytest.FixtureRequest) -> World:
    """The answer of a write was lost, and the write was looked up."""
    *before, last = (World.fire, *WRITES[request.param])
    for told in before:
        told(world)
        world.watch(minutes=2)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "PATCH")
    last(world)
    world.idle()
    world.pass_time(minutes=5, step=5)
    assert world.row().last_decision.startswith(f"{request.param}: ")
    return world


def test_our_write_whose_answer_was_lost_is_no_edit_of_somebody_elses(looked_up: World) -> None:
    looked_up.watch(minutes=5)
    looked_up.ask_sync()
    looked_up.watch(minutes=5)
    assert looked_up.log("edited") == []


def test_what_somebody_changes_before_a_lost_note_is_looked_up_is_told_with_the_priority_that_follows(
    world: World,
) -> None:
    world.fire()
    world.watch(minutes=2)
    world.clock.advance(minutes=20)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "PATCH")
    world.fire()
    world.idle()
    world.person(impact="1")
    world.pass_time(minutes=5, step=5)
    assert world.row().last_decision == "update: repeats"
    world.ask_sync()
    world.watch(minutes=5)
    assert [entry["detail"]["fields"] for entry in world.log("edited")] == [["impact", "priority"]]


@pytest.mark.parametrize("looked_up", ["update", "reopen"], indirect=True)
def test_what_somebody_else_has_changed_since_is_told_all_the_same(looked_up: World) -> None:
    looked_up.person(assignment_group=fixed_id("sys_user_group", "SOC L2"))
    looked_up.ask_sync()
    looked_up.watch(minutes=5)
    assert [entry["detail"]["fields"] for entry in looked_up.log("edited")] == [["assignment_group"]]


@pytest.mark.parametrize(
    ("first", "second", "level", "impact"),
    [
        (FaultKind.LATE_COMMIT, FaultKind.DROPPED, "critical", "1"),
        (FaultKind.DROPPED, FaultKind.RESET_AFTER_COMMIT, "high", "2"),
    ],
    ids=["the first, and what came later is told", "the last"],
)
def test_of_several_creates_the_record_says_what_the_one_that_made_it_said(
    world: World, first: FaultKind, second: FaultKind, level: str, impact: str
) -> None:
    world.fail(first, "POST", seconds=400)  # later than it is waited for
    world.fire(level="low")
    world.idle()
    world.fire(level=level)
    world.fail(second, "POST")
    world.pass_time(minutes=10, step=10)
    assert (states(world), world.record()["impact"]) == (["1"], impact)
    world.fire(level="critical")
    world.pass_time(minutes=1, step=10)
    assert world.record()["impact"] == "1"


def test_a_create_that_went_wrong_is_not_taken_to_have_made_what_another_target_opened_just_before(
    world: World,
) -> None:
    """Both write the same table. The times tell nothing here, for clocks may be so far apart."""
    world.fire(level="low")
    world.idle()
    world.person(**CLOSES)
    world.clock.advance(minutes=1)
    world.library = library_of(world.store, PROBE.replace("{to: itsm,", "{to: major,"))
    world.aim_at(itsm(), itsm(name="major"))
    world.fail(FaultKind.RATE_LIMIT, "POST", seconds=1, times=2)
    world.fire(level="critical")
    world.pass_time(minutes=10, step=10)
    assert (states(world), world.row().open) == (["7", "1"], True)
