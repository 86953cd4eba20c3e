"""Quarantined alerts, mapped again by the mapping in use now: by the very functions that map a new delivery.

A command does it, and so does a revision that is put into use. The caller asks for a page, replays it, and goes on
after the last one. Mapping locks nothing; what changed is stored in transactions no longer than those of intake.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, tuple_

from bridge.alert import Outcome
from bridge.errors import Transient
from bridge.library import Library, Published
from bridge.log.entries import Action, Entry, append
from bridge.store import intake_sql as sql
from bridge.store.columns import to_us
from bridge.store.engine import Store, refusal
from bridge.store.intake import SettledAlert, fates, settle_alerts, write_states
from bridge.store.prepare import ALERTS_MAX, NOTHING, PreparedAlert, PreparedDelivery, map_again, unstorable
from bridge.store.rows import AlertId
from bridge.store.tables import alerts, delivered, deliveries
from bridge.store.writer import BATCH_ALERTS_MAX, BATCH_BYTES_MAX

PAGE = 200  # quarantined alerts that are asked for together

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    mapped: int = 0  # alerts that left quarantine
    waiting: int = 0  # still quarantined, perhaps for another reason

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(mapped=self.mapped + other.mapped, waiting=self.waiting + other.waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A quarantined alert, and why it is one."""

    position: int
    covers_rest: bool
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """A delivery of which something that waits comes to something else now."""

    id: int
    received_at: datetime
    delivery: PreparedDelivery  # its alerts are in `news`
    news: dict[tuple[int, bool], tuple[PreparedAlert, ...]]  # (position, covers_rest) of what waits -> what it comes to


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
    store: Store,
    ids: Sequence[AlertId],
    *,
    library: Library,
    mapping_of: Mapping[str, str],
    actor: str,
    stopped: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Those of `ids` that are still quarantined, by `mapping_of` their source. `stopped` is asked before each batch.

    An alert whose source is no longer configured, or whose delivery's body was erased, stays where it is; so does one
    that comes to the same as before. Raises Transient; what was replayed until then stays so.
    """
    published_of = {source: library[mapping] for source, mapping in mapping_of.items()}
    with store.reading() as tx:
        batches = _batches(tx, ids)
    total = Replayed()
    for batch in batches:
        if stopped():
            break
        total += _replay_batch(store, batch, published_of, actor)
        # Committed: this batch is done for good. If we die here the rest still waits.
    return total


def _batches(tx: Connection, ids: Sequence[AlertId]) -> list[list[AlertId]]:
    """Each for one transaction: intake waits for it no longer than for a batch of its own."""
    size = func.coalesce(func.length(delivered), 0).label("size")
    query = select(alerts.c.delivery_id, alerts.c.position, alerts.c.covers_rest, size).join(deliveries)
    batches: list[list[AlertId]] = []
    many = size_sum = 0
    last = None
    for row in tx.execute(query.where(_waits(ids)).order_by(alerts.c.delivery_id, alerts.c.position)):
        many_more = ALERTS_MAX if row.covers_rest else 1
        many, size_sum = many + many_more, size_sum + (row.size if row.delivery_id != last else 0)
        if not batches or many > BATCH_ALERTS_MAX or size_sum > BATCH_BYTES_MAX:
            batches.append([])
            many, size_sum = many_more, row.size
        batches[-1].append((row.delivery_id, row.position))
        last = row.delivery_id
    return batches


def _replay_batch(store: Store, ids: Sequence[AlertId], published_of: Mapping[str, Published], actor: str) -> Replayed:
    """A delivery that cannot be stored keeps no other from it: it stays where it is, as `unstorable`."""
    try:
        return _replay_at_once(store, ids, published_of, actor)
    except Transient:
        raise
    except Exception as error:  # noqa: BLE001 (a loop's edge, as in intake's writer)
        of_each = [list(group) for _, group in groupby(ids, key=lambda one: one[0])]
        if len(of_each) == 1:
            _log.error("delivery %d could not be replayed, it stays quarantined: %s", ids[0][0], refusal(error))
            return _replay_at_once(store, ids, published_of, actor, storable=False)
        _log.warning("%d deliveries could not be replayed, one by one now: %s", len(of_each), refusal(error))
    return sum((_replay_batch(store, one, published_of, actor) for one in of_each), Replayed())


def _replay_at_once(
    store: Store, ids: Sequence[AlertId], published_of: Mapping[str, Published], actor: str, *, storable: bool = True
) -> Replayed:
    with store.reading() as tx:
        found = _load(tx, ids)
    waiting, page = 0, []
    for row, held in found:
        published = published_of.get(row.source)
        news = {} if published is None else _news(row, held, published, storable=storable)
        waiting += len(held) - len(news)
        if published is not None and news:
            page.append(_Again(id=row.id, received_at=row.received_at, delivery=_delivery(row, published), news=news))
    done = Replayed(waiting=waiting)
    if page:
        done += store.in_transaction(lambda tx: _store(tx, page, actor=actor, now=store.now(tx)), "replay")
    return done


def _load(tx: Connection, ids: Sequence[AlertId]) -> list[tuple[Row[Any], list[_Waiting]]]:
    """Deliveries, each with those of its alerts that wait."""
    columns = (alerts.c.delivery_id, alerts.c.position, alerts.c.covers_rest, alerts.c.reason, alerts.c.detail)
    waits: dict[int, list[_Waiting]] = {}
    for row in tx.execute(select(*columns).where(_waits(ids)).order_by(alerts.c.position)):
        one = _Waiting(position=row.position, covers_rest=row.covers_rest, reason=row.reason, detail=row.detail or "")
        waits.setdefault(row.delivery_id, []).append(one)
    found = tx.execute(select(deliveries).where(deliveries.c.id.in_(waits)).order_by(deliveries.c.id))
    return [(row, waits[row.id]) for row in found]


def _waits(ids: Sequence[AlertId]) -> ColumnElement[bool]:
    return and_(tuple_(alerts.c.delivery_id, alerts.c.position).in_(ids), alerts.c.outcome == Outcome.QUARANTINED.value)


def _news(
    row: Row[Any], held: Sequence[_Waiting], published: Published, *, storable: bool
) -> dict[tuple[int, bool], tuple[PreparedAlert, ...]]:
    content = row.body if row.content is None else row.content
    if row.body is None or (row.content == NOTHING and row.body):
        return {}
    waiting = [(one.position, one.covers_rest) for one in held]
    if storable:  # as of its receipt: a suppression that held then holds for it still
        mapped = map_again(published.mapping, content, waiting, now=row.received_at)
    else:
        mapped = [(unstorable(position, covers_rest=covers_rest),) for position, covers_rest in waiting]
    triples = zip(waiting, held, mapped, strict=True)
    return {place: alerts for place, one, alerts in triples if not _same(one, alerts)}


def _delivery(row: Row[Any], published: Published) -> PreparedDelivery:
    return PreparedDelivery(
        source=row.source,
        tenant=row.tenant,
        mapping=published.mapping.name,
        revision_id=published.revision_id,
        revision=published.revision,
        sender_id=row.sender_id,
        content_type=row.content_type,
        body=row.body,
        content=row.content,
        fingerprint=row.fingerprint,
        alerts=(),
        quiet=published.mapping.quiet,
    )


def _same(held: _Waiting, mapped: tuple[PreparedAlert, ...]) -> bool:
    first = mapped[0]
    now = (len(mapped), first.mapped, first.position, first.covers_rest, first.code, first.detail)
    return now == (1, None, held.position, held.covers_rest, held.reason, held.detail)


def _store(tx: Connection, page: Sequence[_Again], *, actor: str, now: datetime) -> Replayed:
    still = _lock(tx, page)
    page = [one for one in page if any((one.id, *place) in still for place in one.news)]
    places = [[place for place in one.news if (one.id, *place) in still] for one in page]
    prepared = [
        replace(one.delivery, alerts=tuple([alert for place in those for alert in one.news[place]]))
        for one, those in zip(page, places, strict=True)
    ]
    received = [to_us(one.received_at) for one in page]
    states, settled = settle_alerts(tx, prepared, received_us=received, now=now)
    write_states(tx, states)
    left = [(delivery, position) for delivery, position, _ in still]
    tx.execute(alerts.delete().where(tuple_(alerts.c.delivery_id, alerts.c.position).in_(left)))
    rows, entries = [], []
    for one, delivery, at, many in zip(page, prepared, received, settled, strict=True):
        rows += [alert.row(one.id, at, delivery.revision_id) for alert in many]
        entries.append(_entry(one.id, delivery, many, actor=actor, now=now))
    sql.insert_alerts(tx, rows)
    append(tx, *entries)
    quarantined = [one.outcome is Outcome.QUARANTINED for many in settled for one in many]
    return Replayed(mapped=quarantined.count(False), waiting=quarantined.count(True))


def _lock(tx: Connection, page: Sequence[_Again]) -> set[tuple[int, int, bool]]:
    """(delivery, position, covers_rest) of what still waits as it did; locked, so that of two replays one counts it."""
    of_deliveries = [one.id for one in page]
    tx.execute(
        select(deliveries.c.id).where(deliveries.c.id.in_(of_deliveries)).order_by(deliveries.c.id).with_for_update()
    )
    places = {(one.id, *place) for one in page for place in one.news}
    ids = [(delivery, position) for delivery, position, _ in places]
    found = tx.execute(select(alerts.c.delivery_id, alerts.c.position, alerts.c.covers_rest).where(_waits(ids)))
    return places.intersection([(row.delivery_id, row.position, row.covers_rest) for row in found])


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
        detail=fates(delivery, settled),
    )
