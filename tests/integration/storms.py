"""Storms, of any size: many alerts of few problems, taken in while rounds are worked."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from intake_world import alert, delivery
from sync_world import World

from bridge.store import intake

PER_DELIVERY = 1_000  # alerts; what one delivery may carry


def take_in(world: World, alerts: list[dict[str, Any]], *, source: str = "probe") -> None:
    world._sent += 1
    one = replace(delivery(world.library, *alerts, sender_id=f"{source} {world._sent}"), source=source)
    with world.store.transaction() as tx:
        intake.commit(tx, [one], world.store.now(tx))


def rage(world: World, *, alerts: int, problems: int, between: Callable[[], object]) -> None:
    """So many alerts, by chance of this problem or that, all firing; `between` after every delivery."""
    chance = random.Random(1)
    # Each problem comes at least once.
    rules = [*range(problems), *(chance.randrange(problems) for _ in range(alerts - problems))]
    chance.shuffle(rules)
    for begin in range(0, alerts, PER_DELIVERY):
        take_in(world, [alert(f"storm {rule}") for rule in rules[begin : begin + PER_DELIVERY]])
        between()


def calls_of(world: World) -> Counter[str]:
    """By record how often ServiceNow was asked for it or told of it."""
    found = Counter(record["sys_id"] for record in world.records())  # its create
    for method, path, _status in world.simulator.calls:
        sys_id = path.partition("?")[0].rpartition("/")[2]
        if method != "POST" and sys_id in found:
            found[sys_id] += 1
    return found


def rounds(world: World) -> Iterator[None]:
    """Until nothing is due."""
    while world.worker.work():
        yield


def peak_of(step: Callable[[], object]) -> int:
    """Bytes of Python's own that it took at a time."""
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
