"""Two processes that start at the same moment on one new database of PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import event

from bridge.store.engine import Store, open_store
from bridge.store.revisions import register
from bridge.store.tables import metadata

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def new(postgres_url: str) -> Iterator[Store]:
    with closing(open_store(postgres_url, lambda: NOW)) as store:
        metadata.drop_all(store.engine)
        metadata.create_all(store.engine)
        yield store
        metadata.drop_all(store.engine)


def test_what_both_register_is_one_revision(new: Store) -> None:
    writes = threading.Event()

    def registered() -> int:
        with new.transaction() as tx:
            event.listen(tx, "before_cursor_execute", lambda *call: writes.set() if "INSERT" in call[2] else None)
            return register(tx, mapping="probe", digest="d", files={"probe.yaml": ""}, now=NOW)

    with ThreadPoolExecutor(1) as other, new.transaction() as tx:
        mine = register(tx, mapping="probe", digest="d", files={"probe.yaml": ""}, now=NOW)
        late = other.submit(registered)
        assert writes.wait(30)  # it has seen that there is none: ours is not committed
        tx.commit()
        assert late.result(30) == mine
