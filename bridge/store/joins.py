"""Join: which incident takes a correlation in, taking it in, and taking it out. In the caller's transaction.

A join key belongs to the incident whose create was intended with it, for as long as that takes in. The key is unique,
so of two that arrive at the same moment the second one finds the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, exists, func, literal, or_, select, update

from bridge.alert import JoinKey, Status
from bridge.correlation.policy import CORRELATIONS_PER_INCIDENT_MAX, Decision, Episode, Kind, Taker
from bridge.correlation.progress import Progress
from bridge.errors import BridgeError, Permanent, Transient
from bridge.log.entries import Action, Entry, append
from bridge.store.due import IN_DOUBT
from bridge.store.held import GONE, Held, Part
from bridge.store.leases import fence_off, is_leased
from bridge.store.settle import fence, release
from bridge.store.tables import correlations, episodes, incidents, intents, join_keys
from bridge.store.telling import decided, entry
from bridge.store.upsert import insert_into
from bridge.store.work import doubt_of, encode, plan
from bridge.typed import decode


class Taken(BridgeError):
    """Another incident has the key by now: it takes the correlation in, and nothing is created."""


def taker_of(
    tx: Connection, held: Held, target: str, keys: Sequence[JoinKey], now: datetime, *, observing: bool
) -> Taker | None:
    """The incident that takes the held correlation in: by the first of its mapping's rules that finds one.

    `observing`: nothing is ever opened there, so what would have been created counts as open.
    """
    if not keys:
        return None
    newest = and_(episodes.c.incident == incidents.c.id, episodes.c.number == correlations.c.episode)
    its = select(correlations.c.id).join(episodes, episodes.c.correlation == correlations.c.id).where(newest)
    driven = exists(its.where(correlations.c.due_at.is_not(None)).correlate(incidents))
    # The route of a plan may have changed since it took the key, and an incident been opened elsewhere. What is being
    # made here, or may have been, counts all the same.
    routed = exists(its.where(correlations.c.target == target).correlate(incidents))
    made = exists().where(intents.c.incident == incidents.c.id, intents.c.target == target, IN_DOUBT)
    # What cannot be told there is better seen in an incident of its own.
    stuck = exists(its.where(correlations.c.waits_for_person).correlate(incidents))
    observed = (correlations.c.status == Status.FIRING.value, correlations.c.last_decision.like("would_create:%"))
    would_be = exists(its.where(*observed).correlate(incidents)) if observing else literal(value=False)
    parts = episodes.alias()
    of_it = parts.c.incident == incidents.c.id
    many = select(func.count()).where(of_it, parts.c.part.not_in(GONE)).correlate(incidents).scalar_subquery()
    left = exists().where(of_it, parts.c.correlation == held.correlation, parts.c.part.in_(GONE)).correlate(incidents)
    query = (
        select(
            join_keys.c.digest,
            join_keys.c.since,
            incidents.c.id,
            (incidents.c.state == "open").label("is_open"),
            would_be.label("would_be"),
            and_(incidents.c.state == "planned", driven).label("is_coming"),
        )
        .join(incidents, incidents.c.id == join_keys.c.incident)
        .where(
            _these(target, keys),
            incidents.c.id != held.incident.id,
            or_(routed, made),
            many < CORRELATIONS_PER_INCIDENT_MAX,
            ~left,
            ~stuck,
        )
    )
    found = {row.digest: row for row in tx.execute(query)}
    for key in keys:
        row = found.get(key.digest)
        if row is None or now - row.since > key.within:
            continue
        if row.is_open or row.would_be or (row.is_coming and not observing):
            return Taker(incident=row.id, is_open=row.is_open or row.would_be, since=row.since)
    return None


def hold_keys(
    tx: Connection, held: Held, target: str, keys: Sequence[JoinKey], now: datetime, *, observing: bool = False
) -> None:
    """The held incident takes in what shares a value, from now on. Raises Taken when another was quicker."""
    if not keys:
        return
    # In one order: two that insert the same ones in opposite orders would deadlock.
    rows = [
        {"target": target, "digest": digest, "incident": held.incident.id, "since": now}
        for digest in sorted({key.digest for key in keys})
    ]
    tx.execute(insert_into(tx, join_keys).values(rows).on_conflict_do_nothing())  # waits for one who has begun
    theirs = _these(target, keys)
    tx.execute(select(join_keys.c.digest).where(theirs).order_by(join_keys.c.digest).with_for_update())
    if taker_of(tx, held, target, keys, now, observing=observing) is not None:
        raise Taken("taken", "another incident takes this in")
    # What it was taken out of goes on taking in others, for as long as it is open.
    left = select(episodes.c.incident).join(incidents, incidents.c.id == episodes.c.incident)
    left = left.where(
        episodes.c.correlation == held.correlation, episodes.c.part.in_(GONE), incidents.c.state == "open"
    )
    free = join_keys.c.incident != held.incident.id, join_keys.c.incident.not_in(left)
    tx.execute(update(join_keys).where(theirs, *free).values(incident=held.incident.id, since=now))


def yield_keys(tx: Connection, held: Held) -> None:
    """A plan that waits to join another takes nothing in: two that held keys would wait for each other. One that the
    brake holds neither: what is worse would wait behind it."""
    if held.incident.state == "planned":
        tx.execute(delete(join_keys).where(join_keys.c.incident == held.incident.id))


def attach(tx: Connection, held: Held, taker: Taker, decision: Decision, now: datetime, *, revision: str) -> bool:
    """Take the held correlation in. It stays due: the next round is the incident's, and tells it.

    False when the incident takes nothing in any more: the next round decides anew. Raises LeaseLost.
    """
    fence(tx, held)
    release(tx, held)
    into = tx.execute(select(incidents).where(incidents.c.id == taker.incident).with_for_update()).one()
    present = select(func.count()).where(episodes.c.incident == into.id, episodes.c.part.not_in(GONE))
    if into.state != "open" or tx.execute(present).scalar_one() >= CORRELATIONS_PER_INCIDENT_MAX:
        return False
    planned = held.incident.state == "planned"
    number = held.episode_number + (not planned)
    if planned:
        _give_up_plan(tx, held)
    row = {"correlation": held.correlation, "number": number, "incident": into.id, "part": Part.JOINING.value}
    tx.execute(episodes.insert().values(**row))
    joined = {
        "episode": number,
        "open": True,
        "target": into.target,
        "last_decision": f"{Kind.JOIN.value}: {decision.reason.value}",
        "due_at": now,
        "failures": 0,
        "failure": None,
        "failure_text": None,
    }
    tx.execute(update(correlations).where(correlations.c.id == held.correlation).values(**joined))
    where = {"incident": into.id, "number": into.number, "sys_id": into.sys_id, "target": into.target}
    decided(tx, held, decision, now, revision=revision, **where)
    detail = {"opened_for": into.correlation_id}
    append(tx, entry(held, Action.JOINED, now, outcome="joined", reason=decision.reason.value, detail=detail, **where))
    return True


def let_go(tx: Connection, held: Held, now: datetime) -> None:
    """The incident ended before it told of this one: whoever ended it did not know. It begins again, on its own.

    Raises LeaseLost.
    """
    fence(tx, held)
    release(tx, held)
    mine = episodes.c.correlation == held.correlation, episodes.c.number == held.episode_number
    tx.execute(delete(episodes).where(*mine))
    _plan_alone(tx, held.correlation, held.episode_number, now)
    append(tx, entry(held, Action.SPLIT, now, outcome="let_go", reason="ended_before_it_was_told"))


def split(tx: Connection, correlation: int, *, actor: str, now: datetime) -> None:
    """A person takes a correlation out of the incident that it joined. It is due, and never joins that one again.

    Raises Permanent when there is nothing to take it out of, Transient while the incident is being worked on.
    """
    ours = select(episodes.c.incident).where(episodes.c.correlation == correlation)
    theirs = select(episodes.c.correlation).where(episodes.c.incident.in_(ours))  # before the incident, as everywhere
    locked = select(correlations.c.id).where(or_(correlations.c.id == correlation, correlations.c.id.in_(theirs)))
    tx.execute(locked.order_by(correlations.c.id).with_for_update())
    row = tx.execute(select(correlations).where(correlations.c.id == correlation)).one()
    newest = episodes.c.correlation == correlation, episodes.c.number == row.episode
    episode = tx.execute(select(episodes).where(*newest)).first()
    incident = None
    if episode is not None:
        incident = tx.execute(select(incidents).where(incidents.c.id == episode.incident).with_for_update()).one()
    if episode is None or incident is None or incident.state != "open" or episode.part == Part.OPENED:
        _refuse_to_split(row.correlation_id, incident)
    if is_leased(incident, now) or doubt_of(tx, incident.id) is not None:
        raise Transient("in_progress", f"{incident.number} is being written to right now: try again in a moment.")
    _refuse_to_leave_nobody(tx, row, incident)
    fence_off(tx, incidents.c.id == incident.id)
    part = case((episodes.c.part == Part.JOINING.value, Part.LEFT.value), else_=Part.LEAVING.value)
    tx.execute(update(episodes).where(*newest).values(part=part))
    if row.applied is not None and episode.part == Part.JOINED:
        _count_without(tx, incident, decode(row.applied, Progress))
    remain = (
        select(episodes.c.correlation)
        .join(correlations, correlations.c.id == episodes.c.correlation)
        .where(episodes.c.incident == incident.id, episodes.c.part.not_in(GONE))
        .where(episodes.c.number == correlations.c.episode, ~correlations.c.waits_for_person)
    )
    tx.execute(update(correlations).where(correlations.c.id.in_(remain)).values(due_at=now))  # to tell it, or to close
    _plan_alone(tx, correlation, row.episode + 1, now)
    of_it = {name: getattr(row, name) for name in ("tenant", "source", "mapping", "correlation_id")}
    where = {name: getattr(incident, name) for name in ("target", "number", "sys_id")}
    rows = {"correlation": correlation, "incident": incident.id}
    append(tx, Entry(at=now, action=Action.SPLIT, actor=actor, outcome="taken_out", **of_it, **where, **rows))


def _refuse_to_split(correlation_id: str, incident: Row[Any] | None) -> NoReturn:
    if incident is None or incident.state != "open":
        raise Permanent("no_open_incident", f"{correlation_id} has no open incident that it could be taken out of.")
    number = incident.number
    raise Permanent(
        "opened_for",
        f"{number} was opened for {correlation_id} and bears its ID: take the others out of it, which "
        f"`bridge incidents show {number}` names.",
    )


def _refuse_to_leave_nobody(tx: Connection, correlation: Row[Any], incident: Row[Any]) -> None:
    """Whoever it was opened for may have moved on: then nobody would close it."""
    stays = (episodes.c.incident == incident.id, episodes.c.part.not_in(GONE), episodes.c.correlation != correlation.id)
    newest = episodes.c.number == correlations.c.episode
    of_it = (
        select(episodes.c.correlation)
        .join(correlations, correlations.c.id == episodes.c.correlation)
        .where(*stays, newest)
    )
    if tx.execute(of_it.limit(1)).first() is None:
        raise Permanent(
            "nobody_remains",
            f"{correlation.correlation_id} is the only problem left in {incident.number}, which would stay open "
            "without one: close it in ServiceNow instead.",
        )


def _count_without(tx: Connection, incident: Row[Any], progress: Progress) -> None:
    """What was told of the one that leaves is not taken for what was told of those that stay."""
    told = decode(incident.episode, Episode)
    without = replace(told, told_count=max(0, told.told_count - progress.repeat_count))
    tx.execute(update(incidents).where(incidents.c.id == incident.id).values(episode=encode(without)))


def _plan_alone(tx: Connection, correlation: int, number: int, now: datetime) -> None:
    row = tx.execute(select(correlations).where(correlations.c.id == correlation)).one()
    plan(
        tx,
        correlation,
        number,
        tenant=row.tenant,
        target=row.target or "",
        mapping=row.mapping,
        correlation_id=row.correlation_id,
    )
    alone = {"open": False, "due_at": now, "failures": 0, "failure": None, "failure_text": None}
    tx.execute(update(correlations).where(correlations.c.id == correlation).values(**alone, waits_for_person=False))


def _give_up_plan(tx: Connection, held: Held) -> None:
    """What was planned for it is not created. A plan that was tried stays, for its intents tell of it."""
    mine = episodes.c.correlation == held.correlation, episodes.c.number == held.episode_number
    tx.execute(delete(episodes).where(*mine))
    tx.execute(delete(join_keys).where(join_keys.c.incident == held.incident.id))
    tried = exists().where(intents.c.incident == held.incident.id)
    tx.execute(delete(incidents).where(incidents.c.id == held.incident.id, ~tried))


def _these(target: str, keys: Sequence[JoinKey]) -> ColumnElement[bool]:
    return and_(join_keys.c.target == target, join_keys.c.digest.in_({key.digest for key in keys}))
