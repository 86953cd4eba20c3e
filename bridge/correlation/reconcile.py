"""What the reconciler makes of what it reads: is it news, which of two twins stays, when may it ask again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

HOUR = timedelta(hours=1)
POLL_EVERY_MIN = timedelta(seconds=45)
CALLS_SHARE = 10  # one in so many of an instance's hourly calls may be the reconciler's
CLOSES_PER_HOUR_MAX = 5  # of twins, at one instance; above it a person is asked


def pause_after(calls: int, calls_per_hour: int) -> timedelta:
    """How long after the start of a burst of so many calls the next may begin: within its share in every hour."""
    return max(POLL_EVERY_MIN, calls * CALLS_SHARE * HOUR / max(1, calls_per_hour))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A record as a list shows it."""

    over: bool  # resolved, closed or cancelled
    cancelled: bool
    version: str  # differs from what it was whenever anybody has changed the record
    end: Mapping[str, str] = field(default_factory=dict)  # state and close code, where they may be read
    by_another: bool = False  # neither we nor ServiceNow by itself were the last to change it


def is_news(
    shown: Shown, *, known_open: bool, known_version: str | None, known_end: Mapping[str, str] = MappingProxyType({})
) -> bool:
    """Whether a record of ours must be read: somebody else has changed it, or may have.

    One that has ended is news only when it is open again, or cancelled after all, or ended otherwise by somebody.
    `known_version` and `known_end`: as we last read it or wrote it; None: we never did.
    """
    if shown.version == known_version:
        return False
    otherwise = any(known_end.get(name, value) != value for name, value in shown.end.items())
    return known_open or not shown.over or shown.cancelled or (shown.by_another and otherwise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two records that were created for the same incident."""

    over: bool
    touched: bool  # a person is on it: it is assigned, moved on, changed by somebody else, or has open children
    created: str  # as ServiceNow writes times, and then its sys_id: in this order they are older


class Merge(StrEnum):
    """What is done about a twin. `kept` is the record that the store knows as the incident, `twin` the other."""

    CLOSE = "close"  # the twin
    SWAP = "swap"  # the twin becomes the incident; what was the incident is the twin from then on
    REPORT = "report"  # people must say which one stays
    OVER = "over"  # the twin has ended already


def merge(kept: Side | None, twin: Side | None) -> Merge:
    """The one that a person works on stays, else the oldest. None: that record is gone."""
    if twin is None or twin.over:
        return Merge.OVER
    if kept is None or (twin.touched and (kept.touched or kept.over)):
        return Merge.REPORT
    if twin.touched:
        return Merge.SWAP
    if kept.touched or kept.over or kept.created <= twin.created:
        return Merge.CLOSE
    return Merge.SWAP
