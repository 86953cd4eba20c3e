"""`bridge mapping test --update` and `--junit`: what they write and what they say."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bridge.cli import main

MAPPINGS = Path(__file__).parents[2] / "mappings"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    return Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))


@pytest.fixture
def spoiled(folder: Path) -> Path:
    file = folder / "github.yaml"
    file.write_text(file.read_text("utf-8").replace("severity: high\n", "severity: low\n", 1), "utf-8")
    return file


def test_update_restores_what_was_spoiled_and_the_tests_pass(spoiled: Path) -> None:
    assert main(["mapping", "test", "github", "--update"]) == 0
    assert spoiled.read_text("utf-8") == (MAPPINGS / "github.yaml").read_text("utf-8")


def test_update_shows_what_it_changed_and_how_much(spoiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["mapping", "test", "github", "--update"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "UPDATED github: a high code scanning alert opens a security incident"
    assert shown[1].startswith("  mappings/github.yaml:")
    assert [line.strip() for line in shown[2:6]] == ["- low", "+ high", "1 expectation updated in 1 file", ""]
    assert re.fullmatch(r"github: (\d+) of \1 tests passed", shown[6])


def test_update_writes_nothing_when_all_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "github.yaml").stat().st_mtime_ns
    assert main(["mapping", "test", "github", "--update"]) == 0
    assert (folder / "github.yaml").stat().st_mtime_ns == before
    assert "updated" not in capsys.readouterr().out


def test_update_leaves_stdout_to_json(spoiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["mapping", "test", "github", "--update", "--json"])
    shown = capsys.readouterr()
    assert all(row["passed"] for row in json.loads(shown.out))
    assert shown.err.startswith("UPDATED github: ")


def test_update_exits_1_when_something_cannot_be_cured(folder: Path) -> None:
    (folder / "samples" / "github-code-scanning.json").unlink()
    assert main(["mapping", "test", "github", "--update"]) == 1


def test_junit_has_a_case_for_every_test_with_its_place(folder: Path) -> None:
    assert main(["mapping", "test", "github", "elastic", "--junit", "out.xml"]) == 0
    root = ElementTree.parse("out.xml").getroot()
    assert [suite.get("name") for suite in root] == ["elastic", "github"]
    case = root[1][0]
    line = (folder / "github.yaml").read_text("utf-8").splitlines()[int(case.get("line", 0)) - 1]
    assert (case.get("classname"), case.get("file")) == ("github", "mappings/github.yaml")
    assert line == f"  - name: {case.get('name')}"


def test_junit_has_failures_as_text(spoiled: Path) -> None:
    assert main(["mapping", "test", "github", "--junit", "out.xml"]) == 1
    root = ElementTree.parse("out.xml").getroot()
    (failure,) = root.iter("failure")
    assert (root.get("tests"), root.get("failures")) == (str(len(list(root.iter("testcase")))), "1")
    assert failure.get("message") == "step 1, severity"
    assert (failure.text or "").splitlines()[1:] == ["    - low", "    + high"]


def test_junit_takes_a_name_that_xml_cannot_hold(folder: Path) -> None:
    file = folder / "github.yaml"
    text = file.read_text("utf-8")
    plain = "- name: a high code scanning alert opens a security incident"
    file.write_text(text.replace(plain, '- name: "\\a<high> & code"'), "utf-8")
    assert main(["mapping", "test", "github", "--junit", "out.xml"]) == 0
    case = next(ElementTree.parse("out.xml").getroot().iter("testcase"))
    assert case.get("name", "").startswith("\N{REPLACEMENT CHARACTER}<high> & code")


def test_a_junit_file_that_cannot_be_written_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "test", "github", "--junit", "none/out.xml"]) == 2
    assert "none/out.xml cannot be written: No such file or directory" in capsys.readouterr().err
