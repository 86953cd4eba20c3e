"""What a round leaves behind: intents, outcomes, and rows that change only under the round's own epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from bridge.correlation.policy import Episode
from bridge.errors import BridgeError
from bridge.log.digest import new_salt
from bridge.log.entries import Action, Entry, append
from bridge.store import additions, telling
from bridge.store.columns import Instant
from bridge.store.held import UNSETTLED, Held, Incident, Lease, Part, Seen, Settlement, Share, WrittenField
from bridge.store.tables import alerts, correlations, episodes, incidents, intents
from bridge.store.telling import AboutIntent
from bridge.store.work import FIRST_EPOCH, encode, ended_state, plan

# Statements of every round are made once: making one takes longer than running it.
_OF: BindParameter[int] = bindparam("of")
_THESE: BindParameter[list[int]] = bindparam("these", expanding=True)
# Correlations in the order of their ids, as intake does, and before their incident, as a claim does: opposite orders
# would deadlock. In one statement: the count is had, and all of them are locked, before the incident is looked at.
_LOCKED = select(correlations.c.id).where(correlations.c.id.in_(_THESE)).order_by(correlations.c.id).with_for_update()
_ALL = _LOCKED.cte("locked")
_FENCE = (
    select(incidents.c.epoch, incidents.c.look_at)
    .where(incidents.c.id == _OF, select(func.count()).select_from(_ALL).scalar_subquery() >= 0)
    .with_for_update(of=incidents)
)
_INCIDENT = update(incidents).where(incidents.c.id == _OF)
_RELEASED = _INCIDENT.where(incidents.c.epoch == bindparam("mine")).values(lease_until=None)
_ELSEWHERE = (
    select(incidents.c.id)
    .where(
        incidents.c.sys_id == bindparam("sys_id"),
        incidents.c.target.not_in(bindparam("elsewhere", expanding=True)),
        incidents.c.id != _OF,
    )
    .limit(1)
)
_ASKED = and_(
    correlations.c.sync_asked_at.is_not(None),
    correlations.c.sync_asked_at.is_distinct_from(bindparam("asked", type_=Instant())),
)
_MORE = or_(correlations.c.last_seq > bindparam("read"), _ASKED)
_SHOWN: BindParameter[int] = bindparam("shown", type_=correlations.c.severity.type)
_DONE = (
    update(correlations)
    .where(correlations.c.id == _OF)
    .values(
        failures=0,
        failure=None,
        failure_text=None,
        waits_for_person=False,
        sync_asked_at=case((_ASKED, correlations.c.sync_asked_at), else_=None),
        due_at=case((_MORE, bindparam("now", type_=Instant())), else_=bindparam("wake_at", type_=Instant())),
    )
)
_WORST_SINCE = select(func.coalesce(func.max(case((alerts.c.status == "firing", alerts.c.severity))), 0)).where(
    alerts.c.correlation == _OF, alerts.c.seq > bindparam("read"), alerts.c.outcome == "accepted"
)

# What came meanwhile may be for elsewhere.
_WAITS_AT = case((correlations.c.last_seq > bindparam("read"), correlations.c.target), else_=bindparam("waits_at"))


def _never_below_shown(severity: ColumnElement[int]) -> ColumnElement[int]:
    """What a suppressed alert must exceed to be accepted: never less than an open incident shows."""
    return case((severity < _SHOWN, _SHOWN), else_=severity)


_SHARE = _DONE.values(severity=_never_below_shown(correlations.c.severity))
_SHARE_FROM_HERE = _DONE.values(severity=_never_below_shown(_WORST_SINCE.scalar_subquery()))
_INTENT = intents.insert().returning(intents.c.id)
_OUTCOME = update(intents).where(
    intents.c.id == _OF,
    or_(intents.c.outcome.is_(None), intents.c.outcome != "applied", intents.c.outcome_code == UNSETTLED),
)


class LeaseLost(BridgeError):
    """Another holder has the incident now. What we learned is in the intent; it reads that first."""


def plan_next(tx: Connection, held: Held, target: str) -> Held:
    """The next episode's planned incident, held in the place of the ended one. Raises LeaseLost."""
    fence(tx, held)
    planned = plan(
        tx,
        held.correlation,
        held.episode_number + 1,
        tenant=held.tenant,
        target=target,
        mapping=held.mapping,
        correlation_id=held.correlation_id,
    )
    lease = select(incidents.c.lease_until).where(incidents.c.id == held.incident.id).scalar_subquery()
    tx.execute(update(incidents).where(incidents.c.id == planned.id).values(epoch=FIRST_EPOCH, lease_until=lease))
    # The ended incident's epoch rises: what goes wrong from here must not be told of it.
    old = update(incidents).where(incidents.c.id == held.incident.id)
    tx.execute(old.values(lease_until=None, epoch=incidents.c.epoch + 1))
    return replace(
        held,
        incident=planned,
        episode_number=held.episode_number + 1,
        part=Part.OPENED,
        epoch=FIRST_EPOCH,
        tried=False,
        last_episode=held.incident.episode,
        last_number=held.incident.number,
        others=(),
        leaving=(),
    )


