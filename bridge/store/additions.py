"""What goes with an incident beside its record, once: planned with the create's intent, due once that is settled.

A row is a step of its own, with a lease of its own: it never holds back what the incident is told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BindParameter, Connection, bindparam, delete, or_, select, update

from bridge.alert import Json
from bridge.errors import BridgeError
from bridge.log.entries import Action, Entry, append
from bridge.store import telling
from bridge.store.columns import Instant
from bridge.store.held import LEASE, LEASE_SEEN_MAX, Held
from bridge.store.rows import AdditionRow
from bridge.store.tables import additions, correlations, delivered, deliveries, incidents
from bridge.store.work import PAUSED_TARGETS

ATTACHMENT, OBSERVABLES = "attachment", "observables"
OUTPUT = "output:"  # before the name of an output of the mapping
GIVEN_UP = "given up"  # outcome of the log's entry

# Looked at after every round, so it is made once.
_NOW = bindparam("now", type_=Instant())
_SILENT: BindParameter[list[str]] = bindparam("silent", expanding=True)
# A subquery, for a join might begin with the incidents, which are many more.
_TARGET = select(incidents.c.target).where(incidents.c.id == additions.c.incident).scalar_subquery()
_DUE = (
    select(additions.c.kind)
    .where(additions.c.due_at <= _NOW, _TARGET.not_in(_SILENT), _TARGET.not_in(PAUSED_TARGETS))
    .limit(1)
)
_OF: BindParameter[int] = bindparam("of")
_UNPLAN = delete(additions).where(additions.c.incident == _OF)
_RELEASE = update(additions).where(
    additions.c.incident == _OF, additions.c.due_at.is_(None), additions.c.outcome.is_(None)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    kind: str
    content: bytes | None = (
        None  # JSON: observables, or the facts that an output is worded with; None: the alert itself
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """One of them, held for one try."""

    incident: int
    kind: str
    correlation: int
    tenant: str
    source: str
    mapping: str
    correlation_id: str
    target: str
    sys_id: str
    number: str
    delivery_id: int
    position: int
    revision_id: int | None
    content: bytes | None
    body: bytes | None  # of the delivery; None: erased
    sent_until: datetime | None
    failures: int  # in a row, of whatever kind
    tries: int  # that were sent, as far as we know
    epoch: int
    place: tuple[str | None, str | None] = (None, None)  # instance and table of the target, for the log


def plan(tx: Connection, held: Held, revision_id: int, planned: Sequence[Planned]) -> None:
    """In the transaction of the create's intent: what was planned with an earlier try of it is replaced."""
    if held.tried:
        tx.execute(_UNPLAN, {"of": held.incident.id})
    if held.alert is None or not planned:
        return
    rows = [
        {
            "incident": held.incident.id,
            "kind": one.kind,
            "correlation": held.correlation,
            "delivery_id": held.alert.delivery_id,
            "position": held.alert.position,
            "revision_id": revision_id,
            "content": one.content,
            "epoch": 0,
            "failures": 0,
        }
        for one in planned
    ]
    tx.execute(additions.insert(), rows)


def release(tx: Connection, incident: int, now: datetime) -> None:
    """In the transaction that settles the create: the record is there, what goes with it is due."""
    tx.execute(_RELEASE, {"of": incident, "due_at": now})


def anything_due(tx: Connection, now: datetime, *, silent: Collection[str]) -> bool:
    """At a target that is neither one of the silent nor paused."""
    return tx.execute(_DUE, {"now": now, "silent": sorted(silent)}).first() is not None


def claim(tx: Connection, now: datetime, *, silent: Collection[str]) -> Addition | None:
    """Lease the one that has been due longest; None when there is none, or another process was quicker."""
    until = additions.c.lease_until
    free = or_(until.is_(None), until <= now, until > now + LEASE_SEEN_MAX)
    query = (
        select(additions.c.incident, additions.c.kind)
        .join(incidents, incidents.c.id == additions.c.incident)
        .where(additions.c.due_at <= now, free)
        .where(incidents.c.target.not_in(list(silent)), incidents.c.target.not_in(PAUSED_TARGETS))
        .order_by(additions.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True, of=additions)
    )
    row = tx.execute(query).first()
    if row is None:
        return None
    mine = additions.c.incident == row.incident, additions.c.kind == row.kind
    leased = update(additions).where(*mine, free).values(lease_until=now + LEASE, epoch=additions.c.epoch + 1)
    if tx.execute(leased).rowcount == 0:
        return None
    named = correlations.c.tenant, correlations.c.source, correlations.c.mapping, correlations.c.correlation_id
    held = (
        select(
            *(additions.c[name] for name in ("incident", "kind", "correlation", "delivery_id", "position")),
            *(additions.c[name] for name in ("revision_id", "content", "sent_until", "failures")),
            *(additions.c[name] for name in ("tries", "epoch")),
            *(incidents.c[name] for name in ("target", "sys_id", "number")),
            delivered,
            *named,
        )
        .join(incidents, incidents.c.id == additions.c.incident)
        .join(correlations, correlations.c.id == additions.c.correlation)
        .outerjoin(deliveries, deliveries.c.id == additions.c.delivery_id)
        .where(*mine)
    )
    return Addition(**tx.execute(held).one()._asdict())


