"""One store is one installation, however many processes start on it at once."""

from __future__ import annotations

import threading

from intake_world import NOW, WAIT_SECONDS_MAX, rows, wait_for_a_waiter

from bridge.store.engine import Store, open_store
from bridge.store.start import installation_id
from bridge.store.tables import installation, metadata


def test_a_store_keeps_its_identity(store: Store) -> None:
    found = []
    for _ in range(2):
        with store.transaction() as tx:
            found.append(installation_id(tx, NOW))
    assert found[0] == found[1]


def test_two_processes_that_start_at_once_are_one_installation(postgres_url: str) -> None:
    first, second = open_store(postgres_url, lambda: NOW), open_store(postgres_url, lambda: NOW)
    metadata.drop_all(first.engine)
    metadata.create_all(first.engine)
    found = []

    def start_second() -> None:
        with second.transaction() as tx:
            found.append(installation_id(tx, NOW))

    starting = threading.Thread(target=start_second)
    with first.transaction() as tx:
        found.append(installation_id(tx, NOW))
        starting.start()
        wait_for_a_waiter(first)
    starting.join(WAIT_SECONDS_MAX)
    assert found == [row.id for row in rows(first, installation)] * 2
    metadata.drop_all(first.engine)
    first.close()
    second.close()
