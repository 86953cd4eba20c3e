"""The migrations make what bridge.store.tables says, on both engines, however many processes run them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Column, Connection, Text, create_engine, event

from bridge.alert import Outcome
from bridge.errors import Misconfigured, Transient
from bridge.store import schema
from bridge.store.backlog import backlog, braked, failing
from bridge.store.due import first_due
from bridge.store.engine import open_store
from bridge.store.log_list import list_log
from bridge.store.queries import list_alerts
from bridge.store.reconciling import to_sweep
from bridge.store.replay import quarantined
from bridge.store.schema import MIGRATIONS, problem, upgrade, upgrade_store
from bridge.store.start import void_leases, wake_observed
from bridge.store.tables import metadata
from bridge.wiring import utc_now

NOW = utc_now()
LATER = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions("0001", "head"))[:-1]  # than the first


def test_the_migrated_schema_is_the_one_of_the_tables(store_url: str) -> None:
    upgrade(store_url, utc_now, actor="test")
    store = open_store(store_url, utc_now)
    with store.reading() as tx:
        difference = compare_metadata(MigrationContext.configure(tx), metadata)
    store.close()
    assert difference == []


def test_four_processes_may_upgrade_a_new_database_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    code = (
        "from bridge.store.schema import upgrade; from bridge.wiring import utc_now; "
        f"upgrade({url!r}, utc_now, actor='test')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate(timeout=60)[1] for process in running] == [b""] * 4


def test_a_migration_that_finds_a_table_in_use_steps_back_and_lets_those_behind_it_through(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it waits for is a long reader, as a backup is. Between its tries a writer gets through."""
    upgrade(postgres_url, utc_now, actor="test")
    store, wrote = open_store(postgres_url, utc_now), []
    with store.transaction() as tx:
        tx.exec_driver_sql("update alembic_version set version_num = '0001'")

    def alter(config: Any, _to: str) -> None:
        config.attributes["connection"].exec_driver_sql("ALTER TABLE target_states ADD COLUMN new integer")

    def write(_seconds: float) -> None:
        with store.transaction() as tx:
            tx.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
            tx.exec_driver_sql("INSERT INTO target_states (name) VALUES (%s)", (str(len(wrote)),))
        wrote.append(1)

    monkeypatch.setattr(schema.command, "upgrade", alter)
    monkeypatch.setattr(schema.time, "sleep", write)
    monkeypatch.setattr(schema, "ATTEMPTS_MAX", 2)
    with store.reading() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM target_states")
        with pytest.raises(Transient, match="a long transaction holds a table"):
            upgrade_store(store)
    upgrade_store(store)
    with store.transaction() as tx:
        tx.exec_driver_sql("drop table alembic_version")
    metadata.drop_all(store.engine)
    store.close()
    assert len(wrote) == 2


