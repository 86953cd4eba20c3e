"""What the alerts that are pending of a correlation come to, asked of SQL: bounded memory, however many wait."""

from __future__ import annotations

from sqlalchemy import Connection, and_, case, func, select

from bridge.alert import Severity, Status
from bridge.correlation.progress import Pending, Progress
from bridge.store.tables import alerts


def pending_of(tx: Connection, correlation: int, progress: Progress, *, after: int, upto: int) -> Pending:
    """What correlation.summary says of the alerts with after < seq <= upto, asked of SQL: bounded memory."""
    span = and_(alerts.c.correlation == correlation, alerts.c.seq > after, alerts.c.seq <= upto)
    instant = alerts.c.event_time.type
    accepted = alerts.c.outcome == "accepted"
    firing = alerts.c.status == Status.FIRING.value
    resolved = alerts.c.status == Status.RESOLVED.value
    totals = tx.execute(
        select(
            func.count(case((accepted, 1))).label("accepted"),
            func.count(case((firing, 1))).label("firing"),
            func.count(case((and_(accepted, resolved), 1))).label("resolved"),
            func.max(case((and_(accepted, firing), alerts.c.severity))).label("severity"),
            func.max(case((and_(accepted, firing), alerts.c.event_time)), type_=instant).label("fired"),
            func.min(alerts.c.event_time, type_=instant).label("first_seen"),
            func.max(alerts.c.event_time, type_=instant).label("last_seen"),
        ).where(span)
    ).one()
    newest = tx.execute(
        select(alerts.c.seq, alerts.c.event_time, alerts.c.status)
        .where(span, accepted)
        .order_by(alerts.c.event_time.desc(), alerts.c.seq.desc())
        .limit(1)
    ).first()
    floor = max((time for time in (progress.last_firing_time, totals.fired) if time is not None), default=None)
    since = select(func.min(alerts.c.received_at, type_=instant)).where(span, accepted, resolved)
    if floor is not None:
        since = since.where(alerts.c.event_time >= floor)
    return Pending(
        count=totals.accepted,
        firing_count=totals.firing,
        severity=Severity(totals.severity) if totals.severity else None,
        newest_time=newest.event_time if newest else None,
        newest_seq=newest.seq if newest else 0,
        newest_status=Status(newest.status) if newest else None,
        last_firing_time=totals.fired,
        first_seen=totals.first_seen,
        last_seen=totals.last_seen,
        any_resolved=totals.resolved > 0,
        resolved_since=tx.execute(since).scalar() if totals.resolved else None,
    )
