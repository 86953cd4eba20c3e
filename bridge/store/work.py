"""Claims: a due correlation, the incident row it leads to, leased, and all that a decision looks at.

One holder per incident. What a round decides on is read once, under the lease, up to one alert.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Row, and_, case, func, or_, select, update

from bridge.alert import Severity, Status
from bridge.correlation.policy import Episode, Kind, Pending, Progress
from bridge.store import advisory
from bridge.store.due import first_due, is_due
from bridge.store.tables import alerts, correlations, deliveries, episodes, incidents, intents, target_states

T = TypeVar("T")
LEASE = timedelta(seconds=120)
UNSETTLED = "lease_lost"  # outcome_code of a write that was applied, but settled by nobody: the next holder looks it up


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What is true once a decision has been carried out. Kept with the intent, so that whoever learns the outcome,
    the writer, or the next holder after a crash, settles the same."""

    kind: str  # policy.Kind
    reason: str  # policy.Reason
    read_seq: int  # alerts up to here are in it
    progress: Progress
    episode: Episode | None
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenField:
    """One field of a record, as we sent it in this episode and as it came back."""

    sent: tuple[str, ...] = ()
    read: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A record as we last read it, or as our own write read it back: what differs later is somebody else's doing."""

    version: str  # differs whenever anybody has changed the record
    values: dict[str, str]  # of the fields that people are likely to change, and of those that we wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The local row of one incident, under our lease."""

    id: int
    target: str
    state: str  # planned | open | ended
    sys_id: str | None
    number: str | None
    episode: Episode | None  # None while planned
    written: dict[str, WrittenField]
    record_state: str | None  # as our last write of it read it back; another one now is a person's doing
    state_before_close: str | None
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An intent to be looked up before anything is sent: its outcome is not known, or it was a create that failed."""

    id: int
    operation: str
    ref: str
    deadline: datetime
    known: bool  # we were told that it was not applied: look all the same, but wait for nothing
    settlement: Settlement
    fields: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSource:
    """Where the alert that speaks for the correlation is found again."""

    delivery_id: int
    position: int
    correlation_id: str  # as it was mapped when it was taken in
    revision_id: int | None
    body: bytes | None  # None: erased


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Whose turn it is: rows by their ids, and the epoch under which alone they may be changed."""

    correlation: int
    incident: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A correlation and its incident, held for one round."""

    correlation: int
    tenant: str
    correlation_id: str
    source: str
    mapping: str
    target: str | None
    episode_number: int  # 1, 2, …: of the episode that `incident` is
    failures: int
    last_decision: str | None
    sync_asked_at: datetime | None  # a person asked to try again: what was refused before is forgotten
    progress: Progress  # as applied
    pending: Pending
    applied_seq: int
    read_seq: int
    incident: Incident
    last_episode: Episode | None  # the one before, when `incident` is only planned
    last_number: str | None  # its incident's number in ServiceNow
    epoch: int
    doubt: Doubt | None
    alert: AlertSource | None  # the newest accepted alert
    look_at: datetime | None  # somebody else has changed the record since: the round reads it, whatever is due
    looked: bool = False  # it has been read in this round


def paused_targets(tx: Connection) -> frozenset[str]:
    return frozenset(tx.execute(select(target_states.c.name).where(target_states.c.paused_at.is_not(None))).scalars())


def anything_due(tx: Connection, now: datetime) -> bool:
    """A cheap look, without the write lock, before a claim is tried."""
    return tx.execute(select(correlations.c.id).where(is_due(now)).limit(1)).first() is not None


def claim(tx: Connection, now: datetime, *, paused: Collection[str]) -> Lease | None:
    """Lease the incident of the correlation whose turn it is; None when nothing can be claimed.

    Nothing is decoded here: a row that cannot be must not keep the others from being claimed.
    """
    row = first_due(tx, now, paused)
    if row is None:
        return None
    incident = _newest_incident(tx, row.id)
    if incident is None:
        incident = plan(
            tx,
            row.id,
            1,
            tenant=row.tenant,
            target=row.target or "",
            mapping=row.mapping,
            correlation_id=row.correlation_id,
        ).id
    epoch = tx.execute(
        update(incidents)
        .where(incidents.c.id == incident, or_(incidents.c.lease_until.is_(None), incidents.c.lease_until <= now))
        .values(lease_until=now + LEASE, epoch=incidents.c.epoch + 1)
        .returning(incidents.c.epoch)
    ).scalar_one_or_none()
    if epoch is None:  # leased by another process since our snapshot was taken
        return None
    return Lease(correlation=row.id, incident=incident, epoch=epoch)


def hold(tx: Connection, lease: Lease) -> Held:
    """All that a decision looks at, as it is under the lease. Raises msgspec.DecodeError for a row it cannot read."""
    row = tx.execute(select(correlations).where(correlations.c.id == lease.correlation)).one()
    incident_row = tx.execute(select(incidents).where(incidents.c.id == lease.incident)).one()
    incident = _incident(incident_row)
    progress = decode(row.applied, Progress) if row.applied is not None else Progress()
    pending = pending_of(tx, row.id, progress, after=row.applied_seq, upto=row.last_seq)
    planned = incident.state == "planned"
    last_episode, last_number = _last_begun(tx, row.id, row.episode) if planned else (None, None)
    newest = pending.newest_seq if _is_newer(pending, progress) else progress.newest_seq
    return Held(
        correlation=row.id,
        tenant=row.tenant,
        correlation_id=row.correlation_id,
        source=row.source,
        mapping=row.mapping,
        target=row.target,
        episode_number=row.episode,
        failures=row.failures,
        last_decision=row.last_decision,
        sync_asked_at=row.sync_asked_at,
        progress=progress,
        pending=pending,
        applied_seq=row.applied_seq,
        read_seq=row.last_seq,
        incident=incident,
        last_episode=last_episode,
        last_number=last_number,
        epoch=lease.epoch,
        doubt=doubt_of(tx, incident.id),
        alert=_alert(tx, row.id, newest),
        look_at=incident_row.look_at,
    )


def plan(
    tx: Connection, correlation: int, number: int, *, tenant: str, target: str, mapping: str, correlation_id: str
) -> Incident:
    """The row of an incident that is yet to be created: it can be leased, and an intent can refer to it."""
    values = {
        "tenant": tenant,
        "target": target,
        "correlation_id": correlation_id,
        "mapping": mapping,
        "state": "planned",
        "epoch": 0,
    }
    row_id = tx.execute(incidents.insert().values(**values).returning(incidents.c.id)).scalar_one()
    tx.execute(episodes.insert().values(correlation=correlation, number=number, incident=row_id))
    tx.execute(update(correlations).where(correlations.c.id == correlation).values(episode=number))
    return Incident(
        id=row_id,
        target=target,
        state="planned",
        sys_id=None,
        number=None,
        episode=None,
        written={},
        record_state=None,
        state_before_close=None,
    )


def creates_since(tx: Connection, target: str, since: datetime, *, but: int | None) -> int:
    """Creates that were applied, or may yet be, at this target: what the brake counts. `but`: the plan that asks.

    Until this transaction ends no other process counts them, so the create that it intends is not one too many.
    """
    advisory.hold(tx, "brake", target)
    counted = select(func.count(func.distinct(intents.c.incident))).where(
        intents.c.operation == "create",
        intents.c.target == target,
        intents.c.started_at > since,
        *([intents.c.incident != but] if but is not None else []),
        or_(intents.c.outcome.is_(None), intents.c.outcome.in_(("applied", "ambiguous"))),
    )
    return int(tx.execute(counted).scalar_one())


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


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def decode(raw: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(raw, type=kind)


def _newest_incident(tx: Connection, correlation: int) -> int | None:
    newest = and_(episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode)
    query = select(episodes.c.incident).join(correlations, newest).where(correlations.c.id == correlation)
    return tx.execute(query).scalar()


def _incident(row: Row[Any]) -> Incident:
    return Incident(
        id=row.id,
        target=row.target,
        state=row.state,
        sys_id=row.sys_id,
        number=row.number,
        episode=decode(row.episode, Episode) if row.episode is not None else None,
        written=decode(row.written, dict[str, WrittenField]) if row.written is not None else {},
        record_state=row.record_state,
        state_before_close=row.state_before_close,
        seen=decode(row.seen, Seen) if row.seen is not None else None,
    )


def _last_begun(tx: Connection, correlation: int, before: int) -> tuple[Episode | None, str | None]:
    row = tx.execute(
        select(incidents.c.episode, incidents.c.number)
        .join(episodes, episodes.c.incident == incidents.c.id)
        .where(episodes.c.correlation == correlation, episodes.c.number < before, incidents.c.episode.is_not(None))
        .order_by(episodes.c.number.desc())
        .limit(1)
    ).first()
    return (decode(row.episode, Episode), row.number) if row is not None else (None, None)


def doubt_of(tx: Connection, incident: int) -> Doubt | None:
    """The newest intent of an incident, where it must be looked up before anything else is sent."""
    row = tx.execute(
        select(intents).where(intents.c.incident == incident).order_by(intents.c.id.desc()).limit(1)
    ).first()
    if row is None or (row.outcome == "applied" and row.outcome_code != UNSETTLED):
        return None
    known = row.outcome not in (None, "ambiguous", "applied")
    if known and row.operation != Kind.CREATE.value:
        return None
    return Doubt(
        id=row.id,
        operation=row.operation,
        ref=row.ref,
        deadline=row.deadline,
        known=known,
        settlement=decode(row.settlement, Settlement),
        fields=decode(row.fields, dict[str, str]),
    )


def _alert(tx: Connection, correlation: int, seq: int) -> AlertSource | None:
    row = tx.execute(
        select(
            alerts.c.delivery_id, alerts.c.position, alerts.c.correlation_id, alerts.c.revision_id, deliveries.c.body
        )
        .join(deliveries, deliveries.c.id == alerts.c.delivery_id)
        .where(alerts.c.correlation == correlation, alerts.c.seq == seq)
    ).first()
    if row is None:
        return None
    return AlertSource(**row._asdict())


def _is_newer(pending: Pending, progress: Progress) -> bool:
    if pending.newest_time is None:
        return False
    return progress.newest_time is None or (pending.newest_time, pending.newest_seq) > (
        progress.newest_time,
        progress.newest_seq,
    )


def ended_state(episode: Episode | None) -> str:
    """The local state that goes with an episode."""
    if episode is None:
        return "planned"
    return "open" if episode.open else "ended"
