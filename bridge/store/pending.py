"""What the alerts that are pending of a correlation come to, asked of SQL: bounded memory, however many wait."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, case, func, select, true

from bridge.alert import Severity, Status
from bridge.correlation.progress import Pending, Progress
from bridge.store.tables import alerts

# Statements of every round are made once: making one takes longer than running it.
_SPAN = and_(
    alerts.c.correlation == bindparam("of"), alerts.c.seq > bindparam("after"), alerts.c.seq <= bindparam("upto")
)
_INSTANT = alerts.c.event_time.type
_ACCEPTED = alerts.c.outcome == "accepted"
_FIRING = alerts.c.status == Status.FIRING.value
_RESOLVED = alerts.c.status == Status.RESOLVED.value
_COUNTED = (
    select(
        func.count(case((_ACCEPTED, 1))).label("accepted"),
        func.count(case((_FIRING, 1))).label("firing"),
        func.count(case((and_(_ACCEPTED, _RESOLVED), 1))).label("resolved"),
        func.max(case((and_(_ACCEPTED, _FIRING), alerts.c.severity))).label("severity"),
        func.max(case((and_(_ACCEPTED, _FIRING), alerts.c.event_time)), type_=_INSTANT).label("fired"),
        func.min(alerts.c.event_time, type_=_INSTANT).label("first_seen"),
        func.max(alerts.c.event_time, type_=_INSTANT).label("last_seen"),
    )
    .where(_SPAN)
    .subquery()
)
_NEWEST = (
    select(alerts.c.seq, alerts.c.event_time, alerts.c.status)
    .where(_SPAN, _ACCEPTED)
    .order_by(alerts.c.event_time.desc(), alerts.c.seq.desc())
    .limit(1)
    .subquery()
)
_TOTALS = select(_COUNTED, _NEWEST).outerjoin_from(_COUNTED, _NEWEST, true())
_RESOLVED_SINCE = select(func.min(alerts.c.received_at, type_=_INSTANT)).where(_SPAN, _ACCEPTED, _RESOLVED)
_RESOLVED_AFTER = _RESOLVED_SINCE.where(alerts.c.event_time >= bindparam("floor"))


def pending_of(tx: Connection, correlation: int, progress: Progress, *, after: int, upto: int) -> Pending:
    """What correlation.summary says of the alerts with after < seq <= upto, asked of SQL: bounded memory."""
    span = {"of": correlation, "after": after, "upto": upto}
    totals = tx.execute(_TOTALS, span).one()
    floor = max((time for time in (progress.last_firing_time, totals.fired) if time is not None), default=None)
    since = _RESOLVED_SINCE if floor is None else _RESOLVED_AFTER
    return Pending(
        count=totals.accepted,
        firing_count=totals.firing,
        severity=Severity(totals.severity) if totals.severity else None,
        newest_time=totals.event_time,
        newest_seq=totals.seq or 0,
        newest_status=Status(totals.status) if totals.status else None,
        last_firing_time=totals.fired,
        first_seen=totals.first_seen,
        last_seen=totals.last_seen,
        any_resolved=totals.resolved > 0,
        resolved_since=tx.execute(since, span | {"floor": floor}).scalar() if totals.resolved else None,
    )
