"""A copy of an SQLite database while it serves, and one that is brought back. PostgreSQL has ways of its own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, select

from bridge.errors import Permanent
from bridge.log.entries import Action, Entry, append
from bridge.store.engine import make_private, open_store
from bridge.store.reconciling import mark_restored
from bridge.store.schema import upgrade_store
from bridge.store.start import lock_sqlite
from bridge.store.tables import deliveries, installation


def back_up(database: Path, into: Path) -> None:
    """All that is committed at one moment, in one file, on disk when this returns. Who serves goes on and waits for
    nothing; the WAL grows by what is written meanwhile.

    Raises Permanent("backup_failed"), after which `into` is worth nothing.
    """
    with _explained(f"{database} cannot be copied"), _opened(database, "ro") as served, _opened(into) as copy:
        served.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # in WAL mode it could not be read where nothing can be written
        _refuse_damaged(copy)
    with into.open("rb") as file:
        os.fsync(file.fileno())


def bring_back(backup: Path, database: Path, between: Path, *, clock: Callable[[], datetime], actor: str) -> None:
    """The database is what the backup is, at this version's schema and marked as restored; after a crash, what it was.

    `between`: an empty folder, for a copy, which is upgraded and marked before anybody could serve it.

    Raises Misconfigured where a process serves the database, or the backup is from a newer version; else Permanent.
    """
    copied = between / database.name
    with contextlib.closing(lock_sqlite(str(database), seconds_max=0.0)):
        with _explained(f"{backup} is not the backup of a bridge"), _opened(backup, "ro") as kept:
            _refuse_damaged(kept)
            kept.execute("SELECT id FROM installation")
            with _opened(copied) as copy:
                kept.backup(copy)
        with contextlib.closing(open_store(f"sqlite:///{copied}", clock)) as store:
            upgrade_store(store, actor=actor)
            with store.transaction() as tx:
                mark(tx, store.now(tx), actor=actor)
        make_private(database)
        away = f"{database} cannot be written over: move it away, with what lies beside it (-wal, -shm)"
        with _explained(away), _opened(copied, "ro") as copy, _opened(database) as served:
            copy.backup(served)  # one transaction of SQLite's


def mark(tx: Connection, now: datetime, *, actor: str) -> None:
    """At a person's word, for the anchors need not know: what is to be made is looked for until all has been seen.

    Raises Permanent where no bridge has ever served this database: it is another one that was meant.
    """
    if tx.execute(select(installation.c.id)).first() is None:
        raise Permanent("never_served", "no bridge has ever served what was brought back: there is nothing in it")
    mark_restored(tx, now)
    append(tx, Entry(at=now, action=Action.RESTORED, actor=actor, reason="by_command"))


def newest_delivery(tx: Connection) -> datetime | None:
    received: datetime | None = tx.execute(select(func.max(deliveries.c.received_at))).scalar()
    return received


@contextlib.contextmanager
def _opened(path: Path, mode: str = "rwc") -> Iterator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        yield connection


def _refuse_damaged(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {found}")


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Permanent("backup_failed", f"{what}: {error}") from error
