"""What a look at the record cannot tell for certain is not taken for a person's doing, nor for ours."""

from __future__ import annotations

import pytest
from sync_world import World

from bridge.simulator.faults import FaultKind


def test_what_a_person_took_up_before_a_lost_create_was_found_is_theirs(world: World) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.idle()
    world.person(state="2")
    world.pass_time(seconds=5)
    world.idle()
    world.resolve()
    world.idle()
    world.pass_time(minutes=1)
    world.idle()
    assert [record["state"] for record in world.records()] == ["2"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (FaultKind.RESET_BEFORE_COMMIT, "The connection broke before the whole answer was read."),
        (FaultKind.DROPPED, "ServiceNow answered 202: taken, but not yet done."),
        (FaultKind.HIBERNATING, "The instance hibernates: wake it at developer.servicenow.com."),
    ],
    ids=str,
)
def test_while_a_write_is_in_doubt_it_is_told_why(world: World, kind: FaultKind, why: str) -> None:
    world.fail(kind, "POST")
    world.fire()
    world.idle()
    world.pass_time(seconds=10, step=5)
    assert (world.row().failure, world.row().failure_text.partition(" Whether")[0]) == ("outcome_unknown", why)
