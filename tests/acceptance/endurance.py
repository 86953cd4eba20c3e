"""Real processes under load for long (`make soak HOURS=…`), and what tells that nothing is lost and nothing twice.

Each run appends a row to docs/guarantees-runs.csv, so that a long one may be made of several.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests
from fleet import HEADERS, SECRET, Fleet
from machine import Machine, direct
from simulation.invariants import Evidence, check_invariants
from simulation.runs import append, commit
from sqlalchemy import select

from bridge.store import tables
from bridge.store.engine import Store

PROCESSES = {"sqlite": ("serve",), "postgresql": ("intake-1", "intake-2", "worker-1", "worker-2", "worker-3")}
SENDERS = 4
PROBLEMS = 25  # at a time
ALERTS_PER_PROBLEM = 2  # of each sender, on the average: then others come up
SETTLE_SECONDS_MAX = 400.0  # windows of doubt, and leases of two minutes
REST_SECONDS = 1.0


@dataclass(slots=True)
class Load:
    """Senders that never give up: what is not answered 200 is sent again, to another address where there is one."""

    urls: Sequence[str]
    pause: float  # seconds of a sender, between two alerts
    accepted: list[str] = field(default_factory=list)  # ids of alerts that the answers named
    waits: list[float] = field(default_factory=list)  # seconds, of what was answered 200
    sent: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, seed: int) -> None:
        self._threads = [
            threading.Thread(target=self._run, args=(seed, number), daemon=True) for number in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Whatever was begun is sent."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int, number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        urls = itertools.cycle([*self.urls[number % 2 :], *self.urls[: number % 2]])
        with direct() as http:
            for count in itertools.count():
                if self._stop.is_set():
                    return
                status = "resolved" if chance.random() < 0.2 else "firing"
                problem = count // (PROBLEMS * ALERTS_PER_PROBLEM), chance.randrange(PROBLEMS)
                self._deliver(http, urls, f"Rule {problem[0]}.{problem[1]}", status, f"{seed}-{number}-{count}")
                self._stop.wait(self.pause)

    def _deliver(self, http: requests.Session, urls: Iterator[str], rule: str, status: str, message: str) -> None:
        alert = {"rule": rule, "host": "web-01", "severity": "high", "status": status, "message": message}
        # With an id of its sender's: without one, what is sent again after a change of the status is news.
        alert |= {"source": "load", "id": message}
        body = json.dumps(alert).encode()
        self.sent += 1
        began = time.monotonic()
        for url in urls:
            with contextlib.suppress(requests.RequestException):
                answer = http.post(f"{url}/hooks/try", body, timeout=10, headers={**HEADERS, "Connection": "close"})
                if answer.status_code == 200:
                    self.waits.append(time.monotonic() - began)
                    self.accepted += [one["alert"] for one in answer.json()["alerts"]]
                    return
            time.sleep(0.1)


@contextlib.contextmanager
def fleet_of(engine: str, folder: Path) -> Iterator[Fleet]:
    """All its processes run, against a simulator of their own."""
    with database_of(engine, folder) as database, contextlib.closing(Fleet(folder / "bridge", database)) as fleet:
        fleet.start_simulator()
        fleet.start(*PROCESSES[engine])
        yield fleet


def load_on(fleet: Fleet, engine: str, *, pause: float) -> Load:
    return Load([fleet.url_of(name) for name in PROCESSES[engine] if not name.startswith("worker")], pause)


@contextlib.contextmanager
def database_of(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{folder}/bridge/var/bridge.db"
        return
    from postgres import postgres

    with postgres(folder / "postgres") as server:
        yield server.url


# --- the judgement


def judged(bridge: Machine, store: Store, accepted: Collection[str], deliveries: int | None = None) -> str:
    """What is wrong once all has come to rest; "": nothing was lost, and nothing is there twice. `deliveries`: how many
    different ones were sent, where that was counted.
    """
    until = time.monotonic() + SETTLE_SECONDS_MAX
    while restless := _restless(store):
        if time.monotonic() > until:
            return f"it does not come to rest: {restless}"
        time.sleep(REST_SECONDS)
    notes = defaultdict(list)
    for note in bridge.records("sys_journal_field"):
        notes[note["element_id"]].append(note)
    state = requests.get(f"{bridge.simulator}/simulator/state", timeout=10).json()
    evidence = Evidence(
        store=store,
        installation=_installation(store),
        table="incident",
        records=bridge.records(),
        journal=lambda sys_id: notes[sys_id],
        violations=state["violations"],
        accepted=frozenset(accepted),
        deliveries=deliveries,
        secrets=(SECRET,),
        said=sorted(bridge.folder.glob("*.log")),
    )
    try:
        check_invariants(evidence)
    except AssertionError as error:
        return str(error)
    return ""


def _restless(store: Store) -> str:
    """What is still to be done; "": nothing, but for what waits for its time to be told."""
    correlations, intents = tables.correlations.c, tables.intents.c
    counted = {
        "problems with alerts to be settled": select(correlations.id).where(
            correlations.applied_seq < correlations.last_seq
        ),
        "problems whose last round failed": select(correlations.id).where(correlations.failure.is_not(None)),
        "writes in doubt": select(intents.id).where(intents.outcome.is_(None)),
    }
    with store.reading() as tx:
        many = {name: len(tx.execute(query).all()) for name, query in counted.items()}
    return ", ".join(f"{count} {name}" for name, count in many.items() if count)


def _installation(store: Store) -> str:
    with store.reading() as tx:
        return str(tx.execute(select(tables.installation.c.id)).scalar_one())


# --- the soak

PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    alerts: int
    problem: str
    memory: float  # MiB, of all processes at last
    memory_slope: float  # MiB an hour
    wal_bytes: int  # the largest that was seen
    p99_first: float  # seconds, of the first quarter of the answers
    p99_last: float

    def told(self) -> str:
        return (
            f"{self.alerts} alerts, memory {self.memory:.0f} MiB and {self.memory_slope:+.1f} an hour, WAL at most "
            f"{self.wal_bytes / 1e6:.1f} MB, p99 {self.p99_first * 1e3:.0f} ms at first and "
            f"{self.p99_last * 1e3:.0f} ms at last: {self.problem or 'no alert lost, no twin'}"
        )


def soak(engine: str, folder: Path, *, seconds: float, seed: int) -> Soaked:
    """Load for so long, and then rest and judgement."""
    sizes, memory = [], []
    with fleet_of(engine, folder) as fleet:
        load = load_on(fleet, engine, pause=PAUSE_SECONDS)
        load.start(seed)
        began = time.monotonic()
        while (spent := time.monotonic() - began) < seconds:
            time.sleep(min(10.0, seconds / 20))
            sizes.append(_wal_bytes(folder))
            memory.append((spent / 3600, sum(_memory(fleet.pid(name)) for name in PROCESSES[engine])))
        load.stop()
        problem = judged(fleet, fleet.store, load.accepted, load.sent)
    quarter = max(1, len(load.waits) // 4)
    return Soaked(
        alerts=len(load.accepted),
        problem=problem,
        memory=memory[-1][1],
        memory_slope=_slope(memory),
        wal_bytes=max(sizes),
        p99_first=_p99(load.waits[:quarter]),
        p99_last=_p99(load.waits[-quarter:]),
    )


def _wal_bytes(folder: Path) -> int:
    """On disk, on either engine: PostgreSQL keeps what it has no more need of, to write over it."""
    size = 0
    for file in (*folder.glob("bridge/var/bridge.db-wal"), *folder.glob("postgres/**/pg_wal/*")):
        with contextlib.suppress(FileNotFoundError):  # written over meanwhile, under another name
            size += file.stat().st_size if file.is_file() else 0
    return size


def _memory(master: int) -> float:
    """MiB of a command and of what it started."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text("ascii").split()
    pages = 0
    for pid in (str(master), *children):
        with contextlib.suppress(FileNotFoundError):
            pages += int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _slope(points: list[tuple[float, float]]) -> float:
    """Least squares, over the later half: a process that has just started grows."""
    later = points[len(points) // 2 :]
    if len(later) < 2:
        return 0.0
    middle = sum(x for x, _ in later) / len(later)
    spread = sum((x - middle) ** 2 for x, _ in later)
    return sum((x - middle) * y for x, y in later) / spread if spread else 0.0


def _p99(waits: list[float]) -> float:
    return sorted(waits)[int(len(waits) * 0.99)] if waits else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--engine", choices=PROCESSES, default="sqlite")
    given = parser.parse_args()
    seed, revision = random.SystemRandom().randrange(1_000_000), commit()
    with tempfile.TemporaryDirectory(prefix="soak") as name:
        found = soak(given.engine, Path(name), seconds=given.hours * 3600, seed=seed)
    print(found.told())
    append("soak", f"{given.engine}, {given.hours * 60:g} min", found.told(), bool(found.problem), revision=revision)
    return 1 if found.problem else 0


if __name__ == "__main__":
    sys.exit(main())
