"""Stored deliveries with their bodies, page by page in the order of their receipt: for what maps them again."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, select

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


def ids_within(tx: Connection, window: Window) -> array[int]:
    """The deliveries that `pages` reads.

    All are looked for at once: a page that looked for its own would go through the whole window for each.
    """
    has_alerts = select(alerts.c.position).where(alerts.c.delivery_id == deliveries.c.id).exists()  # is no ping
    conditions = [deliveries.c.source.in_(sorted(window.sources)), deliveries.c.id >= window.first, has_alerts]
    if window.since is not None:
        conditions.append(deliveries.c.received_at >= window.since)
    return array("q", tx.execute(select(deliveries.c.id).where(and_(*conditions)).order_by(deliveries.c.id)).scalars())


def pages(store: Store, ids: array[int]) -> Iterator[list[StoredDelivery]]:
    """Each read in a transaction of its own, so that a long replay holds nothing."""
    columns = (deliveries.c.id, deliveries.c.source, deliveries.c.tenant, deliveries.c.received_at, delivered)
    for begin in range(0, len(ids), PAGE):
        page = select(*columns).where(deliveries.c.id.in_(ids[begin : begin + PAGE])).order_by(deliveries.c.id)
        with store.reading() as tx:
            rows = tx.execute(page).all()
        yield [
            StoredDelivery(id=row.id, source=row.source, tenant=row.tenant, received_at=row.received_at, body=row.body)
            for row in rows
        ]
