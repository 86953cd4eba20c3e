"""What is still needed, and what is over: of what is over the values may be erased, and bodies may be pruned.

A problem is *live* while anything of it is to be done, or its incident is open: sync looks at it again, and then at its
newest alert. One that is not live is at rest: nothing looks at its values before a new alert comes, which has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from bridge.alert import Outcome
from bridge.correlation.progress import Progress
from bridge.store.held import GONE, LEASE_SEEN_MAX, UNSETTLED
from bridge.store.tables import additions, alerts, correlations, deliveries, episodes, incidents, intents
from bridge.typed import decode

ROWS_PER_STATEMENT = 500  # parameters of a statement are bounded

T = TypeVar("T")


def lock(tx: Connection, delivery_rows: Collection[int], correlation_rows: Collection[int]) -> None:
    """Hold these, and the correlations' incidents, until the transaction ends: in the order of all who lock them."""
    for table, ids in ((deliveries, delivery_rows), (correlations, correlation_rows)):
        for some in chunks(sorted(ids)):
            tx.execute(select(table.c.id).where(table.c.id.in_(some)).order_by(table.c.id).with_for_update())
    for some in chunks(sorted(incidents_of(tx, correlation_rows))):
        tx.execute(select(incidents.c.id).where(incidents.c.id.in_(some)).order_by(incidents.c.id).with_for_update())


def correlations_of(tx: Connection, delivery_rows: Collection[int]) -> set[int]:
    """The correlations that alerts of these deliveries are counted in."""
    its = select(alerts.c.correlation).where(alerts.c.correlation.is_not(None)).distinct()
    return _all(tx, delivery_rows, lambda some: its.where(alerts.c.delivery_id.in_(some)))


def incidents_of(tx: Connection, correlation_rows: Collection[int]) -> set[int]:
    its = select(episodes.c.incident).distinct()
    return _all(tx, correlation_rows, lambda some: its.where(episodes.c.correlation.in_(some)))


def sharing(tx: Connection, incident_rows: Collection[int]) -> set[int]:
    """The correlations that have, or had, one of these incidents."""
    its = select(episodes.c.correlation).distinct()
    return _all(tx, incident_rows, lambda some: its.where(episodes.c.incident.in_(some)))


def live(tx: Connection, correlation_rows: Collection[int], now: datetime) -> set[int]:
    """Those of them that are not at rest."""
    waits = or_(
        correlations.c.open,
        correlations.c.last_seq > correlations.c.applied_seq,
        correlations.c.due_at.is_not(None),
        correlations.c.waits_for_person,
    )
    found = _all(tx, correlation_rows, lambda some: select(correlations.c.id).where(correlations.c.id.in_(some), waits))
    its = select(episodes.c.correlation).join(incidents, incidents.c.id == episodes.c.incident).distinct()
    busy = episodes.c.part.not_in(GONE), _busy(now)
    return found | _all(tx, correlation_rows, lambda some: its.where(episodes.c.correlation.in_(some), *busy))


def in_use(tx: Connection, incident_rows: Collection[int], now: datetime) -> set[int]:
    """Those of these incidents that are not over for good, or may be reopened by a problem that is live just now."""
    busy = select(incidents.c.id).where(_busy(now))
    found = _all(tx, incident_rows, lambda some: busy.where(incidents.c.id.in_(some)))
    awake = live(tx, sharing(tx, incident_rows), now)
    newest = (
        select(episodes.c.incident)
        .join(correlations, correlations.c.id == episodes.c.correlation)
        .where(episodes.c.number == correlations.c.episode)
    )
    return found | _all(tx, awake, lambda some: newest.where(correlations.c.id.in_(some)))


def needed(tx: Connection, delivery_rows: Collection[int], now: datetime) -> set[int]:
    """Those of these deliveries whose bodies something will look at: of a live problem the newest alert and what is
    pending; what waits in quarantine; what is yet to be attached or sent beside an incident."""
    quarantined = select(alerts.c.delivery_id).where(alerts.c.outcome == Outcome.QUARANTINED.value).distinct()
    found = _all(tx, delivery_rows, lambda some: quarantined.where(alerts.c.delivery_id.in_(some)))
    awake = live(tx, correlations_of(tx, delivery_rows), now)
    waits = and_(
        additions.c.outcome.is_(None), or_(additions.c.due_at.is_not(None), additions.c.correlation.in_(awake))
    )
    beside = select(additions.c.delivery_id).where(waits).distinct()
    found |= _all(tx, delivery_rows, lambda some: beside.where(additions.c.delivery_id.in_(some)))
    looked_at = (
        select(alerts.c.delivery_id, alerts.c.seq, correlations.c.applied_seq, correlations.c.applied)
        .join(correlations, correlations.c.id == alerts.c.correlation)
        .where(alerts.c.correlation.in_(awake))
    )
    for some in chunks(sorted(delivery_rows)) if awake else ():
        for row in tx.execute(looked_at.where(alerts.c.delivery_id.in_(some))):
            if row.seq > row.applied_seq or row.seq == _newest_seq(row.applied):
                found.add(row.delivery_id)
    return found


def _newest_seq(applied: bytes | None) -> int | None:
    try:
        return decode(applied, Progress).newest_seq if applied is not None else None
    except msgspec.DecodeError:  # of another version: its round says so
        return None


def _busy(now: datetime) -> ColumnElement[bool]:
    """Of an incident: open, held by a round, written to with an outcome that is not known, or with something to come
    beside it."""
    later = intents.alias("later")
    is_newest = ~select(later.c.id).where(later.c.incident == intents.c.incident, later.c.id > intents.c.id).exists()
    unknown = or_(
        intents.c.outcome.is_(None),
        intents.c.outcome == "ambiguous",
        func.coalesce(intents.c.outcome_code, "") == UNSETTLED,
    )
    in_doubt = select(intents.c.id).where(intents.c.incident == incidents.c.id, unknown, is_newest).exists()
    beside = and_(additions.c.incident == incidents.c.id, additions.c.due_at.is_not(None))
    return or_(
        incidents.c.state == "open",
        and_(incidents.c.lease_until > now, incidents.c.lease_until <= now + LEASE_SEEN_MAX),
        in_doubt,
        select(additions.c.kind).where(beside).exists(),
    )


def _all(tx: Connection, ids: Collection[int], query: Callable[[Sequence[int]], object]) -> set[int]:
    return {row for some in chunks(sorted(ids)) for row in tx.execute(query(some)).scalars()}  # type: ignore[call-overload]


def chunks(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    return [rows[start : start + ROWS_PER_STATEMENT] for start in range(0, len(rows), ROWS_PER_STATEMENT)]
