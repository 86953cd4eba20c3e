"""The figures of a statement of completeness: grouped by the database, for one source and one part of the period.

All reads, none of which takes long: a part is an hour, and goes through an index. Times that are not given are the
rows' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    case,
    func,
    or_,
    select,
    type_coerce,
    union,
)

from bridge.alert import Outcome, Status
from bridge.correlation.policy import Kind, Reason
from bridge.log.entries import Action, Entry
from bridge.log.statement import End, Open, Span, Unended, end_of, why
from bridge.store.brake import BRAKED
from bridge.store.columns import EPOCH, Instant
from bridge.store.due import target_of
from bridge.store.reconciler_tables import callers
from bridge.store.removal import LET_GO
from bridge.store.tables import (
    alerts,
    correlations,
    deliveries,
    episodes,
    incidents,
    installation,
    intents,
    is_new,
    log_entries,
)
from bridge.store.work import paused_targets
from bridge.typed import decode

PAGE = 2_000  # problems that are looked at together
DECISIONS_PAGE = 20  # entries that are read at a time to find one
HELD_BACK = (Reason.BRAKE.value, Reason.WAITS_TO_JOIN.value)  # decisions after which the incident is still to come


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Of a period: since, and up to but without."""

    since: datetime
    until: datetime


def sources(tx: Connection) -> list[str]:
    """That ever had a delivery: one look into the index for each."""
    found: list[str] = []
    while True:
        after = (deliveries.c.source > found[-1],) if found else ()
        source = tx.execute(select(func.min(deliveries.c.source)).where(*after)).scalar()
        if source is None:
            return found
        found.append(source)


def next_part(tx: Connection, names: Sequence[str], rest: Part, length: timedelta) -> Part | None:
    """The next part of what is left of a period in which there is anything; None: nothing is.

    A clock that was set may have left rows years apart.
    """
    firsts = [
        select(func.min(deliveries.c.received_at)).where(
            deliveries.c.source == name, _within(deliveries.c.received_at, rest)
        )
        for name in names
    ]
    firsts.append(select(func.min(intents.c.started_at)).where(_within(intents.c.started_at, rest)))
    beside = log_entries.c.delivery.is_(None), _within(log_entries.c.at, rest)
    firsts.append(select(func.min(log_entries.c.at)).where(*beside))
    since = min([at for first in firsts if (at := tx.execute(first).scalar()) is not None], default=None)
    return Part(since=since, until=min(since + length, rest.until)) if since is not None else None


def received(tx: Connection, source: str, part: Part) -> tuple[int, Span | None]:
    """How many deliveries, and when."""
    at = deliveries.c.received_at
    gap = type_coerce(at, BigInteger) - type_coerce(func.lag(at).over(order_by=at), BigInteger)
    rows = select(at, gap.label("gap")).where(deliveries.c.source == source, _within(at, part)).subquery()
    count, first, last, longest = tx.execute(
        select(func.count(), func.min(rows.c.received_at), func.max(rows.c.received_at), func.max(rows.c.gap))
    ).one()
    if not count:
        return 0, None
    ended = None if longest is None else tx.execute(select(func.min(rows.c.received_at)).where(rows.c.gap == longest))
    lasted = timedelta(microseconds=longest or 0)
    began = ended.scalar_one() - lasted if ended is not None else first
    return count, Span(first=first, last=last, gap=lasted, gap_began=began)


def began(tx: Connection) -> datetime | None:
    """When this store began; None: no bridge has used it yet."""
    found: datetime | None = tx.execute(select(installation.c.created_at)).scalar()
    return found


def last_before(tx: Connection, source: str, at: datetime) -> datetime | None:
    """When the source had its last delivery before; else since when it is known to be silent; None: neither is known.

    Answers that are given after `at` tell nothing of it.
    """
    mine = deliveries.c.source == source, deliveries.c.received_at < at
    found: datetime | None = tx.execute(select(func.max(deliveries.c.received_at)).where(*mine)).scalar()
    if found is not None:
        return found
    known: datetime | None = tx.execute(select(callers.c.known_since).where(callers.c.source == source)).scalar()
    return known if known is not None and known < at else None


