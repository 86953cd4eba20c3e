"""What was there already and is taken as the incident: what it does not show is told, and what people wrote stays."""

from __future__ import annotations

from typing import Any

import pytest
from crashing import Crash, at, die
from reconciler_world import CLOSES, states, twin
from sync_world import DISPLAY, World, itsm
from test_orphans import ours
from test_reconciler import FRED
from ways_world import KEY, aim, staged

import bridge.sync.worker
from bridge.simulator.faults import FaultKind


@pytest.mark.parametrize("point", ["applied:commit", "intent:committed"])
def test_a_record_made_just_before_our_create_is_told_what_it_does_not_show_though_we_died(
    world: World, point: str
) -> None:
    ours(world, impact="3")
    world.clock.advance(minutes=2)
    world.fire(level="critical")
    with at(point, die), pytest.raises(Crash):
        world.idle()
    world.pass_time(minutes=10, step=10)
    assert world.record()["impact"] == "1"


def test_a_record_that_is_found_after_a_create_was_dropped_is_told_what_it_does_not_show(world: World) -> None:
    about = {"correlation_id": "r1", "correlation_display": DISPLAY, "short_description": "r1"}
    world.simulator.person_creates("incident", world.servicenow.username, impact="3", **about)
    world.clock.advance(minutes=1)
    world.fail(FaultKind.DROPPED, "POST")
    world.fire(level="critical")
    world.pass_time(minutes=10, step=10)
    assert world.record()["impact"] == "1"


def test_what_an_import_wrote_into_a_record_that_came_meanwhile_is_ours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    aim(world, staged(key_field=KEY))
    real, looks = bridge.sync.worker.there_already, []

    def then_it_comes(*given: Any, **more: Any) -> Any:
        found = real(*given, **more)
        looks.append(found)
        if len(looks) == 2:  # before the second try
            about = {"correlation_id": "r1", "correlation_display": DISPLAY, "short_description": "r1", KEY: "r1#1"}
            world.simulator.person_creates("incident", world.servicenow.username, impact="3", **about)
        return found

    monkeypatch.setattr(bridge.sync.worker, "there_already", then_it_comes)
    world.fail(FaultKind.DROPPED, "POST", path="/import/")
    world.fire(level="low")
    world.pass_time(minutes=10, step=10)
    world.fire(level="critical")
    world.pass_time(minutes=1, step=10)
    assert (looks, world.record()["impact"]) == ([None, None], "1")


def test_what_the_first_look_found_is_known_though_the_answer_of_its_update_was_lost(world: World) -> None:
    ours(world, impact="3", description="Last level: critical")
    world.clock.advance(hours=1)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "PATCH")
    world.fire(level="critical")
    world.pass_time(minutes=10, step=10)
    world.clock.advance(hours=2)
    world.fire(level="low")
    world.pass_time(minutes=10, step=10)
    assert world.record()["description"] == "Last level: low"


@pytest.fixture
def with_another_key(world: World) -> World:
    """Taken, and not written to: its key is of another incident."""
    aim(world, staged(key_field=KEY))
    ours(world, impact="3", **{KEY: "r1#3"})
    world.clock.advance(hours=1)
    world.fire(level="critical")
    world.pass_time(minutes=5, step=10)
    assert (len(world.records()), world.row().failure) == (1, "another_key")
    return world


def test_nothing_is_sent_through_a_map_that_would_not_find_the_record(with_another_key: World) -> None:
    world = with_another_key
    world.person(**{KEY: "r1#1"})
    world.ask_sync()
    world.idle()
    assert any("severity rose" in note for note in world.notes())


def test_what_another_wrote_into_the_record_that_is_adopted_stays(world: World) -> None:
    world.aim(itsm(adopt_any=True))
    theirs = {"impact": "3", "short_description": "mine", "description": "What I found out myself"}
    world.simulator.person_creates("incident", "analyst", correlation_id="r1", **theirs)
    world.clock.advance(hours=1)
    world.fire(level="critical")
    world.pass_time(minutes=5, step=10)
    assert {name: world.record()[name] for name in theirs} == theirs
    assert any("severity rose" in note for note in world.notes())
    world.resolve()  # what is open must be ours, says the judge
    world.idle()


def test_a_twin_that_becomes_the_incident_after_a_refused_close_is_told_that_it_is_resolved(world: World) -> None:
    world.fire(level="critical")
    world.idle()
    world.fail(FaultKind.BUSINESS_RULE, "PATCH")
    world.resolve()
    world.idle()
    twin(world, "r1", impact="1", state="2", assigned_to=FRED)
    world.watch(minutes=5)
    assert states(world)[0] == "6"
    assert any("resolved" in note for note in world.notes(1))


def test_a_twin_that_becomes_the_incident_is_given_what_later_updates_said(world: World) -> None:
    for _ in range(2):
        world.fire(level="low")
        world.idle()
        world.clock.advance(hours=1)
    assert world.records()[0]["description"] == "Last level: low"
    twin(world, "r1", impact="3", state="2", assigned_to=FRED)
    world.watch(minutes=5)
    assert states(world)[0] == "6"
    world.clock.advance(hours=5)
    world.fire(level="high")
    world.watch(minutes=5)
    assert world.records()[1]["description"] == "Last level: high"


def test_another_tools_open_record_is_told_what_our_lost_create_would_have_said(world: World) -> None:
    world.aim(itsm(adopt_any=True))
    row = world.simulator.person_creates("incident", "analyst", correlation_id="r1", impact="3", short_description="x")
    world.simulator.edit_as_person("incident", row["sys_id"], {"description": "mine"}, user="analyst")
    world.clock.advance(minutes=2)
    world.fire(level="critical")
    with at("intent:committed", die), pytest.raises(Crash):
        world.idle()
    world.pass_time(minutes=10, step=10)
    assert any("severity rose" in note for note in world.notes())
    world.resolve()  # what is open must be ours, says the judge
    world.idle()


def test_another_tools_record_that_a_person_has_ended_is_not_the_one_that_our_lost_create_made(world: World) -> None:
    world.aim(itsm(adopt_any=True))
    row = world.simulator.person_creates("incident", "analyst", correlation_id="r1", impact="3", short_description="x")
    world.simulator.edit_as_person("incident", row["sys_id"], CLOSES, user="analyst")
    world.clock.advance(minutes=1)
    world.fail(FaultKind.DROPPED, "POST")
    world.fire(level="critical")
    world.pass_time(minutes=20, step=10)
    assert states(world) == ["7", "1"]


def test_that_a_person_ends_a_record_with_another_key_is_noticed(with_another_key: World) -> None:
    world = with_another_key
    world.person(**CLOSES)
    world.turn()
    world.resolve()
    world.idle()
    world.watch(hours=1)
    world.clock.advance(hours=30)
    world.fire(level="critical")
    world.watch(minutes=30)
    assert states(world) == ["7", "1"]


def test_a_record_with_another_key_is_not_read_over_and_over(with_another_key: World) -> None:
    with_another_key.person(short_description="being looked at")
    with_another_key.watch(hours=3)
    assert len(with_another_key.log("failed")) <= 3
