"""A backup is brought back: the anchor tells it at the start, and what was written since is not made twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from sync_world import INSTALLATION, World
from test_log_sealing import OURS, seal_all

from bridge.anchoring import Anchoring, compare_before_start
from bridge.log.anchors import FileAnchor
from bridge.metrics import Metrics
from bridge.settings import Settings, load_settings
from bridge.store.engine import Store
from bridge.store.tables import installation, metadata

assert OURS.name == f"incident-bridge/{INSTALLATION}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    text = "log:\n  signing_key: {file: log.key}\n  anchors: [{file: anchors.log}]\n"
    (tmp_path / "bridge.yaml").write_text(text)
    return load_settings(tmp_path / "bridge.yaml")


@pytest.fixture
def sealed(anywhere: World) -> World:
    """With an identity, and what it has logged so far sealed."""
    with anywhere.store.transaction() as tx:
        tx.execute(installation.insert().values(id=INSTALLATION, created_at=anywhere.store.now(tx)))
    anywhere.fire("before")
    anywhere.idle()
    seal_all(anywhere.store)
    return anywhere


def backup(store: Store, folder: Path) -> Callable[[], None]:
    """A copy of the database as it is now. Called, it is brought back."""
    if store.is_sqlite:
        return _sqlite_backup(store, folder / "backup.db")
    with store.reading() as tx:
        kept = [
            (table, [dict(row) for row in tx.execute(select(table)).mappings()]) for table in metadata.sorted_tables
        ]

    def restore() -> None:
        with store.transaction() as tx:
            for table, _ in reversed(kept):
                tx.execute(table.delete())
            for table, rows in kept:
                if rows:
                    tx.execute(table.insert(), rows)

    return restore


def _sqlite_backup(store: Store, copy: Path) -> Callable[[], None]:
    file = store.engine.url.database
    assert file is not None
    with closing(sqlite3.connect(file)) as served, closing(sqlite3.connect(copy)) as kept:
        served.backup(kept)

    def restore() -> None:
        store.engine.dispose()
        with closing(sqlite3.connect(file)) as served, closing(sqlite3.connect(copy)) as kept:
            kept.backup(served)

    return restore


def test_what_the_backup_does_not_know_is_looked_for_before_it_is_made(
    sealed: World, settings: Settings, tmp_path: Path
) -> None:
    anchor = FileAnchor(settings.anchors[0].name, tmp_path / "anchors.log")
    restore = backup(sealed.store, tmp_path)
    sealed.fire("since")
    sealed.idle()
    seal_all(sealed.store)
    Anchoring(sealed.store, [anchor], Metrics(), actor="serve").finish()

    restore()
    compare_before_start(settings, sealed.store, actor="serve")
    sealed.fire("since")
    sealed.idle()

    made = [record["correlation_id"] for record in sealed.records()]
    assert sorted(made) == ["before", "since"]
    assert [entry["reason"] for entry in sealed.log("restored")] == ["anchor_ahead"]


def test_a_start_after_nothing_but_a_stop_looks_for_nothing(sealed: World, settings: Settings, tmp_path: Path) -> None:
    anchor = FileAnchor(settings.anchors[0].name, tmp_path / "anchors.log")
    Anchoring(sealed.store, [anchor], Metrics(), actor="serve").finish()
    compare_before_start(settings, sealed.store, actor="serve")
    read = sealed.reads()
    sealed.fire("since")
    sealed.idle()
    assert (sealed.reads(), sealed.log("restored")) == (read, [])
