"""What `bridge serve` keeps in memory, after each hundred thousand of a million alerts; and what on disk.

    python tests/bench/bench_memory.py [--alerts N] [--alone SECONDS]

All of it on SQLite, with forty mappings: intake, sync, the sealer. Deliveries of 100 alerts of 1 KB, signed, each alert
a problem of its own. Its targets are only observed, so that sync decides and nothing is written to any instance. Sync
makes way for intake: after the last delivery it has some seconds of its own, and most problems wait even so. Of the two
processes the worker is where all work is done; the master begins it and waits.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench_start import BRIDGE, MAPPED, map_many, run, wait_for
from loads import ALERTS_PER_BATCH, SECRET, run_load
from row import Row, at_most, show
from server import end, free_port, resident_bytes, worker_of
from sqlalchemy import func, select

from bridge.store.engine import open_store
from bridge.store.tables import correlations
from bridge.wiring import utc_now

COMMAND = Path(__file__).name
STEPS = 10
ALERTS_MIN = 200_000  # of fewer, what is kept for later is most of the growth
MEGABYTES_AIM = 150
SECRET_VARIABLE = "BENCH_SECRET"
SOURCE = f"  bench: {{mapping: elastic, auth: {{scheme: hmac, preset: github, secret: {{env: {SECRET_VARIABLE}}}}}}}\n"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--alerts", type=int, default=1_000_000)
    made.add_argument("--alone", type=float, default=20.0, help="seconds after the last delivery, for sync")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    deliveries = arguments.alerts // ALERTS_PER_BATCH // STEPS
    resident = []
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name:
        folder = Path(name)
        with serving(configured(folder)) as (port, master):
            worker = worker_of(master)
            for step in range(STEPS):
                run_load([port], "batch", deliveries, f"step{step}")
                resident.append(resident_bytes(worker) / 1e6)
            time.sleep(arguments.alone)
            peak = resident_bytes(worker, "VmHWM") / 1e6
            both = (shared_once_bytes(worker) + shared_once_bytes(master)) / 1e6
        stored = sum(file.stat().st_size for file in (folder / "var").glob("bridge.db*"))
        decided = decided_of(folder)
    alerts = deliveries * STEPS * ALERTS_PER_BATCH
    case = f"SQLite: bridge serve with {MAPPED} mappings"
    yield Row(
        case=f"{case}: resident memory of its worker after {alerts:,} alerts",
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
    sync = f"{arguments.alone:g} s after the last, {decided:,} problems decided"
    for what, measured in (
        ("resident memory of its worker, at most", peak),
        ("memory of its worker and master, what they share counted once", both),
    ):
        yield Row(case=f"{case}: {what}", command=COMMAND, measured=measured, unit="MB", note=sync)
    yield Row(
        case=f"SQLite: what an alert adds to the database, {ALERTS_PER_BATCH} of 1 KB a delivery",
        command=COMMAND,
        measured=stored / alerts / 1e3,
        unit="KB",
    )


# --- what is served


def configured(folder: Path) -> Path:
    run(*BRIDGE, "init", str(folder))
    map_many(folder)
    config = folder / "bridge.yaml"
    text = config.read_text("utf-8").replace("mode: write", "mode: observe")
    config.write_text(text + SOURCE, "utf-8")
    run(*BRIDGE, "db", "upgrade", "--config", str(config))
    return config


@contextlib.contextmanager
def serving(config: Path) -> Iterator[tuple[int, int]]:
    """(port, its master process)"""
    port = free_port()
    line = [*BRIDGE, "serve", "--config", str(config), "--bind", f"127.0.0.1:{port}"]
    environment = {**os.environ, SECRET_VARIABLE: SECRET.decode()}
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", time.monotonic())
        yield port, process.pid
    finally:
        end(process)


def shared_once_bytes(pid: int) -> int:
    """What it has of memory, of each page its part if others have it too."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024


def decided_of(folder: Path) -> int:
    with contextlib.closing(open_store(f"sqlite:///{folder}/var/bridge.db", utc_now)) as store, store.reading() as tx:
        return int(tx.execute(select(func.count()).where(correlations.c.applied_seq > 0)).scalar_one())


if __name__ == "__main__":
    show(parser(), rows)
