"""Whether costs stay flat as the store grows, on both engines: intake, a claim, sealing, health, a start.

    python tests/bench/bench_growth.py [--engine sqlite|postgresql] [--correlations 10000 1000000 10000000]

A small store and a large one, and then a larger one, are filled (filled.py) and take turns. What is told is processor
time, of ours and of the database's process that serves us: it does not depend on what else the machine does. Then every
statement of a tour is explained in both (toured.py): those that read a large table from end to end, or touch more pages
than an index's depth explains, are counted, and printed to stderr. Ten million problems take about 17 GB (SQLite), and
then 24 (PostgreSQL), of disk while it runs: where so much is not free, its row says so.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import requests
from bench_start import BRIDGE, MAPPED, as_installed, map_many, run, wait_for
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from filled import filled, url_of
from intake_world import alert, delivery
from row import Row, at_most, ratio_at_most, show
from server import free_port, processor_seconds
from sqlalchemy import update
from stores import ENGINES
from sync_world import PASSWORD_VARIABLE, World
from toured import pages_from_file, pages_read, toured

from bridge.log.note import Signer, origin_of
from bridge.publishing import publish
from bridge.sealer import seal_some
from bridge.settings import load_settings
from bridge.store import backlog, intake, reconciling, work
from bridge.store.engine import Store
from bridge.store.prepare import PreparedDelivery
from bridge.store.tables import correlations

COMMAND = Path(__file__).name
TIMES_AIM, START_AIM = 1.3, 2
PROBLEM_BYTES = {"sqlite": 1_700, "postgresql": 2_400}  # of disk, at most, while it is filled
PAGES_TIMES_MAX, PAGES_MORE = 2, 30  # of a statement in the large store, beside the small one: an index gets deeper
BATCH = 100  # alerts of a delivery
STARTS, SCRAPES = 3, 5
NEW, KNOWN, MANY = "a new problem", "a known problem", f"{BATCH} a delivery, of new problems"
CLAIM, SEALED, HEALTH = "a claim, and what its decision looks at", "an entry of the log sealed", "what health asks"
INTAKE = "intake of an alert, "


class NeverKept(Exception):
    """Ends a transaction: what its commit costs is the disk's."""


