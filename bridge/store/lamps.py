"""What is wrong with each source, as the store knows it, and what was told of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from bridge.alert import OWN_SOURCE, Outcome
from bridge.correlation.lamps import Kind, Trouble
from bridge.store.reconciler_tables import lamps
from bridge.store.tables import alerts, correlations, deliveries


def troubles(tx: Connection, sources: Collection[str]) -> list[Trouble]:
    """Of these sources, but for what only the serving process knows."""
    quarantined = (
        select(deliveries.c.source, alerts.c.reason, func.count())
        .join(deliveries, deliveries.c.id == alerts.c.delivery_id)
        .where(alerts.c.outcome == Outcome.QUARANTINED.value)
        .group_by(deliveries.c.source, alerts.c.reason)
    )
    failing = (
        select(correlations.c.source, correlations.c.failure, func.count())
        .where(
            correlations.c.waits_for_person, correlations.c.failure.is_not(None), correlations.c.source != OWN_SOURCE
        )
        .group_by(correlations.c.source, correlations.c.failure)
    )
    found: dict[tuple[str, Kind], dict[str, int]] = {}
    for kind, query in ((Kind.QUARANTINE, quarantined), (Kind.FAILURES, failing)):
        for source, reason, many in tx.execute(query):
            if source in sources:
                found.setdefault((source, kind), {})[reason] = many
    return [Trouble(source=source, kind=kind, reasons=reasons) for (source, kind), reasons in found.items()]


def present(tx: Connection) -> tuple[tuple[str, str], ...]:
    """(source, kind) of the troubles that were there at the last look."""
    rows = tx.execute(select(lamps.c.name).where(lamps.c.target.is_(None)).order_by(lamps.c.name)).scalars()
    return tuple([(name.rpartition("/")[0], name.rpartition("/")[2]) for name in rows])


def since(tx: Connection, names: Collection[str], now: datetime) -> Mapping[str, datetime]:
    """Since when each of these troubles is there. Those that are new begin now, those that are over are forgotten."""
    rows = tx.execute(select(lamps).where(lamps.c.target.is_(None))).all()
    known: dict[str, datetime] = {row.name: row.since for row in rows}
    if over := known.keys() - set(names):
        tx.execute(delete(lamps).where(lamps.c.name.in_(over)))
    if new := set(names) - known.keys():
        tx.execute(insert(lamps), [{"name": name, "since": now} for name in sorted(new)])
    return {name: known.get(name, now) for name in names}


def told(tx: Connection) -> dict[str, Row[tuple[str, datetime, str, str]]]:
    """By the ID of the lamp, those that were told and not yet taken back."""
    return {row.name: row for row in tx.execute(select(lamps).where(lamps.c.target.is_not(None)))}


def tell(tx: Connection, lamp: str, target: str, signature: str, now: datetime) -> None:
    told = update(lamps).where(lamps.c.name == lamp).values(target=target, told=signature)
    if tx.execute(told).rowcount == 0:
        tx.execute(insert(lamps).values(name=lamp, since=now, target=target, told=signature))


def take_back(tx: Connection, lamp: str) -> None:
    tx.execute(delete(lamps).where(lamps.c.name == lamp))
