"""`make bench`: every figure beside its floor or peer and its aim, in one table, written to docs/performance.md; and
what follows of it for larger installations, to docs/scaling.md.

QUICK=1: the same rows of less work, some of them at once, printed only. A benchmark that fails stops no other, but then
nothing is written.
"""

from __future__ import annotations

import os
import sys
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
import suite
from row import Row

from bridge.wiring import utc_now

# What each is given when it is to be quick.
SUITE: dict[ModuleType, str] = {
    bench_intake: "--requests 1200 --rounds 1 --batches 50",
    bench_postgres: "--requests 2600 --rounds 1",
    bench_switches: "--requests 100 --rounds 1",
    bench_path: "--requests 600",
    bench_cost: "--requests 300 --batches 10",
    bench_failover: "--rounds 1 --away 2.2",
    bench_memory: "--alerts 4000 --alone 1",
    bench_overload: "--seconds 0.5",
    bench_peers: "--requests 800 --alerta 100 --rounds 1",
    bench_log: "--requests 700 --pairs 1",
    bench_sync: "--problems 64 --probes 2",
    bench_storm: "--alerts 1000 --problems 10",
    bench_mapping: "--rounds 3 --calls 100",
    bench_plan: "--alerts 1000",
    bench_verify: "--entries 10000",
    bench_start: "--runs 1",
    bench_growth: "--correlations 3000 20000 --steps 20 --rounds 1",
}


QUICK_AT_ONCE = 3  # more than processors: most of a small run is starts, and waiting

# These have no rounds of their own. What takes minutes (memory over a million alerts, storms) is run once all the same.
REPEATED = tuple(module.__name__ for module in (bench_path, bench_overload, bench_sync, bench_plan, bench_verify))


def main() -> None:
    if os.environ.get("QUICK") == "1":
        quick = {module.__name__: words for module, words in SUITE.items()}
        suite.run(quick, lambda *_: None, at_once=QUICK_AT_ONCE)
    else:
        suite.run(dict.fromkeys([module.__name__ for module in SUITE], ""), write, repeated=REPEATED)


def write(lines: list[str], rows: list[Row]) -> None:
    today = utc_now().date()
    page.write(page.PAGE, lines, today)
    page.write(page.SCALING, scale.table(rows), today)
    print(f"\nwritten to {page.PAGE} and {page.SCALING}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped: nothing was written")
