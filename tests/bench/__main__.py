"""`make bench`: every figure beside its aim; intake as a ratio to a no-op view under the same server and run.

QUICK=1: the same figures of less work.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import bench_intake
import bench_log
import bench_mapping
import bench_plan
import bench_postgres
import bench_storm
import bench_sync
import bench_verify
import requests

BRIDGE = (sys.executable, "-m", "bridge.cli")
RUNS = 5


QUICK = os.environ.get("QUICK") == "1"


def main() -> None:
    print("## Intake (SQLite, signed 4 KB alerts, 32 connections)")
    bench(bench_intake, "--requests", "1500", "--rounds", "1")
    print("\n## Intake (PostgreSQL, two processes)", flush=True)
    bench(bench_postgres, "--requests", "1500", "--rounds", "1")
    print("\n## The correlation log (beside intake without it, in pairs)", flush=True)
    bench(bench_log, "--requests", "600", "--pairs", "3")
    print("\n## Sync (ServiceNow answers after 100 ms, 8 calls at a time)", flush=True)
    bench(bench_sync, "--problems", "200", "--probes", "10")
    print("\n## Storms", flush=True)
    bench(bench_storm, "--alerts", "10000", "--problems", "100")
    print("\n## Mapping", flush=True)
    bench(bench_mapping)
    print("\n## bridge mapping plan, over stored alerts of ten thousand problems", flush=True)
    bench(bench_plan, "--alerts", "5000")
    print("\n## bridge log verify", flush=True)
    bench(bench_verify, "--entries", "50000")
    print("\n## Start (median of five)", flush=True)
    floor = median(lambda: run(sys.executable, "-c", "pass"))
    print(f"python -c pass         {floor:6.2f} s   the floor")
    print(f"bridge --help          {median(lambda: run(*BRIDGE, '--help')):6.2f} s   aim 0.5")
    print(f"bridge serve, to 200   {median(lambda: serving()[0]):6.2f} s   aim 2")
    print(f"its resident memory    {serving()[1] / 1e6:6.0f} MB  aim 150 (idle; after load see above)")


def bench(module: ModuleType, *quick: str) -> None:
    sys.argv[1:] = list(quick) if QUICK else []
    module.main()


def median(timed) -> float:  # type: ignore[no-untyped-def]
    return statistics.median(timed() for _ in range(RUNS))


def run(*line: str) -> float:
    began = time.monotonic()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def serving() -> tuple[float, int]:
    """(seconds from the start of the process, on a database that is there, to its first 200; its resident bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        config = str(Path(folder, "bridge.yaml"))
        run(*BRIDGE, "init", folder)
        run(*BRIDGE, "db", "upgrade", "--config", config)
        port = bench_intake.free_port()
        began = time.monotonic()
        line = [*BRIDGE, "serve", "--config", config, "--bind", f"127.0.0.1:{port}"]
        with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
            try:
                seconds = wait_for(f"http://127.0.0.1:{port}/readyz", began)
                return seconds, bench_intake.resident_bytes(bench_intake.worker_of(process.pid))
            finally:
                process.terminate()


def wait_for(url: str, began: float) -> float:
    while time.monotonic() - began < 30:
        try:
            if requests.get(url, timeout=1).status_code == 200:
                return time.monotonic() - began
        except requests.RequestException:
            time.sleep(0.01)
    raise SystemExit("the bridge did not answer within 30 s")


if __name__ == "__main__":
    main()
