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

MAPPINGS = Path(__file__).parents[2] / "mappings"
POWERSHELL = "mappings/samples/elastic-powershell.json"
BATCH = "mappings/samples/elastic-batch.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    return Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))


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
    first = shell.run("explain", "elastic", POWERSHELL).splitlines()[0]
    assert first.startswith("elastic: accepted, firing, high to sir, as of 20")


def test_a_step_is_shown_with_its_verdict_value_and_place(shell: Shell) -> None:
    lines = [line.strip() for line in shell.run("explain", "elastic", POWERSHELL).splitlines()]
    assert 'host = "WKS-0421"  mappings/elastic.yaml:26' in lines
    assert 'taken     .host.hostname = "WKS-0421"' in lines
    assert "not asked .host.name" in lines
    assert 'fails     severity|at_most: medium  saw "high"' in lines
    assert "taken     route[2] to sir  mappings/_shared/routes.yaml:3" in lines


def test_one_alert_of_a_delivery_is_chosen(shell: Shell) -> None:
    told = shell.json("explain", "elastic", BATCH, "--element", "1")
    assert (told["element"], told["elements"], told["severity"]) == (1, 2, "low")


def test_an_element_that_is_not_there_is_wrong_usage(shell: Shell) -> None:
    said = shell.run("explain", "elastic", BATCH, "--element", "9", status=2)
    assert "the delivery has 2 alerts, there is no element 9" in said


def test_json_has_the_decision_on_top_and_the_sections_below(shell: Shell) -> None:
    told = shell.json("explain", "elastic", POWERSHELL)
    assert (told["outcome"], told["route"], told["status"]) == ("accepted", "route[2]", "firing")
    assert told["correlation_id"].endswith(":WKS-0421")
    route = next(section for section in told["sections"] if section["name"] == "route")
    assert [step["verdict"] for step in route["steps"]] == ["lost", "lost", "taken", "not asked"]
    assert route["steps"][2]["parts"][0] == {
        "what": "severity|at_least: high",
        "place": "mappings/_shared/routes.yaml:3",
        "verdict": "holds",
        "value": "high",
        "why": "",
        "parts": [],
    }


def test_a_quarantined_alert_is_explained_all_the_same(shell: Shell) -> None:
    lines = shell.run("explain", "github", POWERSHELL).splitlines()
    assert lines[0].startswith("github: quarantined (no_match), as of")
    assert lines[1] == "the delivery does not match the mapping github: see its `match`"


def test_an_alert_is_read_from_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(POWERSHELL).read_bytes())))
    assert shell.json("explain", "elastic", "-")["severity"] == "high"


@pytest.mark.parametrize(
    ("alert", "status", "says"),
    [
        ("nowhere.json", 2, "nowhere.json cannot be read: No such file or directory"),
        ("mappings", 2, "mappings cannot be read: Is a directory"),
        ("mappings/elastic.yaml", 1, "mappings/elastic.yaml: The body is not JSON"),
        ("12-0", 2, "bridge.yaml: there is no such file"),
    ],
)
def test_an_alert_that_cannot_be_had_is_named(shell: Shell, alert: str, status: int, says: str) -> None:
    assert says in shell.run("explain", "elastic", alert, status=status)


def test_what_a_sender_wrote_cannot_steer_the_terminal(shell: Shell) -> None:
    body = json.loads(Path(POWERSHELL).read_text("utf-8"))
    body["host"]["hostname"] = "\x1b[31mred\u202e"
    Path("alert.json").write_text(json.dumps(body), "utf-8")
    said = shell.run("explain", "elastic", "alert.json")
    assert not {"\x1b", "\u202e"} & set(said)


def test_a_long_value_is_cut_as_text_and_whole_as_json(shell: Shell) -> None:
    body = json.loads(Path(POWERSHELL).read_text("utf-8"))
    body["kibana.alert.rule.name"] = "long " * 100
    Path("alert.json").write_text(json.dumps(body), "utf-8")
    assert max(len(line) for line in shell.run("explain", "elastic", "alert.json").splitlines()) < 300
    assert "long " * 100 in json.dumps(shell.json("explain", "elastic", "alert.json"))


# --- coverage


def test_coverage_marks_what_no_alert_came_to_and_exits_0(shell: Shell) -> None:
    rows = [line.split() for line in shell.run("coverage", "elastic").splitlines()]
    assert ["never", "severity.table:", "critical:", "critical", "mappings/_shared/severity.yaml:3"] in rows
    assert ["7", "route[2]", "to", "sir", "mappings/_shared/routes.yaml:3"] in rows


def test_coverage_without_names_is_of_every_mapping_with_a_summary(shell: Shell) -> None:
    lines = shell.run("coverage").splitlines()
    heads = [line.split(",")[0] for line in lines if ", by " in line]
    assert heads == sorted(path.stem for path in MAPPINGS.glob("*.yaml"))
    assert [line.split()[0] for line in lines[-len(heads) :]] == heads


def test_coverage_as_json_has_every_place(shell: Shell) -> None:
    (told,) = shell.json("coverage", "elastic")
    assert (told["mapping"], told["by"]) == ("elastic", "10 tests")
    assert told["hit"] == sum(point["hits"] > 0 for point in told["points"])
    assert {point["sort"] for point in told["points"]} == {"match", "alternative", "row", "suppression", "route"}


def test_coverage_tells_of_tests_that_fail(shell: Shell, folder: Path) -> None:
    file = folder / "github.yaml"
    file.write_text(file.read_text("utf-8").replace("severity: high\n", "severity: low\n", 1), "utf-8")
    assert shell.run("coverage", "github").startswith("github, by 9 tests, 1 of which fail")


def test_coverage_of_no_mapping_says_what_to_do(shell: Shell, folder: Path) -> None:
    shutil.rmtree(folder)
    assert "there is no mapping here" in shell.run("coverage", status=2)


# --- docs


def test_docs_print_a_page_with_its_picture_inside(shell: Shell) -> None:
    said = shell.run("docs", "elastic")
    assert said.startswith("# Elastic Security\n")
    assert "\n<svg " in said


def test_docs_are_written_with_the_picture_beside_the_page(shell: Shell) -> None:
    assert shell.run("docs", "elastic", "github", "--output", "pages/new").splitlines() == [
        "pages/new/elastic.svg written",
        "pages/new/elastic.md written",
        "pages/new/github.svg written",
        "pages/new/github.md written",
    ]
    assert "![The routes of Elastic Security](elastic.svg)" in Path("pages/new/elastic.md").read_text("utf-8")
    assert Path("pages/new/elastic.svg").read_text("utf-8").endswith("</svg>\n")


def test_docs_that_cannot_be_written_are_wrong_usage(shell: Shell) -> None:
    Path("file").write_text("", "utf-8")
    assert "cannot be written" in shell.run("docs", "elastic", "--output", "file/pages", status=2)


# --- all three


@pytest.mark.parametrize("words", [["explain", "elastik", POWERSHELL], ["coverage", "elastik"], ["docs", "elastik"]])
def test_an_unknown_mapping_names_the_nearest(shell: Shell, words: list[str]) -> None:
    assert "did you mean `elastic`?" in shell.run(*words, status=2)


@pytest.mark.parametrize("command", ["explain", "coverage", "docs"])
def test_help_has_an_example(shell: Shell, command: str) -> None:
    assert f"Example:\n    bridge mapping {command} " in shell.run(command, "--help")


def test_help_loads_neither_the_language_nor_the_store() -> None:
    code = "import sys; from bridge.cli import main; main(['mapping', '--help']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "ruamel.yaml", "re2", "rich", "bridge.mapping.compile"} & set(loaded)