def intend(
    tx: Connection,
    held: Held,
    settlement: Settlement,
    fields: dict[str, str],
    *,
    before: dict[str, str],
    ref: str,
    target: str,
    revision: str,
    revision_id: int,
    now: datetime,
    deadline: datetime,
) -> AboutIntent:
    """The last commit before a write. Raises LeaseLost.

    `before`: what was read of the fields that are written. `revision`: that words it, as the log names it, and its row.
    """
    fence(tx, held)
    if held.incident.target != target:  # a plan may still change its mind; a record may not
        tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(target=target))
    body, salt = msgspec.json.encode(fields, order="sorted"), new_salt()
    values = {
        "incident": held.incident.id,
        "correlation": held.correlation,
        "epoch": held.epoch,
        "operation": settlement.kind,
        "reason": settlement.reason,
        "target": target,
        "ref": ref,
        "digest": hashlib.sha256(body).digest(),
        "fields": body,
        "salt": salt,
        "before": msgspec.json.encode(before, order="sorted"),
        "read_seq": settlement.read_seq,
        "settlement": encode(settlement),
        "revision_id": revision_id,
        "started_at": now,
        "deadline": deadline,
    }
    intent = int(tx.execute(_INTENT, values).scalar_one())
    about = AboutIntent(id=intent, operation=settlement.kind, attempt=1, revision=revision, revision_id=revision_id)
    if held.tried:
        about = telling.about_intent(tx, intent)
    telling.intended(tx, held, settlement, about, fields, before=before, salt=salt, target=target, ref=ref, now=now)
    return about


def record_outcome(
    tx: Connection,
    intent: int,
    outcome: str,
    now: datetime,
    *,
    code: str = "",
    sys_id: str | None = None,
    number: str | None = None,
) -> None:
    """What came of a write, kept whoever holds the lease by now; what was found applied and settled stays so."""
    values = {"outcome": outcome, "outcome_code": code or None, "sys_id": sys_id, "number": number, "finished_at": now}
    tx.execute(_OUTCOME, {"of": intent, **values})


def settle(
    tx: Connection,
    held: Held,
    settlement: Settlement,
    incident: Incident,
    now: datetime,
    *,
    decision: str,
    waits_at: str | None = None,
) -> None:
    """All up to read_seq is done, for each correlation that the settlement names. `due_at` is computed anew: an alert
    that came meanwhile wakes the next round. `waits_at`: the target for which it waits, where no incident is open: the
    route may have changed since intake saw it.

    Raises LeaseLost, and then nothing has changed.
    """
    mine = Share(correlation=held.correlation, read_seq=settlement.read_seq, progress=settlement.progress)
    shares = (mine, *settlement.others)
    known = fence(tx, held, but_also=[share.correlation for share in shares])
    look_at = None if held.looked and known == held.look_at else known  # what became known meanwhile, the next reads
    episode = settlement.episode
    begins = _begins(held, settlement)
    values: dict[str, object] = {
        "state": ended_state(episode),
        "episode": encode(episode) if episode is not None else None,
        "sys_id": incident.sys_id,
        "number": incident.number,
        "written": encode(incident.written),
        "record_state": incident.record_state,
        "state_before_close": incident.state_before_close,
        "target": incident.target,
        "ended_at": episode.ended_at if episode is not None else None,
        "checked_at": now,
        "erased_at": None,
        "lease_until": None,
        "seen": encode(incident.seen) if incident.seen is not None else None,
        "look_at": look_at,
    }
    if begins and held.incident.state == "planned":
        values["created_at"] = now
    tx.execute(_INCIDENT, {"of": held.incident.id, **values})
    if begins:
        additions.release(tx, held.incident.id, now)
    for share in shares:
        # While it is open, one timer is enough: the round that it wakes is one of all. Ended, each is on its own.
        alone = episode is None or not episode.open
        wake_at = settlement.wake_at if share is mine or alone else None
        wake_at = now if share is mine and look_at is not None else wake_at
        row = _settled_row(held, settlement, share, incident, now, wake_at=wake_at) | {"last_decision": decision}
        done = _SHARE if share.progress.severity is not None else _SHARE_FROM_HERE
        if waits_at is not None and alone:
            done, row["waits_at"] = done.values(target=_WAITS_AT), waits_at
        tx.execute(done, row)
    if settlement.told:
        told = case((episodes.c.part == Part.LEAVING.value, Part.LEFT.value), else_=Part.JOINED.value)
        news = episodes.c.incident == held.incident.id, episodes.c.correlation.in_(settlement.told)
        untold = episodes.c.part.in_((Part.JOINING.value, Part.LEAVING.value))
        tx.execute(update(episodes).where(*news, untold).values(part=told))


def _settled_row(
    held: Held, settlement: Settlement, share: Share, incident: Incident, now: datetime, *, wake_at: datetime | None
) -> dict[str, object]:
    """What _SHARE is given."""
    episode = settlement.episode
    is_open = episode is not None and episode.open
    row: dict[str, object] = {
        "of": share.correlation,
        "read": share.read_seq,
        "asked": _asked(held, share.correlation),
        "now": now,
        "wake_at": wake_at,
        "shown": int(episode.severity) if episode is not None and is_open else 0,
        "applied_seq": share.read_seq,
        "applied": encode(share.progress),
        "open": is_open,
    }
    return row | ({"target": incident.target} if is_open else {})


def note_seen(tx: Connection, held: Held, seen: Seen, *, first: Episode | None = None) -> None:
    """The record as it was just read; with what a first look makes of it (`sync.taking`). Raises LeaseLost."""
    fence(tx, held)
    values = {"seen": encode(seen)}
    if first is not None:
        values |= {"episode": encode(first), "written": encode(held.incident.written)}
    tx.execute(_INCIDENT, {"of": held.incident.id, **values})


def fail(
    tx: Connection,
    held: Held,
    error: BridgeError,
    now: datetime,
    *,
    due_at: datetime | None,
    waits_for: str = "a person",
    waits_at: str | None = None,
) -> None:
    """The round came to nothing: say why, and when it is tried again. `due_at` None: a person must look first, or what
    else `waits_for` names. `waits_at`: the target for which it waits, where no incident is open.

    All that share an open incident wait alike, or each would try in its turn. Raises LeaseLost, and then nothing has
    changed: they are the next holder's to speak for.
    """
    fence(tx, held)
    release(tx, held)
    for member in held.deciding:
        row = {
            "failures": correlations.c.failures + 1,
            "failure": error.code,
            "failure_text": error.message,
            "waits_for_person": case((_ASKED, False), else_=due_at is None),
            "due_at": case((_ASKED, literal(now, Instant)), else_=literal(due_at, Instant)),
        }
        if waits_at is not None and held.incident.state != "open":
            later = correlations.c.last_seq > member.read_seq
            row["target"] = case((later, correlations.c.target), else_=waits_at)
        failed = update(correlations).where(correlations.c.id == member.correlation).values(**row)
        tx.execute(failed, {"asked": _asked(held, member.correlation)})
    outcome = f"waits for {waits_for}" if due_at is None else "will be tried again"
    append(tx, telling.entry(held, Action.FAILED, now, outcome=outcome, reason=error.code), said=error.message)


def unreadable(tx: Connection, lease: Lease, error: BridgeError, now: datetime) -> None:
    """What the store holds of it cannot be decoded: a person must look, and the others go on."""
    tx.execute(_LOCKED, {"these": [lease.correlation]})
    mine = update(incidents).where(incidents.c.id == lease.incident, incidents.c.epoch == lease.epoch)
    if tx.execute(mine.values(lease_until=None)).rowcount == 0:
        return
    correlation = update(correlations).where(correlations.c.id == lease.correlation)
    row = {
        "failures": correlations.c.failures + 1,
        "failure": error.code,
        "failure_text": error.message,
        "waits_for_person": True,
        "due_at": None,
    }
    named = (correlations.c.tenant, correlations.c.source, correlations.c.mapping, correlations.c.correlation_id)
    names = tx.execute(correlation.values(**row).returning(*named)).one()._asdict()
    told = Entry(
        at=now,
        action=Action.FAILED,
        actor="sync",
        reason=error.code,
        correlation=lease.correlation,
        incident=lease.incident,
        **names,
    )
    append(tx, told, said=error.message)


def known_elsewhere(tx: Connection, sys_id: str, *, but: int, elsewhere: Collection[str]) -> bool:
    """Whether another incident row of ours is this record: another episode, not a hit. It may be of another target, one
    that was renamed too; `elsewhere`: targets at other instances.
    """
    return tx.execute(_ELSEWHERE, {"of": but, "sys_id": sys_id, "elsewhere": list(elsewhere)}).first() is not None


def written_after(
    incident: Incident, sent: dict[str, str], read: dict[str, str], *, anew: bool, watched: Collection[str] = ()
) -> dict[str, WrittenField]:
    """What we have sent in this episode, field by field, and how it reads now. `anew`: the episode begins.

    `watched`: what is not sent yet; how it stood when the record was made tells later whether a person has changed it.
    """
    before = {} if anew else incident.written
    after = dict(before)
    for name, value in sent.items():
        known = before.get(name, WrittenField()).sent
        after[name] = WrittenField(sent=known if value in known else (*known, value), read=read.get(name, value))
    after |= {name: WrittenField(read=read[name]) for name in sorted(watched) if name in read}
    return after


def _begins(held: Held, settlement: Settlement) -> bool:
    return held.incident.episode is None and settlement.episode is not None


def fence(tx: Connection, held: Held, *, but_also: Collection[int] = ()) -> datetime | None:
    """Lock the rows, correlations also those named, and hold the epoch against ours. Returns the incident's `look_at`.

    Raises LeaseLost.
    """
    these = sorted({*but_also, *(member.correlation for member in held.all)})
    row = tx.execute(_FENCE, {"of": held.incident.id, "these": these}).first()
    if row is None or row.epoch != held.epoch:  # None: a plan that was given up
        raise LeaseLost("lease_lost", "another holder has taken this incident over")
    look_at: datetime | None = row.look_at
    return look_at


def release(tx: Connection, held: Held) -> None:
    """The round is over, and nothing has changed but that its turn may come again."""
    tx.execute(_RELEASED, {"of": held.incident.id, "mine": held.epoch})


def _asked(held: Held, correlation: int) -> datetime | None:
    """What the round knew of a person's asking: what differs from that when it ends, it did not heed."""
    return next((member.sync_asked_at for member in held.all if member.correlation == correlation), None)
