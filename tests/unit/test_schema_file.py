"""What an instance told, kept on disk."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.dictionary.reading import Reading
from bridge.dictionary.schema import Column
from bridge.errors import Misconfigured
from bridge.schema_file import ReadingFiles, load, save, schema_path
from bridge.settings import load_settings

READING = Reading(
    read_at=datetime(2026, 3, 10, tzinfo=UTC),
    columns={"incident": {"state": Column(type="integer"), "u_x": Column(type="string", max_length=9)}},
    choices={"incident": {"state": frozenset({"1", "2"})}},
    groups=frozenset({"SOC L1", "Ünïted"}),
)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    save(tmp_path / "var" / "schema-prod.json", READING)
    assert load(tmp_path / "var" / "schema-prod.json") == READING


def test_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    save(tmp_path / "schema-prod.json", READING)
    assert [path.name for path in tmp_path.iterdir()] == ["schema-prod.json"]


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    assert load(tmp_path / "schema-prod.json") is None


@pytest.mark.parametrize("content", ["", "[]", '{"groups": 3}', "\x00"])
def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "schema-prod.json").write_text(content)
    with pytest.raises(Misconfigured, match="--refresh"):
        load(tmp_path / "schema-prod.json")


def test_a_new_file_is_seen_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "schema-prod.json"
    reading_of = ReadingFiles({"prod": path})
    before = reading_of("prod")
    save(path, READING)
    assert (before, reading_of("prod")) == (Reading(), READING)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "schema-prod.json"
    save(path, READING)
    reading_of = ReadingFiles({"prod": path})
    reading_of("prod")
    save(path, Reading(groups=frozenset({"New"})))
    os.utime(path, ns=(1, 1))
    assert reading_of("prod").groups == frozenset({"New"})


def test_a_damaged_file_is_as_none_to_who_serves(tmp_path: Path) -> None:
    (tmp_path / "schema-prod.json").write_text("{")
    assert ReadingFiles({"prod": tmp_path / "schema-prod.json"})("prod") == Reading()


@pytest.mark.parametrize(
    ("database", "folder"), [("sqlite:///data/bridge.db", "data"), ("postgresql://u@db.example/bridge", "var")]
)
def test_it_stands_beside_the_database(tmp_path: Path, database: str, folder: str) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text(f"database: {database}\n")
    assert schema_path(load_settings(file), "prod") == tmp_path / folder / "schema-prod.json"


# --- the Schema of a reading


def test_the_instances_columns_and_choices_make_one_schema() -> None:
    schema = READING.schema()
    assert (schema.of_instance, schema.groups) == (True, READING.groups)
    assert schema.column("incident", "state") == Column(type="integer", choices=frozenset({"1", "2"}))
    assert schema.lacks("incident", "u_y")


def test_without_the_dictionary_columns_are_those_of_every_instance() -> None:
    schema = Reading(choices={"incident": {"category": frozenset({"malware"})}}).schema()
    known = schema.column("incident", "category")
    assert known is not None
    assert (known.choices, schema.of_instance, schema.lacks("incident", "u_y")) == ({"malware"}, False, False)


def test_without_choices_those_of_every_instance_hold() -> None:
    known = Reading(columns=READING.columns).schema().column("incident", "state")
    assert known is not None
    assert "6" in known.choices
