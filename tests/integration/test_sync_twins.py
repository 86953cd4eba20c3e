"""What is in the way of one record holds up neither the others nor ServiceNow; a late close ends no incident."""

from __future__ import annotations

import pytest
from sync_world import World

from bridge.simulator.faults import FaultKind
from bridge.simulator.seed import fixed_id

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
