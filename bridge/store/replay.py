"""Quarantined alerts, mapped again by the mapping in use now: by the very functions that map a new delivery.

A command does it, and so does a revision that is put into use. The caller asks for a page, replays it in a transaction
of its own, and goes on after the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, tuple_

from bridge.alert import Outcome
from bridge.library import Library, Published
from bridge.log.entries import Action, Entry, append
from bridge.store import intake_sql as sql
from bridge.store.intake import SettledAlert, log_line, settle_alerts, write_states
from bridge.store.prepare import PreparedAlert, PreparedDelivery, map_content, map_one
from bridge.store.tables import alerts, deliveries, to_us

PAGE = 200  # quarantined alerts of one transaction: intake waits for the lock no longer than for one of its batches

AlertId = tuple[int, int]  # (delivery, position): publicly "<delivery>-<position>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    mapped: int = 0  # alerts that left quarantine
    waiting: int = 0  # still quarantined, perhaps for another reason

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(mapped=self.mapped + other.mapped, waiting=self.waiting + other.waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    position: int
    covers_rest: bool
    received_at: datetime


def quarantined(tx: Connection, *, source: str | None, after: AlertId = (0, -1), limit: int = PAGE) -> list[AlertId]:
    """The next page, oldest first."""
    query = select(alerts.c.delivery_id, alerts.c.position).where(
        alerts.c.outcome == Outcome.QUARANTINED.value,
        or_(
            alerts.c.delivery_id > after[0],
            and_(alerts.c.delivery_id == after[0], alerts.c.position > after[1]),
        ),
    )
    if source is not None:
        query = query.join(deliveries).where(deliveries.c.source == source)
    rows = tx.execute(query.order_by(alerts.c.delivery_id, alerts.c.position).limit(limit))
    return [(row.delivery_id, row.position) for row in rows]


def replay(
    tx: Connection,
    ids: Sequence[AlertId],
    *,
    library: Library,
    mapping_of: Mapping[str, str],
    actor: str,
    now: datetime,
) -> Replayed:
    """Those of `ids` that are still quarantined, by `mapping_of` their source. In the caller's transaction.

    An alert whose source is no longer configured, or whose delivery's body was erased, stays where it is.
    """
    total = Replayed()
    for delivery_id, group in groupby(sorted(set(ids)), key=lambda one: one[0]):
        row = _locked_delivery(tx, delivery_id)
        waiting = _waiting(tx, delivery_id, [position for _, position in group]) if row is not None else []
        if row is None or not waiting:
            continue
        if row.body is None or row.source not in mapping_of:
            total += Replayed(waiting=len(waiting))
            continue
        total += _replay_delivery(tx, row, waiting, library[mapping_of[row.source]], actor=actor, now=now)
    return total


def _locked_delivery(tx: Connection, delivery_id: int) -> Row[Any] | None:
    """Locked, so that two replays at once do not count an alert twice."""
    return tx.execute(select(deliveries).where(deliveries.c.id == delivery_id).with_for_update()).one_or_none()


def _waiting(tx: Connection, delivery_id: int, positions: Sequence[int]) -> list[_Waiting]:
    rows = tx.execute(
        select(alerts.c.position, alerts.c.covers_rest, alerts.c.received_at)
        .where(
            tuple_(alerts.c.delivery_id, alerts.c.position).in_([(delivery_id, one) for one in positions]),
            alerts.c.outcome == Outcome.QUARANTINED.value,
        )
        .order_by(alerts.c.position)
    )
    return [_Waiting(position=row.position, covers_rest=row.covers_rest, received_at=row.received_at) for row in rows]


def _replay_delivery(
    tx: Connection, row: Row[Any], waiting: Sequence[_Waiting], published: Published, *, actor: str, now: datetime
) -> Replayed:
    received_at = row.received_at
    mapped = tuple([alert for one in waiting for alert in _map_again(row.body, one, published, received_at)])
    delivery = PreparedDelivery(
        source=row.source,
        tenant=row.tenant,
        mapping=published.mapping.name,
        revision_id=published.revision_id,
        revision=published.revision,
        sender_id=row.sender_id,
        content_type=row.content_type,
        body=row.body,
        fingerprint=row.fingerprint,
        alerts=mapped,
    )
    states, settled = settle_alerts(tx, [delivery], received_us=to_us(received_at), now=now)
    write_states(tx, states)
    tx.execute(
        alerts.delete().where(alerts.c.delivery_id == row.id, alerts.c.position.in_([one.position for one in waiting]))
    )
    sql.insert_alerts(tx, [one.row(row.id, to_us(received_at), published.revision_id) for one in settled[0]])
    append(tx, _entry(row.id, delivery, settled[0], actor=actor, now=now))
    still = sum(one.outcome is Outcome.QUARANTINED for one in settled[0])
    return Replayed(mapped=len(settled[0]) - still, waiting=still)


def _map_again(body: bytes, one: _Waiting, published: Published, now: datetime) -> tuple[PreparedAlert, ...]:
    """`now` is when it was received: a suppression that held then holds for it still."""
    if not one.covers_rest:
        alert = map_one(published.mapping, body, one.position, now=now)
        return (alert,) if alert else (_gone(one.position),)
    return map_content(published.mapping, body, now=now, start=one.position) or (_gone(one.position),)


def _gone(position: int) -> PreparedAlert:
    return PreparedAlert(
        position=position,
        mapped=None,
        code="no_element",
        detail="The mapping no longer yields an alert at this place of the delivery: see its `each`.",
    )


def _entry(
    delivery_id: int, delivery: PreparedDelivery, settled: Sequence[SettledAlert], *, actor: str, now: datetime
) -> Entry:
    return Entry(
        at=now,
        action=Action.REPLAYED,
        actor=actor,
        tenant=delivery.tenant,
        source=delivery.source,
        mapping=delivery.mapping,
        revision=delivery.revision,
        delivery=delivery_id,
        detail={"alerts": [log_line(one) for one in settled]},
    )
