"""When to try again: one pure function for every retry of the bridge."""

from __future__ import annotations

from datetime import timedelta

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 300.0


def backoff(attempt: int, *, jitter: float, retry_after: float | None = None) -> timedelta:
    """The pause before the next try, after `attempt` failures in a row (1, 2, …).

    Doubles from one second to five minutes; `jitter` in [0, 1) spreads it over the upper half, so that a thousand
    correlations that failed together do not return together. Never shorter than `retry_after` seconds, when given.
    """
    ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt - 1, 30))
    pause = ceiling * (0.5 + jitter / 2)
    return timedelta(seconds=max(pause, (retry_after or 0.0) * (1 + jitter / 10)))
