"""What an alert costs: processor time of the process that takes it in and of PostgreSQL, and bytes of its WAL; and what
compressing its body would.

    python tests/bench/bench_cost.py [--requests N] [--batches N]

Rates are what one machine gives; processor time for each alert is what docs/scaling.md reckons with. One intake
process, under the load of the other benchmarks; autovacuum and checkpoints of the time are in PostgreSQL's share.

Floor and load take turns, and what is told is of all turns together. Processor time is that of gunicorn's whole worker
process, user's and system's, of the floor as of the bridge: its loop, the reading of a request, 32 threads, and that
these hand the interpreter from one to the other. The last depends on how the processors are shared with the load: with
ten times the switches between threads a request to the view that does nothing took twice as much, whatever its size.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

import psycopg
from loads import ALERTS_PER_BATCH, MAPPINGS, run_load
from postgres import Postgres, postgres
from row import Row, show
from server import App, Served, processor_seconds, served

from bridge.log.note import Signer, origin_of
from bridge.sealer import seal_some
from bridge.store.engine import open_store
from bridge.wiring import utc_now

COMMAND = Path(__file__).name
COMPRESSIONS = 20  # of each body
WARM = 200  # deliveries before it is measured
TURNS = 3
# As the table, and docs/scaling.md, name them.
SINGLE, SMALL, BATCH = "one of 4 KB a delivery", "one of 1 KB a delivery", f"{ALERTS_PER_BATCH} of 1 KB a delivery"
ALERTS = {SINGLE: 1, SMALL: 1, BATCH: ALERTS_PER_BATCH}  # of a delivery
KINDS = {SINGLE: "unique", SMALL: "small", BATCH: "batch"}
FLOOR = "a worker whose Flask view does nothing"
INTAKE = "PostgreSQL: an alert's processor time at intake, "
DATABASE = "PostgreSQL: an alert's processor time in PostgreSQL, "
WAL = "PostgreSQL: an alert's WAL, "
STORED = "PostgreSQL: what an alert adds to the database, "
SEALED = "PostgreSQL: an entry of the log sealed, by the one process that does it"
ENTRIES = "PostgreSQL: entries of the log for a delivery"


class Spent(NamedTuple):
    intake: float  # seconds of processor time
    database: float
    wal: float  # bytes
    stored: float  # bytes, indexes too

    def __add__(self, other: Spent) -> Spent:  # type: ignore[override]
        return Spent(*(one + more for one, more in zip(self, other, strict=True)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(one - less for one, less in zip(self, other, strict=True)))


NOTHING_YET = Spent(0, 0, 0, 0)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=6_000, help="of each turn")
    made.add_argument("--batches", type=int, default=200, help="of each turn: deliveries of 100 alerts")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    deliveries = {SINGLE: arguments.requests, SMALL: arguments.requests, BATCH: arguments.batches}
    spent, floors = dict.fromkeys(KINDS, NOTHING_YET), dict.fromkeys((SINGLE, SMALL), 0.0)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path(__file__).parent))
        database = stack.enter_context(postgres(Path(folder, "data")))
        noop, bridge = stack.enter_context(served(App("noop_app"), App("bridge_app", database.url)))
        for app in (noop, bridge):
            run_load([app.port], "unique", WARM, "warm")
        turns = (noop, SINGLE), (bridge, SINGLE), (noop, SMALL), (bridge, SMALL), (bridge, BATCH)
        for turn in range(TURNS):
            for app, load in turns[:: -1 if turn % 2 else 1]:
                if app is noop:
                    floors[load] += floor_of(noop, KINDS[load], deliveries[load])
                else:
                    spent[load] += spent_on(database, bridge, KINDS[load], deliveries[load], f"{KINDS[load]}{turn}")
        sealed, seconds = seal_all(database.url)
    for load, many in deliveries.items():
        yield from told(load, spent[load], TURNS * many * ALERTS[load], floors.get(load))
    yield Row(case=SEALED, command=COMMAND, measured=seconds / sealed * 1e6, unit="µs")
    entries = sealed / (WARM + TURNS * sum(deliveries.values()))
    yield Row(case=ENTRIES, command=COMMAND, measured=entries, unit="entries")
    yield from compressed([file.read_bytes() for file in sorted((MAPPINGS / "samples").iterdir())])


def told(load: str, spent: Spent, alerts: int, floor: float | None) -> Iterator[Row]:
    """`floor`: processor seconds that as many took where the view does nothing."""
    intake, nothing = (None if of is None else of / alerts * 1e6 for of in (spent.intake, floor))
    yield Row(
        case=INTAKE + load,
        command=COMMAND,
        measured=intake,
        unit="µs",
        beside=FLOOR if floor is not None else "",
        beside_measured=nothing,
        ratio=spent.intake / floor if floor else None,
    )
    yield Row(case=DATABASE + load, command=COMMAND, measured=spent.database / alerts * 1e6, unit="µs")
    yield Row(case=WAL + load, command=COMMAND, measured=spent.wal / alerts / 1e3, unit="KB")
    yield Row(case=STORED + load, command=COMMAND, measured=spent.stored / alerts / 1e3, unit="KB")


def compressed(bodies: list[bytes]) -> Iterator[Row]:
    """The fastest level: others take no fewer bytes that matter."""
    before = time.process_time()
    for _ in range(COMPRESSIONS):
        sizes = [len(zlib.compress(body, 1)) for body in bodies]
    seconds = (time.process_time() - before) / COMPRESSIONS / len(bodies)
    case = "A sample that comes with the mappings compressed, zlib level 1"
    yield Row(case=case, command=COMMAND, measured=seconds * 1e6, unit="µs")
    size, whole = sum(sizes) / len(bodies) / 1e3, sum(map(len, bodies)) / len(bodies) / 1e3
    yield Row(
        case=f"{case}: its size",
        command=COMMAND,
        measured=size,
        unit="KB",
        beside="as it came",
        beside_measured=whole,
        ratio=size / whole,
    )


def seal_all(url: str) -> tuple[int, float]:
    """Entries, and the seconds that it took to seal them, without the pauses that leave room for intake."""
    signer = Signer(origin_of("bench"), Ed25519PrivateKey.generate())
    with contextlib.closing(open_store(url, utc_now)) as store:
        begin, size = time.perf_counter(), 0
        while (sealed := seal_some(store, [signer])) is not None:
            size = sealed.size
        return size, time.perf_counter() - begin


def floor_of(noop: Served, kind: str, requests: int) -> float:
    """Processor seconds."""
    before = processor_seconds(noop.pid)
    run_load([noop.port], kind, requests, "noop")
    return processor_seconds(noop.pid) - before


def spent_on(database: Postgres, bridge: Served, kind: str, requests: int, mark: str) -> Spent:
    before = spent_so_far(database, bridge.pid)
    run_load([bridge.port], kind, requests, mark)
    return spent_so_far(database, bridge.pid) - before


def spent_so_far(database: Postgres, pid: int) -> Spent:
    with psycopg.connect(database.url) as session:
        found = session.execute(
            "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())"
        ).fetchone()
        assert found is not None
        return Spent(processor_seconds(pid), processor_seconds(database.pid, children=True), int(found[0]), found[1])


if __name__ == "__main__":
    show(parser(), rows)
