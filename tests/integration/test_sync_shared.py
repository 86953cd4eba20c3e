"""What befalls one of several problems that share values, or shared an incident, does not stop the others."""

from __future__ import annotations

from sync_world import World
from test_sync_join import join, parts

from bridge.simulator.faults import FaultKind


def test_after_the_end_of_an_incident_a_permanent_failure_of_one_stops_no_other(world: World) -> None:
    join(world)
    world.fire("r1", host="web-1")
    world.idle()
    world.fire("r2", host="web-1")
    world.idle()
    world.resolve("r1", host="web-1")
    world.resolve("r2", host="web-1")
    world.idle()
    assert world.record()["state"] == "6"
    world.fail(FaultKind.REFUSED, "PATCH", status=413, message="Too large")
    world.fire("r1", host="web-1")
    world.idle()
    assert world.row("r1").waits_for_person
    assert not world.row("r2").waits_for_person
    world.fire("r2", host="web-1")
    world.idle()
    assert world.record()["state"] != "6"


def test_two_plans_whose_creates_failed_do_not_wait_for_each_other(world: World) -> None:
    join(world)
    for rule, values in (("r1", {"host": "a"}), ("r2", {"user": "u", "site": "s"})):
        world.fail(FaultKind.RATE_LIMIT, "POST", seconds=60)
        world.fire(rule, **values)
        world.idle()
    world.simulator.faults.clear()
    world.fire("r1", host="a", user="u", site="s")
    world.fire("r2", host="a", user="u", site="s")
    world.pass_time(minutes=10)
    assert sorted(parts(world).values()) == ["joined", "opened"]
