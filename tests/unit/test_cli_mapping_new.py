"""`bridge mapping new`: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import main
from bridge.yamlfile import load_yaml

ALERT = {"id": "a-1", "rule": "Brute force", "host": "web-01", "severity": "high", "time": "2026-03-02T08:15:00Z"}


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One alert, beside an empty folder of mappings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    (tmp_path / "mappings").mkdir()
    return written(tmp_path / "sample.json", ALERT)


def written(path: Path, document: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def new(*arguments: str) -> int:
    return main(["mapping", "new", *arguments])


def test_a_mapping_and_its_sample_are_written_and_named(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new("doors", "--from-sample", "sample.json") == 0
    assert Path("mappings/samples/doors.json").read_bytes() == sample.read_bytes()
    assert capsys.readouterr().out.splitlines()[:2] == [
        "wrote mappings/samples/doors.json",
        "wrote mappings/doors.yaml",
    ]


def test_what_comes_next_is_told(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new("doors", "--from-sample", "sample.json")
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "  bridge mapping test doors",
        "An editor completes its keys after",
        "  bridge mapping schema --output mappings/mapping.schema.json",
    ]


def test_its_test_passes_and_expects_what_the_sample_brings(sample: Path) -> None:
    new("doors", "--from-sample", "sample.json")
    assert main(["mapping", "test", "doors"]) == 0
    (test,) = load_yaml(Path("mappings/doors.yaml")).value["tests"]
    assert test["expect"] == {
        "action": "create",
        "severity": "high",
        "correlation_id": "doors:a-1",
        "route": "itsm",
        "fields.short_description": "[High] Brute force on web-01",
    }


def test_it_is_laid_out(sample: Path) -> None:
    new("doors", "--from-sample", "sample.json")
    assert main(["mapping", "fmt", "--check"]) == 0


def test_a_sample_in_the_mappings_folder_is_used_where_it_is(sample: Path) -> None:
    written(Path("mappings/samples/there.json"), ALERT)
    assert new("doors", "--from-sample", "mappings/samples/there.json") == 0
    assert [path.name for path in Path("mappings/samples").iterdir()] == ["there.json"]
    assert load_yaml(Path("mappings/doors.yaml")).value["tests"][0]["alert"] == "samples/there.json"


def test_where_the_alerts_are_may_be_said(sample: Path) -> None:
    written(sample, {"id": "delivery", "batch": {"rows": [ALERT, ALERT]}})
    assert new("doors", "--from-sample", "sample.json", "--each", ".batch.rows") == 0
    value = load_yaml(Path("mappings/doors.yaml")).value
    assert value["each"]["in"] == ".batch.rows"
    assert value["match"] == {".batch.rows[].id|exists": True, ".batch.rows[].severity|exists": True}
    assert main(["mapping", "test"]) == 0


def test_where_the_alerts_are_is_guessed(sample: Path) -> None:
    written(sample, [ALERT])
    assert new("doors", "--from-sample", "sample.json") == 0
    assert load_yaml(Path("mappings/doors.yaml")).value["each"]["in"] == ".[]"
    assert main(["mapping", "test"]) == 0


def test_the_route_leads_to_a_target_of_bridge_yaml(
    sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "try"]) == 0
    monkeypatch.chdir("try")
    config = Path("bridge.yaml")
    config.write_text(config.read_text("utf-8").replace("\n  itsm:\n", "\n  desk:\n"), "utf-8")
    assert new("doors", "--from-sample", "../sample.json") == 0
    assert load_yaml(Path("mappings/doors.yaml")).value["route"] == [{"to": "desk"}]


def test_a_mapping_that_is_there_is_not_overwritten(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mappings/doors.yaml").write_text("mine\n")
    assert new("doors", "--from-sample", "sample.json") == 2
    assert "nothing was written: mappings/doors.yaml is there already" in capsys.readouterr().err
    assert Path("mappings/doors.yaml").read_text() == "mine\n"


def test_another_sample_of_that_name_is_not_overwritten(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(Path("mappings/samples/doors.json"), {"another": 1})
    assert new("doors", "--from-sample", "sample.json") == 2
    assert "mappings/samples/doors.json is there already, with another content" in capsys.readouterr().err
    assert not Path("mappings/doors.yaml").exists()


REFUSED = {
    "a name that is none": (ALERT, ["Doors"], "`Doors` is not a mapping's name"),
    "a name that leads elsewhere": (ALERT, ["../doors"], "`../doors` is not a mapping's name"),
    "a path that is none": (ALERT, ["doors", "--each", "rows"], "`rows` is not a path (a path starts with a dot"),
    "a path to nothing": (ALERT, ["doors", "--each", ".rows[]"], "sample.json: there is nothing at .rows[]"),
    "an empty list": ([], ["doors"], "sample.json: holds no alert to look at"),
    "a list of words": (["a"], ["doors"], "sample.json: holds no alert to look at"),
    "an empty object": ({}, ["doors"], "sample.json: holds no alert to look at"),
}


@pytest.mark.parametrize(("document", "arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_nothing_written(
    sample: Path, capsys: pytest.CaptureFixture[str], document: Any, arguments: list[str], message: str
) -> None:
    written(sample, document)
    assert new(*arguments, "--from-sample", "sample.json") == 2
    shown = capsys.readouterr().err
    assert (message in shown, shown.count("\n")) == (True, 1)
    assert list(Path("mappings").iterdir()) == []


def test_a_sample_that_is_not_json_is_refused_by_name(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample.write_text("{")
    assert new("doors", "--from-sample", "sample.json") == 2
    assert capsys.readouterr().err.startswith("sample.json: ")


def test_a_sample_that_is_not_there_is_wrong_usage(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new("doors", "--from-sample", "none.json") == 2
    assert "'none.json' does not exist" in capsys.readouterr().err


def test_without_a_folder_of_mappings_it_says_so(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mappings").rmdir()
    assert new("doors", "--from-sample", "sample.json") == 2
    assert "there is no folder mappings: make it, or name a bridge.yaml with --config" in capsys.readouterr().err
