"""What a serving process does to the store before it serves: its identity, its lock, and leases that nobody holds."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
from sqlalchemy import Connection, select, true, update

from bridge.errors import Misconfigured, Problem
from bridge.store.engine import make_file
from bridge.store.few import IS_LEASED, IS_OBSERVED
from bridge.store.reconciler_tables import reconcilers
from bridge.store.tables import additions, correlations, incidents, installation
from bridge.typed import decode

LOCK_SECONDS_MAX = 10.0  # a predecessor that drains gets this long

_log = logging.getLogger(__name__)


def installation_id(tx: Connection, now: datetime) -> str:
    """The identity of this store: marks our records in ServiceNow. Made once, on the first start."""
    found = tx.execute(select(installation.c.id)).scalar()
    if found is None and tx.dialect.name != "sqlite":  # there the transaction's own write lock serves
        tx.exec_driver_sql("LOCK TABLE installation IN EXCLUSIVE MODE")
        found = tx.execute(select(installation.c.id)).scalar()  # of a process that was quicker
    if found is None:
        found = secrets.token_hex(4)
        tx.execute(installation.insert().values(id=found, created_at=now))
    return str(found)


def configured_anew(tx: Connection, keys: Mapping[str, str]) -> dict[str, str] | None:
    """The last start's configuration, key by key; this one stands in its place now. None: there was none."""
    raw = tx.execute(select(installation.c.configuration)).scalar()
    tx.execute(update(installation).values(configuration=msgspec.json.encode(keys, order="sorted")))
    return decode(raw, dict[str, str]) if raw is not None else None


def void_leases(tx: Connection) -> None:
    """Only where one process serves (SQLite): with its lock held, no lease can belong to a living holder."""
    due = additions.c.due_at.is_not(None)  # what is not cannot be claimed, whoever holds it
    for leased, where in ((incidents, IS_LEASED), (additions, due), (reconcilers, true())):
        tx.execute(update(leased).where(where, leased.c.lease_until.is_not(None)).values(lease_until=None))


def wake_observed(tx: Connection, targets: list[str], now: datetime) -> None:
    """What was only observed and still fires becomes due, now that these targets are written to."""
    tx.execute(update(correlations).where(correlations.c.target.in_(targets), IS_OBSERVED).values(due_at=now))


def lock_sqlite(database: str, *, seconds_max: float = LOCK_SECONDS_MAX) -> IO[str]:
    """Hold `<db>.lock` while the file returned stays open. Raises Misconfigured when another serves this database.

    The file names the process that holds it, for whoever waits.
    """
    path = Path(f"{os.path.realpath(database)}.lock")
    make_file(path, 0o644)
    file = path.open("a")
    until, told = time.monotonic() + seconds_max, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                file.close()
                hint = "stop the other one, or give this one a database of its own"
                raise Misconfigured([Problem(str(path), 0, 0, _served_by(path), hint)]) from None
            if not told:
                _log.warning("%s: waiting %d s for it to stop", _served_by(path), seconds_max)
                told = True
            time.sleep(0.1)
        else:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file


def _served_by(path: Path) -> str:
    text = path.read_text(errors="replace")
    return "another bridge serves this database" + (f" (process {text})" if text.isdecimal() else "")
