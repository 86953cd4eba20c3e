"""The judge of twins sees what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from bridge.log.entries import Action, Entry
from bridge.store.engine import Store, open_store
from bridge.store.reconciler_tables import strays
from bridge.store.tables import metadata
from simulation.twin_invariants import twin_wrongs

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
RECORD = {"sys_id": "b", "number": "INC2", "correlation_id": "r1", "state": "6", "parent_incident": "a"}
RECORD |= dict.fromkeys(("sys_created_by", "sys_updated_by"), "bridge") | {"assigned_to": ""}
OPEN = {"state": "1", "parent_incident": ""}
CLOSED = {"outcome": "closed", "closed_at": NOW}
TWO = {"outcome": "two", "outcome_text": "INC2 and INC1 are the same problem: close one of them in ServiceNow."}
INTENDED = Entry(at=NOW, action=Action.INTENDED, actor="sync", outcome="close", reason="twin", sys_id="b")
TOLD = Entry(at=NOW, action=Action.TWIN, actor="sync", outcome="two", sys_id="b")
HELD = Entry(at=NOW, action=Action.TWIN, actor="sync", outcome="held", sys_id="b")
LOG = [INTENDED, TOLD]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", lambda: NOW)
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


def noted(store: Store, sys_id: str = "b", **values: Any) -> None:
    row = {"instance": "test", "table": "incident", "sys_id": sys_id, "number": sys_id, "correlation_id": "r1"}
    row |= {"key": "r1", "created_on": "", "version": "", "found_at": NOW, "failures": 0, "released": False, **values}
    with store.transaction() as tx:
        tx.execute(insert(strays).values(**row))


def judged(store: Store, row: dict[str, str], log: list[Entry], closes_max: int = 5) -> list[str]:
    records = [RECORD | {"sys_id": "a", "parent_incident": "", "assigned_to": "x"}, RECORD | row]
    return twin_wrongs(store, "incident", records, log, closes_max=closes_max, deleted=())


@pytest.mark.parametrize(
    ("row", "stray", "log"),
    [
        ({}, CLOSED, LOG),
        ({"sys_updated_by": "analyst", "parent_incident": ""}, {"outcome": "over"}, []),
        (OPEN | {"assigned_to": "fred"}, TWO, LOG),
        (OPEN, TWO | {"outcome_text": "It could not be closed."}, LOG),
    ],
)
def test_a_twin_in_order_has_nothing_wrong(
    store: Store, row: dict[str, str], stray: dict[str, Any], log: list[Entry]
) -> None:
    noted(store, **stray)
    assert judged(store, row, log) == []


@pytest.mark.parametrize(
    ("row", "stray", "log", "said"),
    [
        (OPEN, {}, [], "nobody has seen it"),
        (OPEN, CLOSED, LOG, "counts as closed: nobody is asked"),
        (OPEN, TWO, LOG, "left to people, and none is on it"),
        (OPEN | {"assigned_to": "fred"}, TWO, [], "which the log does not tell"),
        ({}, CLOSED, [TOLD], "which was not intended"),
        ({}, CLOSED | {"due_at": NOW}, LOG, "not at rest"),
        ({"parent_incident": ""}, CLOSED, LOG, "not linked to the other"),
        ({}, {"outcome": "held"}, [HELD], "are held"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_twin_is_seen(
    store: Store, row: dict[str, str], stray: dict[str, Any], log: list[Entry], said: str
) -> None:
    noted(store, **stray)
    (wrong,) = judged(store, row, log)
    assert said in wrong


@pytest.mark.parametrize(("minutes", "released", "wrongs"), [(59, False, 1), (60, False, 0), (59, True, 0)])
def test_more_closes_in_an_hour_than_are_promised_are_seen(
    store: Store, minutes: int, released: bool, wrongs: int
) -> None:
    noted(store, **CLOSED)
    noted(store, "c", outcome="closed", closed_at=NOW + timedelta(minutes=minutes), released=released)
    assert len(judged(store, {}, LOG, closes_max=1)) == wrongs
