"""The store's edge: what a driver says becomes one of few errors, and what is begun again is begun again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from crashing import at
from intake_world import NOW, rows
from sqlalchemy import Connection, create_engine, event, make_url, text
from sync_world import Clock, world_of

from bridge.errors import Misconfigured, Transient
from bridge.store import engine as engine_module
from bridge.store.engine import ATTEMPTS_MAX, POSTGRES_DEFAULTS, Conflict, Store, open_store
from bridge.store.held import LEASE
from bridge.store.tables import incidents, metadata
from bridge.wiring import utc_now


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


def test_on_postgresql_leases_and_due_times_are_by_the_servers_clock_whatever_the_process_has(
    postgres_url: str, sync_password: None
) -> None:
    with contextlib.closing(open_store(postgres_url, lambda: utc_now() + timedelta(hours=1))) as store:
        metadata.create_all(store.engine)
        begun = utc_now()  # of the server too, which runs on this machine
        with store.transaction() as tx:
            times = [store.now(tx), store.moment()]
        with world_of(store, Clock()) as world:
            world.fire()
            times.append(world.row().due_at)
            with at("claim:committed", lambda: times.append(rows(store, incidents)[0].lease_until - LEASE)):
                world.worker.work()
        metadata.drop_all(store.engine)
    assert [time for time in times if abs(time - begun) > timedelta(minutes=1)] == []


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
    expected = {name: str(value) for name, value in POSTGRES_DEFAULTS.items()}
    assert expected.items() <= parameters(postgres_url).items()


def test_the_url_may_say_otherwise(postgres_url: str) -> None:
    joint = "&" if "?" in postgres_url else "?"
    assert parameters(f"{postgres_url}{joint}connect_timeout=17")["connect_timeout"] == "17"


def with_options(url: str, *settings: str) -> str:
    """The same server, with other settings for each session."""
    options = quote(" ".join(f"-c {setting}" for setting in settings))
    return f"{url}{'&' if '?' in url else '?'}options={options}"


def test_a_server_that_is_read_only_is_not_connected_to_and_the_remedy_is_told(postgres_url: str) -> None:
    with pytest.raises(Transient, match=r"session is read-only.*name the primary too"):
        open_store(with_options(postgres_url, "default_transaction_read_only=on"), lambda: NOW)


@pytest.fixture
def read_only(postgres_url: str) -> Iterator[Store]:
    """The URL asks for any server, and gets one that is read-only."""
    url = with_options(postgres_url, "default_transaction_read_only=on") + "&target_session_attrs=any"
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    event.listen(engine, "handle_error", engine_module._leave_if_read_only)
    yield Store(engine, lambda: NOW)
    engine.dispose()


def test_a_store_that_is_read_only_says_so(read_only: Store) -> None:
    with read_only.reading() as tx:
        assert read_only.problem(tx).startswith("the database is read-only: it is a standby, or")


def test_a_connection_that_turns_out_read_only_is_left(read_only: Store) -> None:
    def backend() -> int:
        with read_only.reading() as tx:
            return int(tx.execute(text("select pg_backend_pid()")).scalar_one())

    before = backend()
    assert backend() == before  # the pool has one
    with pytest.raises(Transient, match="name the primary too"), read_only.transaction() as tx:
        tx.execute(text("create table never (id int)"))
    assert backend() != before


def test_a_server_that_would_forget_what_it_confirms_is_refused(postgres_url: str) -> None:
    with pytest.raises(Misconfigured, match=r"would not keep what it confirms.*synchronous_commit=off"):
        open_store(with_options(postgres_url, "synchronous_commit=off"), lambda: NOW)


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


def backend(store: Store) -> int:
    with store.reading() as tx:
        return int(tx.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def closed_by_the_server(url: str, pid: int) -> None:
    other = open_store(url, lambda: NOW)
    with other.reading() as tx:
        assert tx.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (pid,)).scalar_one()
    other.close()


def test_a_connection_that_was_closed_while_it_rested_is_made_anew_and_nobody_notices(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RESTED_SECONDS_MAX", -1.0)
    store = open_store(postgres_url, lambda: NOW)
    before = backend(store)
    assert backend(store) == before  # the pool has one, and it is in order
    closed_by_the_server(postgres_url, before)
    assert backend(store) != before
    store.close()


def test_a_connection_that_did_not_rest_is_not_tried_before_it_is_used(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RESTED_SECONDS_MAX", 3_600.0)
    store = open_store(postgres_url, lambda: NOW)
    before = backend(store)
    closed_by_the_server(postgres_url, before)
    with pytest.raises(Transient, match="the database does not answer"):
        backend(store)
    assert backend(store) != before  # and then none of the old ones is used any more
    store.close()


def begun(connect: Callable[[], AbstractContextManager[Connection]]) -> list[Any]:
    """When the transaction of each of two statements began."""
    with connect() as tx:
        return [tx.exec_driver_sql("SELECT now()").scalar_one() for _ in range(2)]


def test_each_statement_of_a_glance_is_a_transaction_and_those_of_a_reading_are_one(postgres_url: str) -> None:
    store = open_store(postgres_url, lambda: NOW)
    first, second = begun(store.glance)
    assert first != second
    first, second = begun(store.reading)  # on the same connection
    assert first == second
    store.close()
