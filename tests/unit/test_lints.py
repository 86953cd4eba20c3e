"""What lints tell apart, beyond the examples of docs/lints.md."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linting import AGAINST, lines_marked, lines_told, of_instance, told, with_sections

from bridge.alert import Severity
from bridge.dictionary.schema import Column
from bridge.dictionary.standard import STANDARD
from bridge.mapping.lint.registry import lint
from bridge.mapping.lint.subject import Against
from bridge.mapping.load import compile_files, load_mappings
from bridge.mapping.trial import TABLES, samples_named
from bridge.simulator.tables import TABLES as SIMULATED
from bridge.sources.document import decode

ROOT = Path(__file__).parents[2]

CASES = re.findall(
    r"^## (\w+): (.+)\n\n```yaml\n([\s\S]*?)^```$", (Path(__file__).parent / "lint_cases.md").read_text("utf-8"), re.M
)


@pytest.mark.parametrize(("ident", "why", "sections"), CASES, ids=[f"{ident}: {why}" for ident, why, _ in CASES])
def test_a_lint_is_told_of_the_marked_lines_only(ident: str, why: str, sections: str) -> None:
    text = with_sections(sections)
    assert lines_told(ident, text) == lines_marked(text)


def test_every_case_is_found() -> None:
    text = (Path(__file__).parent / "lint_cases.md").read_text("utf-8")
    assert len(CASES) == text.count("\n## ")


# Shared files and schemas


ROUTES = "route:\n  - {when: {severity|at_least: high}, to: sir}\n  - {to: itsm}\n"


def test_a_finding_in_a_shared_file_has_its_place_there() -> None:
    text = with_sections("route:\n").replace("owner:", "include: [_shared/routes.yaml]\nowner:")
    found = [(problem.file, problem.line) for problem, ident in told(text, routes=ROUTES) if ident == "IB103"]
    assert found == [("_shared/routes.yaml", 2)]


def test_an_explanation_in_a_shared_file_counts() -> None:
    text = with_sections("route:\n").replace("owner:", "include: [_shared/routes.yaml]\nowner:")
    shared = ROUTES.replace("route:", "route:\n  # IB103: as agreed")
    assert [ident for _, ident in told(text, routes=shared) if ident == "IB103"] == []


def test_a_route_of_ones_own_that_hides_shared_ones_is_told_where_it_stands() -> None:
    text = with_sections("route:\n  - {to: itsm}\n").replace("owner:", "include: [_shared/routes.yaml]\nowner:")
    found = [problem for problem, ident in told(text, routes=ROUTES) if ident == "IB101"]
    assert {(problem.file, problem.line) for problem in found} == {
        ("probe.yaml", text.splitlines().index("route:") + 2)
    }
    assert "_shared/routes.yaml:2" in found[0].message


def test_a_shared_route_that_shared_ones_hide_is_told_there() -> None:
    text = with_sections("route:\n").replace("owner:", "include: [_shared/routes.yaml]\nowner:")
    found = [problem for problem, ident in told(text, routes=f"{ROUTES}  - {{to: drop}}\n") if ident == "IB101"]
    assert [(problem.file, problem.line) for problem in found] == [("_shared/routes.yaml", 4)]
    assert "_shared/routes.yaml:2 and _shared/routes.yaml:3 take all that it would" in found[0].message


def test_an_extract_of_a_shared_file_may_be_for_another_mapping() -> None:
    text = with_sections("").replace("owner:", "include: [_shared/more.yaml]\nowner:")
    assert [ident for _, ident in told(text, more="extract: {page: .url}\n") if ident == "IB402"] == []


CUSTOM = 'fields:\n  create:\n    short_description: x\n    u_rule: "{{ rule }}"  # here\n'


def test_a_custom_column_is_not_known_without_an_instance() -> None:
    assert lines_told("IB501", with_sections(CUSTOM)) == []


def test_a_custom_column_that_the_instance_has_not_is_told() -> None:
    text = with_sections(CUSTOM)
    assert lines_told("IB501", text, of_instance()) == lines_marked(text)


def test_a_custom_column_that_the_instance_has_is_fine() -> None:
    assert lines_told("IB501", with_sections(CUSTOM), of_instance(u_rule=Column(type="string"))) == []


def test_the_choices_of_an_instance_count() -> None:
    text = with_sections("fields:\n  create:\n    short_description: x\n    category: cloud  # here\n")
    choices = Column(type="string", choices=frozenset({"network"}))
    assert lines_told("IB503", text, of_instance(category=choices)) == lines_marked(text)


def test_a_part_of_the_id_that_says_that_it_may_be_empty_is_not_told() -> None:
    text = with_sections('correlation:\n  id: "{{ rule }}:{{ .owner ?? \\"\\" }}"\n  close_when: {.status: resolved}\n')
    assert lines_told("IB301", text) == lines_told("IB302", text) == []


def test_without_the_groups_of_an_instance_none_is_unknown() -> None:
    text = with_sections("route:\n  - {to: itsm, assignment_group: Whoever}\n")
    assert lines_told("IB504", text, replace(AGAINST, schema=STANDARD)) == []


def test_the_columns_by_which_a_record_is_looked_for_are_checked_where_the_table_is_known() -> None:
    find = 'find: cmdb_ci_computer, by: {nam: "{{ host }}"}'
    text = with_sections(f"fields:\n  create:\n    short_description: x\n    cmdb_ci: {{{find}}}  # here\n")
    schema = replace(AGAINST.schema, tables={**STANDARD.tables, "cmdb_ci_computer": {"name": Column(type="string")}})
    assert lines_told("IB501", text) == []
    assert lines_told("IB501", text, replace(AGAINST, schema=schema)) == lines_marked(text)


def test_a_target_of_a_name_of_its_own_is_checked_by_its_table() -> None:
    text = with_sections("route:\n  - {to: desk}\nfields:\n  create: {short_description: x, priority: 1}  # here\n")
    assert lines_told("IB505", text, replace(AGAINST, tables={"desk": "incident"})) == lines_marked(text)


@pytest.mark.parametrize("table", ["incident", "sn_si_incident"])
def test_the_built_in_columns_are_those_of_the_simulator(table: str) -> None:
    assert set(STANDARD.tables[table]) == SIMULATED[table].columns


# Whole mappings


def of_folder(folder: Path) -> list[str]:
    mappings = load_mappings(folder, [path.stem for path in folder.glob("*.yaml")])
    names = set().union(*(samples_named(mapping) for mapping in mappings.values()))
    samples = {name: decode((folder / name).read_bytes()).value for name in names}
    against = Against(schema=STANDARD, tables=TABLES, hosts=frozenset(), today=date(2026, 6, 1))
    return [f"{ident} {problem}" for problem, ident in lint(mappings, samples, against)]


def test_the_shipped_mappings_raise_nothing() -> None:
    assert of_folder(ROOT / "mappings") == []


def test_only_commands_ask_for_lints() -> None:
    """They are warnings: serving, reloading and publishing do not even know them."""
    askers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bridge").rglob("*.py")
        if "bridge.mapping.lint" in path.read_text("utf-8") and "lint" not in path.parent.name
    }
    assert {path.rpartition("/")[0] for path in askers} == {"bridge/cli"}


SEVERITIES = [severity.word for severity in Severity]
KEYS = st.dictionaries(
    st.sampled_from(["severity", "severity|at_least", "severity|at_most", ".a", ".b"]), st.integers(0, 4), max_size=3
)


@settings(max_examples=40)
@given(st.lists(KEYS, min_size=1, max_size=5))
def test_no_alert_gets_to_a_route_that_is_told_as_never_reached(routes: list[dict[str, int]]) -> None:
    lines = []
    for route in routes:
        words = {
            key: SEVERITIES[at] if "severity" in key else ["x", "[x, y]", "y", "[y, z]", "X"][at]
            for key, at in route.items()
        }
        when = ", ".join(f"{key}: {word}" for key, word in words.items())
        lines.append(f"  - {{when: {{{when}}}, to: itsm}}" if when else "  - {to: itsm}")
    text = with_sections("route:\n" + "\n".join(lines) + "\n")
    mapping = compile_files("probe", {"probe.yaml": text})
    taken = {
        mapping.map({"rule": "r", "host": "h", "level": word, "a": a, "b": b}).route
        for word in SEVERITIES
        for a in ("x", "y", "z", None)
        for b in ("x", "y", "z", None)
    }
    first = text.splitlines().index("route:") + 2
    told_of = {f"route[{line - first}]" for line in lines_told("IB101", text)}
    assert not told_of & taken


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rule", "host", "user", "level"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(JSON)
def test_no_lint_fails_on_any_sample(document: object) -> None:
    mappings = {"probe": compile_files("probe", {"probe.yaml": with_sections("")})}
    lint(mappings, {"samples/probe.json": document}, AGAINST)


@pytest.mark.parametrize(
    ("column", "defaults", "told_of_it"),
    [
        (Column(type="string", mandatory=True), {}, True),
        (Column(type="string", mandatory=True, has_default=True), {}, False),
        (Column(type="string", mandatory=True), {"itsm": frozenset({"u_team"})}, False),
        (Column(type="string", mandatory=True), {"sir": frozenset({"u_team"})}, True),
        (Column(type="string"), {}, False),
    ],
    ids=["mandatory", "the table has a default", "the target has one", "another target has", "optional"],
)
def test_a_mandatory_column_is_told_where_nothing_fills_it(
    column: Column, defaults: dict[str, frozenset[str]], told_of_it: bool
) -> None:
    against = replace(of_instance(u_team=column), defaults=defaults)
    assert bool(lines_told("IB508", with_sections(""), against)) == told_of_it
