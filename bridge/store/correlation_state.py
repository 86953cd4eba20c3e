"""A correlation's row while intake holds its lock: where suppression, drop, status and seq are settled. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from bridge.alert import AHEAD_MAX, MappedAlert, Outcome, Status
from bridge.store.columns import to_us

AHEAD_US_MAX = AHEAD_MAX // timedelta(microseconds=1)

# What stands in for an alert's own time, in the words of the log and of `alerts show`.
RECEIVED_TAKEN = "none readable, or more than 5 min ahead: received time taken"


class Settled(msgspec.Struct, frozen=True):
    """What became of one alert. Times are microseconds since 1970."""

    outcome: Outcome
    reason: str
    seq: int | None  # None: dropped, it has no place in the correlation


class CorrelationState(msgspec.Struct):
    """Fields as in tables.correlations; those that intake never touches are left out."""

    id: int | None  # None: no row yet
    tenant: str
    key: str
    correlation_id: str
    correlation_text: str
    source: str
    mapping: str
    target: str | None
    last_seq: int = 0
    status: str = Status.FIRING.value
    status_time: int = 0
    status_changed_seq: int = 0  # 0: only suppressed alerts so far
    severity: int = 0
    alert_count: int = 0
    first_seen: int = 0
    last_seen: int = 0
    open: bool = False
    applied_seq: int = 0
    due_at: int | None = None
    failures: int = 0
    waits_for_person: bool = False
    # not columns
    changed: bool = False
    new_keys: tuple[str, ...] = ()  # that lead here from now on
    taken_keys: tuple[str, ...] = ()  # those of them that led to another correlation, which is over

    @property
    def is_live(self) -> bool:
        """An episode is open, or may yet be: an alert waits to be applied."""
        return self.open or self.last_seq > self.applied_seq

    def settle(self, alert: MappedAlert, *, source: str, mapping: str, event_time: int, now: int) -> Settled:
        """Take one alert in. A closing alert is always accepted; an open episode stays where it was routed."""
        firing = alert.status is Status.FIRING
        if firing and alert.suppressed_by is not None and not (self.open and alert.severity > self.severity):
            return Settled(Outcome.SUPPRESSED, alert.suppressed_by, self._count(event_time))
        if firing and alert.target is None and not self.open:
            return Settled(Outcome.DROPPED, "route_drop", None)
        reason = self._reason(alert)
        seq = self._count(event_time)
        self._accept(alert, source, mapping, event_time, seq)
        self._hasten(now)
        return Settled(Outcome.ACCEPTED, reason, seq)

    def _reason(self, alert: MappedAlert) -> str:
        if alert.status is Status.RESOLVED:
            return "resolved"
        if alert.suppressed_by is not None:
            return "severity_rose"
        if alert.target is None:
            return "route_kept"
        return "repeat" if self.status_changed_seq else "new"

    def _count(self, event_time: int) -> int:
        self.first_seen = min(self.first_seen, event_time) if self.last_seq else event_time
        self.last_seen = max(self.last_seen, event_time) if self.last_seq else event_time
        self.last_seq += 1
        self.changed = True
        self.alert_count += 1
        return self.last_seq

    def _accept(self, alert: MappedAlert, source: str, mapping: str, event_time: int, seq: int) -> None:
        firing = alert.status is Status.FIRING
        if firing:
            self.severity = max(self.severity, int(alert.severity))
        if self.status_changed_seq and event_time < self.status_time:
            return  # an older alert that came late counts, and changes nothing
        if not self.status_changed_seq or self.status != alert.status:
            self.status, self.status_changed_seq = alert.status.value, seq
        self.status_time, self.source, self.mapping = event_time, source, mapping
        if firing and not self.open:
            self.target = alert.target

    def _hasten(self, now: int) -> None:
        """Due at once, unless a failure is being waited out or a person must look first."""
        if self.waits_for_person or (self.failures and self.due_at is not None):
            return
        self.due_at = now if self.due_at is None else min(self.due_at, now)


def event_time_of(alert: MappedAlert, received_us: int) -> int:
    """As `alert.believed`, in microseconds."""
    if alert.event_time is None:
        return received_us
    own = to_us(alert.event_time)
    return own if own <= received_us + AHEAD_US_MAX else received_us


def replaced_time(event_time: datetime | None, received_at: datetime) -> str:
    """What stands in for the own time of a stored alert; empty when nothing does. Both are exact to the microsecond."""
    return RECEIVED_TAKEN if event_time == received_at else ""
