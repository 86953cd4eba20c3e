"""A PostgreSQL database that a dump brought into another cluster: its entries carry the old one's transaction numbers.

The log's horizon counts by those. Where the new cluster counts from lower on, what is written there would look as if it
had been sealed long ago. So a start looks, and each seal. Within a cluster numbers only rise: through crashes,
failovers and restores of its files too.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, select, text, update

from bridge.store.log_tables import log_head, log_seals
from bridge.store.sealing import Horizon, unpacked
from bridge.typed import decode

IDS_AT_ONCE = 10_000
SEALED = -1  # the transaction of what another cluster has sealed: before every horizon


def renumber_if_moved(tx: Connection) -> bool:
    """Entries that are sealed get a number that says so, all others this transaction's. True: it was needed.

    It rewrites every entry, once. Nobody waits for it but the seals.
    """
    if tx.dialect.name == "sqlite":
        return False
    query = select(log_head.c.horizon)
    found = tx.execute(query).scalar()
    if found is None or not _is_ahead(tx, found):
        return False
    # One process does it; the others wait here, and find nothing left to do.
    if not _is_ahead(tx, str(tx.execute(query.with_for_update()).scalar())):
        return False
    # The snapshot first: what commits after it is not sealed by the new horizon, and may be renumbered or not.
    end, mine, running = _now(tx)
    sealed = array("q", sorted(_sealed_ids(tx)))
    for at in range(0, len(sealed), IDS_AT_ONCE):
        ids = list(sealed[at : at + IDS_AT_ONCE])
        tx.execute(text("UPDATE log_entries SET xact = :sealed WHERE id = ANY(:ids)"), {"sealed": SEALED, "ids": ids})
    tx.execute(text("UPDATE log_entries SET xact = :mine WHERE xact <> :sealed"), {"mine": mine, "sealed": SEALED})
    horizon = Horizon(end=end, running=tuple(sorted({*running, mine} if mine < end else running)))
    tx.execute(update(log_head).values(horizon=msgspec.json.encode(horizon).decode()))
    return True


def _is_ahead(tx: Connection, horizon: str) -> bool:
    """No transaction of this cluster has come as far as the horizon."""
    newest = tx.exec_driver_sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").scalar_one()
    return bool(decode(horizon.encode(), Horizon).end > newest)


def _now(tx: Connection) -> tuple[int, int, list[int]]:
    """(end, this transaction, running) of a snapshot of this moment."""
    row = tx.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint, pg_current_snapshot()::text").one()
    _, end, listed = row[1].split(":")
    return int(end), row[0], [int(one) for one in listed.split(",") if one]


def _sealed_ids(tx: Connection) -> Iterator[int]:
    for row in tx.execute(select(log_seals.c.ids)):
        yield from unpacked(row.ids)
