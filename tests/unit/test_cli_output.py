"""How results look."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from bridge.alert import Severity, Status
from bridge.cli.output import age, counted, plain, show_facts, show_json, show_lines, show_table, time_text, to_json

NOW = datetime(2026, 11, 24, 22, 31, 5, tzinfo=UTC)


def test_a_time_is_utc_to_the_second() -> None:
    assert time_text(NOW) == "2026-11-24 22:31:05Z"


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        (timedelta(0), "0 s ago"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=3, seconds=59), "3 min ago"),
        (timedelta(hours=2), "2 h ago"),
        (timedelta(days=9, hours=5), "9 d ago"),
        (timedelta(seconds=-12), "in 12 s"),
    ],
)
def test_an_age_is_told_in_the_largest_unit_that_fits(before: timedelta, shown: str) -> None:
    assert age(NOW - before, NOW) == shown


def test_one_of_a_thing_is_no_plural() -> None:
    assert (counted(1, "alert"), counted(0, "alert"), counted(2, "time")) == ("1 alert", "0 alerts", "2 times")


@given(st.text())
def test_nothing_that_a_terminal_obeys_gets_through(text: str) -> None:
    assert not any(
        (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in plain(text)
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (Severity.HIGH, "high"), (Status.FIRING, "firing"), (True, "yes"), (b"\x01", "01")],
)
def test_a_value_reads_as_a_person_says_it(value: object, shown: str) -> None:
    assert plain(value) == shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    at: datetime
    severity: Severity
    digest: bytes
    parts: tuple[Status, ...]


def test_json_has_words_for_severities_and_rfc_3339_for_times() -> None:
    row = Row(at=NOW, severity=Severity.LOW, digest=b"\xab", parts=(Status.RESOLVED,))
    expected = {"at": "2026-11-24T22:31:05.000000Z", "severity": "low", "digest": "ab", "parts": ["resolved"]}
    assert to_json([row]) == [expected]


def test_json_stays_json_whatever_stands_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "\x1b[2J\x9b\ud800 grün"}
    show_json(value)
    shown = capsys.readouterr().out
    assert "\x9b" not in shown
    assert "grün" in shown
    assert json.loads(shown) == value


def test_a_table_in_a_pipe_is_neither_coloured_nor_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("NAME", "SAYS"), [("critical", "word " * 60), ("[red]b", None)], empty="")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)
    assert lines[2] == "[red]b"


def test_lines_in_a_pipe_are_neither_coloured_nor_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    show_lines([Text("[red]a", style="red"), Text("word " * 60 + "end")])
    assert capsys.readouterr().out == "[red]a\n" + "word " * 60 + "end\n"


def test_an_empty_table_says_what_that_means(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("NAME",), [], empty="Nothing is quarantined.")
    assert capsys.readouterr().out == "Nothing is quarantined.\n"


def test_facts_leave_out_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts([("Alert", "1-0"), ("Incident", None), ("Place", 0)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["Alert", "1-0"], ["Place", "0"]]
