"""How fast ServiceNow is kept in step: calls a second, of what it would take; and how late an incident is there.

    python tests/bench/bench_sync.py [--engine sqlite|postgresql] [--problems N] [--probes N]

Real processes: on SQLite one that does everything, on PostgreSQL an intake and two workers. The simulator answers each
call 100 ms late and is asked by 8 calls at a time, so 80 calls a second are what can be had. New problems wait in the
store; each is one call. For the second figure nothing else is done: alerts come one by one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

from fleet import Fleet
from machine import BRIDGE, direct
from postgres import postgres
from row import Row, at_most, ratio_at_least, show

LATENCY_SECONDS = 0.1
CONCURRENT_CALLS = 8
CEILING = CONCURRENT_CALLS / LATENCY_SECONDS
COMMAND = Path(__file__).name
SHARE_AIM, LATE_MS_AIM = 0.9, 100
SENDERS = 4
POLL_SECONDS = 0.005  # while nothing else is done
POLL_SECONDS_BUSY = 0.1
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
PROCESSES = {"sqlite": ("serve",), "postgresql": ("intake-1", "worker-1", "worker-2")}


@contextlib.contextmanager
def running(engine: str) -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        database = f"sqlite:///{folder}/bridge/var/bridge.db"
        if engine == "postgresql":
            database = stack.enter_context(postgres(folder / "data")).url
        fleet = stack.enter_context(contextlib.closing(Fleet(folder / "bridge", database)))
        fleet.start_simulator()
        fleet.start(*PROCESSES[engine])
        fleet.faults({"kind": "latency", "seconds": LATENCY_SECONDS, "times": "always"})
        yield fleet


def deliver(http: requests.Session, fleet: Fleet, engine: str, rule: str) -> None:
    alert = {"rule": rule, "host": "web-01", "severity": "high", "status": "firing", "message": "A benchmark."}
    url = f"{fleet.url_of(PROCESSES[engine][0])}/hooks/try"
    http.post(url, json.dumps(alert).encode(), timeout=30).raise_for_status()


def incidents(fleet: Fleet, http: requests.Session) -> int:
    return int(http.get(f"{fleet.simulator}/simulator/state", timeout=30).json()["records"]["incident"])


# --- calls a second


def throughput(fleet: Fleet, engine: str, problems: int) -> float:
    """Incidents a second, of the middle eight tenths: neither while the threads wake nor while they run out of work."""
    order(fleet, "pause")
    waiting = iter([f"Throughput {number}" for number in range(problems)])

    def send() -> None:
        with direct() as http:
            for rule in waiting:
                deliver(http, fleet, engine, rule)

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    with direct() as http:
        before = incidents(fleet, http)
        order(fleet, "resume")
        parts = [round(part * problems) for part in (0.1, 0.9, 1.0)]
        reached = [until(fleet, http, before + part, POLL_SECONDS_BUSY) for part in parts]
    return 0.8 * problems / (reached[1] - reached[0])


def order(fleet: Fleet, word: str) -> None:
    line = [*BRIDGE, "targets", word, "itsm", "--config", str(fleet.config)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def until(fleet: Fleet, http: requests.Session, many: int, pause: float) -> float:
    """When there were so many incidents."""
    while incidents(fleet, http) < many:
        time.sleep(pause)
    return time.monotonic()


# --- how late


def lateness(fleet: Fleet, engine: str, probes: int) -> list[float]:
    """Milliseconds from the 200 until the incident was there, beyond the simulator's own latency."""
    chance, late = random.Random(1), []
    with direct() as http:
        for number in range(probes):
            time.sleep(chance.uniform(0.3, 1.3))
            before = incidents(fleet, http)
            deliver(http, fleet, engine, f"Probe {number}")
            began = time.monotonic()
            late.append((until(fleet, http, before + 1, POLL_SECONDS) - began - LATENCY_SECONDS) * 1e3)
    return late


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--engine", choices=PROCESSES, nargs="+", default=list(PROCESSES))
    made.add_argument("--problems", type=int, default=1_000)
    made.add_argument("--probes", type=int, default=40)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    for engine in arguments.engine:
        with running(engine) as fleet:
            late = lateness(fleet, engine, arguments.probes)
            rate = throughput(fleet, engine, arguments.problems)
        yield Row(
            case=f"{ENGINES[engine]}: sync of new problems",
            command=COMMAND,
            measured=rate,
            unit="calls/s",
            beside=f"{CONCURRENT_CALLS} calls at a time of {LATENCY_SECONDS * 1e3:.0f} ms",
            beside_measured=CEILING,
            ratio=rate / CEILING,
            aim=ratio_at_least(SHARE_AIM),
        )
        case = f"{ENGINES[engine]}: from the 200 until the incident is there, beyond ServiceNow's own time"
        p50, p90 = statistics.median(late), statistics.quantiles(late, n=10)[8]
        yield Row(case=f"{case}, p50", command=COMMAND, measured=p50, unit="ms", aim=at_most(LATE_MS_AIM))
        yield Row(case=f"{case}, p90", command=COMMAND, measured=p90, unit="ms")


if __name__ == "__main__":
    show(parser(), rows)
