"""Opening the store: one visible transaction at a time, durable when it returns, on SQLite or PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.crashpoint import crashpoint
from bridge.errors import Misconfigured, Problem, Transient

SQLITE_REMEDIES = {  # by the start of SQLite's name for the error
    "SQLITE_FULL": "free space where the database lies",
    "SQLITE_READONLY": "the file, or where it lies, cannot be written: look at its owner, mode and file system",
    "SQLITE_CANTOPEN": "look at the path of `database`, and at the owner and mode of its folder",
    "SQLITE_NOTADB": "the file is there and is no database of SQLite: look at the path of `database`",
    "SQLITE_CORRUPT": "the file is damaged: stop the bridge, move it away, and `bridge db restore` a backup",
    "SQLITE_IOERR": "look at the disk, and at the system's log",
}
# That a connection keeps compiled: intake has six, others for each number of rows, and to compile one of 14 rows takes
# four times as long as to run it. All of them for up to 32 rows take 3 MB.
SQLITE_STATEMENTS = 512
SQLITE_BUSY_SECONDS = 10  # a command may hold the write lock this long before we give up
ATTEMPTS_MAX = 5  # of one transaction, when another process won a race or holds the other lock of a deadlock

# PostgreSQL over a network: a server that vanished without a word is noticed within five seconds; one that is only slow
# still acknowledges. Of several hosts, the one that can be written to. The URL may say otherwise.
POSTGRES_DEFAULTS = {
    "connect_timeout": 3,  # seconds, for each address that the name has
    "keepalives_idle": 2,  # seconds
    "keepalives_interval": 1,  # seconds
    "keepalives_count": 2,
    "tcp_user_timeout": 4_000,  # milliseconds that what was sent may stay unacknowledged
    "target_session_attrs": "read-write",
}
READ_ONLY = "25006"  # PostgreSQL: read_only_sql_transaction
POSTGRES_REMEDIES = {  # by SQLSTATE
    READ_ONLY: "it is a standby, or default_transaction_read_only is on: name the primary too, or make this one it",
    "53100": "free space where PostgreSQL keeps its data",
    "53300": "raise max_connections, or run fewer processes of the bridge",
}
RESTED_SECONDS_MAX = 1.0  # a connection that rested longer is tried before it is used
CONFLICTS = ("40P01", "40001", "55P03")  # PostgreSQL: deadlock_detected, serialization_failure, lock_not_available
# Errors of a driver that say nothing of the data. DatabaseError itself: an SQLite file that is damaged, or is none.
UNAVAILABLE = ("OperationalError", "InterfaceError", "InternalError", "DatabaseError")

T = TypeVar("T")


class Conflict(Transient):
    """Another process was quicker, or PostgreSQL ended one of two that waited for each other: begin again, at once."""

    def __init__(self) -> None:
        super().__init__("store_conflict", "another process changed the same rows first", retry_after=0)


class Store:
    """An engine, its clock and, on SQLite, the lock that lets in-process writers queue fairly instead of polling."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.file = (engine.url.database or "") if self.is_sqlite else ""
        self._clock = clock
        self._writer = threading.RLock()
        self._glancing = engine.execution_options(isolation_level="AUTOCOMMIT") if not self.is_sqlite else engine

    @contextlib.contextmanager
    def transaction(self, name: str = "") -> Iterator[Connection]:
        """A write transaction. Committed, and on disk, when the block ends; rolled back when it raises.

        Raises Transient("store_unavailable") when the database cannot be reached, is locked, full, read-only or
        damaged, and Conflict. `name`, of crashpoint.COMMITS: what a test can die at.
        """
        queue = self._writer if self.is_sqlite else contextlib.nullcontext()
        with queue, translated(), self.engine.begin() as connection:
            yield connection
            if name:
                crashpoint(f"{name}:commit")
        if name:
            crashpoint(f"{name}:committed")

    @contextlib.contextmanager
    def trial(self) -> Iterator[Connection]:
        """As `transaction`, and all of it is taken back: what would be done, for whoever asks first."""
        queue = self._writer if self.is_sqlite else contextlib.nullcontext()
        with queue, translated(), self.engine.connect() as connection:
            try:
                yield connection
            finally:
                connection.rollback()

    def in_transaction(self, work: Callable[[Connection], T], name: str = "") -> T:
        """`work` in a transaction of its own, begun again after a Conflict. Raises Transient as `transaction` does."""
        for _ in range(ATTEMPTS_MAX):
            with contextlib.suppress(Conflict), self.transaction(name) as tx:
                return work(tx)
        raise Transient("store_busy", "other processes kept changing the same rows first", retry_after=1)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only view: on SQLite it never waits for the writer."""
        with translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.info["deferred"] = True
            try:
                yield connection
            finally:
                connection.rollback()
                connection.info.pop("deferred", None)

    @contextlib.contextmanager
    def glance(self) -> Iterator[Connection]:
        """As `reading`, for what is asked in every round: on PostgreSQL each statement is a transaction, and none of
        them waits for a BEGIN and a ROLLBACK. Nothing can be streamed.
        """
        if self.is_sqlite:
            with self.reading() as connection:
                yield connection
        else:
            with translated(), self._glancing.connect() as connection:
                yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """As `reading`, and all its statements see one moment, on PostgreSQL too."""
        with translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.info["deferred"] = True
            else:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            try:
                yield connection
            finally:
                connection.rollback()
                connection.info.pop("deferred", None)

    def session(self) -> Connection:
        """A connection of PostgreSQL for its locks, which live as long as it does; each statement is a transaction."""
        return self._glancing.connect()

    def now(self, tx: Connection) -> datetime:
        """The time that stamps leases, intents and timers: the database's on PostgreSQL, so that machines agree."""
        if self.is_sqlite:
            return self._clock()
        moment: datetime = tx.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        return moment.astimezone(UTC)  # the driver gives it in the session's zone

    def moment(self) -> datetime:
        """The same time, asked outside a transaction."""
        if self.is_sqlite:
            return self._clock()
        with self.glance() as tx:
            return self.now(tx)

    def problem(self, tx: Connection) -> str:
        """Why what is committed would not be kept, or nothing could be; empty when all is well. Asked often: it is one
        statement.
        """
        if self.is_sqlite:
            return _undurable_sqlite(tx)
        settings = ("transaction_read_only", "fsync", "synchronous_commit")
        asked = ", ".join(f"current_setting('{name}')" for name in settings)
        read_only, *durable = tx.exec_driver_sql(f"SELECT {asked}").one()
        if read_only == "on":
            return f"the database is read-only: {POSTGRES_REMEDIES[READ_ONLY]}"
        return _undurable_postgresql(*durable)

    def probe(self) -> None:
        """Write nothing new, durably. Raises Transient when a delivery could not be stored now."""
        with self.transaction() as tx:
            tx.execute(text("update installation set id = id"))

    def forget_history(self) -> bool:
        """SQLite: after an erasure, take older versions of its pages out of the WAL. False: a reader still needs them.

        On PostgreSQL that is vacuum's, and what its own WAL and its archives hold is as a backup.
        """
        if not self.is_sqlite:
            return True
        with translated(), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 (it was just connected)
            busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

    def close(self) -> None:
        self.engine.dispose()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Operational errors of the driver become one Transient; data errors pass, for the caller knows what they mean."""
    try:
        yield
    except PoolTimeout as error:  # every connection is in use
        raise Transient("store_busy", "the database has no connection to spare", retry_after=2) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in CONFLICTS:
            raise Conflict from error
        if error.connection_invalidated or type(error).__name__ in UNAVAILABLE:
            raise Transient("store_unavailable", _unavailable(error), retry_after=2) from error
        raise


def _unavailable(error: DBAPIError) -> str:
    name = getattr(error.orig, "sqlite_errorname", "") or ""
    remedy = next((remedy for start, remedy in SQLITE_REMEDIES.items() if name.startswith(start)), "")
    remedy = remedy or POSTGRES_REMEDIES.get(getattr(error.orig, "sqlstate", None) or "", "")
    if "session is read-only" in str(error.orig):  # libpq's own refusal has no SQLSTATE
        remedy = POSTGRES_REMEDIES[READ_ONLY]
    return f"the database does not answer: {error.orig}{f' ({remedy})' if remedy else ''}"


def _rests(_connection: Any, record: Any) -> None:
    record.info["rests_since"] = time.monotonic()


def _try_if_rested(dialect: Dialect, connection: Any, record: Any, _proxy: Any) -> None:
    """A connection that rested may have been closed by the other side: then all are made anew, and nobody notices. To
    try each before it is used would cost an exchange every time; one that did not rest may as well fail a moment later.
    """
    now = time.monotonic()
    if now - record.info.get("rests_since", now) <= RESTED_SECONDS_MAX:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def _leave_if_read_only(context: ExceptionContext) -> None:
    """A server that became a standby keeps its connections: they are closed, so that the new primary is looked for."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def refusal(error: Exception) -> str:
    """Why data could not be stored and where, for a log: refused by the database, with its code, or a fault of ours.

    Not the error's own text: PostgreSQL puts the row that it refused into it, and that is an alert's body.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    if not isinstance(error, DBAPIError):
        return f"a fault of the bridge, {type(error).__name__}\n{where}"
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
    return f"refused by the database, {code or type(error.orig).__name__}\n{where}"


def open_store(url: str, clock: Callable[[], datetime], *, pool_size: int = 16) -> Store:
    """Connect and check that what is committed is durable. Raises Misconfigured when it would not be."""
    parsed = make_url(url)
    # An error's text goes to a log, and parameters are alerts' bodies.
    common: dict[str, Any] = {"pool_size": pool_size, "max_overflow": pool_size, "hide_parameters": True}
    common["pool_use_lifo"] = True  # the last one used has the pages and the prepared statements that are needed next
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            with contextlib.suppress(OSError):  # the opening that follows says what is wrong
                make_private(Path(parsed.database))
        engine = create_engine(
            parsed, connect_args={"check_same_thread": False, "cached_statements": SQLITE_STATEMENTS}, **common
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        defaults = {name: value for name, value in POSTGRES_DEFAULTS.items() if name not in parsed.query}
        parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, connect_args=defaults, **common)
        event.listen(engine, "checkin", _rests)
        event.listen(engine, "checkout", partial(_try_if_rested, engine.dialect))
        event.listen(engine, "handle_error", _leave_if_read_only)
    store = Store(engine, clock)
    with contextlib.ExitStack() as undo:
        undo.callback(store.close)
        with store.reading() as tx:
            if problem := store.problem(tx):
                raise Misconfigured([Problem(str(engine.url), 0, 0, problem)])
        undo.pop_all()
    return store


def make_private(path: Path) -> None:
    """A new database is its owner's alone: it holds alerts. SQLite gives the files beside it the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_file(path, 0o600)


