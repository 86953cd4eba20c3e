"""What a run of alerts comes to, before it is folded into what is known: in memory what `store.work` asks of SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bridge.alert import Severity, Status
from bridge.correlation.progress import Pending, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFacts:
    """One stored alert as far as its summary needs it."""

    seq: int
    status: Status
    severity: Severity
    event_time: datetime
    received_at: datetime
    suppressed: bool = False


def summarise(alerts: Iterable[AlertFacts], progress: Progress) -> Pending:
    """The Pending of these alerts: in memory what `store.work` asks of SQL (a test holds the two together)."""
    alerts = list(alerts)
    accepted = [alert for alert in alerts if not alert.suppressed]
    firing = [alert for alert in accepted if alert.status is Status.FIRING]
    resolved = [alert for alert in accepted if alert.status is Status.RESOLVED]
    newest = max(accepted, key=lambda alert: (alert.event_time, alert.seq), default=None)
    last_firing = max((alert.event_time for alert in firing), default=None)
    floor = max((time for time in (progress.last_firing_time, last_firing) if time is not None), default=None)
    return Pending(
        count=len(accepted),
        firing_count=sum(alert.status is Status.FIRING for alert in alerts),
        severity=max((alert.severity for alert in firing), default=None),
        newest_time=newest.event_time if newest else None,
        newest_seq=newest.seq if newest else 0,
        newest_status=newest.status if newest else None,
        last_firing_time=last_firing,
        first_seen=min((alert.event_time for alert in alerts), default=None),
        last_seen=max((alert.event_time for alert in alerts), default=None),
        any_resolved=bool(resolved),
        resolved_since=min((a.received_at for a in resolved if floor is None or a.event_time >= floor), default=None),
    )