def test_a_migration_gets_past_what_gives_way_only_to_who_has_waited_for_a_second(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An autovacuum does: PostgreSQL ends it after deadlock_timeout."""
    upgrade(postgres_url, utc_now, actor="test")
    store, done = open_store(postgres_url, utc_now), []
    with store.transaction() as tx:
        tx.exec_driver_sql("update alembic_version set version_num = '0001'")
    waited = "SELECT count(*) FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > interval '1 second'"

    def vacuum(began: threading.Event, ended: threading.Event) -> None:
        with store.transaction() as tx:
            tx.exec_driver_sql("LOCK TABLE log_tiles IN SHARE UPDATE EXCLUSIVE MODE")
            began.set()
            while not ended.wait(0.02) and not tx.exec_driver_sql(waited).scalar():
                pass

    monkeypatch.setattr(schema.command, "upgrade", lambda *_given: done.append(1))
    monkeypatch.setattr(schema.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(schema, "ATTEMPTS_MAX", len(schema.LOCK_TIMEOUTS))
    began, ended = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as other:
        vacuuming = other.submit(vacuum, began, ended)
        assert began.wait(30)
        try:
            upgrade_store(store)
        finally:
            ended.set()
        vacuuming.result(30)
    with store.transaction() as tx:
        tx.exec_driver_sql("drop table alembic_version")
    metadata.drop_all(store.engine)
    store.close()
    assert done == [1]


class Issued:
    """Stands where Alembic's `op` does, and keeps what a migration asks of it."""

    def __init__(self, dialect: str) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._dialect = dialect

    def get_bind(self) -> Any:
        return SimpleNamespace(dialect=SimpleNamespace(name=self._dialect))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given, **more: self.calls.append((name, given, more))


def not_survived(issued: Issued) -> list[str]:
    """What a process of the version before may not survive: it reads and writes all that it did."""
    made = {given[0] for name, given, _more in issued.calls if name in ("create_table", "create_index")}
    return [f"{name} {given}" for name, given, more in issued.calls if not _only_adds(name, given, more, made)]


def _only_adds(name: str, given: tuple[Any, ...], more: dict[str, Any], made: set[str]) -> bool:
    """`made`: tables and indexes of the same migration."""
    if name == "create_table":
        return True
    if name == "add_column":
        column = given[1]
        return (column.nullable or column.server_default is not None) and not column.unique
    if name == "create_index":
        return not more.get("unique") or given[1] in made
    if name == "drop_index":  # it is made anew
        return given[0] in made
    if name == "alter_column":
        return more.keys() == {"server_default"} and more["server_default"] is not None
    return name == "execute" and given[0].startswith(tuple(f"INSERT INTO {table} " for table in made))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("script", LATER, ids=lambda script: script.revision)
def test_a_migration_only_adds_so_that_processes_of_the_version_before_it_go_on(
    monkeypatch: pytest.MonkeyPatch, script: Script, dialect: str
) -> None:
    issued = Issued(dialect)
    monkeypatch.setattr(script.module, "op", issued)
    script.module.upgrade()
    assert issued.calls
    assert not_survived(issued) == []


@pytest.mark.parametrize(
    "migrate",
    [
        lambda op: op.drop_column("alerts", "text"),
        lambda op: op.add_column("alerts", Column("text", Text, nullable=False)),
        lambda op: op.add_column("alerts", Column("text", Text, unique=True)),
        lambda op: op.alter_column("alerts", "text", nullable=False),
        lambda op: op.alter_column("alerts", "text", server_default="", new_column_name="said"),
        lambda op: op.create_index("alerts_text", "alerts", ["text"], unique=True),
        lambda op: op.drop_index("alerts_text", "alerts"),
        lambda op: op.execute("UPDATE alerts SET text = ''"),
        lambda op: op.create_check_constraint("alerts_text", "alerts", "text != ''"),
    ],
)
def test_a_migration_that_takes_away_is_seen(migrate: Callable[[Issued], None]) -> None:
    issued = Issued("sqlite")
    migrate(issued)
    assert len(not_survived(issued)) == 1


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", utc_now)
    with store.reading() as tx:
        said = problem(tx)
    store.close()
    assert "run `bridge db upgrade`" in said


def test_a_database_from_a_newer_version_is_refused(store_url: str) -> None:
    upgrade(store_url, utc_now, actor="test")
    store = open_store(store_url, utc_now)
    with store.transaction() as tx:
        tx.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(Misconfigured, match="from a newer version of the bridge"):
        upgrade_store(store)
    with store.transaction() as tx:
        assert "from a newer version of the bridge" in problem(tx)
        tx.exec_driver_sql("drop table alembic_version")
    metadata.drop_all(store.engine)
    store.close()


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (failing, "correlations_failing"),
        (braked, "correlations_braked"),
        (lambda tx: backlog(tx, utc_now()), "alerts_quarantined"),
        (lambda tx: backlog(tx, utc_now()), "correlations_unapplied"),
        (partial(quarantined, source=None), "alerts_quarantined"),
        (partial(list_alerts, limit=10, outcome=Outcome.QUARANTINED), "alerts_quarantined"),
        (partial(list_log, limit=10, correlation_rows=[1]), "log_entries_by_delivery"),
        (void_leases, "incidents_leased"),
        (partial(first_due, now=NOW, paused=(), after=""), "new USING INDEX correlations_new (source>?)"),
        (partial(wake_observed, targets=["itsm"], now=NOW), "correlations_observed"),
        (partial(to_sweep, targets=["itsm"], after=0, limit=100), "incidents_open"),
    ],
)
def test_what_is_asked_often_is_found_by_an_index(ask: Callable[[Connection], object], index: str) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    asked: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    with engine.connect() as tx:
        ask(tx)
        plans = [
            row.detail
            for statement, parameters in list(asked)
            for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert any(index in plan for plan in plans), plans
    engine.dispose()


def test_a_new_database_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    url = f"sqlite:///{folder / 'bridge.db'}"
    upgrade(url, utc_now, actor="test")
    store = open_store(url, utc_now)
    with store.reading():
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    store.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes
