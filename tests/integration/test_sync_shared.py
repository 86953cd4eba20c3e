"""What befalls one of several problems that share values, or shared an incident, does not stop the others."""

from __future__ import annotations

from typing import Any

import pytest
from reconciler_world import CLOSES
from sync_world import World
from test_sync_join import join, parts, split, told

from bridge.errors import Permanent
from bridge.simulator.faults import FaultKind
from bridge.store import joins, settle


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


def test_the_last_problem_of_an_open_incident_is_not_taken_out(world: World) -> None:
    join(world)
    for rule in ("r1", "r2"):
        world.fire(rule, host="web-1")
        world.idle()
    world.person(**CLOSES)
    world.turn()
    world.fire("r1", host="web-2", level="critical")  # it moves on
    world.idle()
    world.person(state="2")
    world.turn()
    assert (len(world.records()), world.row("r2").open) == (2, True)
    with pytest.raises(Permanent) as refused:
        split(world, "r2")
    assert refused.value.code == "nobody_remains"
    world.person(**CLOSES)
    world.turn()


def test_what_is_taken_out_is_told_where_whoever_it_was_opened_for_has_moved_on(world: World) -> None:
    join(world)
    for rule in ("r1", "r2", "r3"):
        world.fire(rule, host="web-1")
        world.idle()
    world.person(**CLOSES)
    world.turn()
    world.fire("r1", host="web-2", level="critical")  # it moves on
    world.idle()
    world.person(state="2")
    world.turn()
    world.resolve("r2", host="web-1")
    world.idle()
    split(world, "r3")
    world.idle()
    assert told(world)[-1].startswith("r3 was taken out of this incident")
    world.resolve("r3", host="web-1")
    world.idle()


def test_a_create_locks_its_correlation_before_its_keys(anywhere: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a split does: in opposite orders two would deadlock."""
    locked: list[str] = []
    for module, name in ((settle, "fence"), (joins, "hold_keys")):
        real = getattr(module, name)

        def noted(*given: Any, real: Any = real, name: str = name, **more: Any) -> None:
            locked.append(name)
            real(*given, **more)

        monkeypatch.setattr(module, name, noted)
    join(anywhere)
    anywhere.fire("r1", host="web-1")
    anywhere.idle()
    assert locked[:2] == ["fence", "hold_keys"]
