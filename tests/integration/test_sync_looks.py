"""What a look at the record cannot tell for certain is not taken for a person's doing, nor for ours."""

from __future__ import annotations

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