def ends(tx: Connection, source: str, part: Part) -> dict[tuple[End, str], int]:
    """(end, rule) -> alerts, as they are now."""
    is_observed = and_(~correlations.c.open, func.coalesce(correlations.c.last_decision, "").like("would_%"))
    flags = (
        case((_is_open(), 1), else_=0).label("is_open"),
        case((is_observed, 1), else_=0).label("is_observed"),
    )
    query = (
        select(alerts.c.outcome, alerts.c.reason, *flags, func.count())
        .select_from(deliveries)
        .join(alerts, alerts.c.delivery_id == deliveries.c.id)
        .outerjoin(correlations, correlations.c.id == alerts.c.correlation)
        .where(deliveries.c.source == source, _within(deliveries.c.received_at, part))
        .group_by(alerts.c.outcome, alerts.c.reason, "is_open", "is_observed")
    )
    found: dict[tuple[End, str], int] = {}
    for outcome, reason, opened, observed, count in tx.execute(query):
        key = end_of(outcome, reason, is_open=bool(opened), is_observed=bool(observed)), reason
        found[key] = found.get(key, 0) + count
    return found


def refused(tx: Connection, part: Part) -> dict[tuple[str, str], int]:
    """(source, reason) -> deliveries turned away, by the minute in which that was written down."""
    query = select(log_entries.c.entry).where(
        log_entries.c.delivery.is_(None), _within(log_entries.c.at, part), log_entries.c.action == Action.REFUSED.value
    )
    found: dict[tuple[str, str], int] = {}
    for row in tx.execute(query.order_by(log_entries.c.id)):
        entry = decode(row.entry, Entry)
        key = entry.source or "unknown", entry.reason
        found[key] = found.get(key, 0) + int(entry.detail.get("deliveries", 0))
    return found


