"""The limit of creates an hour is exact, however many processes count at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from intake_world import NOW, WAIT_SECONDS_MAX, wait_for_a_waiter
from sqlalchemy import Connection

from bridge.store.engine import Store, open_store
from bridge.store.tables import correlations, incidents, intents, metadata
from bridge.store.work import creates_since


@pytest.fixture
def stores(postgres_url: str) -> Iterator[tuple[Store, Store]]:
    """Of two processes."""
    with ExitStack() as stack:
        first, second = (open_store(postgres_url, lambda: NOW) for _ in range(2))
        for one in (first, second):
            stack.callback(one.close)
        metadata.drop_all(first.engine)
        metadata.create_all(first.engine)
        stack.callback(metadata.drop_all, first.engine)
        yield first, second


def intend(tx: Connection, incident: int, target: str) -> None:
    """A create, as far as the brake looks at it."""
    row = {"id": incident, "tenant": "default", "target": target, "correlation_id": "r", "mapping": "probe"}
    tx.execute(incidents.insert().values(**row, state="planned", epoch=1))
    names = {"tenant": "default", "key": str(incident), "correlation_id": "r", "correlation_text": "r"}
    told = {"source": "probe", "mapping": "probe", "last_seq": 1, "status": "firing", "status_time": NOW, "severity": 3}
    seen = {"status_changed_seq": 1, "alert_count": 1, "first_seen": NOW, "last_seen": NOW}
    synced = {"open": False, "episode": 1, "applied_seq": 0, "failures": 0, "waits_for_person": False}
    tx.execute(correlations.insert().values(id=incident, **names, **told, **seen, **synced))
    sent = {"ref": "0", "digest": b"", "fields": b"{}", "read_seq": 1, "settlement": b"{}", "deadline": NOW}
    of = {"incident": incident, "correlation": incident, "epoch": 1, "operation": "create", "reason": "first_alert"}
    tx.execute(intents.insert().values(**of, **sent, target=target, started_at=NOW))


def count(tx: Connection, target: str) -> int:
    return creates_since(tx, target, NOW.replace(hour=0), but=None)


def test_who_counts_while_another_intends_a_create_waits_and_counts_it(stores: tuple[Store, Store]) -> None:
    first, second = stores
    found: list[int] = []

    def count_too() -> None:
        with second.transaction() as tx:
            found.append(count(tx, "itsm"))

    counting = threading.Thread(target=count_too)
    with first.transaction() as tx:
        found.append(count(tx, "itsm"))
        intend(tx, 1, "itsm")
        counting.start()
        wait_for_a_waiter(first)
    counting.join(WAIT_SECONDS_MAX)
    assert found == [0, 1]


def test_one_target_does_not_wait_for_another(stores: tuple[Store, Store]) -> None:
    first, second = stores
    with first.transaction() as tx, second.transaction() as other:
        assert (count(tx, "itsm"), count(other, "sir")) == (0, 0)
