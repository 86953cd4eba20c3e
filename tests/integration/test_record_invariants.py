"""The judge of the record: an entry that is missing and a secret that stands anywhere are told."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from simulation.log_invariants import record_wrongs, secret_wrongs
from sqlalchemy import update
from sync_world import World

from bridge.store.tables import deliveries

SECRET = "canary-of-the-account"


@pytest.fixture
def told(world: World) -> World:
    world.fire()
    world.idle()
    assert record_wrongs(world.store) == []
    assert secret_wrongs(world.store, [SECRET], []) == []
    return world


@pytest.mark.parametrize("action", ["delivered", "written"])
def test_an_entry_that_is_missing_is_told(told: World, action: str) -> None:
    with told.store.transaction() as tx:
        tx.exec_driver_sql(f"delete from log_entries where action = '{action}'")
    assert len(record_wrongs(told.store)) == 1


@pytest.mark.parametrize("said", [SECRET, base64.b64encode(f"bridge:{SECRET}".encode()).decode()])
def test_a_secret_in_a_row_is_told(told: World, said: str) -> None:
    with told.store.transaction() as tx:
        tx.execute(update(deliveries).values(body=f"Authorization: {said}".encode()))
    assert len(secret_wrongs(told.store, [SECRET], [])) == 1


def test_a_secret_in_the_log_of_a_process_is_told(told: World, tmp_path: Path) -> None:
    (tmp_path / "serve.log").write_text(f"started\nAuthorization: Bearer {SECRET}\n")
    assert len(secret_wrongs(told.store, [SECRET], [tmp_path / "serve.log"])) == 1
