"""What a round leaves behind: intents, outcomes, and rows that change only under the round's own epoch."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, or_, select, update

from bridge.correlation.policy import Decision
from bridge.errors import BridgeError
from bridge.library import REVISION_DIGITS
from bridge.log.entries import Action, Entry, append
from bridge.store import additions
from bridge.store.tables import Instant, alerts, correlations, incidents, intents, revisions
from bridge.store.work import (
    UNSETTLED,
    Held,
    Incident,
    Lease,
    Seen,
    Settlement,
    WrittenField,
    encode,
    ended_state,
    plan,
)


class LeaseLost(BridgeError):
    """Another holder has the incident now. What we learned is in the intent; it reads that first."""


def entry(held: Held, action: Action, now: datetime, **more: object) -> Entry:
    """An entry about the held correlation, with the names every one of them carries."""
    told: dict[str, object] = {
        "at": now,
        "action": action,
        "actor": "sync",
        "tenant": held.tenant,
        "source": held.source,
        "mapping": held.mapping,
        "correlation_id": held.correlation_id,
        "target": held.incident.target or held.target,
        "correlation": held.correlation,
        "incident": held.incident.id,
        "number": held.incident.number,
        "sys_id": held.incident.sys_id,
    }
    return Entry(**(told | more))  # type: ignore[arg-type]


def plan_next(tx: Connection, held: Held, target: str) -> Held:
    """The next episode's planned incident, held in the place of the ended one. Raises LeaseLost."""
    _fence(tx, held)
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
    tx.execute(update(incidents).where(incidents.c.id == planned.id).values(epoch=1, lease_until=lease))
    # The ended incident's epoch rises: what goes wrong from here must not be told of it.
    old = update(incidents).where(incidents.c.id == held.incident.id)
    tx.execute(old.values(lease_until=None, epoch=incidents.c.epoch + 1))
    return replace(
        held,
        incident=planned,
        episode_number=held.episode_number + 1,
        epoch=1,
        last_episode=held.incident.episode,
        last_number=held.incident.number,
    )


def intend(
    tx: Connection,
    held: Held,
    settlement: Settlement,
    fields: dict[str, str],
    *,
    ref: str,
    target: str,
    revision_id: int,
    now: datetime,
    deadline: datetime,
) -> int:
    """The last commit before a write. Raises LeaseLost. Returns the intent's id."""
    _fence(tx, held)
    if held.incident.target != target:  # a plan may still change its mind; a record may not
        tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(target=target))
    body = msgspec.json.encode(fields, order="sorted")
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
        "read_seq": settlement.read_seq,
        "settlement": encode(settlement),
        "revision_id": revision_id,
        "started_at": now,
        "deadline": deadline,
    }
    intent = tx.execute(intents.insert().values(**values).returning(intents.c.id)).scalar_one()
    append(
        tx,
        entry(
            held,
            Action.INTENDED,
            now,
            outcome=settlement.kind,
            reason=settlement.reason,
            target=target,
            revision=rendered_by(tx, intent),
            detail={"intent": intent, "ref": ref, "fields": sorted(fields)},
        ),
    )
    return int(intent)


def rendered_by(tx: Connection, intent: int) -> str | None:
    """The revision that rendered the fields of a write, as the log names it."""
    query = select(revisions.c.digest).join(intents, intents.c.revision_id == revisions.c.id)
    digest = tx.execute(query.where(intents.c.id == intent)).scalar()
    return digest[:REVISION_DIGITS] if digest is not None else None


def new_ref() -> str:
    """What a work note carries so that it can be recognised: eight hex digits."""
    return secrets.token_hex(4)


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
    unsettled = or_(intents.c.outcome.is_(None), intents.c.outcome != "applied", intents.c.outcome_code == UNSETTLED)
    tx.execute(update(intents).where(intents.c.id == intent, unsettled).values(**values))


def settle(
    tx: Connection, held: Held, settlement: Settlement, incident: Incident, now: datetime, *, decision: str
) -> None:
    """All up to read_seq is done. `due_at` is computed anew: an alert that came meanwhile wakes the next round.

    Raises LeaseLost, and then nothing has changed.
    """
    _fence(tx, held)
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
        "lease_until": None,
        "seen": encode(incident.seen) if incident.seen is not None else None,
    }
    look_at = values["look_at"] = _still_to_read(tx, held)
    if begins and held.incident.state == "planned":
        values["created_at"] = now
    tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(**values))
    if begins:
        additions.release(tx, held.incident.id, now)
    asked = _asked_since(held)
    more = or_(correlations.c.last_seq > settlement.read_seq, asked, literal(look_at is not None))
    row: dict[str, object] = {
        "applied_seq": settlement.read_seq,
        "applied": encode(settlement.progress),
        "open": episode is not None and episode.open,
        "failures": 0,
        "failure": None,
        "failure_text": None,
        "waits_for_person": False,
        "last_decision": decision,
        "sync_asked_at": case((asked, correlations.c.sync_asked_at), else_=None),
        "due_at": case((more, literal(now, Instant)), else_=literal(settlement.wake_at, Instant)),
    }
    if episode is not None and episode.open:
        row["target"] = incident.target
    row["severity"] = _severity_after(held, settlement)
    tx.execute(update(correlations).where(correlations.c.id == held.correlation).values(**row))


