"""What an alert costs: processor time of the process that takes it in and of PostgreSQL, and bytes of its WAL.

    python tests/bench/bench_cost.py [--requests N] [--batches N]

Rates are what one machine gives; processor time for each alert is what docs/scaling.md reckons with. One intake
process, under the load of the other benchmarks; autovacuum and checkpoints of the time are in PostgreSQL's share.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

import psycopg
from bench_intake import served
from loads import ALERTS_PER_BATCH, run_load
from postgres import Postgres, postgres
from row import Row, show

COMMAND = Path(__file__).name
TICKS = os.sysconf("SC_CLK_TCK")
WARM = 200  # deliveries before it is measured


class Spent(NamedTuple):
    intake: float  # seconds of processor time
    database: float
    wal: int  # bytes

    def since(self, before: Spent) -> Spent:
        return Spent(self.intake - before.intake, self.database - before.database, self.wal - before.wal)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=6_000)
    made.add_argument("--batches", type=int, default=200)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path(__file__).parent))
        database = stack.enter_context(postgres(Path(folder, "data")))
        noop, noop_pid = stack.enter_context(served("noop_app", database.url))
        port, pid = stack.enter_context(served("bridge_app", database.url))
        run_load([noop], "unique", WARM, "warm")
        run_load([port], "unique", WARM, "warm")
        before = processor_seconds(noop_pid)
        run_load([noop], "unique", arguments.requests, "noop")
        floor = (processor_seconds(noop_pid) - before) / arguments.requests
        singles = spent_on(database, pid, port, "unique", arguments.requests)
        batches = spent_on(database, pid, port, "batch", arguments.batches)
    yield from told("one alert of 4 KB a delivery", singles, arguments.requests, floor)
    yield from told(f"{ALERTS_PER_BATCH} of 1 KB a delivery", batches, arguments.batches * ALERTS_PER_BATCH, None)


def told(case: str, spent: Spent, alerts: int, floor: float | None) -> Iterator[Row]:
    """`floor`: processor seconds that a view which does nothing takes for as much."""
    intake = spent.intake / alerts
    yield Row(
        case=f"PostgreSQL: an alert's processor time at intake, {case}",
        command=COMMAND,
        measured=intake * 1e6,
        unit="µs",
        beside="no-op Flask view" if floor is not None else "",
        beside_measured=floor * 1e6 if floor is not None else None,
        ratio=intake / floor if floor else None,
    )
    database = spent.database / alerts * 1e6
    yield Row(case=f"PostgreSQL: its own processor time for it, {case}", command=COMMAND, measured=database, unit="µs")
    wal = spent.wal / alerts / 1e3
    yield Row(case=f"PostgreSQL: WAL of it, {case}", command=COMMAND, measured=wal, unit="KB")


def spent_on(database: Postgres, pid: int, port: int, kind: str, requests: int) -> Spent:
    before = spent_so_far(database, pid)
    run_load([port], kind, requests, f"cost-{kind}")
    return spent_so_far(database, pid).since(before)


def spent_so_far(database: Postgres, pid: int) -> Spent:
    with psycopg.connect(database.url) as session:
        found = session.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
        assert found is not None
        return Spent(processor_seconds(pid), processor_seconds(database.pid, children=True), int(found[0]))


def processor_seconds(pid: int, *, children: bool = False) -> float:
    """Of a process in all its threads; with `children`, of those that it has and of those that have ended too."""
    # After the name, which may have blanks and brackets: utime is the 14th of all fields, then stime, cutime, cstime.
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    seconds = sum(int(ticks) for ticks in fields[11 : 15 if children else 13]) / TICKS
    if children:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                seconds += processor_seconds(int(child))
    return seconds


if __name__ == "__main__":
    show(parser(), rows)
