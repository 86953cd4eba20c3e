"""Severity by the numbers of a source: ranges, the first that holds."""

from __future__ import annotations

from typing import Any

import pytest
from small_mapping import ALERT, mapping, problems

from bridge.alert import Severity
from bridge.mapping.model import SEVERITY_RANGES_MAX

CVSS = """from: .score ?? .word
ranges: [{gte: 9, to: critical}, {gte: 7, to: high}, {gte: 4, lt: 7, to: medium}, {gt: 0, to: low}]
default: info"""


@pytest.mark.parametrize(
    ("alert", "severity"),
    [
        ({"score": 9}, Severity.CRITICAL),
        ({"score": 8.9}, Severity.HIGH),
        ({"score": "7.0"}, Severity.HIGH),
        ({"score": 6.99}, Severity.MEDIUM),
        ({"score": 0.1}, Severity.LOW),
        ({"score": 0}, Severity.INFO),
        ({"score": -3}, Severity.INFO),
        ({"score": 10**400}, Severity.CRITICAL),
        ({"score": float("nan")}, Severity.INFO),
        ({"score": float("inf")}, Severity.INFO),
        ({"score": True}, Severity.INFO),
        ({"score": [9.5]}, Severity.INFO),
        ({}, Severity.INFO),
        ({"word": "High"}, Severity.HIGH),
        ({"word": "odd"}, Severity.INFO),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_number_is_in_a_range(alert: dict[str, Any], severity: Severity) -> None:
    assert mapping(severity=CVSS).map(ALERT | alert).severity is severity


def test_a_word_of_the_table_goes_before_the_ranges() -> None:
    section = 'from: .score\ntable: {"10": low, unknown: high}\nranges: [{gte: 9, to: critical}]\ndefault: info'
    compiled = mapping(severity=section)
    found = [compiled.map(ALERT | {"score": score}).severity.word for score in (10, 9.5, "Unknown", "critical")]
    assert found == ["low", "critical", "high", "info"]


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ("[{gte: 4, to: medium}, {gte: 7, to: high}]", "is never reached"),
        ("[{gt: 4, lt: 9, to: medium}, {gte: 5, lte: 8, to: high}]", "is never reached"),
        ("[{gte: 7, to: high}, {gt: 7, to: critical}]", "is never reached"),
        ("[{gte: 9, lt: 7, to: high}]", "no number is in this range"),
        ("[{gt: 9, lte: 9, to: high}]", "no number is in this range"),
        ("[{to: high}]", "a range has a bound"),
        ("[{gte: 7}]", "the key `to` is missing"),
        ("[{gte: 7, to: hihg}]", "did you mean `high`"),
        ("[{gte: high, to: high}]", "`gte` compares with a number, not `high`"),
        ("[{gte: true, to: high}]", "`gte` compares with a number"),
        ("[{gt: 7, gte: 8, to: high}]", "two bounds below"),
        ('[{">=": 7, to: high}]', "`>=` is written gte ({gte: 7, to: high})"),
        ("[{from: 7, to: high}]", "there is no key `from`"),
        ("[7]", "a map with the keys gt, gte, lt, lte, to"),
        ("7", "a map with the keys gt, gte, lt, lte, to"),
        (f"[{', '.join(f'{{gte: {100 - n}, to: high}}' for n in range(SEVERITY_RANGES_MAX + 1))}]", "at most 20"),
    ],
)
def test_a_wrong_range_is_told(ranges: str, words: str) -> None:
    found = problems(severity=f"{{from: .score, ranges: {ranges}}}")
    assert any(words in problem for problem in found)


def test_ranges_that_meet_are_two_ranges() -> None:
    compiled = mapping(severity="{from: .score, ranges: [{gt: 7, to: critical}, {gte: 7, to: high}]}")
    assert [compiled.map(ALERT | {"score": score}).severity.word for score in (7.1, 7)] == ["critical", "high"]


def test_a_list_as_a_table_is_told_where_numbers_stand() -> None:
    (problem,) = problems(severity="{from: .score, table: [{gte: 7, to: high}]}")
    assert "numbers stand in ranges" in problem


SCALES = """from: .score
ranges:
  - {when: {.kind: old}, gte: 5, to: critical}
  - {when: {.kind: old}, gte: 3, to: high}
  - {when: {.kind: old}, gte: 0, to: low}
  - {gte: 80, to: critical}
  - {gte: 3, to: medium}
default: info"""


@pytest.mark.parametrize(
    ("alert", "word"),
    [
        ({"kind": "old", "score": 5}, "critical"),
        ({"kind": "old", "score": 4}, "high"),
        ({"kind": "old", "score": 1}, "low"),
        ({"kind": "old", "score": -1}, "info"),
        ({"kind": "new", "score": 80}, "critical"),
        ({"score": 5}, "medium"),
        ({"score": 1}, "info"),
    ],
)
def test_a_scale_may_depend_on_another_field(alert: dict[str, Any], word: str) -> None:
    assert mapping(severity=SCALES).map(ALERT | alert).severity.word == word


@pytest.mark.parametrize(
    "ranges",
    [
        "[{gte: 4, to: low}, {when: {.kind: old}, gte: 5, to: high}]",
        "[{when: {.kind: old}, gte: 4, to: low}, {when: {.kind: old}, gte: 5, to: high}]",
    ],
)
def test_a_range_for_some_alerts_is_not_reached_behind_one_for_these_or_all(ranges: str) -> None:
    assert any("is never reached" in problem for problem in problems(severity=f"{{from: .score, ranges: {ranges}}}"))


def test_a_wrong_condition_of_a_range_is_told() -> None:
    found = problems(severity="{from: .score, ranges: [{when: {kind: old}, gte: 4, to: low}]}")
    assert any("there is no name `kind`" in problem for problem in found)
