"""What is in the way of one record holds up neither the others nor ServiceNow; a late close ends no incident."""

from __future__ import annotations

import pytest
from intake_world import rows
from reconciler_world import states, twin
from sync_world import World

from bridge.simulator.faults import FaultKind
from bridge.simulator.seed import fixed_id
from bridge.store.reconciler_tables import strays

FRED = fixed_id("sys_user", "fred")


@pytest.fixture
def opened(world: World) -> World:
    world.fire()
    world.idle()
    world.watch(minutes=1)
    return world


def test_a_refused_write_is_tried_once_more_when_somebody_writes_a_note_and_not_at_every_poll(opened: World) -> None:
    opened.fail(FaultKind.BUSINESS_RULE, "PATCH", times=None)
    opened.fire(level="critical")
    opened.idle()
    assert opened.row().waits_for_person
    opened.person(work_notes="I am looking into this.")
    opened.watch(hours=1)
    assert (opened.writes(), opened.log("edited")) == (["POST", "PATCH", "PATCH"], [])


def test_a_twin_that_cannot_be_asked_about_is_told_and_the_strays_after_it_are_worked(opened: World) -> None:
    opened.fail(FaultKind.ACL, "GET", path="parent_incident", times=None)
    twin(opened)
    opened.clock.advance(seconds=1)
    twin(opened, "unknown")
    opened.watch(minutes=2)
    first, second = rows(opened.store, strays)
    assert (first.outcome, second.outcome, states(opened)) == ("two", "orphan", ["1", "1", "1"])
    assert "ServiceNow answered 403" in first.outcome_text