def note_seen(tx: Connection, held: Held, seen: Seen) -> None:
    """The record as it was just read. Raises LeaseLost."""
    _fence(tx, held)
    tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(seen=encode(seen)))


def _still_to_read(tx: Connection, held: Held) -> datetime | None:
    """`look_at` as the round leaves it: a change that became known while it was under way is read by the next."""
    known: datetime | None = tx.execute(select(incidents.c.look_at).where(incidents.c.id == held.incident.id)).scalar()
    return None if held.looked and known == held.look_at else known


def _severity_after(held: Held, settlement: Settlement) -> ColumnElement[int]:
    """What a suppressed alert must exceed to be accepted: never less than an open incident shows."""
    severity: ColumnElement[int] = correlations.c.severity
    if settlement.progress.severity is None:  # what comes next counts from here
        worst = func.coalesce(func.max(case((alerts.c.status == "firing", alerts.c.severity))), 0)
        later = (
            alerts.c.correlation == held.correlation,
            alerts.c.seq > settlement.read_seq,
            alerts.c.outcome == "accepted",
        )
        severity = select(worst).where(*later).scalar_subquery()
    if settlement.episode is None or not settlement.episode.open:
        return severity
    shown = int(settlement.episode.severity)
    return case((severity < shown, shown), else_=severity)


def fail(tx: Connection, held: Held, error: BridgeError, now: datetime, *, due_at: datetime | None) -> None:
    """The round came to nothing: say why, and when it is tried again. `due_at` None: a person must look first.

    Raises LeaseLost, and then nothing has changed: the correlation is the next holder's to speak for.
    """
    _fence(tx, held)
    asked = _asked_since(held)
    row = {
        "failures": correlations.c.failures + 1,
        "failure": error.code,
        "failure_text": error.message,
        "waits_for_person": case((asked, False), else_=due_at is None),
        "due_at": case((asked, literal(now, Instant)), else_=literal(due_at, Instant)),
    }
    _release(tx, held.incident.id, held.epoch)
    tx.execute(update(correlations).where(correlations.c.id == held.correlation).values(**row))
    outcome = "waits for a person" if due_at is None else "will be tried again"
    append(tx, entry(held, Action.FAILED, now, outcome=outcome, reason=error.code, detail={"message": error.message}))


def unreadable(tx: Connection, lease: Lease, error: BridgeError, now: datetime) -> None:
    """What the store holds of it cannot be decoded: a person must look, and the others go on."""
    tx.execute(_locked(lease.correlation))
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
        detail={"message": error.message},
        correlation=lease.correlation,
        incident=lease.incident,
        **names,
    )
    append(tx, told)


def decided(tx: Connection, held: Held, decision: Decision, now: datetime, **more: object) -> None:
    append(tx, entry(held, Action.DECIDED, now, outcome=decision.kind.value, reason=decision.reason.value, **more))


def lease_lost(tx: Connection, held: Held, now: datetime) -> None:
    append(tx, entry(held, Action.LEASE_LOST, now))


def known_elsewhere(tx: Connection, target: str, sys_id: str, *, but: int) -> bool:
    """Whether another incident row of ours is this record: another episode, not a hit."""
    found = select(incidents.c.id).where(
        incidents.c.target == target, incidents.c.sys_id == sys_id, incidents.c.id != but
    )
    return tx.execute(found.limit(1)).first() is not None


def written_after(
    incident: Incident, sent: dict[str, str], read: dict[str, str], *, anew: bool
) -> dict[str, WrittenField]:
    """What we have sent in this episode, field by field, and how it reads now. `anew`: the episode begins."""
    before = {} if anew else incident.written
    after = dict(before)
    for name, value in sent.items():
        known = before.get(name, WrittenField()).sent
        after[name] = WrittenField(sent=known if value in known else (*known, value), read=read.get(name, value))
    return after


def _begins(held: Held, settlement: Settlement) -> bool:
    return held.incident.episode is None and settlement.episode is not None


def _fence(tx: Connection, held: Held) -> None:
    """Lock both rows and hold the epoch against ours."""
    tx.execute(_locked(held.correlation))
    query = select(incidents.c.epoch).where(incidents.c.id == held.incident.id).with_for_update()
    if tx.execute(query).scalar_one() != held.epoch:
        raise LeaseLost("lease_lost", "another holder has taken this incident over")


def _locked(correlation: int) -> Select[tuple[int]]:
    """The correlation before its incident, as a claim does: opposite orders would deadlock."""
    return select(correlations.c.id).where(correlations.c.id == correlation).with_for_update()


def _asked_since(held: Held) -> ColumnElement[bool]:
    """Whether a person asked for another try while this round was under way: it did not know of it."""
    asked = correlations.c.sync_asked_at
    return asked.is_not(None) if held.sync_asked_at is None else asked != held.sync_asked_at


def _release(tx: Connection, incident: int, epoch: int) -> None:
    tx.execute(update(incidents).where(incidents.c.id == incident, incidents.c.epoch == epoch).values(lease_until=None))
