"""`bridge mapping fmt`: which files it takes, what it writes and how it exits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bridge.cli import main

MAPPINGS = Path(__file__).parents[2] / "mappings"
UNTIDY = "# head\n\ntests: []\nmapping:   github\ninclude: [_shared/routes.yaml]\n"
TIDY = "# head\n\nmapping: github\ninclude: [_shared/routes.yaml]\n\ntests: []\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    return Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))


@pytest.fixture
def untidy(folder: Path) -> Path:
    file = folder / "github.yaml"
    file.write_text(UNTIDY)
    return file


def test_what_is_in_order_is_left_and_exits_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.yaml")}
    assert main(["mapping", "fmt", "--check"]) == 0
    assert main(["mapping", "fmt"]) == 0
    assert capsys.readouterr().out == f"{len(before)} files in order\n" * 2
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.yaml")} == before


def test_a_file_is_laid_out_and_named(untidy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "fmt", "github"]) == 0
    assert untidy.read_text() == TIDY
    assert capsys.readouterr().out == "mappings/github.yaml: laid out\n1 of 1 file was laid out anew\n"


def test_without_names_the_included_files_are_laid_out_too(folder: Path) -> None:
    shared = folder / "_shared" / "routes.yaml"
    shared.write_text("route:\n- {to:  itsm}\n")
    assert main(["mapping", "fmt"]) == 0
    assert shared.read_text() == "route:\n  - {to: itsm}\n"


def test_a_shared_file_has_a_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "fmt", "_shared/routes"]) == 0
    assert capsys.readouterr().out == "1 file in order\n"


def test_check_writes_nothing_and_exits_1(untidy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "fmt", "--check", "github", "elastic"]) == 1
    assert untidy.read_text() == UNTIDY
    assert capsys.readouterr().out == (
        "mappings/github.yaml: would be laid out anew\n1 of 2 files would be laid out anew\n"
    )


def test_diff_writes_nothing_and_shows_what_would_change(untidy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "fmt", "--diff", "github"]) == 0
    assert untidy.read_text() == UNTIDY
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["--- mappings/github.yaml", "+++ mappings/github.yaml"]
    assert {"-mapping:   github", "+mapping: github"} < set(shown)


def test_diff_with_check_exits_1(untidy: Path) -> None:
    assert main(["mapping", "fmt", "--diff", "--check", "github"]) == 1


def test_a_file_that_is_not_yaml_exits_1_and_nothing_is_written(
    untidy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (untidy.parent / "elastic.yaml").write_text("a: [\n")
    assert main(["mapping", "fmt"]) == 1
    assert untidy.read_text() == UNTIDY
    assert capsys.readouterr().err.startswith("mappings/elastic.yaml:2:1: is not YAML: ")


def test_an_unknown_name_exits_2_and_names_the_nearest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "fmt", "githob"]) == 2
    assert capsys.readouterr().err == "mappings/githob.yaml: there is no such file (did you mean `github`?)\n"


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "other.yaml").write_text("a: b\n")
    assert main(["mapping", "fmt", "../other"]) == 2
    assert capsys.readouterr().err == "mappings/../other.yaml: leads out of the mappings folder\n"


def test_a_file_keeps_its_mode_and_a_link_stays_one(untidy: Path) -> None:
    untidy.chmod(0o640)
    link = untidy.with_name("linked.yaml")
    link.symlink_to(untidy)
    assert main(["mapping", "fmt", "linked"]) == 0
    assert (link.is_symlink(), untidy.read_text(), untidy.stat().st_mode & 0o777) == (True, TIDY, 0o640)


def test_a_folder_without_mappings_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    assert main(["mapping", "fmt"]) == 2
    assert "there is no mapping here" in capsys.readouterr().err
