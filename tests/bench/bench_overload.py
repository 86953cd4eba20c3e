"""Three times as much as can be taken: how long what is accepted takes, what it costs in memory, and that none is lost.

    python tests/bench/bench_overload.py [--seconds N] [--engine sqlite|postgresql]

Each commit takes so much longer (SLOWED_SECONDS), as if the disk did: so the bridge is the limit, and not the
processors that the load takes too. First it is found how much is accepted, with a connection for each thread; then
three times that comes at a fixed rate, whether answers come or not. 4 KB alerts, signed, each a problem of its own.

Beside it is what the writer's pause after a batch does, at that rate and at half of it. A quantile beside another is of
all by itself, and not of the same deliveries.

What is too much waits, unread, for a thread: up to 1,000 connections of a process (gunicorn's limit), and then in the
kernel's backlog. An alert's time in the app is from where the app is given it, its head read and its body not, to its
answer; what it waited before stands in the sender's time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flood import Flooded, run_flood
from loads import Loaded, run_load, shortest
from row import Row, at_most, ratio_at_least, show
from row import told as figure
from server import App, bridge_app, resident_bytes, served
from sqlalchemy import select
from stores import stores

from bridge.store.engine import open_store
from bridge.store.tables import alerts
from bridge.wiring import utc_now

if TYPE_CHECKING:
    from flask import Flask

COMMAND = Path(__file__).name
PROCESSES = {"sqlite": 1, "postgresql": 2}
NAMES = {"sqlite": "SQLite, slow commits", "postgresql": "PostgreSQL, 2 processes of 16 threads, slow commits"}
THREADS = {"sqlite": 32, "postgresql": 16}  # of each process: 32 of two would take all processors here
AS_SERVED, HASTY = "as it is served", "without the pause after a batch"
SLOWED_SECONDS, WRITE_EVERY_SECONDS = 0.08, 0.02
FOUND_BY = 1_000  # deliveries
TIMES = 4  # of what is accepted, so that it is three times also where more is accepted than before
TIMES_AIM, P99_MS_AIM, MEGABYTES_AIM = 3, 250, 300


def slowed_app() -> Flask:
    """The bridge, its commits slowed; each answer says how long it took here, and its transaction."""
    from bridge.store import engine, writer

    real, transaction = writer.commit, engine.Store.in_transaction
    storing = [0.0]  # seconds of the last transaction: the next one is not over when an answer goes out

    def slowed(tx: Any, deliveries: Any, now: Any) -> Any:
        answers = real(tx, deliveries, now)
        time.sleep(SLOWED_SECONDS)
        return answers

    def measured(store: Any, work: Any, name: str = "") -> Any:
        began = time.perf_counter()
        done = transaction(store, work, name)
        if name == "intake":
            storing[0] = time.perf_counter() - began
        return done

    writer.commit, engine.Store.in_transaction = slowed, measured  # type: ignore[method-assign]
    app = bridge_app()
    app.wsgi_app = timed(app.wsgi_app, storing)  # type: ignore[method-assign]
    return app


def slowed_hasty_app() -> Flask:
    from bridge.store import writer

    writer.GATHER_SECONDS_MAX = 0
    return slowed_app()


def timed(inner: WSGIApplication, storing: list[float]) -> WSGIApplication:
    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            took = ("X-Seconds", f"{time.perf_counter() - began:.6f}"), ("X-Storing", f"{storing[0]:.6f}")
            return start_response(status, [*headers, *took], *more)

        return inner(environ, start)  # type: ignore[arg-type]

    return outer


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--seconds", type=float, default=15.0, help="of the overload")
    made.add_argument("--engine", choices=PROCESSES, action="append", help="both unless one is named")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    for engine in arguments.engine or PROCESSES:
        many, threads = PROCESSES[engine], THREADS[engine]
        with (
            stores(engine, 2) as (database, others),
            served(
                *[App("bench_overload:slowed_app", database, threads)] * many,
                *[App("bench_overload:slowed_hasty_app", others, threads)] * many,
            ) as served_apps,
        ):
            ports = {
                AS_SERVED: [app.port for app in served_apps[:many]],
                HASTY: [app.port for app in served_apps[many:]],
            }
            found_by = int(min(FOUND_BY, 100 * arguments.seconds))
            full = {way: run_load(ports[way], "unique", found_by, "found") for way in (HASTY, AS_SERVED)}
            half_rate = full[HASTY].rate / 2
            half = {way: run_flood(ports[way], int(found_by / 2), half_rate, "half") for way in (HASTY, AS_SERVED)}
            offered = TIMES * full[AS_SERVED].rate
            with written_meanwhile() as writes:
                flooded = run_flood(ports[AS_SERVED], int(offered * arguments.seconds), offered, "flood")
            stored = times_stored(database)
            resident = max(resident_bytes(app.pid, "VmHWM") for app in served_apps[:many])
        yield from paused(NAMES[engine], full, half)
        yield from told(f"{NAMES[engine]}, 3 times too much", flooded, stored, resident, writes)


@contextlib.contextmanager
def written_meanwhile() -> Iterator[list[float]]:
    """Seconds of each 4 KB written and fsync, now and then, on the file system of the databases: what the disk does."""
    took: list[float] = []
    over = threading.Event()

    def write(file: BinaryIO) -> None:
        while not over.wait(WRITE_EVERY_SECONDS):
            began = time.perf_counter()
            file.write(bytes(4_096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)

    with tempfile.TemporaryFile(dir=Path(__file__).parent, buffering=0) as file:
        writing = threading.Thread(target=write, args=[file])
        writing.start()
        try:
            yield took
        finally:
            over.set()
            writing.join()


def paused(case: str, full: dict[str, Loaded], half: dict[str, Flooded]) -> Iterator[Row]:
    """What the writer's pause after a batch is for, and what it costs those who come one by one."""
    rates = {way: loaded.rate for way, loaded in full.items()}
    took = {way: quantile_ms(loaded.took, 50) for way, loaded in full.items()}
    yield compared(f"{case}: accepted from a connection for each thread", "requests/s", rates, shortest(full.values()))
    yield compared(f"{case}: the same, p50", "ms", took, shortest(full.values()))
    for which in (50, 99):
        in_app = {way: quantile_ms(flooded.in_app, which) for way, flooded in half.items()}
        yield compared(f"{case}: half as much comes, whether answers come or not, in the app, p{which}", "ms", in_app)


