"""`make simulate SEEDS=1000`, `make simulate SEED=42`: run seeds, and tell the story of one that fails."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from simulation.runner import Outcome, run
from simulation.world import Engine

CHUNK = 25
_engine: Engine | None = None


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone, with its story")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if given.seed is not None:
        outcome = one(given.seed)
        print("\n".join(outcome.story))
        print(f"seed {outcome.seed}: {outcome.problem or 'all holds'} ({outcome.digest})")
        return 1 if outcome.problem else 0
    began = time.monotonic()
    failed = 0
    for outcome in many(range(given.first, given.first + given.seeds), workers=given.workers):
        if outcome.problem:
            failed += 1
            print(f"seed {outcome.seed} ({outcome.story[0]}):\n{outcome.problem}\n", flush=True)
    spent = time.monotonic() - began
    print(f"{given.seeds} seeds, {failed} failed, {spent:.0f} s ({given.seeds / spent:.0f} a second)")
    return 1 if failed else 0


def one(seed: int) -> Outcome:
    global _engine
    logging.disable(logging.CRITICAL)
    if _engine is None:
        _engine = Engine()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
    return run(_engine, seed)


def many(seeds: range, *, workers: int) -> Iterator[Outcome]:
    """Their outcomes in order; stories only of those that failed."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_brief, seeds, chunksize=CHUNK)


def _brief(seed: int) -> Outcome:
    outcome = one(seed)
    return outcome if outcome.problem else Outcome(seed, "", (), outcome.rounds)


if __name__ == "__main__":
    sys.exit(main())
