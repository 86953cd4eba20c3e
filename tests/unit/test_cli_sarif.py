"""`bridge check --format sarif`: the shape that SARIF 2.1.0 asks for, and places that lead to the line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.alert import Json
from bridge.cli import main
from bridge.cli.sarif import ERROR, sarif
from bridge.mapping.lint.registry import LINTS

DOCS = Path(__file__).parents[2] / "docs/lints.md"
FOUND = {
    "file": "mappings/é a.yaml",
    "line": 7,
    "column": 14,
    "level": "warning",
    "id": "IB201",
    "message": "m",
    "hint": "h",
}


def result_of(**changes: Json) -> Any:
    (result,) = sarif([FOUND | changes])["runs"][0]["results"]
    return result


def place_of(**changes: Json) -> Any:
    return result_of(**changes)["locations"][0]["physicalLocation"]


def test_the_log_has_what_the_standard_requires() -> None:
    log = sarif([FOUND])
    assert log["version"] == "2.1.0"  # §3.13.2
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    assert run["tool"]["driver"]["name"] == "bridge"  # §3.18.2, §3.19.8
    assert run["columnKind"] == "unicodeCodePoints"  # §3.14.17: columns count characters, not UTF-16 units


def test_every_lint_is_a_rule_and_leads_to_its_entry() -> None:
    rules = sarif([])["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [ERROR, *LINTS]
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall("^## (.*)$", DOCS.read_text(), re.M)
    }
    for rule in rules:
        file, _, anchor = rule["helpUri"].partition("#")
        assert file == "docs/lints.md"
        assert anchor in anchors, rule["id"]
        assert rule["shortDescription"]["text"].endswith(".")
        assert rule["defaultConfiguration"]["level"] == ("error" if rule["id"] == ERROR else "warning")


def test_a_lint_is_a_result_of_its_rule() -> None:
    result = result_of()
    rules = sarif([])["runs"][0]["tool"]["driver"]["rules"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "IB201"
    assert result["level"] == "warning"
    assert result["message"] == {"text": "m (h)"}


def test_an_error_is_a_result_too() -> None:
    result = result_of(id=None, level="error", hint="")
    assert (result["ruleId"], result["ruleIndex"], result["level"]) == (ERROR, 0, "error")
    assert result["message"] == {"text": "m"}


def test_a_place_is_a_relative_uri_and_a_region() -> None:
    assert place_of() == {
        "artifactLocation": {"uri": "mappings/%C3%A9%20a.yaml"},
        "region": {"startLine": 7, "startColumn": 14},
    }


def test_a_file_elsewhere_is_a_file_uri() -> None:
    assert place_of(file="/etc/bridge/m.yaml")["artifactLocation"] == {"uri": "file:///etc/bridge/m.yaml"}


def test_a_whole_line_has_no_column() -> None:
    assert place_of(column=0)["region"] == {"startLine": 7}


def test_a_whole_file_has_no_region() -> None:
    assert "region" not in place_of(line=0, column=0)


def test_the_command_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.yaml").write_text("instances: 7\n")
    assert main(["check", "--config", "bridge.yaml", "--format", "sarif"]) == 2
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]} == {
        "bridge.yaml"
    }
