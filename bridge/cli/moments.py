"""Times and spans as people give them to commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

SPAN_DIGITS_MAX = 4
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
MOMENT = (
    "T: 2026-11-26, 2026-11-26T08:30 or 2026-11-26T08:30:00+01:00 (UTC where no zone is given), or 90m, 4h, 7d ago."
)


def span(_context: click.Context, _option: click.Parameter, text: str | None) -> timedelta | None:
    """90m, 4h, 7d."""
    if text is None:
        return None
    found = _span_of(text)
    if found is None:
        raise click.BadParameter(f"{text} is not a span of time, as in 90m, 4h or 7d")
    return found


def moment(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | timedelta | None:
    """A time, or a span before now."""
    if text is None:
        return None
    before = _span_of(text)
    found = _time_of(text) if before is None else before
    if found is None:
        raise click.BadParameter(f"{text} is not a time, as in 2026-11-26, 2026-11-26T08:30, or 90m, 4h or 7d ago")
    return found


def at(given: datetime | timedelta | None, now: datetime) -> datetime | None:
    """What `moment` gave, as a time."""
    return now - given if isinstance(given, timedelta) else given


def _span_of(text: str) -> timedelta | None:
    number, unit = text[:-1], text[-1:]
    if not number.isascii() or not number.isdigit() or unit not in UNITS or len(number) > SPAN_DIGITS_MAX:
        return None
    return timedelta(**{UNITS[unit]: int(number)})


def _time_of(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
