"""`make bench`: every figure beside its floor or peer and its aim, in one table, written to docs/performance.md; and
what follows of it for larger installations, to docs/scaling.md.

QUICK=1: the same rows of less work, printed only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import ModuleType

import bench_cost
import bench_failover
import bench_growth
import bench_intake
import bench_log
import bench_mapping
import bench_memory
import bench_overload
import bench_path
import bench_peers
import bench_plan
import bench_postgres
import bench_start
import bench_storm
import bench_switches
import bench_sync
import bench_verify
import page
import scale
from row import Row, rows_of, table

from bridge.wiring import utc_now

# What each is given when it is to be quick.
SUITE: dict[ModuleType, str] = {
    bench_intake: "--requests 1500 --rounds 1 --batches 50",
    bench_postgres: "--requests 1500 --rounds 1",
    bench_switches: "--requests 300 --rounds 1",
    bench_path: "--requests 1500",
    bench_cost: "--requests 1500 --batches 30",
    bench_failover: "--rounds 1",
    bench_memory: "--alerts 20000",
    bench_overload: "--seconds 2",
    bench_peers: "--requests 320 --rounds 1",
    bench_log: "--requests 300 --pairs 2",
    bench_sync: "--problems 80 --probes 5",
    bench_storm: "--alerts 4000 --problems 40",
    bench_mapping: "--rounds 10 --calls 100",
    bench_plan: "--alerts 2000",
    bench_verify: "--entries 20000",
    bench_start: "--runs 3",
    bench_growth: "--correlations 1000 5000 --steps 20 --rounds 1",
}


def main() -> None:
    quick = os.environ.get("QUICK") == "1"
    lines, found = [], []
    for line in table(kept(rows(quick=quick), found)):
        print(line, flush=True)
        lines.append(line)
    if not quick:
        today = utc_now().date()
        page.write(page.PAGE, lines, today)
        page.write(page.SCALING, scale.table(found), today)
        print(f"\nwritten to {page.PAGE} and {page.SCALING}")


def kept(rows: Iterator[Row], found: list[Row]) -> Iterator[Row]:
    for row in rows:
        found.append(row)
        yield row


def rows(*, quick: bool) -> Iterator[Row]:
    """Each benchmark has a process of its own: what one leaves in memory is not in the figures of the next."""
    for number, (module, words) in enumerate(SUITE.items(), 1):
        print(f"{module.__name__} ({number} of {len(SUITE)}) ...", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            yield from process.submit(rows_of, module.__name__, words.split() if quick else []).result()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped: nothing was written")
