"""The migrations make what bridge.store.tables says, on both engines, however many processes run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bridge.store.engine import open_store
from bridge.store.schema import problem, upgrade
from bridge.store.tables import metadata
from bridge.wiring import utc_now


def test_the_migrated_schema_is_the_one_of_the_tables(store_url: str) -> None:
    upgrade(store_url)
    store = open_store(store_url, utc_now)
    with store.reading() as tx:
        difference = compare_metadata(MigrationContext.configure(tx), metadata)
    store.close()
    assert difference == []


def test_four_processes_may_upgrade_a_new_database_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    code = f"from bridge.store.schema import upgrade; upgrade({url!r})"
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate(timeout=60)[1] for process in running] == [b""] * 4


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", utc_now)
    with store.reading() as tx:
        said = problem(tx)
    store.close()
    assert "run `bridge db upgrade`" in said


def test_a_new_database_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    url = f"sqlite:///{folder / 'bridge.db'}"
    upgrade(url)
    store = open_store(url, utc_now)
    with store.reading():
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    store.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes
