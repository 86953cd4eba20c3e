"""Claims: a due correlation, the incident row it leads to, leased, and all that a decision looks at.

One holder per incident. What a round decides on is read once, under the lease, up to one alert.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, case, false, func, or_, select, update

from bridge.alert import Status
from bridge.correlation.policy import Episode, Kind
from bridge.correlation.progress import Pending, Progress
from bridge.store import advisory
from bridge.store.columns import EPOCH, Instant
from bridge.store.due import first_due, is_due
from bridge.store.held import (
    GONE,
    LEASE,
    LEASE_SEEN_MAX,
    UNSETTLED,
    WINDOW_OVER,
    AlertSource,
    Doubt,
    Held,
    Incident,
    Lease,
    Member,
    Part,
    Said,
    Seen,
    Settlement,
    WrittenField,
)
from bridge.store.pending import pending_of
from bridge.store.tables import alerts, correlations, delivered, deliveries, episodes, incidents, intents, target_states
from bridge.typed import decode

EARLIER_CREATES_MAX = 10  # of one incident, each lost for longer than it is waited for
FIRST_EPOCH = 1  # of who holds an incident first

# Statements of every round are made once: making one takes longer than running it.
_OF: BindParameter[int] = bindparam("of")
_NOW = bindparam("now", type_=Instant())
PAUSED_TARGETS = select(target_states.c.name).where(target_states.c.paused_at.is_not(None))
_DUE = select(correlations.c.id).where(is_due(_NOW)).limit(1)
_UNTIL, _OUTDATED = incidents.c.lease_until, bindparam("outdated", type_=Instant())
_IS_FREE = or_(_UNTIL.is_(None), _UNTIL <= _NOW, _UNTIL > _OUTDATED)
_LEASE = (
    update(incidents)
    .where(incidents.c.id == _OF, _IS_FREE)
    .values(lease_until=bindparam("until"), epoch=incidents.c.epoch + 1)
    .returning(incidents.c.epoch)
)
_MEMBERS = (
    select(correlations, episodes.c.number, episodes.c.part)
    .join(episodes, episodes.c.correlation == correlations.c.id)
    .where(episodes.c.incident == _OF)
    .order_by(correlations.c.id)
)
_SETTLED = and_(intents.c.outcome == "applied", func.coalesce(intents.c.outcome_code, "") != UNSETTLED)
_LAST_IS_UNSETTLED = (
    select(case((_SETTLED, False), else_=True))
    .where(intents.c.incident == incidents.c.id)
    .order_by(intents.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_INCIDENT = select(incidents, func.coalesce(_LAST_IS_UNSETTLED, false()).label("tried")).where(incidents.c.id == _OF)
_NEWEST_INCIDENT = (
    select(episodes.c.incident)
    .join(correlations, and_(episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode))
    .where(correlations.c.id == _OF)
)
_LAST_BEGUN = (
    select(incidents.c.episode, incidents.c.number)
    .join(episodes, episodes.c.incident == incidents.c.id)
    .where(
        episodes.c.correlation == _OF,
        episodes.c.number < bindparam("before"),
        episodes.c.part.not_in(GONE),
        incidents.c.episode.is_not(None),
    )
    .order_by(episodes.c.number.desc())
    .limit(1)
)
_LAST_INTENT = select(intents).where(intents.c.incident == _OF).order_by(intents.c.id.desc()).limit(1)
_FIRST_INTENT = select(func.min(intents.c.started_at, type_=Instant())).where(intents.c.incident == _OF)
_EARLIER_CREATES = (
    select(intents.c.settlement, intents.c.fields)
    .where(
        intents.c.incident == _OF,
        intents.c.id < bindparam("before"),
        intents.c.operation == Kind.CREATE.value,
        or_(
            intents.c.outcome.is_(None),
            intents.c.outcome.in_(("ambiguous", "applied")),
            intents.c.outcome_code == WINDOW_OVER,
        ),
    )
    .order_by(intents.c.id.desc())
    .limit(EARLIER_CREATES_MAX)
)
_ALERTS = (
    select(alerts.c.delivery_id, alerts.c.position, alerts.c.correlation_id, alerts.c.revision_id, delivered)
    .join(deliveries, deliveries.c.id == alerts.c.delivery_id)
    .where(alerts.c.correlation == _OF)
)
_ALERT = _ALERTS.where(alerts.c.seq == bindparam("at"))
_LATEST = (
    _ALERTS.where(alerts.c.seq > bindparam("after"), alerts.c.outcome == "accepted")
    .order_by(alerts.c.seq.desc())
    .limit(1)
)
_PLAN = incidents.insert().values(state="planned").returning(incidents.c.id)
_BEGUN = episodes.insert().values(part=Part.OPENED.value)
_EPISODE = update(correlations).where(correlations.c.id == _OF).values(episode=bindparam("begun"))
_AT: BindParameter[str] = bindparam("at")
_COUNTS = and_(
    intents.c.operation == Kind.CREATE.value,
    intents.c.target == _AT,
    intents.c.started_at > bindparam("since", type_=Instant()),
    intents.c.incident != _OF,
    or_(
        intents.c.outcome.is_(None),
        intents.c.outcome.in_(("applied", "ambiguous")),
        intents.c.sys_id.is_not(None),  # refused, and a record was made all the same
    ),
)
_COUNTED = select(func.count(func.distinct(intents.c.incident))).where(_COUNTS)
_NOBODY = 0  # no row has this id


def paused_targets(tx: Connection) -> frozenset[str]:
    return frozenset(tx.execute(PAUSED_TARGETS).scalars())


def anything_due(tx: Connection, now: datetime) -> bool:
    """A cheap look, without the write lock, before a claim is tried."""
    return tx.execute(_DUE, {"now": now}).first() is not None


def claim(tx: Connection, now: datetime, *, paused: Collection[str], after: str = "") -> Lease | None:
    """Lease the incident of the correlation whose turn it is; None when nothing can be claimed. `after`: the source
    whose turn it was before.

    Nothing is decoded here: a row that cannot be must not keep the others from being claimed.
    """
    row = first_due(tx, now, paused, after=after)
    if row is None:
        return None
    if row.episode == 0:
        planned = plan(
            tx,
            row.id,
            1,
            tenant=row.tenant,
            target=row.target or "",
            mapping=row.mapping,
            correlation_id=row.correlation_id,
            leased_until=now + LEASE,
        )
        return Lease(correlation=row.id, incident=planned.id, epoch=FIRST_EPOCH, turn=row.turn)
    incident = tx.execute(_NEWEST_INCIDENT, {"of": row.id}).scalar_one()
    times = {"now": now, "until": now + LEASE, "outdated": now + LEASE_SEEN_MAX}
    epoch = tx.execute(_LEASE, {"of": incident, **times}).scalar_one_or_none()
    if epoch is None:  # leased by another process since our snapshot was taken
        return None
    return Lease(correlation=row.id, incident=incident, epoch=epoch, turn=row.turn)


def hold(tx: Connection, lease: Lease) -> Held | None:
    """All that a decision looks at, as it is under the lease. None: another holder has it by now.

    Raises msgspec.DecodeError for a row it cannot read.
    """
    rows = tx.execute(_MEMBERS, {"of": lease.incident}).all()
    row = tx.execute(_INCIDENT, {"of": lease.incident}).one_or_none()  # None: a plan that was given up
    if row is None or row.epoch != lease.epoch:  # whose correlations may be of other incidents since
        return None
    incident = _incident(row, next((one.number for one in rows if one.part == Part.OPENED), 1))
    members = [_member(tx, one) for one in rows if one.number == one.episode and one.part not in GONE]
    doubt = doubt_of(tx, incident.id) if row.tried else None
    speaker = _speaker(members, incident, lease, doubt)
    planned = incident.state == "planned"
    returned = planned and speaker.episode_number > 1
    last_episode, last_number = _last_begun(tx, speaker) if returned else (None, None)
    return Held(
        **{name: getattr(speaker, name) for name in Member.__slots__},
        incident=incident,
        last_episode=last_episode,
        last_number=last_number,
        left_number=_left(tx, speaker) if returned else None,
        epoch=lease.epoch,
        doubt=doubt,
        tried=row.tried,
        alert=_alert(tx, speaker),
        others=tuple(one for one in members if one is not speaker),
        leaving=tuple((one.id, one.correlation_id) for one in rows if one.part == Part.LEAVING),
        look_at=row.look_at,
    )


def _member(tx: Connection, row: Row[Any]) -> Member:
    progress = decode(row.applied, Progress) if row.applied is not None else Progress()
    waits = row.last_seq > row.applied_seq
    return Member(
        correlation=row.id,
        tenant=row.tenant,
        correlation_id=row.correlation_id,
        source=row.source,
        mapping=row.mapping,
        target=row.target,
        episode_number=row.number,
        part=Part(row.part),
        failures=row.failures,
        last_decision=row.last_decision,
        sync_asked_at=row.sync_asked_at,
        progress=progress,
        pending=pending_of(tx, row.id, progress, after=row.applied_seq, upto=row.last_seq) if waits else Pending(),
        applied_seq=row.applied_seq,
        read_seq=row.last_seq,
    )


def _speaker(members: Sequence[Member], incident: Incident, lease: Lease, doubt: Doubt | None) -> Member:
    """Whose alert a round tells: of a write in doubt, the one that it told; of an open incident, the one with most to
    say; else the one whose turn it is, for where none is open each is decided on by itself."""
    if len(members) == 1:
        return members[0]
    by_id = {one.correlation: one for one in members}
    if doubt is not None and doubt.correlation in by_id:
        return by_id[doubt.correlation]
    return max(members, key=_most_to_say) if incident.state == "open" else by_id[lease.correlation]


def _most_to_say(member: Member) -> tuple[bool, bool, int, datetime]:
    """What fires before what is over, news before what is known; then the worst news, then the newest alert."""
    known = member.folded
    news = member.pending.severity or 0
    return known.status is Status.FIRING, member.pending.count > 0, news, known.newest_time or EPOCH


def plan(
    tx: Connection,
    correlation: int,
    number: int,
    *,
    tenant: str,
    target: str,
    mapping: str,
    correlation_id: str,
    leased_until: datetime | None = None,
) -> Incident:
    """The row of an incident that is yet to be created: it can be leased, and an intent can refer to it.

    `leased_until`: the caller holds it until then, under FIRST_EPOCH.
    """
    values = {
        "tenant": tenant,
        "target": target,
        "correlation_id": correlation_id,
        "mapping": mapping,
        "lease_until": leased_until,
        "epoch": FIRST_EPOCH if leased_until is not None else 0,
    }
    row_id = int(tx.execute(_PLAN, values).scalar_one())
    tx.execute(_BEGUN, {"correlation": correlation, "number": number, "incident": row_id})
    tx.execute(_EPISODE, {"of": correlation, "begun": number})
    return Incident(
        id=row_id,
        target=target,
        correlation_id=correlation_id,
        opened_number=number,
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
    return int(tx.execute(_COUNTED, {"at": target, "since": since, "of": but or _NOBODY}).scalar_one())


def create_counted_at(tx: Connection, target: str, since: datetime, *, but: int | None, after: int) -> datetime | None:
    """When the oldest of the creates that the brake counts was intended, but for the first `after` of them."""
    began = func.max(intents.c.started_at)
    query = select(began).where(_COUNTS).group_by(intents.c.incident).order_by(began).limit(1).offset(after)
    found: datetime | None = tx.execute(query, {"at": target, "since": since, "of": but or _NOBODY}).scalar()
    return found


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def _incident(row: Row[Any], opened_number: int) -> Incident:
    return Incident(
        id=row.id,
        target=row.target,
        correlation_id=row.correlation_id,
        opened_number=opened_number,
        state=row.state,
        sys_id=row.sys_id,
        number=row.number,
        episode=decode(row.episode, Episode) if row.episode is not None else None,
        written=decode(row.written, dict[str, WrittenField]) if row.written is not None else {},
        record_state=row.record_state,
        state_before_close=row.state_before_close,
        seen=decode(row.seen, Seen) if row.seen is not None else None,
    )


def _last_begun(tx: Connection, member: Member) -> tuple[Episode | None, str | None]:
    row = tx.execute(_LAST_BEGUN, {"of": member.correlation, "before": member.episode_number}).first()
    return (decode(row.episode, Episode), row.number) if row is not None else (None, None)


def _left(tx: Connection, member: Member) -> str | None:
    before = episodes.c.correlation == member.correlation, episodes.c.number == member.episode_number - 1
    left = select(incidents.c.number).join(episodes, episodes.c.incident == incidents.c.id)
    return tx.execute(left.where(*before, episodes.c.part.in_(GONE))).scalar()


def doubt_of(tx: Connection, incident: int) -> Doubt | None:
    """The newest intent of an incident, where it must be looked up before anything else is sent."""
    row = tx.execute(_LAST_INTENT, {"of": incident}).first()
    if row is None or (row.outcome == "applied" and row.outcome_code != UNSETTLED):
        return None
    known = row.outcome not in (None, "ambiguous", "applied")
    if known and row.operation != Kind.CREATE.value:
        return None
    made = row.sys_id if row.outcome != "applied" else None
    earlier = []
    if row.operation == Kind.CREATE.value and not (known and made):
        earlier = [_said(one) for one in tx.execute(_EARLIER_CREATES, {"of": incident, "before": row.id})]
    return Doubt(
        id=row.id,
        correlation=row.correlation,
        operation=row.operation,
        ref=row.ref,
        began_at=tx.execute(_FIRST_INTENT, {"of": incident}).scalar_one(),
        deadline=row.deadline,
        known=known,
        code=row.outcome_code or "",
        made=made,
        made_number=row.number,
        said=_said(row),
        earlier=tuple(earlier),
    )


def _said(row: Row[*tuple[Any, ...]]) -> Said:
    return Said(settlement=decode(row.settlement, Settlement), fields=decode(row.fields, dict[str, str]))


def _alert(tx: Connection, member: Member) -> AlertSource | None:
    """The newest accepted alert. Where that is erased, or pruned, the one that came last of those that are pending."""
    newest = member.folded.newest_seq
    row = tx.execute(_ALERT, {"of": member.correlation, "at": newest}).first()
    if row is None or row.body is None:
        row = tx.execute(_LATEST, {"of": member.correlation, "after": member.applied_seq}).first() or row
    if row is not None:
        return AlertSource(**row._asdict())
    if not newest:
        return None
    return AlertSource(delivery_id=0, position=0, correlation_id=member.correlation_id, revision_id=None, body=None)


def ended_state(episode: Episode | None) -> str:
    """The local state that goes with an episode."""
    if episode is None:
        return "planned"
    return "open" if episode.open else "ended"
