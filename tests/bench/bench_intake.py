"""How fast intake is, as a ratio to a Flask view that does nothing, under the same server in the same run.

    python tests/bench/bench_intake.py [--requests N] [--rounds N] [--batches N]

Both are served by gunicorn with one process and 32 threads; the load comes over 32 kept-open connections from a process
of its own. Every alert is 4 KB, signed, and a problem of its own; then deliveries of 100 alerts of 1 KB, beside
a view that reads them. SQLite on a disk: every answer waited for its fsync; what one takes by itself is told last.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from loads import ALERTS_PER_BATCH, Loaded, run_load, shortest
from row import Aim, Row, at_least, at_most, ratio_at_least, show, told
from server import App, resident_bytes, served

NOOP = "no-op Flask view"
WRITES, WRITTEN_BYTES = 200, 4_096  # of each round, by themselves
READING_TIMES = 15  # as many batches go to the view that reads them, so that its runs are long enough to tell
COMMAND = Path(__file__).name
RATIO_AIM, P99_MS_AIM, BATCH_AIM, RSS_MB_AIM = 0.6, 50, 12_000, 150


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=4_000, help="of each round")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--batches", type=int, default=200, help="of each round: deliveries of 100 alerts")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    floors: list[Loaded] = []
    singles: list[Loaded] = []
    batch_floors: list[Loaded] = []
    batches: list[Loaded] = []
    writes: list[float] = []
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder,
        served(App("noop_app"), App("reading_app"), App("bridge_app", f"sqlite:///{folder}/bench.db")) as apps,
    ):
        (noop, _), (reading, _), (bridge, worker) = apps
        turns = (
            (floors, noop, "unique", arguments.requests),
            (singles, bridge, "unique", arguments.requests),
            (batch_floors, reading, "batch", READING_TIMES * arguments.batches),
            (batches, bridge, "batch", arguments.batches),
        )
        for turn in range(arguments.rounds):
            for found, port, kind, many in turns[:: -1 if turn % 2 else 1]:
                found.append(run_load([port], kind, many, f"{kind}{turn}"))
            writes += written(Path(folder, "written"))
        resident = resident_bytes(worker)
    yield beside_noop("SQLite: intake, one alert a delivery", COMMAND, singles, floors, ratio_at_least(RATIO_AIM))
    yield from latencies("SQLite: intake", COMMAND, singles, P99_MS_AIM)
    case = f"SQLite: intake, {ALERTS_PER_BATCH} alerts of 1 KB a delivery"
    yield beside_noop(
        case,
        COMMAND,
        batches,
        batch_floors,
        at_least(BATCH_AIM),
        each=ALERTS_PER_BATCH,
        unit="alerts/s",
        floor_is=f"{NOOP} that reads the body",
    )
    yield Row(
        case="SQLite: resident memory after all that",
        command=COMMAND,
        measured=resident / 1e6,
        unit="MB",
        aim=at_most(RSS_MB_AIM),
    )
    yield Row(
        case="4 KB written and fsync, one after the other, on the file system of the database",
        command=COMMAND,
        measured=statistics.median(writes) * 1e3,
        unit="ms",
        note=f"{told(len(writes) / sum(writes))} a second",
    )


def written(file: Path) -> list[float]:
    """Seconds of each write at the end of a file and its fsync, as a commit of SQLite is written to its log."""
    took = []
    with file.open("ab", buffering=0) as appended:
        for _ in range(WRITES):
            began = time.perf_counter()
            appended.write(os.urandom(WRITTEN_BYTES))
            os.fsync(appended.fileno())
            took.append(time.perf_counter() - began)
    return took


def beside_noop(
    case: str,
    command: str,
    loads: list[Loaded],
    floors: list[Loaded],
    aim: Aim,
    *,
    each: int = 1,
    unit: str = "requests/s",
    floor_is: str = NOOP,
) -> Row:
    """`each`: how many of the unit a request is."""
    rate, floor = (each * statistics.median(one.rate for one in of) for of in (loads, floors))
    return Row(
        case=case,
        command=command,
        measured=rate,
        unit=unit,
        beside=floor_is,
        beside_measured=floor,
        ratio=rate / floor,
        aim=aim,
        shortest=shortest(loads + floors),
    )


def latencies(case: str, command: str, loads: list[Loaded], aim: float) -> Iterator[Row]:
    quantiles = statistics.quantiles([seconds for one in loads for seconds in one.took], n=100)
    for which, its_aim in ((50, None), (99, at_most(aim))):
        yield Row(
            case=f"{case}, p{which}",
            command=command,
            measured=quantiles[which - 1] * 1e3,
            unit="ms",
            aim=its_aim,
            shortest=shortest(loads),
        )


if __name__ == "__main__":
    show(parser(), rows)