def held(tx: Connection, until: datetime) -> dict[str, int]:
    """source -> alerts that are quarantined now and were received before `until`."""
    query = (
        select(deliveries.c.source, func.count())
        .join(alerts, alerts.c.delivery_id == deliveries.c.id)
        .where(alerts.c.outcome == Outcome.QUARANTINED.value, alerts.c.received_at < until)
        .group_by(deliveries.c.source)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def open_problems(tx: Connection, after: int) -> list[int]:
    """The next page of correlations that may have alerts without an end."""
    unapplied = select(correlations.c.id).where(correlations.c.applied_seq < correlations.c.last_seq)
    found = union(unapplied, select(correlations.c.id).where(is_new(correlations.c))).subquery()
    query = select(found.c.id).where(found.c.id > after).order_by(found.c.id).limit(PAGE)
    return list(tx.execute(query).scalars())


def opens(tx: Connection, page: Sequence[int], *, until: datetime, now: datetime) -> Iterator[Open]:
    """What of these has no end, of all that was received before `until`."""
    newest = and_(episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode)
    query = (
        select(
            deliveries.c.source,
            correlations.c.correlation_id,
            target_of().label("target"),
            func.count().label("alerts"),
            func.min(alerts.c.received_at).label("oldest"),
            correlations.c.due_at,
            incidents.c.lease_until.label("leased_until"),
            correlations.c.waits_for_person,
            correlations.c.failure,
            correlations.c.failure_text,
            correlations.c.failures,
            correlations.c.last_decision,
        )
        .select_from(correlations)
        .join(alerts, and_(alerts.c.correlation == correlations.c.id, alerts.c.outcome == Outcome.ACCEPTED.value))
        .join(deliveries, deliveries.c.id == alerts.c.delivery_id)
        .outerjoin(episodes, newest)
        .outerjoin(incidents, incidents.c.id == episodes.c.incident)
        .where(correlations.c.id.in_(page), _is_open(), alerts.c.received_at < until)
        .group_by(correlations.c.id, incidents.c.id, deliveries.c.source)
        .order_by(correlations.c.id, deliveries.c.source)
    )
    paused = paused_targets(tx)
    for row in tx.execute(query):
        one = Unended(**row._asdict())
        reason, text = why(one, paused=paused, braked=BRAKED, let_go=LET_GO, now=now)
        names = {name: getattr(one, name) for name in ("source", "correlation_id", "target", "alerts", "oldest")}
        yield Open(**names, why=reason, text=text)


def creates(tx: Connection, part: Part) -> list[tuple[str, int]]:
    """(source, microseconds from the 200 to the create applied) of each incident whose create was begun then."""
    query = select(intents.c.correlation, intents.c.read_seq, intents.c.started_at, intents.c.finished_at).where(
        _within(intents.c.started_at, part),
        intents.c.operation == Kind.CREATE.value,
        intents.c.outcome == "applied",
    )
    found = []
    for row in tx.execute(query.order_by(intents.c.id)).all():
        called = _called_for(tx, row.correlation, row.read_seq, row.started_at)
        if called is not None:  # None: its alerts were pruned
            took = row.finished_at - called.received_at
            found.append((called.source, max(0, took // timedelta(microseconds=1))))
    return found


def _called_for(tx: Connection, correlation: int, read_seq: int, started_at: datetime) -> Any:
    """The first accepted firing alert that the create told and no decision before it had ended: it waited longest."""
    told = (
        select(alerts.c.received_at, deliveries.c.source)
        .join(deliveries, deliveries.c.id == alerts.c.delivery_id)
        .where(
            alerts.c.correlation == correlation,
            alerts.c.seq <= read_seq,
            alerts.c.outcome == Outcome.ACCEPTED.value,
            alerts.c.status == Status.FIRING.value,
        )
    )
    since = _decided_before(tx, correlation, started_at)
    first = told.where(alerts.c.received_at > since).order_by(alerts.c.seq).limit(1)
    # None: it came while the decision before was made. Then it is the newest one.
    return tx.execute(first).first() or tx.execute(told.order_by(alerts.c.seq.desc()).limit(1)).first()


def _decided_before(tx: Connection, correlation: int, started_at: datetime) -> datetime:
    """When the correlation was last decided on, or its incident ended: what came before was told, or needed no telling.

    A create that waited for a brake, or for an incident to join, was not decided on by that.
    """
    ended = (
        select(func.max(incidents.c.ended_at, type_=Instant()))
        .join(episodes, episodes.c.incident == incidents.c.id)
        .where(episodes.c.correlation == correlation, incidents.c.ended_at < started_at)
    )
    latest: datetime = tx.execute(ended).scalar() or EPOCH
    query = select(log_entries.c.id, log_entries.c.at, log_entries.c.entry).where(
        log_entries.c.correlation == correlation,
        log_entries.c.action == Action.DECIDED.value,
        log_entries.c.at < started_at,
    )
    before: int | None = None
    while True:
        older = query if before is None else query.where(log_entries.c.id < before)
        rows = tx.execute(older.order_by(log_entries.c.id.desc()).limit(DECISIONS_PAGE)).all()
        for row in rows:
            entry = decode(row.entry, Entry)
            if entry.outcome == Kind.NOTHING.value and entry.reason not in HELD_BACK:
                decided: datetime = row.at
                return max(latest, decided)
        if len(rows) < DECISIONS_PAGE or rows[-1].at < latest:
            return latest
        before = rows[-1].id


def _is_open() -> ColumnElement[bool]:
    """Not settled; or settled as "nothing yet", by a brake or for an incident to join: then since it fires."""
    held_back = and_(is_new(correlations.c), alerts.c.seq >= correlations.c.status_changed_seq)
    return or_(alerts.c.seq > correlations.c.applied_seq, held_back)


def _within(at: Any, part: Part) -> ColumnElement[bool]:
    return and_(at >= part.since, at < part.until)


def by_end(counts: Mapping[tuple[End, str], int]) -> dict[End, dict[str, int]]:
    found: dict[End, dict[str, int]] = {}
    for (end, rule), count in counts.items():
        found.setdefault(end, {})[rule] = count
    return found
