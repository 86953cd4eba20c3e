"""What a look at the record cannot tell for certain is not taken for a person's doing, nor for ours."""

from __future__ import annotations

from sync_world import World, check_invariants

from bridge.simulator.faults import FaultKind


def test_a_record_that_is_said_to_be_gone_and_is_listed_is_not_followed_by_a_twin(world: World) -> None:
    world.fire()
    world.idle()
    world.fail(FaultKind.ACL, "GET")
    world.fire(level="critical")
    world.idle()
    for _ in range(5):
        world.pass_time(minutes=1)
        world.idle()
    assert len(world.records()) == 1
    assert world.writes() == ["POST", "PATCH"]
    check_invariants(world)


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
