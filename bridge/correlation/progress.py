"""What the alerts of a correlation come to: so far (`Progress`), and what is pending (`Pending`).

`fold` adds the one to the other. `together` is what several correlations that share an incident come to. All pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.alert import Severity, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the alerts of one correlation say so far. Event times order alerts; equal ones are ordered by seq."""

    status: Status | None = None  # of the newest alert; None before the first
    newest_time: datetime | None = None  # event time of the newest alert
    newest_seq: int = 0
    # What is older is of an earlier life. Resolved: the event time of the resolve. Firing: that of the newest alert
    # before it fired again; None while it was never resolved: then alerts out of order are of one and the same life.
    changed_time: datetime | None = None
    last_firing_time: datetime | None = None  # event time of the newest firing alert
    resolved_since: datetime | None = None  # received time of the first resolve after the last firing
    severity: Severity | None = None  # the worst since the last episode began; or, none open, since it ended
    repeat_count: int = 0  # firing alerts counted in this episode, suppressed ones too
    first_seen: datetime | None = None  # event times, over all episodes
    last_seen: datetime | None = None
    resolved_after_end: bool = False  # the source said resolved since the last episode ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A summary of the alerts with applied_seq < seq <= read_seq. The store makes it by SQL: bounded memory."""

    count: int = 0  # accepted alerts; a suppressed one is only in firing_count
    firing_count: int = 0
    severity: Severity | None = None  # the worst of the accepted firing ones
    newest_time: datetime | None = None
    newest_seq: int = 0
    newest_status: Status | None = None
    last_firing_time: datetime | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    any_resolved: bool = False
    # Received time of the first resolve that is not older (event time) than any firing one, applied or pending.
    resolved_since: datetime | None = None

    @property
    def flapped(self) -> bool:
        return self.any_resolved and self.firing_count > 0


def fold(progress: Progress, pending: Pending) -> Progress:
    """What the alerts say once the pending ones are counted in."""
    newer = pending.newest_time is not None and (
        progress.newest_time is None
        or (pending.newest_time, pending.newest_seq) > (progress.newest_time, progress.newest_seq)
    )
    status = pending.newest_status if newer else progress.status
    stale = not newer and _older(pending.newest_time, progress.changed_time)
    changed = newer and (status is not progress.status or pending.flapped)
    return Progress(
        status=status,
        newest_time=pending.newest_time if newer else progress.newest_time,
        newest_seq=pending.newest_seq if newer else progress.newest_seq,
        changed_time=_changed_time(progress, pending) if changed else progress.changed_time,
        last_firing_time=_latest(progress.last_firing_time, pending.last_firing_time),
        resolved_since=_resolved_since(progress, pending, status),
        severity=progress.severity if stale else _worst(progress.severity, pending.severity),
        repeat_count=progress.repeat_count + pending.firing_count,
        first_seen=_earliest(progress.first_seen, pending.first_seen),
        last_seen=_latest(progress.last_seen, pending.last_seen),
        # A late resolve from before the newest alert says nothing about the time since a person's end.
        resolved_after_end=progress.resolved_after_end or (newer and pending.any_resolved),
    )


def is_stale(pending: Pending, before: Progress) -> bool:
    """True when all that is pending is older than the last status change applied: it counts, and changes nothing."""
    return pending.count > 0 and _older(pending.newest_time, before.changed_time)


def together(many: Sequence[Progress]) -> Progress:
    """What correlations that share an incident come to: it fires while one of them does, and is as bad as the worst.

    At least one; a single one comes to itself. What orders the alerts of one correlation (`newest_seq`, `changed_time`)
    means nothing between several.
    """
    if len(many) == 1:
        return many[0]
    resolved = all(one.status is not Status.FIRING for one in many)
    known = [one.status for one in many if one.status is not None]
    return Progress(
        status=(Status.RESOLVED if resolved else Status.FIRING) if known else None,
        newest_time=_latest(*(one.newest_time for one in many)),
        last_firing_time=_latest(*(one.last_firing_time for one in many)),
        resolved_since=_latest(*(one.resolved_since for one in many)) if resolved else None,
        severity=max((one.severity for one in many if one.severity is not None), default=None),
        repeat_count=sum(one.repeat_count for one in many),
        first_seen=_earliest(*(one.first_seen for one in many)),
        last_seen=_latest(*(one.last_seen for one in many)),
        resolved_after_end=any(one.resolved_after_end for one in many),
    )


def ended(progress: Progress) -> Progress:
    """The progress from which the next episode counts: severity and repeats start over when one ends.

    Give it the progress as applied: what is still pending is folded in afterwards and counts for what comes next.
    """
    return replace(progress, severity=None, repeat_count=0, resolved_after_end=False)


def _changed_time(progress: Progress, pending: Pending) -> datetime | None:
    """What is older than this is stale. A summary cannot tell exactly: no alert of the present run may seem so."""
    return pending.newest_time if pending.newest_status is Status.RESOLVED else progress.newest_time


def _resolved_since(progress: Progress, pending: Pending, status: Status | None) -> datetime | None:
    if status is not Status.RESOLVED:
        return None
    fired_since = pending.last_firing_time is not None and not _older(pending.last_firing_time, progress.changed_time)
    if progress.resolved_since is not None and not fired_since:
        return progress.resolved_since
    return pending.resolved_since or progress.resolved_since


def _older(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one < other


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _worst(one: Severity | None, other: Severity | None) -> Severity | None:
    return max((severity for severity in (one, other) if severity is not None), default=None)
