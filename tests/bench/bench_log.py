"""What the correlation log costs intake, and how far its seals are behind while intake is under full load.

    python tests/bench/bench_log.py [--engine sqlite|postgresql] [--requests N] [--pairs N]

Two servers as bench_intake has them, each with its own database: one writes the log and seals it, one does neither.
They take the same load in turn, in pairs; the cost is the median of what each pair shows. Processor time tells the same
where other work on the machine takes turns with ours.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from loads import Loaded, run_load, shortest
from row import Row, at_most, ratio_at_least, show
from server import App, bridge_app, processor_seconds, served
from stores import ENGINES, stores

from bridge.log.note import Signer
from bridge.sealer import Sealer
from bridge.store.engine import Store, open_store
from bridge.store.sealing import waiting
from bridge.wiring import utc_now

if TYPE_CHECKING:
    from flask import Flask

COMMAND = Path(__file__).name
COST_AIM, LAG_AIM = 0.05, 2.0
LOOK_SECONDS = 0.05  # between two looks at how far sealing is behind
SIGNER = Signer("incident-bridge/bench", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def with_log() -> Flask:
    return bridge_app(lambda store: Sealer(store, lambda: [SIGNER]).start())


def without_log() -> Flask:
    from bridge.store import intake

    intake._entries = lambda *_: []  # type: ignore[assignment]
    return bridge_app()


@contextlib.contextmanager
def lag_watched(store: Store, seconds: list[float]) -> Iterator[None]:
    """How old the oldest entry is that is not sealed, looked at again and again, and once in the end."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            seconds.append(lag(store))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            over.set()
        watching.result()  # a look that failed is no lag of nothing
    seconds.append(lag(store))


def lag(store: Store) -> float:
    with store.reading() as tx:
        oldest = waiting(tx, 1).oldest_at
        return (store.now(tx) - oldest).total_seconds() if oldest is not None else 0.0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=3_000, help="of each turn")
    made.add_argument("--pairs", type=int, default=9)
    made.add_argument("--engine", choices=ENGINES, help="default: one after the other")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    for engine in [arguments.engine] if arguments.engine else ENGINES:
        with stores(engine, 2) as (plain, logged):
            yield from compare(engine, plain, logged, arguments)


def compare(engine: str, plain: str, logged: str, arguments: argparse.Namespace) -> Iterator[Row]:
    rates: dict[str, list[float]] = {"without": [], "with": []}
    work: dict[str, list[float]] = {"without": [], "with": []}  # processor seconds of the server for each turn
    with (
        served(App("bench_log:without_log", plain), App("bench_log:with_log", logged)) as apps,
        contextlib.closing(open_store(logged, utc_now)) as store,
    ):
        servers = dict(zip(rates, apps, strict=True))
        seconds: list[float] = []
        loads: list[Loaded] = []
        for pair in range(arguments.pairs):
            for kind in list(rates) if pair % 2 else list(rates)[::-1]:
                port, worker = servers[kind]
                before = processor_seconds(worker)
                with lag_watched(store, seconds) if kind == "with" else contextlib.nullcontext():
                    loads.append(run_load([port], "unique", arguments.requests, f"{kind}{pair}"))
                work[kind].append(processor_seconds(worker) - before)
                rates[kind].append(loads[-1].rate)
    for case, unit, measured, aim in (
        ("intake with the log", "requests/s", rates, ratio_at_least(1 - COST_AIM)),
        ("processor time of intake with the log", "s", work, None),
    ):
        ratios = [on / off for off, on in zip(measured["without"], measured["with"], strict=True)]
        yield Row(
            case=f"{ENGINES[engine]}: {case}",
            command=COMMAND,
            measured=statistics.median(measured["with"]),
            unit=unit,
            beside="without it",
            beside_measured=statistics.median(measured["without"]),
            ratio=statistics.median(ratios),
            aim=aim,
            shortest=shortest(loads),
            note=f"{min(ratios):.2f} to {max(ratios):.2f} in {arguments.pairs} pairs",
        )
    yield Row(
        case=f"{ENGINES[engine]}: sealing lag under full load, at most",
        command=COMMAND,
        measured=max(seconds),
        unit="s",
        aim=at_most(LAG_AIM),
    )


if __name__ == "__main__":
    show(parser(), rows)
