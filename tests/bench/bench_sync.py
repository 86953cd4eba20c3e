"""How fast ServiceNow is kept in step: calls a second, of what it would take; and how late an incident is there.

    python tests/bench/bench_sync.py [--engine sqlite|postgresql] [--problems N] [--probes N]

Real processes: on SQLite one that does everything, on PostgreSQL an intake and two workers. The simulator answers each
call 100 ms late and is asked by 8 calls at a time, so 80 calls a second are what can be had. New problems wait in the
store; each is one call. For the second figure nothing else is done: alerts come one by one. Where the time
of a round goes is told of the same rounds: by its steps, from one commit or send to the next, each with what it took of
a processor; then what a call takes of one in all, by process.
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
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

from fleet import HEADERS, Fleet
from machine import BRIDGE, direct
from postgres import postgres
from row import Row, at_most, ratio_at_least, show
from server import processor_seconds
from stores import ENGINES

LATENCY_SECONDS = 0.1
CONCURRENT_CALLS = 8
CEILING = CONCURRENT_CALLS / LATENCY_SECONDS
COMMAND = Path(__file__).name
TIMES = "times"
SHARE_AIM, LATE_MS_AIM = 0.9, 100
SENDERS = 4
POLL_SECONDS = 0.005  # while nothing else is done
POLL_SECONDS_BUSY = 0.1
WAIT_SECONDS_MAX = 300.0  # until incidents are there
ROUND = "a round's time"
# What a thread does from one point to the next, in the order of a round.
STEPS = {
    ("applied:committed", "claim:commit"): "looks for what is due, claims it",
    ("claim:commit", "claim:committed"): "that is committed",
    ("claim:committed", "intent:commit"): "reads, decides, words, writes the intent",
    ("intent:commit", "intent:committed"): "that is committed",
    ("intent:committed", "write:send"): "waits for its turn to call",
    ("write:send", "write:answered"): "the call",
    ("write:answered", "applied:commit"): "settles",
    ("applied:commit", "applied:committed"): "that is committed",
}
PROCESSES = {"sqlite": ("serve",), "postgresql": ("intake-1", "worker-1", "worker-2")}


@contextlib.contextmanager
def running(engine: str) -> Iterator[tuple[Fleet, int | None]]:
    """The processes, and PostgreSQL's own."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        database, pid = f"sqlite:///{folder}/bridge/var/bridge.db", None
        if engine == "postgresql":
            server = stack.enter_context(postgres(folder / "data"))
            database, pid = server.url, server.pid
        fleet = stack.enter_context(contextlib.closing(Fleet(folder / "bridge", database)))
        fleet.start_simulator()
        fleet.program = (sys.executable, str(Path(__file__).with_name("timed.py")), str(folder / TIMES))
        fleet.start(*PROCESSES[engine])
        fleet.faults({"kind": "latency", "seconds": LATENCY_SECONDS, "times": "always"})
        yield fleet, pid


def deliver(http: requests.Session, fleet: Fleet, engine: str, rule: str) -> None:
    alert = {"rule": rule, "host": "web-01", "severity": "high", "status": "firing", "message": "A benchmark."}
    url = f"{fleet.url_of(PROCESSES[engine][0])}/hooks/try"
    http.post(url, json.dumps(alert).encode(), headers=HEADERS, timeout=30).raise_for_status()


def incidents(fleet: Fleet, http: requests.Session) -> int:
    return int(http.get(f"{fleet.simulator}/simulator/state", timeout=30).json()["records"]["incident"])


# --- calls a second


def throughput(fleet: Fleet, engine: str, problems: int, database: int | None) -> tuple[float, float, dict[str, float]]:
    """Incidents a second, of the middle eight tenths: neither while the threads wake nor while they run out of work.
    How many seconds these took. And how many milliseconds each took of a processor, by process."""
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
        before, idle = incidents(fleet, http), on_processors(fleet, engine, database)
        order(fleet, "resume")
        parts = [round(part * problems) for part in (0.1, 0.9, 1.0)]
        reached = [until(fleet, http, before + part, POLL_SECONDS_BUSY) for part in parts]
    spent = {name: (now - idle[name]) * 1e3 / problems for name, now in on_processors(fleet, engine, database).items()}
    seconds = reached[1] - reached[0]
    return 0.8 * problems / seconds, seconds, spent


