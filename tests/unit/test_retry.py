"""When to try again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.correlation.retry import BACKOFF_MAX_SECONDS, backoff

attempts = st.integers(1, 10_000)
jitters = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("attempt", "jitter", "retry_after", "seconds"),
    [
        pytest.param(1, 0.0, None, 0.5, id="the first pause is half a second at least"),
        pytest.param(1, 0.5, None, 0.75, id="jitter spreads it over the upper half"),
        pytest.param(2, 0.0, None, 1.0, id="it doubles"),
        pytest.param(5, 0.0, None, 8.0, id="and doubles again"),
        pytest.param(10, 0.0, None, 150.0, id="up to five minutes"),
        pytest.param(1000, 0.0, None, 150.0, id="and never overflows"),
        pytest.param(1, 0.0, 60.0, 60.0, id="Retry-After is waited for"),
        pytest.param(1, 0.5, 60.0, 63.0, id="Retry-After is spread too"),
        pytest.param(1, 0.0, 3600.0, 3600.0, id="Retry-After may be longer than any pause of ours"),
        pytest.param(10, 0.0, 1.0, 150.0, id="a short Retry-After does not shorten the pause"),
        pytest.param(1, 0.0, 0.0, 0.5, id="a Retry-After of nothing is none"),
    ],
)
def test_the_pause(attempt: int, jitter: float, retry_after: float | None, seconds: float) -> None:
    assert backoff(attempt, jitter=jitter, retry_after=retry_after) == timedelta(seconds=seconds)


@given(attempts, jitters)
def test_a_pause_is_never_nothing_and_never_over_five_minutes(attempt: int, jitter: float) -> None:
    assert timedelta(seconds=0.5) <= backoff(attempt, jitter=jitter) <= timedelta(seconds=BACKOFF_MAX_SECONDS)


@given(attempts, jitters)
def test_a_further_failure_never_shortens_the_pause(attempt: int, jitter: float) -> None:
    assert backoff(attempt + 1, jitter=jitter) >= backoff(attempt, jitter=jitter)


@given(attempts, jitters, st.floats(0, 86_400))
def test_a_pause_is_never_shorter_than_retry_after(attempt: int, jitter: float, retry_after: float) -> None:
    pause = backoff(attempt, jitter=jitter, retry_after=retry_after)
    assert pause >= timedelta(seconds=retry_after)
