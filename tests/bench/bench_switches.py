"""What intake is served with, chosen by measurement: how many threads, and Python's own switches.

    python tests/bench/bench_switches.py [--requests N] [--rounds N]

The same app is served side by side by several processes, each with a database of its own, and they take turns. A commit
stores what all threads have waiting, so the number of threads is the size of a group and the length of the queue, too.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from flask import Flask
from loads import Loaded, run_load, shortest
from row import Row, show
from server import THREADS, App, bridge_app, served
from stores import stores

COMMAND = Path(__file__).name
AS_SERVED = "as it is served"
SWITCH_SECONDS = 0.001, 0.02  # 0.005 where nothing is said
FEW, MANY = 16, 64


def frozen_app() -> Flask:
    """What is there before the first delivery is left out of every later collection."""
    app = bridge_app()
    gc.collect()
    gc.freeze()
    return app


def quick_app() -> Flask:
    sys.setswitchinterval(SWITCH_SECONDS[0])
    return bridge_app()


def slow_app() -> Flask:
    sys.setswitchinterval(SWITCH_SECONDS[1])
    return bridge_app()


# name -> its app, and its threads
SERVED = {
    AS_SERVED: ("bridge_app", THREADS),
    f"{FEW} threads": ("bridge_app", FEW),
    f"{MANY} threads": ("bridge_app", MANY),
    "no pause after a batch": ("hasty_app", THREADS),
    "gc.freeze() after the start": ("bench_switches:frozen_app", THREADS),
    f"switch interval {SWITCH_SECONDS[0] * 1e3:.0f} ms": ("bench_switches:quick_app", THREADS),
    f"switch interval {SWITCH_SECONDS[1] * 1e3:.0f} ms": ("bench_switches:slow_app", THREADS),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=2_000, help="of each turn")
    made.add_argument("--rounds", type=int, default=5)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    loads: dict[str, list[Loaded]] = {name: [] for name in SERVED}
    with contextlib.ExitStack() as stack:
        databases = stack.enter_context(stores("sqlite", len(SERVED)))
        apps = [
            App(app, database, threads) for (app, threads), database in zip(SERVED.values(), databases, strict=True)
        ]
        ports = {name: one.port for name, one in zip(SERVED, stack.enter_context(served(*apps)), strict=True)}
        for turn in range(arguments.rounds):
            for name in list(SERVED)[:: 1 if turn % 2 else -1]:
                loads[name].append(run_load([ports[name]], "unique", arguments.requests, f"turn{turn}"))
    for what, unit, figure in (("intake", "requests/s", rate), ("intake, p99", "ms", p99_ms)):
        for name in SERVED:
            if name != AS_SERVED:
                yield beside(f"SQLite: {what}, {name}", unit, figure, loads[name], loads[AS_SERVED])


def rate(loaded: Loaded) -> float:
    return loaded.rate


def p99_ms(loaded: Loaded) -> float:
    return statistics.quantiles(loaded.took, n=100)[98] * 1e3


def beside(
    case: str, unit: str, figure: Callable[[Loaded], float], loads: list[Loaded], others_loads: list[Loaded]
) -> Row:
    """The ratio is the median of pairs: those of one round came one soon after the other."""
    measured, others = list(map(figure, loads)), list(map(figure, others_loads))
    return Row(
        case=case,
        command=COMMAND,
        measured=statistics.median(measured),
        unit=unit,
        beside=AS_SERVED,
        beside_measured=statistics.median(others),
        ratio=statistics.median(one / other for one, other in zip(measured, others, strict=True)),
        shortest=shortest(loads + others_loads),
    )


if __name__ == "__main__":
    show(parser(), rows)
