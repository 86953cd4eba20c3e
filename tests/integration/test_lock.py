"""One process serves an SQLite database."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from intake_world import NOW

from bridge.errors import Misconfigured
from bridge.store.engine import Store, open_store
from bridge.store.start import lock_sqlite


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", lambda: NOW)
    yield store
    store.close()


def test_the_process_that_serves_the_database_is_named(sqlite: Store) -> None:
    held_by = rf"another bridge serves this database \(process {os.getpid()}\)"
    with lock_sqlite(sqlite.file), pytest.raises(Misconfigured, match=held_by):
        lock_sqlite(sqlite.file, seconds_max=0)


def test_whoever_waits_for_the_database_says_so_once(
    sqlite: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    holder, waits = lock_sqlite(sqlite.file), []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            holder.close()

    monkeypatch.setattr("time.sleep", sleep)
    with caplog.at_level(logging.WARNING), lock_sqlite(sqlite.file):
        assert caplog.messages == [
            f"another bridge serves this database (process {os.getpid()}): waiting 10 s for it to stop"
        ]


def test_a_lock_that_was_let_go_is_taken(sqlite: Store) -> None:
    lock_sqlite(sqlite.file).close()
    lock_sqlite(sqlite.file, seconds_max=0).close()


def test_another_name_of_the_database_is_no_way_around_its_lock(sqlite: Store, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "bridge.db")
    other = open_store(f"sqlite:///{tmp_path / 'link.db'}", lambda: NOW)
    with lock_sqlite(sqlite.file), pytest.raises(Misconfigured):
        lock_sqlite(other.file, seconds_max=0)
    other.close()
