"""What the reconciler makes of what it reads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.correlation.reconcile import CALLS_SHARE, HOUR, Merge, Shown, Side, is_news, merge, pause_after


def side(*, over: bool = False, touched: bool = False, created: str = "1") -> Side:
    return Side(over=over, touched=touched, created=created)


FREE, OVER, TAKEN = side(), side(over=True), side(touched=True)
LATER = side(created="2")


@pytest.mark.parametrize(
    ("kept", "twin", "expected"),
    [
        (FREE, LATER, Merge.CLOSE),
        (LATER, FREE, Merge.SWAP),
        (LATER, TAKEN, Merge.SWAP),
        (FREE, side(touched=True, created="2"), Merge.SWAP),
        (TAKEN, LATER, Merge.CLOSE),
        (side(touched=True, created="2"), FREE, Merge.CLOSE),
        (TAKEN, side(touched=True, created="2"), Merge.REPORT),
        (OVER, LATER, Merge.CLOSE),
        (side(over=True, created="2"), FREE, Merge.CLOSE),
        (OVER, TAKEN, Merge.REPORT),
        (FREE, OVER, Merge.OVER),
        (OVER, OVER, Merge.OVER),
        (None, FREE, Merge.REPORT),
        (FREE, None, Merge.OVER),
        (None, None, Merge.OVER),
    ],
    ids=[
        "the older one stays",
        "the older one stays, although the store knows the younger",
        "the one that a person works on stays, an older one",
        "the one that a person works on stays, a younger one",
        "the known one stays when a person works on it",
        "the known one stays when a person works on it, though it is younger",
        "people work on both: they must say",
        "what has ended needs no second record",
        "what has ended needs no second record, an older one either",
        "a person works on the twin of what has ended: they must say",
        "a twin that is over needs nothing",
        "both are over",
        "the known one is gone: a person must say",
        "the twin is gone",
        "both are gone",
    ],
)
def test_which_of_two_twins_stays(kept: Side | None, twin: Side | None, expected: Merge) -> None:
    assert merge(kept, twin) is expected


@pytest.mark.parametrize(
    ("over", "cancelled", "known_open", "version", "expected"),
    [
        (False, False, True, "1", False),
        (False, False, True, "0", True),
        (False, False, True, None, True),
        (True, False, True, "0", True),
        (True, False, False, "0", False),
        (True, False, False, None, False),
        (False, False, False, "0", True),
        (False, False, False, "1", False),
        (True, True, False, "0", True),
        (True, True, False, "1", False),
    ],
    ids=[
        "an open one as we left it",
        "an open one that changed",
        "an open one that we never read",
        "an open one that is over",
        "an ended one that changed and is over still",
        "an ended one that we never read",
        "an ended one that is open again",
        "an ended one that is open again, which we know",
        "an ended one that is cancelled after all",
        "a cancelled one that we know",
    ],
)
def test_what_is_news(*, over: bool, cancelled: bool, known_open: bool, version: str | None, expected: bool) -> None:
    shown = Shown(over=over, cancelled=cancelled, version="1")
    assert is_news(shown, known_open=known_open, known_version=version) is expected


@pytest.mark.parametrize(
    ("end", "by_another", "expected"),
    [
        ({"state": "6", "close_code": "Fixed"}, True, False),
        ({"state": "7", "close_code": "Fixed"}, True, True),
        ({"state": "6", "close_code": "Duplicate"}, True, True),
        ({"state": "7", "close_code": "Duplicate"}, False, False),
        ({}, True, False),
    ],
    ids=["a comment", "closed", "coded anew", "by ServiceNow itself", "what may not be read"],
)
def test_what_is_news_of_one_that_has_ended(*, end: dict[str, str], by_another: bool, expected: bool) -> None:
    shown = Shown(over=True, cancelled=False, version="1", end=end, by_another=by_another)
    known = {"state": "6", "close_code": "Fixed"}
    assert is_news(shown, known_open=False, known_version="0", known_end=known) is expected


@pytest.mark.parametrize(
    ("calls", "per_hour", "seconds"),
    [(1, 20_000, 45), (2, 20_000, 45), (12, 20_000, 45), (2, 1_000, 72), (2, 100, 720), (0, 100, 45)],
)
def test_the_pause_follows_from_the_budget(calls: int, per_hour: int, seconds: int) -> None:
    assert pause_after(calls, per_hour) == timedelta(seconds=seconds)


@given(per_hour=st.integers(1, 100_000), bursts=st.lists(st.integers(0, 12), min_size=1, max_size=200))
def test_no_hour_holds_more_than_the_share_and_one_burst(per_hour: int, bursts: list[int]) -> None:
    begins, at = [], timedelta()
    for calls in bursts:
        begins.append((at, calls))
        at += pause_after(calls, per_hour)
    for begin, _ in begins:
        within = [calls for other, calls in begins if begin <= other < begin + HOUR]
        assert sum(within[:-1]) <= per_hour / CALLS_SHARE + 1e-6