def compared(case: str, unit: str, figures: dict[str, float], seconds: float | None = None) -> Row:
    measured, without = figures[AS_SERVED], figures[HASTY]
    return Row(
        case=case,
        command=COMMAND,
        measured=measured,
        unit=unit,
        beside=HASTY,
        beside_measured=without,
        ratio=measured / without,
        shortest=seconds,
    )


def times_stored(database: str) -> dict[str, int]:
    """Of every delivery, how many alerts its problem has, of which no other tells."""
    with contextlib.closing(open_store(database, utc_now)) as store, store.reading() as tx:
        found = tx.execute(select(alerts.c.delivery_id, alerts.c.correlation)).all()
    times = Counter(one.correlation for one in found)
    return {str(one.delivery_id): times[one.correlation] for one in found}


def told(case: str, flooded: Flooded, stored: dict[str, int], resident: int, writes: list[float]) -> Iterator[Row]:
    if flooded.others:
        raise SystemExit(f"{case}: answered neither 200 nor 503: {flooded.others}")
    accepted = len(flooded.accepted)
    ends = accepted + flooded.refused + flooded.given_up + flooded.broken + flooded.unsent
    if ends != flooded.offered:
        raise SystemExit(f"{case}: {flooded.offered} were offered, and {ends} are told of")
    excess = f"{flooded.refused:,} answered 503, {flooded.given_up:,} given up after 10 s, {flooded.broken:,} cut off"
    excess += f", {flooded.unsent:,} not sent for want of a connection"
    # What was not sent never came to the bridge, and is no load.
    offered, rate = (flooded.offered - flooded.unsent) / flooded.sending, accepted / flooded.seconds
    yield Row(
        case=f"{case}: offered",
        command=COMMAND,
        measured=offered,
        unit="requests/s",
        beside="accepted",
        beside_measured=rate,
        ratio=offered / rate,
        aim=ratio_at_least(TIMES_AIM),
        note=f"of {flooded.offered:,}: {excess}",
    )
    yield Row(
        case=f"{case}: 4 KB written and fsync meanwhile, at most",
        command=COMMAND,
        measured=max(writes) * 1e3,
        unit="ms",
        note=f"p50 {figure(quantile_ms(writes, 50))} ms, p99 {figure(quantile_ms(writes, 99))} ms",
    )
    lost = sum(stored.get(delivery) != 1 for delivery in flooded.accepted)
    for which, reached_by in ((50, None), (99, at_most(P99_MS_AIM))):
        in_app, storing = quantile_ms(flooded.in_app, which), quantile_ms(flooded.storing, which)
        yield Row(
            case=f"{case}: an accepted one in the app, p{which}",
            command=COMMAND,
            measured=in_app,
            unit="ms",
            beside=f"its transaction alone, p{which}",
            beside_measured=storing,
            ratio=in_app / storing,
            aim=reached_by,
        )
    for what, measured, unit, aim, note in (
        ("an accepted one at the sender, p99", quantile_ms(flooded.took, 99), "ms", None, ""),
        ("lost, or stored twice", lost, "deliveries", at_most(0), f"of {accepted:,} accepted"),
        ("resident memory of a process, at most", resident / 1e6, "MB", at_most(MEGABYTES_AIM), ""),
    ):
        yield Row(case=f"{case}: {what}", command=COMMAND, measured=measured, unit=unit, aim=aim, note=note)


def quantile_ms(took: list[float], which: int) -> float:
    return statistics.quantiles(took, n=100)[which - 1] * 1e3


if __name__ == "__main__":
    show(parser(), rows)
