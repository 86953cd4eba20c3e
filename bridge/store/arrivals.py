"""What came of a source: its first delivery, and what was turned away. For a person who waits for it. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bridge.store.queries import list_alerts
from bridge.store.reconciler_tables import callers
from bridge.store.rows import AlertRow
from bridge.store.tables import deliveries
from bridge.typed import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One delivery. Without alerts it was a ping."""

    delivery: int
    received_at: datetime
    alerts: tuple[AlertRow, ...]  # the first ones, by position


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    at: datetime  # the last; known within the minute
    reasons: dict[str, int]


def newest_delivery(tx: Connection) -> int:
    """Of any source; 0 before the first."""
    found: int | None = tx.execute(select(func.max(deliveries.c.id))).scalar_one()
    return found or 0


def first_delivery(tx: Connection, source: str, *, after: int, limit: int) -> Arrival | None:
    """The first after that one, with at most `limit` of its alerts."""
    query = select(func.min(deliveries.c.id)).where(deliveries.c.source == source, deliveries.c.id > after)
    found: int | None = tx.execute(query).scalar_one()
    return delivery(tx, found, limit=limit) if found is not None else None


def delivery(tx: Connection, row: int, *, limit: int) -> Arrival | None:
    """None: there is no such delivery."""
    received = tx.execute(select(deliveries.c.received_at).where(deliveries.c.id == row)).scalar_one_or_none()
    if received is None:
        return None
    newest = list_alerts(tx, limit=limit, before=(row, limit))
    alerts = [alert for alert in reversed(newest) if alert.id.startswith(f"{row}-")]
    return Arrival(delivery=row, received_at=received, alerts=tuple(alerts))


def turned_away(tx: Connection, source: str) -> TurnedAway | None:
    row = tx.execute(select(callers).where(callers.c.source == source)).one_or_none()
    if row is None or row.refused_at is None:
        return None
    return TurnedAway(at=row.refused_at, reasons=decode(row.reasons, dict[str, int]))
