"""A storm at full size: incidents, calls, time and memory, and what it does to somebody else's first incident.

    python tests/bench/bench_storm.py [--engine sqlite|postgresql] [--alerts N] [--problems N]

The real store, policy and client, with eight threads that work rounds beside intake, against the simulator. SQLite's
clock stands still, as if all came within one moment. The brake is raised.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from filled import stored
from intake_world import alert
from row import Row, at_most, show
from stores import ENGINES
from storms import calls_of, peak_of, rage, take_in
from sync_world import PASSWORD_VARIABLE, Clock, World, itsm, world_of

from bridge.sync.loop import SyncLoop

COMMAND = Path(__file__).name
THREADS = 8
CALLS_AIM, MEGABYTES_AIM = 3, 20
POLL_SECONDS = 0.01
WAIT_SECONDS_MAX = 300.0


def storm(world: World, engine: str, *, alerts: int, problems: int) -> Iterator[Row]:
    loop = SyncLoop(world.worker, threads=THREADS, alone=True)
    loop.start()
    waited: list[float] = []
    began = time.monotonic()
    beside = threading.Thread(target=lambda: waited.append(first_incident(world, loop)))
    left = itertools.count(alerts // 2_000, -1)  # deliveries until half of it has come

    def step() -> None:
        loop.notify()
        if next(left) == 0:
            beside.start()

    rage(world, alerts=alerts, problems=problems, between=step)
    taken = time.monotonic() - began
    beside.join()
    wait_until(lambda: len(world.records()) > problems, "an incident of each problem", POLL_SECONDS * 10)
    seconds = time.monotonic() - began
    loop.stop()
    while world.worker.work():
        pass
    calls = calls_of(world)
    case = f"{engine}: {alerts:,} alerts of {problems:,} problems"
    figures: list[tuple[str, float, str]] = [
        ("taken in", taken, "s"),
        ("all incidents there", seconds, "s"),
        ("calls in all", len(world.simulator.calls), "calls"),
        ("another source's first incident meanwhile, after it was taken in", waited[0], "s"),
    ]
    for what, measured, unit in figures:
        yield Row(case=f"{case}: {what}", command=COMMAND, measured=measured, unit=unit)
    yield Row(
        case=f"{case}: incidents made",
        command=COMMAND,
        measured=len(calls) - 1,
        unit="incidents",
        aim=at_most(problems),
    )
    yield Row(
        case=f"{case}: calls of one incident, at most",
        command=COMMAND,
        measured=max(calls.values()),
        unit="calls",
        aim=at_most(CALLS_AIM),
    )


def first_incident(world: World, loop: SyncLoop) -> float:
    take_in(world, [alert("calm")], source="other")
    began = time.monotonic()
    loop.notify()
    wait_until(lambda: any(record["correlation_id"] == "calm" for record in world.records()), "the calm one's incident")
    return time.monotonic() - began


def wait_until(there: Callable[[], bool], what: str, pause: float = POLL_SECONDS) -> None:
    last = time.monotonic() + WAIT_SECONDS_MAX
    while not there():
        if time.monotonic() > last:
            raise SystemExit(f"not there after {WAIT_SECONDS_MAX:.0f} s: {what}")
        time.sleep(pause)


def one_problem(world: World, engine: str, alerts: int) -> Iterator[Row]:
    for begin in range(0, alerts, 1_000):
        take_in(world, [alert("one")] * min(1_000, alerts - begin))
    began = time.monotonic()
    peak = peak_of(world.worker.work)
    assert world.row("one").applied_seq == alerts
    seconds = time.monotonic() - began
    case = f"{engine}: one problem of {alerts:,} alerts"
    yield Row(case=f"{case}: decided", command=COMMAND, measured=seconds, unit="s")
    yield Row(
        case=f"{case}: memory that this takes",
        command=COMMAND,
        measured=peak / 1e6,
        unit="MB",
        aim=at_most(MEGABYTES_AIM),
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--engine", choices=ENGINES, nargs="+", default=list(ENGINES))
    made.add_argument("--alerts", type=int, default=100_000)
    made.add_argument("--problems", type=int, default=1_000)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    os.environ[PASSWORD_VARIABLE] = "bridge"
    for engine in arguments.engine:
        with stored(engine) as store, world_of(store, Clock()) as world:
            world.aim(itsm(max_creates_per_hour=10 * arguments.problems))
            yield from storm(world, ENGINES[engine], alerts=arguments.alerts, problems=arguments.problems)
            yield from one_problem(world, ENGINES[engine], arguments.alerts // 2)


if __name__ == "__main__":
    show(parser(), rows)
