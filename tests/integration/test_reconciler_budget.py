"""Whatever there is to ask, the reconciler's calls of an hour are a tenth of the budget and one burst at most."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest
from intake_world import rows
from reconciler_world import CLOSES, Hiding, twin
from sync_world import World, itsm

from bridge.correlation.reconcile import CALLS_SHARE, HOUR
from bridge.servicenow import changes
from bridge.store.reconciler_tables import strays
from bridge.store.tables import correlations
from bridge.sync import reconciler
from bridge.sync.burst import CALLS_MAX

OPEN = 200
CALLS_PER_HOUR = 600
SHARE = CALLS_PER_HOUR // CALLS_SHARE  # a call a minute


def calls_made(world: World, hours: int) -> list[datetime]:
    """When the reconciler called, while what it finds is worked."""
    made: list[datetime] = []
    for _ in range(hours * 60):
        world.clock.advance(minutes=1)
        before = len(world.simulator.calls)
        world.reconciler.sweep()
        made += [world.clock.now] * (len(world.simulator.calls) - before)
        world.idle()
    return made


def in_the_busiest_hour(made: list[datetime]) -> int:
    return max(len([one for one in made if begin <= one < begin + HOUR]) for begin in set(made))


def test_no_hour_holds_more_than_the_share_and_one_burst_where_much_happens_to_hundreds_and_one_is_hidden(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PAGE_ROWS", 20)
    monkeypatch.setattr(reconciler, "SYS_IDS_MAX", 10)
    for number in range(OPEN):
        world.fire(f"r{number}")
    world.idle()
    hidden, *others, deleted = world.records()
    monkeypatch.setattr(Hiding, "sys_id", hidden["sys_id"])
    monkeypatch.setattr("sync_world.TableApi", Hiding)
    world.reconciler = world.another_reconciler(itsm(), calls_per_hour=CALLS_PER_HOUR)
    world.simulator.person_deletes("incident", deleted["sys_id"])
    made: list[datetime] = []
    for hour in range(3):
        for record in others[40 * hour : 40 * hour + 40]:
            world.simulator.edit_as_person("incident", record["sys_id"], CLOSES, user="analyst")
        for number in range(5):
            twin(world, f"r{150 + number}")
            twin(world, f"unknown {hour} {number}")
        made += calls_made(world, hours=1)
    assert in_the_busiest_hour(made) <= SHARE + CALLS_MAX
    assert 2 * SHARE < len(made) <= 3 * SHARE + CALLS_MAX, "the burst is one, and not one of each hour"
    assert CALLS_MAX - 4 < max(Counter(made).values()) <= CALLS_MAX, "full bursts, as far as four calls of a twin fit"
    assert sum(row.open for row in rows(world.store, correlations)) == OPEN - 3 * 40 - 1
    assert {row.outcome for row in rows(world.store, strays)} == {"closed", "held", "orphan"}