class Life:
    """A store that lives on: what is done to it, and what that costs."""

    def __init__(self, world: World, size: int) -> None:
        self.world, self.store, self.size = world, world.store, size
        self._chance = random.Random(1)
        self._sent = 0
        self._signer = Signer(origin_of("bench"), Ed25519PrivateKey.generate())
        world.store.engine.dispose()  # one connection from here on: one process of PostgreSQL
        self._backend = _backend(world.store)

    def seconds(self) -> float:
        """Processor time of this thread and of the database's process, so far."""
        told = Path(f"/proc/{self._backend}/schedstat").read_text("ascii") if self._backend else "0"
        return time.thread_time() + int(told.split()[0]) / 1e9

    # --- what is done, so many times; each returns how many it was in the end

    def take_in(self, rules: list[list[str]]) -> int:
        for one in [self._delivery(many) for many in rules]:
            with self.store.transaction() as tx:
                intake.commit(tx, [one], self.store.now(tx))
        return sum(map(len, rules))

    def _delivery(self, rules: list[str]) -> PreparedDelivery:
        self._sent += 1
        return delivery(self.world.library, *map(alert, rules), sender_id=f"growth-{self._sent}")

    def new(self, many: int, each: int = 1) -> list[list[str]]:
        self._sent += 1
        return [[f"new-{self._sent}-{one}-{n}" for n in range(each)] for one in range(many)]

    def known(self, many: int) -> list[list[str]]:
        return [[f"copy-{self._chance.randint(1, self.size)}"] for _ in range(many)]

    def claim(self, many: int) -> int:
        for _ in range(many):
            with contextlib.suppress(NeverKept), self.store.transaction() as tx:
                lease = work.claim(tx, self.store.now(tx), paused=())
                assert lease is not None
                assert work.hold(tx, lease) is not None
                raise NeverKept
        return many

    def be_due(self, many: int) -> None:
        chosen = [one for (one,) in self.known(many)]
        with self.store.transaction() as tx:
            now = self.store.now(tx)
            tx.execute(update(correlations).values(due_at=None).where(correlations.c.due_at <= now))
            tx.execute(update(correlations).where(correlations.c.key.in_(chosen)).values(due_at=now))

    def seal(self) -> int:
        """All that waits."""
        first = size = -1
        while (sealed := seal_some(self.store, [self._signer])) is not None:
            first, size = (sealed.first if first < 0 else first), sealed.size
        return size - first

    def health(self, many: int) -> int:
        for _ in range(many):
            with self.store.reading() as tx:
                for ask in (backlog.failing, backlog.braked, reconciling.unreconciled):
                    ask(tx)
                backlog.backlog(tx, self.store.now(tx))
        return many

    # --- what it costs

    def round(self, steps: int) -> dict[str, float]:
        """Seconds of processor time for each."""
        found = {}
        batches = max(1, steps // 20)
        for name, rules in (
            (INTAKE + NEW, self.new(steps)),
            (INTAKE + KNOWN, self.known(steps)),
            (INTAKE + MANY, self.new(batches, BATCH)),
        ):
            found[name] = self._each(lambda rules=rules: self.take_in(rules))  # type: ignore[misc]
        found[SEALED] = self._each(self.seal)
        self.be_due(4 * steps)
        found[CLAIM] = self._each(lambda: self.claim(steps))
        found[HEALTH] = self._each(lambda: self.health(batches))
        return found

    def _each(self, step: Callable[[], int]) -> float:
        before = self.seconds()
        many = step()
        return (self.seconds() - before) / many

    def pages(self, steps: int) -> dict[str, float]:
        """Pages of the database that each looks at: on PostgreSQL of tables and indexes, on SQLite of the file."""
        self.be_due(4 * steps)
        return {
            CLAIM: self._pages([[""]] * steps, lambda _one: self.claim(1)),
            INTAKE + NEW: self._pages(self.new(steps), lambda one: self.take_in([one])),
            INTAKE + KNOWN: self._pages(self.known(steps), lambda one: self.take_in([one])),
        }

    def _pages(self, steps: list[list[str]], step: Callable[[list[str]], int]) -> float:
        if not self.store.is_sqlite:
            before = _looked_at(self.store)
            for one in steps:
                step(one)
            return (_looked_at(self.store) - before) / len(steps)
        found = 0
        for one in steps:
            with self.store.reading() as tx:
                before = pages_read(tx)
            step(one)
            found += pages_from_file() - before
        return found / len(steps)


def _backend(store: Store) -> int | None:
    if store.is_sqlite:
        return None
    with store.reading() as tx:
        return int(tx.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def _looked_at(store: Store) -> int:
    columns = ("heap_blks_read", "heap_blks_hit", "idx_blks_read", "idx_blks_hit", "toast_blks_hit", "tidx_blks_hit")
    total = " + ".join(f"coalesce({column}, 0)" for column in columns)
    with store.reading() as tx:
        tx.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    with store.reading() as tx:
        return int(tx.exec_driver_sql(f"SELECT sum({total}) FROM pg_statio_user_tables").scalar_one())


# --- a start


@contextlib.contextmanager
def configured(store: Store) -> Iterator[str]:
    """A bridge.yaml with this database, forty mappings that it has had before, two targets that are written to, and an
    instance that is not there."""
    with tempfile.TemporaryDirectory() as folder:
        run(*BRIDGE, "init", folder)
        config = Path(folder, "bridge.yaml")
        text = config.read_text("utf-8").replace("sqlite:///var/bridge.db", url_of(store))
        config.write_text(text.replace(":8081\n", f":{free_port()}\n"), "utf-8")
        as_installed()
        map_many(config.parent)
        publish(load_settings(config), store, actor="bench")
        yield str(config)


class Started(NamedTuple):
    seconds: float  # to the first 200
    processor: float  # seconds of its processes until then
    scrape: float  # seconds, of /metrics


def start(config: str) -> Started:
    port = free_port()
    began = time.monotonic()
    line = [*BRIDGE, "serve", "--config", config, "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        try:
            seconds = wait_for(f"http://127.0.0.1:{port}/readyz", began)
            processor = processor_seconds(process.pid, children=True)
            scrapes = []
            for _ in range(SCRAPES):
                began = time.monotonic()
                text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
                scrapes.append(time.monotonic() - began)
                assert "bridge_correlations_due " in text  # the store has answered
            return Started(seconds, processor, statistics.median(scrapes))
        finally:
            process.terminate()


# --- the story


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    os.environ[PASSWORD_VARIABLE] = "bridge"
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # nobody there knows the copies
    try:
        small, *larger = arguments.correlations
        for engine, large in product(arguments.engine, larger):
            needed, free = PROBLEM_BYTES[engine] * (small + large), shutil.disk_usage(Path(__file__).parent).free
            if needed > free:
                yield no_room(f"{ENGINES[engine]}: growth to {large:,} problems", needed, free)
                continue
            with filled(engine, small) as one, filled(engine, large) as other:
                yield from growth(ENGINES[engine], Life(one, small), Life(other, large), arguments)
    finally:
        logging.disable(before)


def no_room(case: str, needed: int, free: int) -> Row:
    note = f"it takes {needed / 1e9:,.0f} GB of disk while it runs, and {free / 1e9:,.0f} GB are free"
    return Row(case=case, command=COMMAND, measured=None, unit="µs", note=note)


def growth(engine: str, small: Life, large: Life, arguments: argparse.Namespace) -> Iterator[Row]:
    def beside(what: str, unit: str, of: tuple[float, float], ratio: float, aim: float | None) -> Row:
        """`of`: measured in the small store and in the large one."""
        return Row(
            case=f"{engine}: {what}, among {large.size:,} problems",
            command=COMMAND,
            measured=of[1],
            unit=unit,
            beside=f"among {small.size:,}",
            beside_measured=of[0],
            ratio=ratio,
            aim=ratio_at_most(aim) if aim is not None else None,
        )

    for life in (small, large):
        life.round(max(5, arguments.steps // 10))  # statements are prepared, caches warm
    rounds = []
    for number in range(arguments.rounds):
        turns = [small, large] if number % 2 else [large, small]
        costs = {life.size: life.round(arguments.steps) for life in turns}
        rounds.append((costs[small.size], costs[large.size]))
    for name in (INTAKE + NEW, INTAKE + KNOWN, INTAKE + MANY, CLAIM, SEALED, HEALTH):
        pairs = [(before[name], after[name]) for before, after in rounds]
        middle = statistics.median(one for one, _ in pairs) * 1e6, statistics.median(one for _, one in pairs) * 1e6
        ratio = statistics.median(after / before for before, after in pairs)
        yield beside(f"{name}: processor time", "µs", middle, ratio, TIMES_AIM)
    pages = small.pages(arguments.steps), large.pages(arguments.steps)
    for name in pages[0]:
        of = pages[0][name], pages[1][name]
        yield beside(f"{name}: pages looked at", "pages", of, of[1] / of[0], None)
    yield from statements(engine, small, large)
    with configured(small.store) as one, configured(large.store) as other:
        starts = [(start(one), start(other)) for _ in range(min(STARTS, arguments.rounds))]
    few, many = [Started(*map(statistics.median, zip(*of, strict=True))) for of in zip(*starts, strict=True)]
    yield replace(
        beside(
            f"bridge serve with {MAPPED} mappings, to its first 200",
            "s",
            (few.seconds, many.seconds),
            many.seconds / few.seconds,
            None,
        ),
        aim=at_most(START_AIM),
    )
    what, of = f"bridge serve with {MAPPED} mappings, processor time to its first 200", (few.processor, many.processor)
    yield beside(what, "s", of, of[1] / of[0], TIMES_AIM)
    yield beside("a scrape of /metrics", "ms", (few.scrape * 1e3, many.scrape * 1e3), many.scrape / few.scrape, None)


def statements(engine: str, small: Life, large: Life) -> Iterator[Row]:
    before, after = toured(small.world), toured(large.world)
    grown = {
        statement: (before.pages[statement], many)
        for statement, many in after.pages.items()
        if statement in before.pages and many > PAGES_TIMES_MAX * before.pages[statement] + PAGES_MORE
    }
    for name, statement in sorted(after.wholes):
        print(f"{engine}: reads all of {name}: {' '.join(statement.split())[:600]}", file=sys.stderr, flush=True)
    for statement, of in grown.items():
        print(f"{engine}: pages {of}: {' '.join(statement.split())[:600]}", file=sys.stderr, flush=True)
    case = f"{engine}: of {len(after.pages)} statements of a tour, those that"
    for what, many in (("read a large table from end to end", len(after.wholes)), ("touch more pages", len(grown))):
        yield Row(
            case=f"{case} {what}, among {large.size:,} problems",
            command=COMMAND,
            measured=many,
            unit="statements",
            aim=at_most(0),
        )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--engine", choices=ENGINES, nargs="+", default=list(ENGINES))
    sizes = [10_000, 1_000_000, 10_000_000]
    made.add_argument(
        "--correlations", type=int, nargs="+", default=sizes, help="a few, and many that are compared with them"
    )
    made.add_argument("--steps", type=int, default=200, help="of each kind in a round")
    made.add_argument("--rounds", type=int, default=5)
    return made


if __name__ == "__main__":
    show(parser(), rows)
