"""`bridge log audit`, on both engines: what it prints, and its exit status."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from intake_world import alert
from publishing_world import BRIDGE_YAML
from sqlalchemy import delete
from test_audit import Intake

from bridge.cli import main
from bridge.store.engine import Store
from bridge.store.tables import alerts, correlations


class Shell:
    """The command before one store."""

    def __init__(self, store: Store, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.intake, self._config, self._capsys = Intake(store), config, capsys

    def run(self, *words: str, status: int = 0) -> str:
        assert main(["log", "audit", *words, "--config", str(self._config)]) == status
        output = self._capsys.readouterr()
        return output.err if status == 2 else output.out

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self.run("--json", *words, status=status))


@pytest.fixture
def shell(
    store: Store, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], commands_now: None
) -> Shell:
    (tmp_path / "mappings").mkdir()
    config = tmp_path / "bridge.yaml"
    config.write_text(BRIDGE_YAML % (json.dumps(store_url), "publish_only"))
    return Shell(store, config, capsys)


def test_what_has_an_end_is_complete(shell: Shell) -> None:
    shell.intake.take(alert("r1", kind="noisy"))
    shown = shell.run()
    assert shown.splitlines()[-1].startswith("Complete:")
    assert "ok  probe" in shown


def test_a_source_is_a_line_with_a_bar_of_what_became_of_its_alerts(shell: Shell) -> None:
    shell.intake.take(alert("r1", kind="noisy"), alert("r2", kind="noisy"), {"level": "low"}, alert("r3"))
    (line,) = [line for line in shell.run().splitlines() if line.startswith("held")]
    assert "▒▒▒▒▒▒░░░???" in line
    assert "1 open, 1 quarantined (1 empty_identity), 2 suppressed (2 noise)" in line


def test_what_is_open_is_named_with_what_ends_it_and_is_no_fault(shell: Shell) -> None:
    shell.intake.take(alert("r1"))
    shown = shell.run()
    assert "1 problem with alerts that have no end yet (1 waiting):" in shown
    assert "waiting  0 s ago   probe" in shown
    assert shown.splitlines()[-1].startswith("The record agrees with itself. Not everything has an end")


def test_what_differs_is_named_and_is_1(shell: Shell) -> None:
    shell.intake.take(alert("r1", kind="noisy"), alert("r2", kind="noisy"))
    with shell.intake.store.transaction() as tx:
        tx.execute(delete(alerts).where(alerts.c.position == 0))
    shown = shell.run(status=1)
    assert "alert_missing  alert 1-0  The log says that it was suppressed; the store does not have it." in shown
    assert shown.splitlines()[-1] == "WRONG: the record does not agree with itself: 1 difference."


def test_an_alert_that_nothing_would_bring_forward_is_1(shell: Shell) -> None:
    shell.intake.take(alert("r1"))
    shell.intake.change(correlations, due_at=None)
    shown = shell.run(status=1)
    assert "alert_lost" in shown
    assert "lost  probe" in shown


def test_json_is_one_object_with_all_of_it(shell: Shell) -> None:
    shell.intake.take(alert("r1"), {"level": "low"})
    shown = shell.json()
    assert set(shown) == {
        *("since", "until", "at", "compared_from", "outcome", "sources", "open", "open_by", "differences"),
        "difference_count",
    }
    (source,) = shown["sources"]
    assert (shown["outcome"], source["received"], source["held"]) == ("open", 1, 1)
    assert source["ends"] == {"open": {"new": 1}, "quarantined": {"empty_identity": 1}}
    assert source["silence"].keys() == {"began", "lasted", "broken"}
    assert [one["why"] for one in shown["open"]] == ["waiting"]
    assert shown["open_by"] == {"waiting": 1}


def test_json_of_what_differs_is_1_as_well(shell: Shell) -> None:
    shell.intake.take(alert("r1", kind="noisy"))
    with shell.intake.store.transaction() as tx:
        tx.execute(delete(alerts))
    shown = shell.json(status=1)
    assert [(one["code"], one["about"]) for one in shown["differences"]] == [("alert_missing", "alert 1-0")]


def test_a_day_is_from_midnight_to_midnight_utc(shell: Shell) -> None:
    today = shell.intake.store.moment().replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(days=1)
    for at in (yesterday - timedelta(microseconds=1), yesterday, today):
        shell.intake.take(alert("r1"), at=at)
    shown = shell.json("--day", f"{yesterday:%Y-%m-%d}")
    assert (shown["sources"][0]["received"], datetime.fromisoformat(shown["until"])) == (1, today)


def test_a_period_may_be_as_long_as_a_calendar(shell: Shell) -> None:
    shell.intake.take(alert("r1"))
    shown = shell.json("--since", "0002-01-01", "--until", "9990-01-01T00:00:00+01:00")
    assert shown["sources"][0]["received"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--day", "2026-02-30"), "2026-02-30 is no day"),
        (("--day", "yesterday"), "yesterday is no day: write it as in 2026-11-25"),
        (("--day", "20261125"), "20261125 is no day"),
        (("--day", ""), " is no day"),
        (("--day", "9999-12-31"), "9999-12-31 has not begun"),
        (("--day", "2026-03-09", "--since", "2026-03-08"), "--day is a period by itself"),
        (("--since", "soon"), "soon is not a time, as in 2026-11-26"),
        (("--since", "2026-03-09", "--until", "2026-03-09"), "is not before"),
        (("--since", "2026-03-09", "--until", "2026-03-08"), "is not before"),
        (("--until", "0001-01-01"), "there is no day before it"),
    ],
)
def test_a_period_that_is_none_is_wrong_usage(shell: Shell, words: tuple[str, ...], said: str) -> None:
    assert said in shell.run(*words, status=2)
