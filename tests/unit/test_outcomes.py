"""What follows from a call that did not simply work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.sync.outcomes import again_at, outcome_word, window_end

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("what", "error", "failures", "seconds"),
    [
        ("the first failure waits a moment", Transient("a", "b"), 0, 0.5),
        ("each doubles the wait", Transient("a", "b"), 3, 4),
        ("five minutes at most", Transient("a", "b"), 60, 150),
        ("an unknown outcome is looked up soon", Ambiguous("a", "b"), 0, 0.5),
        ("what ServiceNow asks for is kept", Transient("a", "b", retry_after=40), 0, 40),
    ],
)
def test_when_it_is_tried_again(what: str, error: BridgeError, failures: int, seconds: float) -> None:
    assert again_at(error, NOW, failures=failures, jitter=0.0) == NOW + timedelta(seconds=seconds), what


def test_a_permanent_failure_is_not_tried_again() -> None:
    assert again_at(Permanent("acl", "let us"), NOW, failures=0, jitter=0.0) is None


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Transient("a", "b"), "not_applied"),
        (Ambiguous("a", "b"), "ambiguous"),
        (Permanent("a", "b"), "permanent"),
    ],
)
def test_the_outcome_of_an_intent(error: BridgeError, word: str) -> None:
    assert outcome_word(error) == word


def test_a_write_may_land_until_the_window_after_its_deadline() -> None:
    assert window_end(NOW, timedelta(seconds=310)) == NOW + timedelta(seconds=310)
