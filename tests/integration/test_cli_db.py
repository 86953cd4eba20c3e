"""`bridge db upgrade`: from nothing to a store that the other commands can use."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bridge.cli import main


def test_the_database_of_a_new_bridge_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path / "new")])
    config = ["--config", str(tmp_path / "new/bridge.yaml")]
    assert main(["db", "upgrade", *config]) == 0
    assert main(["db", "upgrade", *config]) == 0
    database = sqlite3.connect(tmp_path / "new/var/bridge.db")
    tables = {name for (name,) in database.execute("select name from sqlite_master")}
    database.close()
    assert {"alerts", "correlations", "incidents", "log_entries"} <= tables


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bridge.yaml").write_text("database: sqlite:///bridge.yaml/store.db\n")
    assert main(["db", "upgrade", "--config", str(tmp_path / "bridge.yaml")]) == 1
    assert capsys.readouterr().err.startswith("the database does not answer: ")
