"""The judge of the log sees what is wrong with it."""
# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.log.entries import Action, Entry, append
from bridge.log.note import Signer
from bridge.store.engine import Store, open_store
from bridge.store.tables import metadata
from simulation.log_invariants import KEY, log_wrongs, seal_all

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SIGNER = Signer("incident-bridge/0a1b2c3d", KEY)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two seals of three entries."""
    opened = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", lambda: NOW)
    metadata.create_all(opened.engine)
    for _ in range(2):
        write(opened, 3)
        seal_all(opened, SIGNER)
    yield opened
    opened.close()


def write(store: Store, count: int) -> None:
    with store.transaction() as tx:
        append(tx, *[Entry(at=NOW, action=Action.DECIDED, actor=f"test {one}") for one in range(count)])


DONE = {
    "an entry that was changed": ("UPDATE log_entries SET entry = x'7b7d' WHERE id = 2", "the entries are"),
    "an entry that was deleted": ("DELETE FROM log_entries WHERE id = 2", "entry 2 is sealed and is not there"),
    "a seal that is gone": ("DELETE FROM log_seals WHERE first_index = 0", "entries [1, 2, 3] are never sealed"),
    "a root that was changed": ("UPDATE log_seals SET root = zeroblob(32) WHERE first_index = 0", "the checkpoint of 3 says"),
    "a note that was changed": ("UPDATE log_seals SET note = replace(note, char(10) || '6', char(10) || '7')", "the checkpoint of 6"),
    "a tile that was changed": ("UPDATE log_tiles SET hashes = zeroblob(192)", "tiles are not what the entries make"),
    "a head that is ahead": ("UPDATE log_head SET size = 7", "the head says 7, and 6 entries are sealed"),
    "ids that are not a seal's": ("UPDATE log_seals SET id_max = 9 WHERE first_index = 3", "holds other ids than it says"),
    "a horizon that was set ahead": (
        "INSERT INTO log_entries (at, action, entry) VALUES (0, 'x', x'7b7d'); UPDATE log_head SET horizon = '{\"end\": 99}'",
        "entries [7] are never sealed",
    ),
    "a horizon that was set back": ("UPDATE log_head SET horizon = '{}'", "entry 1 is sealed twice"),
}  # fmt: skip


def test_a_log_in_order_has_nothing_wrong(store: Store) -> None:
    write(store, 2)
    assert log_wrongs(store, "0a1b2c3d", at_rest=True) == []


@pytest.mark.parametrize("what", DONE)
def test_it_sees(store: Store, what: str) -> None:
    statements, said = DONE[what]
    with store.transaction() as tx:
        for statement in statements.split("; "):
            tx.exec_driver_sql(statement)
    wrong = log_wrongs(store, "0a1b2c3d", at_rest=True)
    assert any(said in one for one in wrong), wrong
