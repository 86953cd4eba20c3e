"""`bridge mapping explain`, `coverage` and `docs`: what they print and how they exit."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import main

DOORS = """\
mapping: doors
version: 1
owner: soc@corp.example
include: [_shared/routes.yaml]
match: {.site: hq}
each: {in: ".doors[]"}
extract:
  door: .name ?? .number
severity: {from: .level, table: {low: low, high: high}, default: medium}
correlation: {id: "{{ door }}", display: Doors}
suppress:
  - {name: drill, reason: a test, permanent: true, when: {.drill: true}}
route:
  - {when: {severity|at_most: low}, to: drop}
fields: {create: {short_description: "Door {{ door }}: {{ .title }}"}}
tests:
  - {name: a door, alert: samples/doors.json, expect: {route: sir}}
  - {name: another, alert: samples/doors.json, element: 1, expect: {route: drop}}
"""
GATES = """\
mapping: gates
version: 1
owner: soc@corp.example
correlation: {id: "{{ .gate }}"}
route: {to: itsm}
fields: {create: {short_description: Gate}}
"""
ROUTES = """\
route:
  - {when: {severity|at_least: high}, to: sir}
"""
SAMPLE = "mappings/samples/doors.json"


def _write_sample(**door: Any) -> None:
    doors = [{"name": "north", "level": "high", **door}, {"number": 7, "level": "low"}]
    Path(SAMPLE).write_text(json.dumps({"site": "hq", "doors": doors}), "utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    for name, text in {"doors": DOORS, "gates": GATES, "_shared/routes": ROUTES}.items():
        file = tmp_path / "mappings" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text, "utf-8")
    (tmp_path / "mappings/samples").mkdir()
    _write_sample()
    return tmp_path / "mappings"


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        """What it says: on stdout when all is well, else on stderr."""
        assert main(["mapping", *words]) == status
        said = self._capsys.readouterr()
        return said.err if status else said.out

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


# --- explain


def test_the_first_line_says_what_becomes_of_the_alert(shell: Shell) -> None:
    first = shell.run("explain", "doors", SAMPLE).splitlines()[0]
    assert first.startswith("doors: accepted, firing, high to sir, alert 0 of 2 in its delivery, as of 20")


def test_a_step_is_shown_with_its_verdict_value_and_place(shell: Shell) -> None:
    assert shell.run("explain", "doors", SAMPLE).split("\n\n")[3] == "\n".join(
        [
            "extract",
            '  door = "north"  mappings/doors.yaml:8',
            '    taken     .name = "north"',
            "    not asked .number",
        ]
    )


def test_a_condition_is_shown_with_what_it_saw(shell: Shell) -> None:
    assert shell.run("explain", "doors", SAMPLE).split("\n\n")[7] == "\n".join(
        [
            'route: "sir"',
            "  lost      route[0] to drop  mappings/doors.yaml:14",
            '    fails     severity|at_most: low  saw "high"',
            "  taken     route[1] to sir  mappings/_shared/routes.yaml:2",
            '    holds     severity|at_least: high  saw "high"',
        ]
    )


def test_one_alert_of_a_delivery_is_chosen(shell: Shell) -> None:
    told = shell.json("explain", "doors", SAMPLE, "--element", "1")
    assert (told["element"], told["elements"], told["outcome"]) == (1, 2, "dropped")


def test_an_element_that_is_not_there_is_wrong_usage(shell: Shell) -> None:
    said = shell.run("explain", "doors", SAMPLE, "--element", "9", status=2)
    assert "the delivery has 2 alerts, there is no element 9: the first is 0" in said


def test_a_delivery_without_alerts_is_wrong_usage(shell: Shell) -> None:
    Path(SAMPLE).write_text('{"site": "hq", "doors": []}', "utf-8")
    assert "the delivery has no alert" in shell.run("explain", "doors", SAMPLE, status=2)


def test_json_has_the_decision_on_top_and_the_sections_below(shell: Shell) -> None:
    told = shell.json("explain", "doors", SAMPLE)
    assert (told["outcome"], told["route"], told["status"]) == ("accepted", "route[1]", "firing")
    assert told["correlation_id"] == "north"
    route = next(section for section in told["sections"] if section["name"] == "route")
    assert [step["verdict"] for step in route["steps"]] == ["lost", "taken"]
    assert route["steps"][1]["parts"][0] == {
        "what": "severity|at_least: high",
        "place": "mappings/_shared/routes.yaml:2",
        "verdict": "holds",
        "value": "high",
        "why": "",
        "parts": [],
    }


def test_a_quarantined_alert_is_explained_all_the_same(shell: Shell) -> None:
    Path(SAMPLE).write_text("{}", "utf-8")
    lines = shell.run("explain", "doors", SAMPLE).splitlines()
    assert lines[0].startswith("doors: quarantined (no_match), as of")
    assert lines[1] == "the delivery does not match the mapping doors: it has no .site; see its `match`"


def test_an_alert_is_read_from_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(SAMPLE).read_bytes())))
    assert shell.json("explain", "doors", "-")["severity"] == "high"


@pytest.mark.parametrize(
    ("alert", "status", "says"),
    [
        ("nowhere.json", 2, "nowhere.json cannot be read: No such file or directory"),
        ("mappings", 2, "mappings cannot be read: Is a directory"),
        ("mappings/doors.yaml", 1, "mappings/doors.yaml: The body is not JSON"),
        ("12-0", 2, "bridge.yaml: there is no such file"),
    ],
)
def test_an_alert_that_cannot_be_had_is_named(shell: Shell, alert: str, status: int, says: str) -> None:
    assert says in shell.run("explain", "doors", alert, status=status)


def test_what_a_sender_wrote_cannot_steer_the_terminal(shell: Shell) -> None:
    _write_sample(name="\x1b[31mred\u202e", title="\x9b31m")
    said = shell.run("explain", "doors", SAMPLE)
    assert not {"\x1b", "\u202e", "\x9b"} & set(said)


def test_a_long_value_is_cut_as_text_and_whole_as_json(shell: Shell) -> None:
    _write_sample(title="long " * 100)
    assert max(len(line) for line in shell.run("explain", "doors", SAMPLE).splitlines()) < 300
    assert "long " * 99 in json.dumps(shell.json("explain", "doors", SAMPLE))


# --- coverage


def test_coverage_marks_what_no_alert_came_to_and_exits_0(shell: Shell) -> None:
    rows = [line.split() for line in shell.run("coverage", "doors").splitlines()]
    assert rows[0] == ["doors,", "by", "2", "tests"]
    assert ["never", "severity.default:", "medium", "mappings/doors.yaml:9"] in rows
    assert ["1", "route[1]", "to", "sir", "mappings/_shared/routes.yaml:2"] in rows


def test_coverage_without_names_is_of_every_mapping_with_a_summary(shell: Shell) -> None:
    lines = shell.run("coverage").splitlines()
    assert [line for line in lines if ", by " in line] == ["doors, by 2 tests", "gates, by 0 tests"]
    assert [line.split() for line in lines[-3:]] == [
        ["MAPPING", "MATCHES", "ALTERNATIVES", "ROWS", "SUPPRESSIONS", "ROUTES", "OUTPUTS", "COVERED"],
        ["doors", "1/1", "2/2", "2/3", "0/1", "2/2", "-", "77%"],
        ["gates", "-", "-", "-", "-", "0/1", "-", "0%"],
    ]


def test_coverage_as_json_has_every_place(shell: Shell) -> None:
    (told,) = shell.json("coverage", "doors")
    assert (told["mapping"], told["by"], told["hit"]) == ("doors", "2 tests", 7)
    assert {point["sort"] for point in told["points"]} == {"match", "alternative", "row", "suppression", "route"}
    assert told["points"][0] == {
        "sort": "match",
        "what": "match: .site: hq",
        "place": "mappings/doors.yaml:5",
        "hits": 2,
    }


def test_coverage_tells_of_tests_that_fail(shell: Shell) -> None:
    _write_sample(level="low")
    assert shell.run("coverage", "doors").startswith("doors, by 2 tests, 1 of which fail")


def test_coverage_of_no_mapping_says_what_to_do(shell: Shell, folder: Path) -> None:
    shutil.rmtree(folder)
    assert "there is no mapping here" in shell.run("coverage", status=2)


# --- docs


def test_docs_print_a_page_with_its_picture_inside(shell: Shell) -> None:
    said = shell.run("docs", "doors")
    assert said.startswith("# Doors\n")
    assert "\n<svg " in said


def test_docs_are_written_with_the_picture_beside_the_page(shell: Shell) -> None:
    assert shell.run("docs", "doors", "gates", "--output", "pages/new").splitlines() == [
        "pages/new/doors.svg written",
        "pages/new/doors.md written",
        "pages/new/gates.svg written",
        "pages/new/gates.md written",
    ]
    assert "![The routes of Doors](doors.svg)" in Path("pages/new/doors.md").read_text("utf-8")
    assert Path("pages/new/doors.svg").read_text("utf-8").endswith("</svg>\n")


def test_docs_that_cannot_be_written_are_wrong_usage(shell: Shell) -> None:
    Path("file").write_text("", "utf-8")
    assert "cannot be written" in shell.run("docs", "doors", "--output", "file/pages", status=2)


# --- all three


@pytest.mark.parametrize("words", [["explain", "door", SAMPLE], ["coverage", "door"], ["docs", "door"]])
def test_an_unknown_mapping_names_the_nearest(shell: Shell, words: list[str]) -> None:
    assert "did you mean `doors`?" in shell.run(*words, status=2)


@pytest.mark.parametrize("command", ["explain", "coverage", "docs"])
def test_help_has_an_example(shell: Shell, command: str) -> None:
    assert f"Example:\n    bridge mapping {command} " in shell.run(command, "--help")


def test_their_help_loads_neither_the_language_nor_the_store() -> None:
    modules = ", ".join(f"bridge.cli.mapping_{command}" for command in ("explain", "coverage", "docs"))
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "ruamel.yaml", "re2", "rich", "bridge.mapping.compile"} & set(loaded)
