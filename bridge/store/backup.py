"""A copy of an SQLite database while it serves, and one that is brought back. PostgreSQL has ways of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL, Connection, func, select

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
        served.backup(copy, progress=_refuse_held)
        copy.execute("PRAGMA journal_mode=DELETE")  # in WAL mode it could not be read where nothing can be written
        _refuse_damaged(copy)
    with into.open("rb") as file:
        os.fsync(file.fileno())


def bring_back(backup: Path, database: Path, *, clock: Callable[[], datetime], actor: str) -> None:
    """The database is what the backup is, at this version's schema and marked as restored; after a crash, what it was.

    A copy beside it is upgraded and marked before anybody could serve it.

    Raises Misconfigured where a process serves the database, or the backup is from a newer version; else Permanent.
    """
    with contextlib.closing(lock_sqlite(str(database), seconds_max=0.0)), _folder_beside(database) as between:
        copied = between / database.name
        with _explained(f"{backup} is not the backup of a bridge"), _opened(backup, "ro") as kept:
            _refuse_damaged(kept)
            kept.execute("SELECT id FROM installation")
        what = f"{backup} cannot be copied to {between}"
        with _explained(what), _opened(backup, "ro") as kept, _opened(copied) as copy:
            kept.backup(copy, progress=_refuse_held)
        url = URL.create("sqlite", database=str(copied))  # what has a meaning in a URL may be in a path
        with contextlib.closing(open_store(url.render_as_string(), clock)) as store:
            upgrade_store(store, actor=actor)
            with store.transaction() as tx:
                mark(tx, store.now(tx), actor=actor)
        make_private(database)
        what, away = f"{database} cannot be written over", "move it away, with what lies beside it (-wal, -shm)"
        with _explained(what, damaged=away), _opened(copied, "ro") as copy, _opened(database) as served:
            copy.backup(served, progress=_refuse_held)  # one transaction of SQLite's


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
def _folder_beside(database: Path) -> Iterator[Path]:
    """Always the same one, while the lock is held: what a restore that was killed has left is removed by the next."""
    folder = database.with_name(f".{database.name}.restoring")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


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


def _refuse_held(status: int, _left: int, _pages: int) -> None:
    """Python's own `backup` would try again for ever, and not hear Ctrl-C."""
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise sqlite3.OperationalError("another program is writing to it: end that one")


@contextlib.contextmanager
def _explained(what: str, *, damaged: str = "") -> Iterator[None]:
    """`damaged`: what is to be done where the file itself is at fault, not the disk, its rights or who holds it."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        remedy = damaged if not isinstance(error, (sqlite3.OperationalError, OSError)) else ""
        raise Permanent("backup_failed", f"{what}: {error}{f' ({remedy})' if remedy else ''}") from error