def make_file(path: Path, mode: int) -> None:
    """Nothing where it is there. What root makes is its folder's owner's, for the bridge may be another user."""
    with contextlib.suppress(FileExistsError):
        file = os.open(path, os.O_CREAT | os.O_EXCL, mode)
        try:
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file, owner.st_uid, owner.st_gid)
        finally:
            os.close(file)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_SECONDS * 1000}")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is erased is overwritten, where it lay
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """The switch to WAL, once in a database's life, does not heed the busy time-out; several may start at once."""
    until = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once: a transaction that reads first and writes later can fail half-way.
    connection.exec_driver_sql("BEGIN" if connection.info.get("deferred") else "BEGIN IMMEDIATE")


def _undurable_sqlite(tx: Connection) -> str:
    journal = tx.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    synchronous = tx.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if (journal, synchronous) == ("wal", 2):
        return ""
    return _undurable(f"journal_mode={journal}, synchronous={synchronous}", "put it on a local file system")


def _undurable_postgresql(fsync: str, synchronous_commit: str) -> str:
    if fsync == "on" and synchronous_commit != "off":
        return ""
    seen = f"fsync={fsync}, synchronous_commit={synchronous_commit}"
    return _undurable(seen, "turn both on: an answered alert must outlive a power cut")


def _undurable(seen: str, remedy: str) -> str:
    return f"the database would not keep what it confirms: {seen} ({remedy})"
