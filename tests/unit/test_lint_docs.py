"""docs/lints.md: every lint has its entry, and what the examples say of themselves is so."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bridge.mapping.lint.registry import LINTS, lint
from bridge.mapping.lint.schema import Schema
from bridge.mapping.lint.standard import STANDARD
from bridge.mapping.lint.subject import Against
from bridge.mapping.load import compile_files
from bridge.mapping.trial import TABLES

PAGE = (Path(__file__).parents[2] / "docs/lints.md").read_text("utf-8")
ENTRIES = {title.split()[0]: body for title, body in re.findall(r"^## (.+)\n([\s\S]*?)(?=^## |\Z)", PAGE, re.MULTILINE)}
FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n([\s\S]*?)^```$", re.MULTILINE)
BASE = {name: text for _, name, text in FENCE.findall(PAGE) if name}
SAMPLES = {name: json.loads(text) for name, text in BASE.items() if name.endswith(".json")}
OTHER = """\
mapping: other
version: 1
owner: soc@corp.example
match: {.alertname|exists: true}
correlation: {id: "{{ .alertname }}"}
route: [{to: itsm}]
fields: {create: {short_description: "{{ .alertname }}"}}
tests: [{name: it opens, alert: samples/other.json, expect: {action: create}}]
"""
# With groups, which no built-in schema knows.
KNOWN = Schema(tables=STANDARD.tables, groups=frozenset({"SOC L1", "SOC L2"}), of_instance=False)
AGAINST = Against(schema=KNOWN, tables=TABLES, hosts=frozenset(), today=date(2026, 6, 1))


def sections(text: str) -> dict[str, str]:
    """The top-level sections of a mapping, each with its lines."""
    return {block.split(":")[0]: block for block in re.findall(r"^\S[^\n]*\n(?:[ #][^\n]*\n)*", text, re.MULTILINE)}


def told(example: str) -> tuple[str, list[Any]]:
    """The mapping with the sections of an example, and what is told of it."""
    given = {**sections(BASE["probe"]), **sections(example)}
    text = "".join(block for block in given.values() if block.split("#")[0].strip() != "time:")
    mappings = {
        "probe": compile_files("probe", {"probe.yaml": text}),
        "other": compile_files("other", {"other.yaml": OTHER}),
    }
    return text, [
        (problem, ident) for problem, ident in lint(mappings, SAMPLES, AGAINST) if problem.file == "probe.yaml"
    ]


def examples(ident: str) -> tuple[str, str]:
    first, second = (text for kind, _, text in FENCE.findall(ENTRIES[ident]) if kind == "yaml")
    return first, second


def test_every_lint_has_an_entry_under_its_id_and_name_and_there_are_no_others() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert titles == ["IB000 error", *(f"{ident} {one.name}" for ident, one in LINTS.items())]


def test_names_are_used_once() -> None:
    assert len({one.name for one in LINTS.values()}) == len(LINTS)


def test_the_mapping_of_the_page_raises_nothing() -> None:
    assert told("")[1] == []


@pytest.mark.parametrize("ident", LINTS)
def test_the_first_example_raises_its_lint_where_it_says(ident: str) -> None:
    text, found = told(examples(ident)[0])
    marked = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# here")]
    assert [problem.line for problem, other in found if other == ident] == marked
    assert len(marked) == 1


@pytest.mark.parametrize("ident", LINTS)
def test_the_second_example_does_not_raise_it(ident: str) -> None:
    assert [problem for problem, other in told(examples(ident)[1])[1] if other == ident] == []


@pytest.mark.parametrize("ident", LINTS)
def test_a_finding_has_its_column_and_says_what_to_do(ident: str) -> None:
    found = [problem for problem, other in told(examples(ident)[0])[1] if other == ident]
    assert all(problem.column and problem.message and problem.hint for problem in found)