def order(fleet: Fleet, word: str) -> None:
    line = [*BRIDGE, "targets", word, "itsm", "--config", str(fleet.config)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def until(fleet: Fleet, http: requests.Session, many: int, pause: float) -> float:
    """When there were so many incidents."""
    last = time.monotonic() + WAIT_SECONDS_MAX
    while (there := incidents(fleet, http)) < many:
        if time.monotonic() > last:
            raise SystemExit(f"{there} incidents are there after {WAIT_SECONDS_MAX:.0f} s, and not {many}")
        time.sleep(pause)
    return time.monotonic()


# --- how late


def lateness(fleet: Fleet, engine: str, probes: int) -> list[float]:
    """Milliseconds from the 200 until the incident was there, beyond the simulator's own latency."""
    chance, late = random.Random(1), []
    with direct() as http:
        for number in range(probes):
            time.sleep(chance.uniform(0.3, 0.5))  # at any time between two looks of a thread that is idle
            before = incidents(fleet, http)
            deliver(http, fleet, engine, f"Probe {number}")
            began = time.monotonic()
            late.append((until(fleet, http, before + 1, POLL_SECONDS) - began - LATENCY_SECONDS) * 1e3)
    return late


# --- where the time goes


def steps(fleet: Fleet, engine: str) -> Iterator[Row]:
    """Of each step the medians: milliseconds, and of these on a processor."""
    took: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for line in (fleet.folder.parent / TIMES).read_text().splitlines():
        begin, end, wall, processor = json.loads(line)
        took[begin, end].append((wall, processor))
    for number, (points, what) in enumerate(STEPS.items(), 1):
        wall, processor = (statistics.median(each) for each in zip(*took[points], strict=True))
        case = f"{ENGINES[engine]}: {ROUND}, {number}. {what}"
        yield Row(case=case, command=COMMAND, measured=wall, unit="ms", note=f"{processor:.2f} ms on a processor")


def on_processors(fleet: Fleet, engine: str, database: int | None) -> dict[str, float]:
    """Seconds that each process and its children have been on a processor, those that sync taken together."""
    spent = partial(processor_seconds, children=True)
    many = {
        "the bridge": sum(spent(fleet.pid(name)) for name in PROCESSES[engine]),
        "the simulator": spent(fleet.pid("simulator")),
    }
    return many if database is None else many | {"PostgreSQL": spent(database)}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--engine", choices=PROCESSES, nargs="+", default=list(PROCESSES))
    made.add_argument("--problems", type=int, default=1_000)
    made.add_argument("--probes", type=int, default=40)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    for engine in arguments.engine:
        with running(engine) as (fleet, database):
            late = lateness(fleet, engine, arguments.probes)
            rate, seconds, spent = throughput(fleet, engine, arguments.problems, database)
            where = list(steps(fleet, engine))
        yield Row(
            case=f"{ENGINES[engine]}: sync of new problems",
            command=COMMAND,
            measured=rate,
            unit="calls/s",
            beside=f"{CONCURRENT_CALLS} calls at a time of {LATENCY_SECONDS * 1e3:.0f} ms",
            beside_measured=CEILING,
            ratio=rate / CEILING,
            aim=ratio_at_least(SHARE_AIM),
            shortest=seconds,
        )
        case = f"{ENGINES[engine]}: from the 200 until the incident is there, beyond ServiceNow's own time"
        p50, p90 = statistics.median(late), statistics.quantiles(late, n=10)[8]
        yield Row(case=f"{case}, p50", command=COMMAND, measured=p50, unit="ms", aim=at_most(LATE_MS_AIM))
        yield Row(case=f"{case}, p90", command=COMMAND, measured=p90, unit="ms")
        yield from where
        for name, milliseconds in spent.items():
            case = f"{ENGINES[engine]}: on a processor for each call, {name}"
            yield Row(case=case, command=COMMAND, measured=milliseconds, unit="ms")


if __name__ == "__main__":
    show(parser(), rows)
