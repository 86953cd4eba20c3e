"""The JSON Schema for editors: it takes what the compiler takes, and refuses what it can know to be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

import bridge.mapping.schema
from bridge.cli import main
from bridge.cli.mapping_schema import schema_text
from bridge.errors import Misconfigured
from bridge.mapping.load import compile_files
from bridge.mapping.model import SECTIONS
from bridge.mapping.schema import REQUIRED, WORDS, mapping_schema
from bridge.yamlfile import load_yaml, parse_yaml

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for folder in ("mappings", "tests/unit/mapping_examples") for path in (ROOT / folder).rglob("*.yaml")
)


def errors(value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(mapping_schema()).iter_errors(value)]


def test_it_is_a_schema_of_draft_7() -> None:
    Draft7Validator.check_schema(mapping_schema())


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(mapping_schema())
    assert [name for name in mapping_schema()["definitions"] if f'"#/definitions/{name}"' not in text] == []
    assert text.count('"$ref"') == sum(
        text.count(f'"#/definitions/{name}"') for name in mapping_schema()["definitions"]
    )


@pytest.mark.parametrize("section", [section for section in SECTIONS if section != "shared"])
def test_every_key_of_the_language_is_explained(section: str) -> None:
    assert [key for key in SECTIONS[section][0].split() if not WORDS[section][key][1]] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_mappings_of_the_language_as_it_is_meant_to_be_are_valid(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {section: (f"{known} {later}", "") for section, (known, later) in SECTIONS.items()}
    monkeypatch.setattr(bridge.mapping.schema, "SECTIONS", whole)
    assert errors(load_yaml(path).value) == []


@pytest.mark.parametrize("path", sorted((ROOT / "mappings").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_shipped_mappings_are_valid(path: Path) -> None:
    assert errors(load_yaml(path).value) == []


def test_the_schema_beside_the_shipped_mappings_is_this_one() -> None:
    """If not: `bridge mapping schema --output mappings/mapping.schema.json`."""
    assert (ROOT / "mappings" / "mapping.schema.json").read_text("utf-8") == schema_text()


DOORS = """\
mapping: doors
version: 1
owner: facilities@corp.example
match: {any: [{.door|exists: true}, {.risk|gte: 5}]}
each: {in: ".events[]", limit: 10}
extract: {door: .door, user: .user | lower}
time: .at
personal: user
severity:
  from: .level
  table: {red: high}
  ranges: [{gte: 9, to: high}]
  default: low
  raise_to: {critical: {.risk|gte: 90}}
correlation:
  id: "{{ door }}"
  join: [{same: door, within: 4h}]
  update_every: [10m, 1h]
  reopen: {within: 2d, else: create}
  after_person: {closed: 24h}
  close_when: {.state: shut}
  close_after: 5m
suppress: {name: drill, reason: a drill, until: 2026-12-31, window: {days: sat, tz: UTC}, when: {severity|at_most: low}}
route: [{when: {severity: [high, critical]}, to: sir, assignment_group: Guards}, {to: itsm}]
fields:
  create:
    impact: 2
    urgency: {by: severity, table: {critical: 1}, default: 3}
    cmdb_ci: {find: cmdb_ci, by: {name: "{{ door }}"}, else: none}
  on: {sir: {update: {work_notes: again}}}
  close: {close_notes: shut}
observables: {ip: [.reader, .panel], user: user}
tests:
  - name: a test
    alert: a.json
    expect: {action: create, fields.impact: 2, suppressed_by: null, observables: {ip: 10.1.1.7}}
    then: {after: 1m, change: {.state: shut}, expect: {action: close}}
"""

MISTAKES = {
    "a section that is misspelt": ("time:", "tiem:"),
    "a mapping without an owner": ("owner: facilities@corp.example\n", ""),
    "a mapping without fields, and nothing included": ("fields:", "include: []\nfield:"),
    "a key that is misspelt": ("close_after:", "close_afer:"),
    "a duration in words": ("close_after: 5m", "close_after: 5 minutes"),
    "a severity that is none": ("red: high", "red: hihg"),
    "a severity to raise to that is none": ("{critical: {.risk", "{urgent: {.risk"),
    "a severity to compare with that is none": ("at_most: low", "at_most: 2"),
    "exists of something else": ("exists: true", "exists: sometimes"),
    "a number that is none": ("gte: 5}", "gte: five}"),
    "an empty condition": ("{.state: shut}\n  close_after", "{}\n  close_after"),
    "an each without a place": ('in: ".events[]", ', ""),
    "a limit that is too high": ("limit: 10", "limit: 100000"),
    "an extract that is no expression": ("door: .door, ", "door: 5, "),
    "an extract whose name is none": ("door: .door, ", "door-1: .door, door: .door, "),
    "a suppression without a reason": ("reason: a drill, ", ""),
    "a suppression that is not permanent": ("until: 2026-12-31", "permanent: false"),
    "a date that is none": ("2026-12-31", "next year"),
    "a day that is none": ("days: sat", "days: saturday"),
    "a window without a place": (", tz: UTC", ""),
    "a range without a severity": ("{gte: 9, to: high}", "{gte: 9}"),
    "a range of words": ("{gte: 9, to", "{gte: nine, to"),
    "a join without an end": (", within: 4h", ""),
    "a route without a target": ("[{when: {severity: [high, critical]}, to: sir,", "[{when: {severity: high},"),
    "a target's name": ("to: itsm", "to: ITSM"),
    "a group among the fields": ("impact: 2\n", "assignment_group: x\n"),
    "a column that the bridge writes": ("impact: 2\n", "correlation_id: x\n"),
    "a column that an update leaves alone": ("work_notes: again", "state: 2"),
    "a column's name": ("impact: 2\n", "Impact: 2\n"),
    "a table without a column to look at": ("by: severity, table", "table"),
    "an else that is neither": ("else: none", "else: nothing"),
    "what a reopen turns to": ("else: create", "else: reopen"),
    "an expectation that is misspelt": ("suppressed_by:", "suppressed:"),
    "an empty expectation": ("expect: {action: close}", "expect: {}"),
    "a step that expects nothing": (", expect: {action: close}", ""),
    "a change that is no path": ("{.state: shut}, expect", "{state: shut}, expect"),
    "tests that are no list": ("tests:\n  - name", "tests:\n    name"),
}


def test_a_mapping_with_every_section_is_valid() -> None:
    compile_files("doors", {"doors.yaml": DOORS})
    assert errors(parse_yaml(DOORS.encode(), "").value) == []


@pytest.mark.parametrize(("right", "wrong"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_as_the_compiler_refuses_it(right: str, wrong: str) -> None:
    text = DOORS.replace(right, wrong, 1)
    assert text != DOORS
    with pytest.raises(Misconfigured):
        compile_files("doors", {"doors.yaml": text})
    assert errors(parse_yaml(text.encode(), "").value) != []


def test_what_an_include_may_bring_need_not_stand_in_the_file() -> None:
    assert errors({"mapping": "a", "version": 1, "owner": "b", "include": "_shared/all.yaml"}) == []


def test_required_keys_are_keys_of_the_language() -> None:
    for section, keys in REQUIRED.items():
        assert set(keys) <= set(SECTIONS[section][0].split())


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == mapping_schema()


def test_the_command_writes_it_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.json"
    assert main(["mapping", "schema", "--output", str(file)]) == 0
    assert (file.read_text("utf-8"), capsys.readouterr().out) == (schema_text(), f"wrote {file}\n")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "schema", "--output", str(tmp_path / "none" / "s.json")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
