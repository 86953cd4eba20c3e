"""docs/lints.md: every lint has its entry, and what the examples say of themselves is so."""

from __future__ import annotations

import re

import pytest
from linting import FENCE, PAGE, lines_marked, lines_told, told, with_sections

from bridge.mapping.lint.registry import LINTS

ENTRIES = {title.split()[0]: body for title, body in re.findall(r"^## (.+)\n([\s\S]*?)(?=^## |\Z)", PAGE, re.MULTILINE)}


def examples(ident: str) -> tuple[str, str]:
    first, second = (with_sections(text) for kind, _, text in FENCE.findall(ENTRIES[ident]) if kind == "yaml")
    return first, second


def test_every_lint_has_an_entry_under_its_id_and_name_and_there_are_no_others() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert titles == ["IB000 error", *(f"{ident} {one.name}" for ident, one in LINTS.items())]


def test_names_are_used_once() -> None:
    assert len({one.name for one in LINTS.values()}) == len(LINTS)


def test_the_mapping_of_the_page_raises_nothing() -> None:
    assert told(with_sections("")) == []


@pytest.mark.parametrize("ident", LINTS)
def test_the_first_example_raises_its_lint_where_it_says(ident: str) -> None:
    text = examples(ident)[0]
    assert len(lines_marked(text)) == 1
    assert lines_told(ident, text) == lines_marked(text)


@pytest.mark.parametrize("ident", LINTS)
def test_the_second_example_does_not_raise_it(ident: str) -> None:
    assert lines_told(ident, examples(ident)[1]) == []


@pytest.mark.parametrize("ident", LINTS)
def test_a_finding_has_its_column_and_says_what_to_do(ident: str) -> None:
    (problem,) = [problem for problem, other in told(examples(ident)[0]) if other == ident]
    assert problem.column
    assert problem.message
    assert problem.hint
