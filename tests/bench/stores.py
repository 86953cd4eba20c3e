"""Databases of a benchmark's own, for the apps that it serves."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

from postgres import Postgres, postgres
from sqlalchemy import make_url

from bridge.store.engine import open_store
from bridge.store.tables import metadata
from bridge.wiring import utc_now

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}  # as the tables name them


@contextlib.contextmanager
def stores(engine: str, many: int = 1) -> Iterator[list[str]]:
    """URLs of so many: files, or databases of one PostgreSQL."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        if engine == "sqlite":
            yield [f"sqlite:///{folder}/{number}.db" for number in range(many)]
        else:
            with postgres(Path(folder, "data")) as server:
                yield [store_of(server, f"bench{number}") for number in range(many)]


def store_of(server: Postgres, name: str) -> str:
    """The URL of a new database, with all tables: two processes that begin at once would trip over making them."""
    server.order(f"CREATE DATABASE {name}")
    url = make_url(server.url).set(database=name).render_as_string(hide_password=False)
    with contextlib.closing(open_store(url, utc_now)) as store:
        metadata.create_all(store.engine)
    return url
