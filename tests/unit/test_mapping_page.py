"""The page about a mapping and the picture of its routes: complete, well-formed, and safe whatever a mapping holds."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.mapping.graph import LINE_CHARS_MAX, Branch, draw
from bridge.mapping.load import compile_files, load_mappings
from bridge.mapping.page import branches, page
from bridge.mapping.recording import Recorder

FOLDER = Path(__file__).parents[2] / "mappings"
SVG = "{http://www.w3.org/2000/svg}"
MAPPING = r"""
mapping: doors
version: 2
owner: <soc@corp.example>
match: {.door|exists: true}
each: {in: ".doors[]", limit: 7}
extract: {who: '.who | replace("`", "|")'}
time: .at
personal: who
severity: {from: .level, table: {bad: high}, default: low, raise_to: {critical: {.vault: true}}}
correlation:
  id: "{{ .door }}"
  display: Doors *and* gates
  close_after: 5m
  close_when: {.state: shut}
suppress:
  - {name: drill, reason: a test, ticket: T-1, until: 2027-01-31, when: {.drill: true}}
route:
  - {when: {severity|at_least: high}, to: sir, assignment_group: "{{ who }}", else_group: SOC}
  - {when: {.site: [a, b]}, to: drop}
fields:
  create:
    short_description: "{{ .door }} | open"
    description: |
      First.
      Second.
    u_empty: ""
    cmdb_ci: {find: cmdb, by: {name: "{{ .door }}"}, else: {find: cmdb_ci_server, by: {ip: "{{ .i }}"}}}
  on: {sir: {create: {priority: {by: severity, table: {high: 1}, default: 3}}}}
observables: {user: [who, .other]}
"""
LEAST = """
mapping: doors
version: 1
owner: soc
correlation: {id: "{{ .door }}"}
route: {to: itsm}
fields: {create: {short_description: Door}}
"""


def page_of(text: str) -> str:
    recorder = Recorder()
    mapping = compile_files("doors", {"doors.yaml": text}, watch=recorder)
    assert recorder.root is not None
    return page(mapping, recorder.root, "PICTURE")


def branches_of(text: str) -> list[Branch]:
    recorder = Recorder()
    compile_files("doors", {"doors.yaml": text}, watch=recorder)
    assert recorder.root is not None
    return branches(recorder.root)


@pytest.mark.parametrize(
    "line",
    [
        r"# Doors \*and\* gates",
        r"The mapping `doors`, version 2, is kept by \<soc@corp.example\> in `doors.yaml`.",
        "Deliveries with `.door|exists: true`.",
        "Each of `.doors[]` is an alert, at most 7.",
        "Alerts with the same `{{ .door }}` are one problem, with one incident at a time.",
        "- When it happened: `.at`",
        "- It is over when `.state: shut`",
        "- Quiet before it is closed: `5m`",
        "From `.level`:",
        "| `bad` | `high` |",
        "| anything else | low |",
        "| `.vault: true` | at least critical |",
        "| drill | `.drill: true` | a test T-1 | until 2027-01-31 |",
        "PICTURE",
        r"| 1 | `severity\|at_least: high` | sir | `{{ who }}, else SOC` |",
        "| 2 | `.site: [a, b]` | drop |  |",
        r"| `short_description` | all | `{{ .door }} \| open` |",
        "| `description` | all | `First.`<br>`Second.` |",
        "| `u_empty` | all | (cleared) |",
        "| `cmdb_ci` | all | the `cmdb` where name = `{{ .door }}`, else the `cmdb_ci_server` where ip = `{{ .i }}` |",
        "| `priority` | sir | by `severity`: high: `1`, else `3` |",
        r'| `who` | `` .who \| replace("`", "\|") `` | personal |',
        "| user | `who`, `.other` |",
    ],
)
def test_the_page_says(line: str) -> None:
    assert line in page_of(MAPPING).splitlines()


@pytest.mark.parametrize("line", ["Every delivery.", "- No alert closes it.", "Always medium.", "Nothing."])
def test_the_page_of_the_least_mapping_says_what_is_not_there(line: str) -> None:
    assert line in page_of(LEAST).splitlines()


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_every_row_of_a_shipped_page_has_as_many_cells_as_its_head(name: str) -> None:
    recorder = Recorder()
    mapping = load_mappings(FOLDER, [name], watch=recorder)[name]
    assert recorder.root is not None
    columns = 0
    for line in page(mapping, recorder.root, "").splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not cells or not columns or cells == columns, line
        columns = cells


def test_routes_become_branches_in_their_order() -> None:
    assert branches_of(MAPPING) == [
        Branch(when="severity|at_least: high", to="sir", group="{{ who }}, else SOC"),
        Branch(when=".site: [a, b]", to="drop", group=""),
    ]


def _texts(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter(f"{SVG}text") if text.text]


def test_the_picture_asks_in_order_and_says_where_a_yes_leads() -> None:
    assert _texts(draw("Doors", branches_of(MAPPING))) == [
        *("an alert", "severity|at_least: high", "sir", "{{ who }}, else SOC", "yes"),
        *("no", ".site: [a, b]", "drop", "yes", "no", "drop: no route holds"),
    ]


def test_a_route_without_a_condition_ends_the_picture() -> None:
    always = Branch(when="", to="itsm", group="")
    assert _texts(draw("Doors", [always, always])) == ["an alert", "everything else", "itsm"]


def test_a_long_condition_is_wrapped_inside_its_box() -> None:
    texts = _texts(draw("Doors", [Branch(when="word " * 40 + "x" * 200, to="itsm", group="")]))
    assert max(len(text) for text in texts) <= LINE_CHARS_MAX


@given(st.lists(st.builds(Branch, when=st.text(), to=st.text(), group=st.text()), max_size=4), st.text())
def test_every_picture_is_well_formed_and_its_boxes_stand_inside(routes: list[Branch], title: str) -> None:
    svg = draw(title, routes)
    whole = ET.fromstring(svg)
    width, height = int(whole.attrib["width"]), int(whole.attrib["height"])
    boxes = [rect.attrib for rect in whole.iter(f"{SVG}rect") if "x" in rect.attrib]
    assert boxes
    assert all(
        int(box["x"]) + int(box["width"]) <= width and int(box["y"]) + int(box["height"]) <= height for box in boxes
    )


@given(st.text())
@example("0\n\n0")
def test_a_picture_has_no_blank_line_that_would_end_it_in_markdown(text: str) -> None:
    assert all(line.strip() for line in draw(text, [Branch(when=text, to="itsm", group=text)]).split("\n"))
