"""A stop is told to all parts of a process first, and none of them begins anything after it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from publishing_world import Place
from reconciler_world import twin
from sqlalchemy import select
from sync_world import World
from test_wiring import place, started

from bridge.reloader import Reloader
from bridge.store.callers import Callers
from bridge.store.reconciler_tables import callers
from bridge.store.writer import Writer
from bridge.sync.loop import SyncLoop
from bridge.watch import Watch
from bridge.wiring import Role

__all__ = ["place"]


def came_at(place: Place, source: str) -> datetime | None:
    with place.store.reading() as tx:
        return tx.execute(select(callers.c.came_at).where(callers.c.source == source)).scalar()


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


def test_all_are_told_to_stop_before_one_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert told.index("stop") == told.count("stop")


def test_what_came_in_the_last_minute_is_known_after_a_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Callers] = []
    real = Callers.__init__

    def noted(self: Callers, *given: Any) -> None:
        made.append(self)
        real(self, *given)

    monkeypatch.setattr(Callers, "__init__", noted)
    running, lock = started(place)
    (source,) = place.settings.sources
    now = place.store.moment()
    made[0].came(source, now)
    running.stop()
    lock.close()
    assert came_at(place, source) == now
