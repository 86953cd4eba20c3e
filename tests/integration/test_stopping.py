"""A stop is told to all parts of a process first, and none of them begins anything after it."""

from __future__ import annotations

from typing import Any

import pytest
from reconciler_world import twin
from sync_world import World
from test_wiring import place, started

from bridge.reloader import Reloader
from bridge.store.writer import Writer
from bridge.sync.loop import SyncLoop
from bridge.sync.watch import Watch
from bridge.wiring import Role

__all__ = ["place"]


def test_a_turn_of_the_reconciler_ends_after_the_call_under_way(world: World) -> None:
    world.fire("r1")
    world.idle()
    world.turn()
    twin(world)
    world.clock.advance(hours=2)
    before = len(world.simulator.calls)
    world.another_reconciler(world.target, stopping=lambda: len(world.simulator.calls) > before).sweep()
    assert len(world.simulator.calls) == before + 1
    world.turn()
    assert sorted(record["state"] for record in world.records()) == ["1", "6"]


def test_all_are_told_to_stop_before_one_is_waited_for(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    for kind in (Reloader, Writer, Watch, SyncLoop):
        for name in ("wind_down", "stop"):
            real = getattr(kind, name)

            def noted(self: Any, real: Any = real, name: str = name) -> None:
                told.append(name)
                real(self)

            monkeypatch.setattr(kind, name, noted)
    running, lock = started(place, Role.ALL)
    running.stop()
    lock.close()
    assert set(told[: told.index("stop")]) == {"wind_down"}
    assert told.index("stop") == 5
