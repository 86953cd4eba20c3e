"""The statement's pure part: ends, reasons, differences, silence, percentiles; days and turns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.statement import (
    DIFFERENCES_NAMED_MAX,
    OPEN_NAMED_MAX,
    Difference,
    Differences,
    End,
    Open,
    Opens,
    Silence,
    Span,
    Times,
    Told,
    Unended,
    Why,
    compared,
    end_of,
    silence_of,
    why,
)
from bridge.store.stating import CATCH_UP_DAYS_MAX, DAY, SETTLES, Turn, next_day

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("outcome", "reason", "is_open", "is_observed", "end"),
    [
        ("accepted", "new", False, False, End.APPLIED),
        ("accepted", "new", True, False, End.OPEN),
        ("accepted", "new", True, True, End.OPEN),
        ("accepted", "new", False, True, End.OBSERVED),
        ("suppressed", "noise", True, False, End.SUPPRESSED),
        ("dropped", "route_drop", False, False, End.DROPPED),
        ("dropped", "discarded", False, False, End.DISCARDED),
        ("quarantined", "discarded", False, False, End.QUARANTINED),
    ],
)
def test_an_alert_has_one_end(outcome: str, reason: str, is_open: bool, is_observed: bool, end: End) -> None:
    assert end_of(outcome, reason, is_open=is_open, is_observed=is_observed) is end


def unended(**given: Any) -> Unended:
    known: dict[str, Any] = {
        "source": "probe",
        "correlation_id": "r1",
        "target": "itsm",
        "alerts": 1,
        "oldest": NOW,
        "due_at": NOW,
        "leased_until": None,
        "waits_for_person": False,
        "failure": None,
        "failure_text": None,
        "failures": 0,
        "last_decision": None,
    }
    return Unended(**(known | given))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, Why.WAITING),
        ({"due_at": NOW + HOUR}, Why.WAITING),
        ({"leased_until": NOW + HOUR, "waits_for_person": True}, Why.LEASED),
        ({"leased_until": NOW}, Why.WAITING),
        ({"waits_for_person": True, "due_at": None, "failures": 1}, Why.PERSON),
        ({"due_at": None}, Why.LOST),
        ({"due_at": None, "leased_until": NOW}, Why.LOST),
        ({"due_at": None, "last_decision": "let_go"}, Why.LET_GO),
        ({"due_at": NOW, "last_decision": "let_go"}, Why.WAITING),
        ({"target": "held", "failures": 1}, Why.PAUSED),
        ({"failures": 1, "failure": "x", "last_decision": "brake"}, Why.FAILING),
        ({"last_decision": "brake"}, Why.BRAKED),
    ],
)
def test_what_is_open_has_the_first_reason_that_holds(row: dict[str, Any], reason: Why) -> None:
    found, text = why(unended(**row), paused=["held"], braked="brake", let_go="let_go", now=NOW)
    assert found is reason
    assert text


def told(action: str, alerts: dict[int, str] | None = None, positions: tuple[int, ...] = ()) -> Told:
    return Told(action=action, reason="", alerts=alerts or {}, positions=positions)


DELIVERED = told("delivered", {0: "accepted", 1: "quarantined"})


@pytest.mark.parametrize(
    ("rows", "entries", "codes"),
    [
        ({0: "accepted", 1: "quarantined"}, [DELIVERED], []),
        ({}, [told("delivered")], []),
        ({}, [], ["delivery_not_logged"]),
        ({0: "accepted"}, [told("replayed", {0: "accepted"})], ["delivery_not_logged"]),
        ({0: "accepted", 1: "quarantined"}, [DELIVERED, DELIVERED], ["delivery_logged_twice"]),
        ({0: "accepted"}, [DELIVERED], ["alert_missing"]),
        ({0: "accepted", 1: "quarantined", 2: "accepted"}, [DELIVERED], ["alert_not_logged"]),
        ({0: "suppressed", 1: "quarantined"}, [DELIVERED], ["outcome_changed"]),
        ({0: "accepted", 1: "accepted"}, [DELIVERED, told("replayed", {1: "accepted"})], []),
        (
            {0: "accepted", 1: "accepted", 2: "quarantined"},
            [DELIVERED, told("replayed", {1: "accepted", 2: "quarantined"})],
            [],
        ),
        ({0: "accepted", 1: "dropped"}, [DELIVERED, told("discarded", positions=(1,))], []),
        (
            {0: "accepted", 1: "quarantined"},
            [DELIVERED, told("discarded", positions=(1,)), told("quarantined", positions=(1,))],
            [],
        ),
        ({0: "accepted", 1: "quarantined"}, [DELIVERED, told("quarantined", {1: "quarantined"})], []),
        ({0: "accepted", 1: "quarantined"}, [DELIVERED, told("discarded", positions=(1,))], ["outcome_changed"]),
    ],
)
def test_rows_are_held_against_what_the_entries_say(
    rows: dict[int, str], entries: Sequence[Told], codes: list[str]
) -> None:
    assert [one.code for one in compared(7, rows, entries)] == codes


OUTCOMES = st.sampled_from(["accepted", "suppressed", "dropped", "quarantined"])


@given(st.dictionaries(st.integers(0, 20), OUTCOMES), st.dictionaries(st.integers(0, 20), OUTCOMES))
def test_each_alert_that_differs_is_named_once_and_no_other(rows: dict[int, str], said: dict[int, str]) -> None:
    differ = {position for position in {*rows, *said} if rows.get(position) != said.get(position)}
    found = compared(7, rows, [told("delivered", said)])
    assert [one.about for one in found] == [f"alert 7-{position}" for position in sorted(differ)]


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def span(*hours: float) -> Span:
    gaps = [(later - sooner, sooner) for sooner, later in pairwise(hours)]
    gap, began = max(gaps, default=(0.0, hours[0]))
    return Span(first=at(hours[0]), last=at(hours[-1]), gap=timedelta(hours=gap), gap_began=at(began))


@pytest.mark.parametrize(
    ("before", "spans", "began", "hours"),
    [
        (None, [], 0, 24),
        (-5, [], -5, 29),
        (None, [span(1, 2)], 2, 22),
        (None, [span(20, 21)], 21, 3),  # before its first delivery it was no source
        (-5, [span(20, 21)], -5, 25),
        (-1, [span(1, 9), span(10, 20)], 10, 10),
        (-1, [span(1, 2, 9), span(10, 14), span(20)], 2, 7),
        (-1, [span(1, 9, 10), span(18, 22)], 1, 8),  # of two that are alike the first
    ],
)
def test_the_longest_silence_is_found_wherever_it_is(
    before: float | None, spans: list[Span], began: float, hours: float
) -> None:
    found = silence_of(at(before) if before is not None else None, spans, MIDNIGHT, MIDNIGHT + DAY, None)
    assert found == Silence(began=at(began), lasted=timedelta(hours=hours), broken=False)


@pytest.mark.parametrize(("expected", "broken"), [(24, False), (23, True), (25, False)])
def test_a_silence_is_broken_once_it_is_longer_than_was_expected(expected: int, *, broken: bool) -> None:
    found = silence_of(None, [], MIDNIGHT, MIDNIGHT + DAY, timedelta(hours=expected))
    assert found.broken is broken


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_p99_is_the_least_that_99_of_100_do_not_exceed(values: list[int]) -> None:
    p99 = Times(values).p99()
    assert p99 is not None
    limit = p99 // timedelta(microseconds=1)
    at_most = [value for value in values if value <= limit]
    assert limit in values
    assert 100 * len(at_most) >= 99 * len(values)
    assert 100 * len([value for value in values if value < limit]) < 99 * len(values)


def test_of_no_times_there_is_no_percentile() -> None:
    assert (Times().p99(), Times().worst()) == (None, None)


@given(st.lists(st.integers(0, 500), max_size=3 * OPEN_NAMED_MAX))
def test_of_many_open_ones_those_are_named_that_wait_longest(minutes: list[int]) -> None:
    opens = Opens()
    for number, ago in enumerate(minutes):
        given_ = {"source": "probe", "correlation_id": str(number), "target": None, "alerts": 2, "text": ""}
        opens.add(Open(**given_, oldest=NOW - timedelta(minutes=ago), why=Why.WAITING))  # type: ignore[arg-type]
    named = [(NOW - one.oldest) // timedelta(minutes=1) for one in opens.named()]
    assert named == sorted(minutes, reverse=True)[:OPEN_NAMED_MAX]
    assert (opens.count.total(), opens.alerts["probe"]) == (len(minutes), 2 * len(minutes))


def test_all_differences_are_counted_and_the_first_are_named() -> None:
    found = Differences()
    many = [Difference(code="c", about=str(number), text="") for number in range(DIFFERENCES_NAMED_MAX + 5)]
    found.add(many[:3])
    found.add(many[:3])
    found.add(many[3:])
    assert (found.count, found.named()) == (len(many), tuple(many[:DIFFERENCES_NAMED_MAX]))


@pytest.mark.parametrize(
    ("stated_to", "reached", "now", "turn"),
    [
        # the day that has just ended is stated once what was received in it is committed
        (at(-24), at(-24), at(0), None),
        (at(-24), at(-24), at(0) + SETTLES, Turn(day=at(-24), never=0, again=False)),
        (at(-24), at(-24), at(23), Turn(day=at(-24), never=0, again=False)),
        (at(0), at(0), at(23), None),
        # whoever was away states what was missed, the oldest first
        (at(-72), at(-72), at(12), Turn(day=at(-72), never=0, again=False)),
        # up to a bound, and says what it left out
        (
            at(12) - 40 * DAY - timedelta(hours=12),
            at(-72),
            at(12),
            Turn(day=MIDNIGHT - CATCH_UP_DAYS_MAX * DAY, never=40 - CATCH_UP_DAYS_MAX, again=True),
        ),
        # a clock that had run ahead: nothing until a day has ended, and that day once more
        (at(240), at(240), at(12), None),
        (at(0), at(240), at(24) + SETTLES, Turn(day=at(0), never=0, again=True)),
        (at(240), at(240), at(240) + SETTLES, None),
        (at(216), at(240), at(264) + SETTLES, Turn(day=at(216), never=0, again=True)),
        (at(240), at(240), at(264) + SETTLES, Turn(day=at(240), never=0, again=False)),
    ],
)
def test_the_next_day_is_the_first_that_has_ended_and_was_not_stated(
    stated_to: datetime, reached: datetime, now: datetime, turn: Turn | None
) -> None:
    assert next_day(stated_to, reached, now) == turn
