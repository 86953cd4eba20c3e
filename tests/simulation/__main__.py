"""`make simulate SEEDS=1000`, `make simulate SEED=42`: run seeds, and tell the story of one that fails."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack

from simulation import database, runs
from simulation.runner import Outcome, run
from simulation.world import Engine

CHUNK = 10
PART = 500  # seeds, that are noted at once; the next run leaves out the parts that held
_url = database.SQLITE
_engine: Engine | None = None


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=1000, help="how many, from 0 on; what held at this commit is not run again"
    )
    parser.add_argument("--first", type=int, help="so many from this one on, whatever was run before")
    parser.add_argument("--seed", type=int, help="this one alone, with its story")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with ExitStack() as stack:
        url = database.SQLITE if given.engine == "sqlite" else stack.enter_context(database.postgresql())
        return _run(given, url)


def _run(given: argparse.Namespace, url: str) -> int:
    if given.seed is not None:
        store_in(url)
        outcome = one(given.seed)
        print("\n".join(outcome.story))
        print(f"seed {outcome.seed}: {outcome.problem or 'all holds'} ({outcome.digest})")
        return 1 if outcome.problem else 0
    first, revision = given.first or 0, runs.commit()
    told = runs.rows() if given.first is None else []
    left = runs.seeds_left(told, revision, given.engine, range(first, first + given.seeds), part=PART)
    print(f"{sum(map(len, left))} of {given.seeds} seeds are left to run at {revision}", flush=True)
    failed = sum(_part(seeds, given, url, revision) for seeds in left)
    return 1 if failed else 0


def _part(seeds: range, given: argparse.Namespace, url: str, revision: str) -> int:
    """Run and note them: what is noted and held need not be run again. How many failed."""
    began = time.monotonic()
    failed = 0
    for outcome in many(seeds, workers=given.workers, url=url):
        if outcome.problem:
            failed += 1
            print(f"seed {outcome.seed} ({outcome.story[0]}):\n{outcome.problem}\n", flush=True)
    spent = time.monotonic() - began
    found = f"{len(seeds)} seeds, {failed} failed, {spent:.0f} s"
    print(f"{seeds[0]}-{seeds[-1]}: {found}", flush=True)
    runs.append("simulate", f"{given.engine}, {seeds[0]}-{seeds[-1]}", found, bool(failed), revision=revision)
    return failed


def store_in(url: str) -> None:
    """What this process stores its worlds in; said before the first."""
    global _url
    _url = url


def one(seed: int) -> Outcome:
    global _engine
    logging.disable(logging.CRITICAL)
    if _engine is None:
        _engine = Engine(_url)
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
    return run(_engine, seed)


def many(seeds: range, *, workers: int, url: str = database.SQLITE) -> Iterator[Outcome]:
    """Their outcomes in order; stories only of those that failed."""
    with ProcessPoolExecutor(workers, initializer=store_in, initargs=(url,)) as pool:
        yield from pool.map(_brief, seeds, chunksize=CHUNK)


def _brief(seed: int) -> Outcome:
    outcome = one(seed)
    return outcome if outcome.problem else Outcome(seed, "", (), outcome.rounds)


if __name__ == "__main__":
    sys.exit(main())
