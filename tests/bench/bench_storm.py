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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from bench_growth import stored
from intake_world import alert
from storms import calls_of, peak_of, rage, take_in
from sync_world import PASSWORD_VARIABLE, Clock, World, itsm, world_of

from bridge.sync.loop import SyncLoop

THREADS = 8
CALLS_AIM, MEGABYTES_AIM = 3, 20
POLL_SECONDS = 0.01


def storm(world: World, *, alerts: int, problems: int) -> None:
    loop = SyncLoop(world.worker, threads=THREADS)
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
    while len(world.records()) < problems + 1:
        time.sleep(POLL_SECONDS * 10)
    seconds = time.monotonic() - began
    loop.stop()
    while world.worker.work():
        pass
    calls = calls_of(world)
    print(f"{alerts} alerts of {problems} problems, taken in within {taken:.0f} s, all there after {seconds:.0f} s:")
    print(f"  incidents            {len(calls) - 1:8}   of {problems}")
    print(f"  calls of one         {max(calls.values()):8}   at most, aim {CALLS_AIM}; {sum(calls.values())} in all")
    print(f"  another source's first incident meanwhile: {waited[0]:.2f} s after it was taken in")


def first_incident(world: World, loop: SyncLoop) -> float:
    take_in(world, [alert("calm")], source="other")
    began = time.monotonic()
    loop.notify()
    while not any(record["correlation_id"] == "calm" for record in world.records()):
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def one_problem(world: World, alerts: int) -> None:
    for begin in range(0, alerts, 1_000):
        take_in(world, [alert("one")] * min(1_000, alerts - begin))
    began = time.monotonic()
    peak = peak_of(world.worker.work)
    assert world.row("one").applied_seq == alerts
    seconds = time.monotonic() - began
    print(f"one problem of {alerts} alerts, decided: {seconds:.2f} s, {peak / 1e6:.1f} MB at most, aim {MEGABYTES_AIM}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--problems", type=int, default=1_000)
    arguments = parser.parse_args()
    os.environ[PASSWORD_VARIABLE] = "bridge"
    for engine in arguments.engine:
        print(f"{engine}:")
        with stored(engine) as store, world_of(store, Clock()) as world:
            world.aim(itsm(max_creates_per_hour=10 * arguments.problems))
            storm(world, alerts=arguments.alerts, problems=arguments.problems)
            one_problem(world, arguments.alerts // 2)


if __name__ == "__main__":
    main()
