"""`bridge mapping test`: what it prints and how it exits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli.mapping import mapping
from bridge.mapping.load import load_mappings

MAPPINGS = Path(__file__).parents[2] / "mappings"
TESTS = len(load_mappings(MAPPINGS, ["github"])["github"].tests)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    return Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(mapping, ["test", *arguments])


def _spoil(folder: Path) -> None:
    file = folder / "github.yaml"
    file.write_text(file.read_text("utf-8").replace("severity: high\n", "severity: low\n", 1), "utf-8")


def test_it_needs_no_configuration_and_exits_0_when_all_pass(folder: Path) -> None:
    result = _run("github")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, f"github: {TESTS} of {TESTS} tests passed")


def test_without_names_every_mapping_is_tested(folder: Path) -> None:
    assert {line.partition(":")[0] for line in _run().stdout.splitlines()[:-1]} == {
        path.stem for path in MAPPINGS.glob("*.yaml")
    }


def test_a_failure_exits_1_and_shows_place_key_and_difference(folder: Path) -> None:
    _spoil(folder)
    result = _run("github")
    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0] == f"github: {TESTS - 1} of {TESTS} tests passed"
    assert "mappings/github.yaml:" in lines[2]
    assert lines[2].endswith("step 1, severity (- expected, + got)")
    assert lines[3:5] == ["- low", "+ high"]


def test_json_has_an_object_for_every_test(folder: Path) -> None:
    _spoil(folder)
    rows = json.loads(_run("github", "--json").stdout)
    assert [row["passed"] for row in rows] == [False] + [True] * (TESTS - 1)
    assert rows[0]["findings"][0] | {"place": ""} == {
        "place": "",
        "step": "step 1",
        "key": "severity",
        "expected": "low",
        "got": "high",
        "why": "",
    }


def test_an_unknown_name_exits_2_and_names_the_nearest(folder: Path) -> None:
    result = _run("githob")
    assert (result.exit_code, "did you mean `github`?" in result.stderr) == (2, True)


def test_a_mapping_that_is_wrong_exits_1_and_is_named_as_bridge_check_names_it(folder: Path) -> None:
    file = folder / "github.yaml"
    file.write_text(file.read_text("utf-8").replace("\nroute:", "\nroutes:"), "utf-8")
    result = _run("github")
    assert (result.exit_code, result.stderr.startswith("mappings/github.yaml:")) == (1, True)


def test_a_configuration_that_is_wrong_exits_2(folder: Path) -> None:
    config = folder.parent / "bridge.yaml"
    config.write_text("database: [")
    result = _run()
    assert (result.exit_code, result.stderr.startswith("bridge.yaml:")) == (2, True)


def test_a_folder_without_mappings_exits_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    result = _run()
    assert (result.exit_code, "there is no mapping here" in result.stderr) == (2, True)
