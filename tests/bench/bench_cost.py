"""What an alert costs: processor time of the process that takes it in and of PostgreSQL, and bytes of its WAL; and what
compressing its body would.

    python tests/bench/bench_cost.py [--requests N] [--batches N]

Rates are what one machine gives; processor time for each alert is what docs/scaling.md reckons with. One intake
process, under the load of the other benchmarks; autovacuum and checkpoints of the time are in PostgreSQL's share.
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
from bench_intake import App, processor_seconds, served
from loads import ALERTS_PER_BATCH, MAPPINGS, run_load
from postgres import Postgres, postgres
from row import Row, show

from bridge.log.note import Signer, origin_of
from bridge.sealer import seal_some
from bridge.store.engine import open_store
from bridge.wiring import utc_now

COMMAND = Path(__file__).name
COMPRESSIONS = 20  # of each body
WARM = 200  # deliveries before it is measured
# As the table, and docs/scaling.md, name them.
SINGLE, SMALL, BATCH = "one of 4 KB a delivery", "one of 1 KB a delivery", f"{ALERTS_PER_BATCH} of 1 KB a delivery"
ALERTS = {SINGLE: 1, SMALL: 1, BATCH: ALERTS_PER_BATCH}  # of a delivery
INTAKE = "PostgreSQL: an alert's processor time at intake, "
DATABASE = "PostgreSQL: an alert's processor time in PostgreSQL, "
WAL = "PostgreSQL: an alert's WAL, "
STORED = "PostgreSQL: what an alert adds to the database, "
SEALED = "PostgreSQL: an entry of the log sealed, by the one process that does it"
ENTRIES = "PostgreSQL: entries of the log for a delivery"


class Spent(NamedTuple):
    intake: float  # seconds of processor time
    database: float
    wal: int  # bytes
    stored: int  # bytes, indexes too


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=6_000)
    made.add_argument("--batches", type=int, default=200)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path(__file__).parent))
        database = stack.enter_context(postgres(Path(folder, "data")))
        apps = stack.enter_context(served(App("noop_app"), App("bridge_app", database.url)))
        (noop, noop_pid), (port, pid) = apps
        run_load([noop], "unique", WARM, "warm")
        run_load([port], "unique", WARM, "warm")
        floors = [floor_of(noop, noop_pid, kind, arguments.requests) for kind in ("unique", "small")]
        singles = spent_on(database, pid, port, "unique", arguments.requests)
        smalls = spent_on(database, pid, port, "small", arguments.requests)
        batches = spent_on(database, pid, port, "batch", arguments.batches)
        sealed, seconds = seal_all(database.url)
    alerts = arguments.batches * ALERTS_PER_BATCH
    yield from told(SINGLE, singles, arguments.requests, floors[0])
    yield from told(SMALL, smalls, arguments.requests, floors[1])
    yield from told(BATCH, batches, alerts, None)
    yield Row(case=SEALED, command=COMMAND, measured=seconds / sealed * 1e6, unit="µs")
    entries = sealed / (WARM + 2 * arguments.requests + arguments.batches)
    yield Row(case=ENTRIES, command=COMMAND, measured=entries, unit="entries")
    yield from compressed([file.read_bytes() for file in sorted((MAPPINGS / "samples").iterdir())])


def told(load: str, spent: Spent, alerts: int, floor: float | None) -> Iterator[Row]:
    """`floor`: processor seconds that a view which does nothing takes for as much."""
    intake = spent.intake / alerts
    yield Row(
        case=INTAKE + load,
        command=COMMAND,
        measured=intake * 1e6,
        unit="µs",
        beside="no-op Flask view" if floor is not None else "",
        beside_measured=floor * 1e6 if floor is not None else None,
        ratio=intake / floor if floor else None,
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


def floor_of(port: int, pid: int, kind: str, requests: int) -> float:
    """Processor seconds of a delivery."""
    before = processor_seconds(pid)
    run_load([port], kind, requests, "noop")
    return (processor_seconds(pid) - before) / requests


def spent_on(database: Postgres, pid: int, port: int, kind: str, requests: int) -> Spent:
    before = spent_so_far(database, pid)
    run_load([port], kind, requests, f"cost-{kind}")
    after = spent_so_far(database, pid)
    return Spent(*(so_far - then for so_far, then in zip(after, before, strict=True)))


def spent_so_far(database: Postgres, pid: int) -> Spent:
    with psycopg.connect(database.url) as session:
        found = session.execute(
            "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())"
        ).fetchone()
        assert found is not None
        return Spent(processor_seconds(pid), processor_seconds(database.pid, children=True), int(found[0]), found[1])


if __name__ == "__main__":
    show(parser(), rows)
