"""The store's edge: what a driver says becomes one of few errors, and what is begun again is begun again."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from intake_world import NOW
from sqlalchemy import Connection, text

from bridge.errors import Transient
from bridge.store.engine import ATTEMPTS_MAX, POSTGRES_TIMEOUTS, Conflict, Store, open_store
from bridge.store.tables import metadata


def parameters(url: str) -> dict[str, str]:
    """What a PostgreSQL connection of a store was opened with."""
    store = open_store(url, lambda: NOW)
    with store.reading() as tx:
        driver: Any = tx.connection.driver_connection
        found: dict[str, str] = driver.info.get_parameters()
    store.close()
    return found


def test_now_is_utc_whatever_zone_the_session_has(store: Store) -> None:
    with store.transaction() as tx:
        if not store.is_sqlite:
            tx.execute(text("set local timezone = 'Europe/Berlin'"))
        assert store.now(tx).tzinfo is UTC


def test_a_damaged_database_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    store = open_store(f"sqlite:///{path}", lambda: NOW)
    metadata.create_all(store.engine)
    store.close()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 10_000)
    with pytest.raises(Transient) as caught, store.reading() as tx:
        tx.execute(text("select * from correlations"))
    store.close()
    assert caught.value.code == "store_unavailable"


def test_a_postgresql_connection_does_not_wait_for_ever(postgres_url: str) -> None:
    expected = {name: str(value) for name, value in POSTGRES_TIMEOUTS.items()}
    assert expected.items() <= parameters(postgres_url).items()


def test_the_url_may_say_otherwise(postgres_url: str) -> None:
    joint = "&" if "?" in postgres_url else "?"
    assert parameters(f"{postgres_url}{joint}connect_timeout=17")["connect_timeout"] == "17"


@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
def test_a_deadlock_and_a_failed_serialization_are_conflicts(postgres_url: str, sqlstate: str) -> None:
    store = open_store(postgres_url, lambda: NOW)
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'a test' USING ERRCODE = '{sqlstate}'; END $$")
    store.close()


def test_after_a_conflict_the_work_is_done_again(store: Store) -> None:
    tries = iter([True, True, False])

    def work(_tx: Connection) -> str:
        if next(tries):
            raise Conflict
        return "done"

    assert store.in_transaction(work) == "done"


def test_a_store_that_never_stops_conflicting_is_busy(store: Store) -> None:
    tries = []

    def work(_tx: Connection) -> None:
        tries.append(1)
        raise Conflict

    with pytest.raises(Transient) as caught:
        store.in_transaction(work)
    assert (caught.value.code, len(tries)) == ("store_busy", ATTEMPTS_MAX)
