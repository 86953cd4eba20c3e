"""The engine survives seeds of everything that can go wrong; a seed is one story, and the same again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation import database
from simulation.__main__ import many, one
from simulation.runner import run
from simulation.world import Engine

SEEDS = 2_000  # of as many as one likes: `make simulate`
PART = 200
SEEDS_ON_POSTGRESQL = 20
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_whatever_goes_wrong_what_must_hold_holds_when_the_bridge_has_come_to_rest(first: int) -> None:
    outcomes = many(range(first, first + PART), workers=1)  # the parts are shared out among the suite's processes
    failed = {outcome.seed: outcome.problem for outcome in outcomes if outcome.problem}
    assert failed == {}, "tell a story with: make simulate SEED=…"


@pytest.mark.parametrize("seed", [3, 162])
def test_a_seed_is_the_same_story_in_another_process(seed: int) -> None:
    """Neither a clock, nor chance, nor the order of sets may come in from outside."""
    told = subprocess.run(
        [sys.executable, "-m", "simulation", "--seed", str(seed)],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]), "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    for other in (1, 2, 5):  # what ran before it in this process is no part of it
        one(other)
    assert one(seed).digest in told.stdout.splitlines()[-1]


def test_on_postgresql_what_must_hold_holds_and_a_seed_is_the_same_story_again() -> None:
    seeds = range(SEEDS_ON_POSTGRESQL)
    with database.postgresql() as url:
        failed = {one.seed: one.problem for one in many(seeds, workers=1, url=url) if one.problem}
        engine = Engine(url)
        told = {seed: [run(engine, seed).digest for _ in range(2)] for seed in (10, 13)}
        engine.store.close()
    assert failed == {}, "tell a story with: make simulate ENGINE=postgresql SEED=…"
    assert [seed for seed, (first, again) in told.items() if first != again] == []
