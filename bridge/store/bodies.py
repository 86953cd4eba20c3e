"""Stored deliveries with their bodies, page by page in the order of their receipt: for what maps them again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, select

from bridge.store.engine import Store
from bridge.store.tables import alerts, delivered, deliveries

PAGE = 100  # deliveries read at once: a body may be a megabyte, and nothing is locked meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery:
    id: int
    source: str
    tenant: str
    received_at: datetime
    body: bytes | None  # as it came out of its envelope; None: erased


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which deliveries; pings are in none."""

    sources: frozenset[str]
    first: int = 0  # the lowest id
    since: datetime | None = None  # received then or later


def window_of_last(tx: Connection, sources: Collection[str], alerts_many: int) -> Window:
    """The newest deliveries that hold so many alerts, or all."""
    newest = (
        select(alerts.c.delivery_id)
        .join(deliveries, deliveries.c.id == alerts.c.delivery_id)
        .where(deliveries.c.source.in_(sources))
        .order_by(alerts.c.delivery_id.desc(), alerts.c.position.desc())
    )
    first = tx.execute(newest.offset(alerts_many - 1).limit(1)).scalar()
    return Window(sources=frozenset(sources), first=first or 0)


def count(tx: Connection, window: Window) -> int:
    return tx.execute(select(func.count()).select_from(deliveries).where(_within(window))).scalar_one()


def pages(store: Store, window: Window) -> Iterator[list[StoredDelivery]]:
    """Each read in a transaction of its own, so that a long replay holds nothing."""
    columns = (deliveries.c.id, deliveries.c.source, deliveries.c.tenant, deliveries.c.received_at, delivered)
    while True:
        with store.reading() as tx:
            rows = tx.execute(select(*columns).where(_within(window)).order_by(deliveries.c.id).limit(PAGE)).all()
        if not rows:
            return
        yield [
            StoredDelivery(id=row.id, source=row.source, tenant=row.tenant, received_at=row.received_at, body=row.body)
            for row in rows
        ]
        # One lower bound: given two, SQLite seeks to the first and reads its way to the second.
        window = replace(window, first=rows[-1].id + 1)


def _within(window: Window) -> ColumnElement[bool]:
    has_alerts = select(alerts.c.position).where(alerts.c.delivery_id == deliveries.c.id).exists()  # is no ping
    conditions = [deliveries.c.source.in_(sorted(window.sources)), deliveries.c.id >= window.first, has_alerts]
    if window.since is not None:
        conditions.append(deliveries.c.received_at >= window.since)
    return and_(*conditions)