def about_to_send(tx: Connection, held: Addition, until: datetime, now: datetime) -> bool:
    """The last commit before a write: nothing is sent after `until`. False when the lease is lost."""
    if not _change(tx, held, sent_until=until):
        return False
    append(tx, _entry(held, Action.INTENDED, now, outcome="add", detail=_try_of(held)))
    return True


def again(
    tx: Connection,
    held: Addition,
    due_at: datetime,
    error: BridgeError,
    *,
    sent: tuple[int, datetime | None] | None,
    called: str | None,
    now: datetime,
) -> None:
    """Not done yet. `called`: what came of a call that was to write; None: none was made.

    `sent`: the tries so far, and until when what was sent may still be on its way. None: this try learned nothing of
    that, and what is stored stays: it may know more than a caller who did not hear of an earlier commit.
    """
    if called is not None:
        _called(tx, held, called, error, now)
    _change(
        tx,
        held,
        due_at=due_at,
        lease_until=None,
        failures=held.failures + 1,
        outcome_code=error.code,
        outcome_text=error.message,
        **({} if sent is None else {"tries": sent[0], "sent_until": sent[1]}),
    )


def look_again(tx: Connection, held: Addition, due_at: datetime) -> None:
    """What may have been sent is not to be seen yet: why it waits is still what it was."""
    _change(tx, held, due_at=due_at, lease_until=None, failures=held.failures + 1)


def added(tx: Connection, held: Addition, now: datetime, told: dict[str, object]) -> None:
    """It is there. Whoever holds the lease by now, that is true."""
    _over(tx, held, now, "added")
    append(tx, _entry(held, Action.ADDED, now, outcome=held.kind, detail=told))


def refused(tx: Connection, held: Addition, error: BridgeError, outcome: str, now: datetime) -> None:
    """What was sent was refused for certain: nothing of it is in doubt."""
    _called(tx, held, outcome, error, now)
    _change(tx, held, sent_until=None)


def given_up(tx: Connection, held: Addition, now: datetime, code: str, message: str) -> None:
    """It will not be there: the log says why, and the incident goes on without it."""
    _over(tx, held, now, "given_up", code, message)
    detail = {"addition": held.kind}
    append(tx, _entry(held, Action.FAILED, now, outcome=GIVEN_UP, reason=code, detail=detail), said=message)


def of_incidents(tx: Connection, numbered: Sequence[int]) -> list[AdditionRow]:
    """What goes with these incidents, by incident and kind."""
    query = (
        select(additions, incidents.c.number, incidents.c.target)
        .join(incidents, incidents.c.id == additions.c.incident)
        .where(additions.c.incident.in_(numbered))
        .order_by(additions.c.incident, additions.c.kind)
    )
    return [
        AdditionRow(
            kind=row.kind,
            number=row.number,
            outcome=row.outcome or ("planned" if row.due_at is None else "waits"),
            code=row.outcome_code,
            text=row.outcome_text,
            target=row.target,
            tries=row.tries,
            due_at=row.due_at,
            finished_at=row.finished_at,
        )
        for row in tx.execute(query)
    ]


def ask_again(tx: Connection, incidents: Sequence[int], now: datetime) -> None:
    """A person asks: what was given up at these incidents is tried again."""
    theirs = additions.c.incident.in_(incidents), additions.c.outcome == "given_up"
    none = {"outcome": None, "outcome_code": None, "outcome_text": None}
    tx.execute(update(additions).where(*theirs).values(due_at=now, failures=0, tries=0, **none))


def _over(tx: Connection, held: Addition, now: datetime, outcome: str, code: str = "", text: str = "") -> None:
    """`sent_until` stays: where a person asks for another try, what may have been sent is still looked up first."""
    done = {"outcome": outcome, "outcome_code": code or None, "outcome_text": text or None, "finished_at": now}
    mine = additions.c.incident == held.incident, additions.c.kind == held.kind
    tx.execute(update(additions).where(*mine).values(**done, due_at=None, lease_until=None))


def _change(tx: Connection, held: Addition, **values: object) -> bool:
    mine = additions.c.incident == held.incident, additions.c.kind == held.kind, additions.c.epoch == held.epoch
    return tx.execute(update(additions).where(*mine).values(**values)).rowcount > 0


def _called(tx: Connection, held: Addition, outcome: str, error: BridgeError, now: datetime) -> None:
    detail = _try_of(held) | telling.status_of(error)
    append(tx, _entry(held, Action.CALLED, now, outcome=outcome, reason=error.code, detail=detail))


def _try_of(held: Addition) -> dict[str, Json]:
    return {"addition": held.kind, "attempt": held.tries + 1, "alert": f"{held.delivery_id}-{held.position}"}


def _entry(held: Addition, action: Action, now: datetime, **more: object) -> Entry:
    told: dict[str, object] = {
        name: getattr(held, name)
        for name in ("tenant", "source", "mapping", "correlation_id", "target", "number", "sys_id")
    }
    told |= {"correlation": held.correlation, "incident": held.incident}
    told["instance"], told["table"] = held.place
    return Entry(at=now, action=action, actor="sync", **(told | more))  # type: ignore[arg-type]
