"""What a process of the bridge keeps in memory, after each hundred thousand of a million alerts; and what on disk.

    python tests/bench/bench_memory.py [--alerts N]

One process on SQLite, deliveries of 100 alerts of 1 KB, signed, each alert a problem of its own; all of it is intake.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench_intake import App, resident_bytes, served
from loads import ALERTS_PER_BATCH, run_load
from row import Row, at_most, show

COMMAND = Path(__file__).name
STEPS = 10
ALERTS_MIN = 200_000  # of fewer, what is kept for later is most of the growth
MEGABYTES_AIM = 150


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--alerts", type=int, default=1_000_000)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    deliveries = arguments.alerts // ALERTS_PER_BATCH // STEPS
    resident = []
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder,
        served(App("bridge_app", f"sqlite:///{folder}/bench.db")) as [(port, worker)],
    ):
        for step in range(STEPS):
            run_load([port], "batch", deliveries, f"step{step}")
            resident.append(resident_bytes(worker) / 1e6)
        stored = sum(file.stat().st_size for file in Path(folder).iterdir())
    alerts = deliveries * STEPS * ALERTS_PER_BATCH
    yield Row(
        case=f"SQLite: resident memory after {alerts:,} alerts",
        command=COMMAND,
        measured=resident[-1],
        unit="MB",
        beside=f"after {alerts // STEPS:,}",
        beside_measured=resident[0],
        ratio=resident[-1] / resident[0],
        aim=at_most(MEGABYTES_AIM),
    )
    # Of the second half: by then all that is kept for later is there.
    half = resident[STEPS // 2 :]
    slope = (half[-1] - half[0]) / ((len(half) - 1) * alerts / STEPS) * 1e6
    yield Row(
        case="SQLite: growth of it in the second half",
        command=COMMAND,
        measured=slope,
        unit="MB a million alerts",
        note="" if alerts >= ALERTS_MIN else f"of {alerts:,} only, too few to tell",
    )
    yield Row(
        case=f"SQLite: what an alert adds to the database, {ALERTS_PER_BATCH} of 1 KB a delivery",
        command=COMMAND,
        measured=stored / alerts / 1e3,
        unit="KB",
    )


if __name__ == "__main__":
    show(parser(), rows)
