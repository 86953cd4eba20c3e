"""Every statement of a life in a store, explained: which read a large table from end to end, and the pages of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, event, update
from sync_world import World

from bridge.pruning import Pruning
from bridge.settings import Retention
from bridge.store import backlog, lamps, reconciling, revisions, schema, work
from bridge.store.engine import Store
from bridge.store.reconciler_tables import reconcilers
from bridge.store.start import void_leases, wake_observed
from bridge.store.tables import correlations, metadata

LARGE = 5_000  # rows
# Indexes of what is out of the ordinary: they are there to be read from end to end.
SMALL = (
    *("correlations_braked", "correlations_failing", "correlations_unapplied", "correlations_observed"),
    *("alerts_quarantined", "incidents_leased", "incidents_open", "log_entries_by_xact", "additions_due"),
)
PRUNED = 3  # batches of a pass
SQLITE_PAGE = 4_096


class Toured(NamedTuple):
    wholes: set[tuple[str, str]]  # (table, statement)
    pages: dict[str, int]  # by statement


def toured(world: World) -> Toured:
    return explained(world.store, tour(world))


def tour(world: World) -> dict[str, Any]:
    """statement -> its parameters: of a problem's life, the reconciler's, a start's, and of a pass of retention."""
    store, seen = world.store, {}

    def note(_c: Any, _u: Any, statement: str, given: Any, _x: Any, many: bool) -> None:
        seen.setdefault(statement, given[0] if many else given)

    with store.transaction() as tx:  # of the copies nothing is due
        tx.execute(update(correlations).values(due_at=None).where(correlations.c.due_at <= store.now(tx)))
    event.listen(store.engine, "before_cursor_execute", note)
    for more in ({}, {"level": "critical"}, {"state": "resolved"}):
        world.fire("tour", **more)
        world.idle()
    with store.reading() as tx:
        for ask in (backlog.failing, backlog.braked, reconciling.unreconciled, revisions.newest, schema.problem):
            ask(tx)
        lamps.troubles(tx, ["probe"])
        backlog.backlog(tx, store.now(tx))
        work.creates_since(tx, "itsm", store.now(tx), but=None)
    with store.transaction() as tx:
        if store.is_sqlite:
            void_leases(tx)
        wake_observed(tx, ["itsm"], store.now(tx))
        tx.execute(update(reconcilers).values(due_at=store.now(tx), sweep_at=store.now(tx)))
    world.reconciler.sweep()
    passing = Pruning(store=store, retention=Retention(), actor="bench", undo=True).batches()
    list(itertools.islice(passing, PRUNED))
    event.remove(store.engine, "before_cursor_execute", note)
    return seen


def explained(store: Store, statements: dict[str, Any]) -> Toured:
    found = Toured(set(), {})
    for statement, given in statements.items():
        if not statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            continue
        with store.engine.connect() as tx, tx.begin() as never_kept:
            scanned, found.pages[statement] = (_sqlite if store.is_sqlite else _postgresql)(tx, statement, given)
            never_kept.rollback()
        found.wholes.update((name, statement) for name in scanned & set(metadata.tables) if _is_large(store, name))
    return found


def _postgresql(tx: Connection, statement: str, given: Any) -> tuple[set[str], int]:
    options = "ANALYZE, BUFFERS, FORMAT JSON"
    plan = tx.exec_driver_sql(f"EXPLAIN ({options}) {statement}", given).scalar_one()[0]["Plan"]
    scanned = {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}
    return scanned, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)


def _sqlite(tx: Connection, statement: str, given: Any) -> tuple[set[str], int]:
    details = [row.detail for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]
    before = pages_read(tx)
    result = tx.exec_driver_sql(statement, given)
    if result.returns_rows:
        result.all()
    return {one.split()[1] for one in details if one.startswith("SCAN ") and not one.endswith(SMALL)}, (
        pages_from_file() - before
    )


def pages_read(tx: Connection) -> int:
    """SQLite: read by this thread so far. What it kept of them is forgotten: each is read again where it is needed."""
    tx.exec_driver_sql("PRAGMA shrink_memory")
    return pages_from_file()


def pages_from_file() -> int:
    lines = Path("/proc/thread-self/io").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1]) // SQLITE_PAGE


def _is_large(store: Store, table: str) -> bool:
    with store.reading() as tx:
        return tx.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1 OFFSET {LARGE}").first() is not None
