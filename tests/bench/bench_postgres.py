"""How fast two processes take in on one PostgreSQL, beside two processes with a view that does nothing.

    python tests/bench/bench_postgres.py [--requests N] [--rounds N]

As bench_intake: 4 KB alerts, signed, each a problem of its own; 16 connections to each of the two.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

from bench_intake import beside_noop, latencies
from loads import Loaded, run_load, shortest
from row import Row, at_least, ratio_at_least, show
from server import App, served
from stores import stores

PROCESSES = 2
COMMAND = Path(__file__).name
RATIO_AIM, RATE_AIM, P99_MS_AIM = 0.45, 1_200, 60


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=4_000, help="of each round")
    made.add_argument("--rounds", type=int, default=3)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    loads: dict[str, list[Loaded]] = {"noop_app": [], "bridge_app": []}
    with (
        stores("postgresql") as (database,),
        served(*[App("noop_app", database)] * PROCESSES, *[App("bridge_app", database)] * PROCESSES) as apps,
    ):
        opened = [app.port for app in apps]
        ports = {"noop_app": opened[:PROCESSES], "bridge_app": opened[PROCESSES:]}
        for turn in range(arguments.rounds):
            for name in list(loads)[:: -1 if turn % 2 else 1]:
                loads[name].append(run_load(ports[name], "unique", arguments.requests, f"turn{turn}"))
    case = f"PostgreSQL: intake of {PROCESSES} processes, one alert a delivery"
    yield beside_noop(case, COMMAND, loads["bridge_app"], loads["noop_app"], ratio_at_least(RATIO_AIM))
    yield Row(
        case=f"{case}, by itself",
        command=COMMAND,
        measured=statistics.median(one.rate for one in loads["bridge_app"]),
        unit="requests/s",
        aim=at_least(RATE_AIM),
        shortest=shortest(loads["bridge_app"]),
    )
    yield from latencies(f"PostgreSQL: intake of {PROCESSES} processes", COMMAND, loads["bridge_app"], P99_MS_AIM)


if __name__ == "__main__":
    show(parser(), rows)
