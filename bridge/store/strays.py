"""Strays: open records with our mark that no incident of this store is.

A twin was created for an incident that has another record; an orphan by nobody whom this store remembers, as after a
restore. A stray is worked when it is due, and again whenever the record changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from bridge.alert import Json, key_of
from bridge.correlation.policy import Episode, Kind
from bridge.correlation.reconcile import Shown
from bridge.errors import BridgeError
from bridge.log.entries import Action, Entry, append
from bridge.store import telling
from bridge.store.columns import Instant
from bridge.store.leases import fence_off, is_leased
from bridge.store.reconciler_tables import strays
from bridge.store.tables import correlation_keys, correlations, episodes, incidents, intents
from bridge.store.work import doubt_of, encode
from bridge.typed import decode

CLOCKS_APART_MAX = timedelta(minutes=5)  # ServiceNow's and the store's, where a record's time is held against ours
HOUR = timedelta(hours=1)
NOTHING: Mapping[str, Json] = MappingProxyType({})


class Outcome(StrEnum):
    ORPHAN = "orphan"  # reported; `bridge incidents adopt` takes it
    TWO = "two"  # twins that people work on both, or that we may not close: reported
    HELD = "held"  # a twin that would be closed: more than the hourly limit were, and a person is asked
    CLOSED = "closed"  # a twin that we closed
    OVER = "over"  # it has ended otherwise
    EXPECTED = "expected"  # an orphan that a person adopts, of a problem that no alert has told this store of yet


REPORTED = (Outcome.ORPHAN.value, Outcome.TWO.value, Outcome.HELD.value)
TOLD = (*REPORTED, Outcome.EXPECTED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A record with our mark, as a list showed it."""

    sys_id: str
    number: str
    correlation_id: str
    created_on: str
    shown: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    id: int
    instance: str
    table: str
    sys_id: str
    number: str
    correlation_id: str
    created_on: str  # as ServiceNow writes it
    sent_until: datetime | None  # of a close whose outcome is not known
    failures: int
    outcome: str | None
    outcome_text: str | None
    released: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The incident that a stray was created for, as the store knows it."""

    incident: int
    correlation: int
    tenant: str
    target: str
    mapping: str
    sys_id: str | None  # None: its own create is not settled; the stray is probably that one
    number: str | None
    record_state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayRow:
    """As people see it."""

    number: str
    sys_id: str
    instance: str
    table: str
    correlation_id: str
    outcome: str  # orphan | two | held | expected
    outcome_text: str | None  # what to do, or what is waited for
    found_at: datetime


def note(tx: Connection, instance: str, table: str, listed: Sequence[Listed], now: datetime) -> None:
    """Keep what is new; what has changed is due again. A record that is over is no stray, unless it was one."""
    if not listed:
        return
    place = strays.c.instance == instance, strays.c.table == table
    query = select(strays).where(*place, strays.c.sys_id.in_([one.sys_id for one in listed]))
    known = {row.sys_id: row for row in tx.execute(query)}
    new = [one for one in listed if one.sys_id not in known and not one.shown.over]
    if new:
        tx.execute(insert(strays), [_row(instance, table, one, now) for one in new])
    for one in listed:
        row = known.get(one.sys_id)
        if row is not None and row.version != one.shown.version:
            again = None if row.outcome == Outcome.EXPECTED else now
            values = {"version": one.shown.version, "due_at": again} if not one.shown.over else _over(row, one)
            tx.execute(update(strays).where(strays.c.id == row.id).values(**values))


def _over(row: Row[Any], listed: Listed) -> dict[str, object]:
    """It has ended: by us, when we have closed it or tried to. Nobody needs to look at it any more."""
    by_us = row.outcome == Outcome.CLOSED or row.sent_until is not None
    outcome = Outcome.CLOSED if by_us else Outcome.OVER
    ended = {"due_at": None, "sent_until": None, "failures": 0, "outcome": outcome.value, "outcome_text": None}
    closed_at = row.closed_at or row.sent_until
    return {"version": listed.shown.version, "closed_at": closed_at, **ended}


def next_due(tx: Connection, instance: str, tenants: Collection[str], now: datetime) -> Stray | None:
    """One that a person adopted is due once an alert has told one of these tenants of its problem."""
    # A value, not EXISTS: PostgreSQL would make a join of that, over all correlations.
    told = (
        select(func.max(correlations.c.status_changed_seq))
        .join(correlation_keys, correlations.c.id == correlation_keys.c.correlation)
        .where(correlation_keys.c.tenant.in_(tenants), correlation_keys.c.key == strays.c.key)
        .scalar_subquery()
    )
    waited_for = and_(strays.c.outcome == Outcome.EXPECTED.value, strays.c.due_at.is_(None), told > 0)
    query = select(strays).where(strays.c.instance == instance, or_(strays.c.due_at <= now, waited_for))
    turn = func.coalesce(strays.c.due_at, strays.c.found_at)
    row = tx.execute(query.order_by(turn, strays.c.id).limit(1)).first()
    return _stray(row) if row is not None else None


def is_ours_by_now(tx: Connection, stray: Stray, targets: Collection[str]) -> bool:
    """It was only quicker than the outcome of its create."""
    query = select(incidents.c.id).where(incidents.c.sys_id == stray.sys_id, incidents.c.target.in_(targets))
    return tx.execute(query.limit(1)).first() is not None


def twin_of(tx: Connection, stray: Stray, targets: Collection[str]) -> Twin | None:
    """The incident whose create it follows. None: this store intended none.

    One whose create is not settled, for the stray is probably what it made; else by the newest intent before it.
    """
    columns = (incidents, episodes.c.correlation, func.min(intents.c.started_at, type_=Instant()).label("began"))
    query = (
        select(*columns)
        .join(intents, and_(intents.c.incident == incidents.c.id, intents.c.operation == Kind.CREATE.value))
        .join(episodes, episodes.c.incident == incidents.c.id)
        .join(correlations, correlations.c.id == episodes.c.correlation)
        .where(correlations.c.key == key_of(stray.correlation_id), incidents.c.target.in_(targets))
        .group_by(incidents.c.id, episodes.c.correlation)
        .order_by("began")
    )
    rows = [row for row in tx.execute(query) if key_of(row.correlation_id) == key_of(stray.correlation_id)]
    if not rows:
        return None
    created = created_at(stray.created_on)
    before = [row for row in rows if created is None or row.began <= created + CLOCKS_APART_MAX]
    unsettled = [row for row in rows if row.sys_id is None and _is_unsettled(tx, row.id)]
    row = (unsettled or before or rows[:1])[-1]
    return Twin(
        incident=row.id,
        correlation=row.correlation,
        tenant=row.tenant,
        target=row.target,
        mapping=row.mapping,
        sys_id=row.sys_id,
        number=row.number,
        record_state=row.record_state,
    )


def _is_unsettled(tx: Connection, incident: int) -> bool:
    doubt = doubt_of(tx, incident)
    return doubt is not None and not doubt.known


def wake(tx: Connection, twin: Twin, now: datetime) -> None:
    """Its create is looked up by the next round, which finds the record."""
    mine = correlations.c.id == twin.correlation
    due = func.coalesce(correlations.c.due_at, literal(now, Instant))
    tx.execute(update(correlations).where(mine).values(due_at=due))


def other_closes_since(tx: Connection, stray: Stray, since: datetime) -> int:
    """Closes of other twins that were made, or may have been; those that a person released are not counted."""
    made_at = func.coalesce(strays.c.closed_at, strays.c.sent_until)
    others = strays.c.instance == stray.instance, strays.c.id != stray.id  # a try of its own may be this close
    query = select(func.count()).where(*others, made_at > since, ~strays.c.released)
    return int(tx.execute(query).scalar_one())


def any_held(tx: Connection, instance: str) -> bool:
    held = select(strays.c.id).where(strays.c.instance == instance, strays.c.outcome == Outcome.HELD.value)
    return tx.execute(held.limit(1)).first() is not None


def held_at(tx: Connection, instance: str, table: str) -> int:
    twins = select(func.count()).where(*_held(instance, table))
    return int(tx.execute(twins).scalar_one())


def later(tx: Connection, stray: Stray, due_at: datetime, *, failed: bool = False) -> None:
    failures = stray.failures + 1 if failed else 0
    tx.execute(update(strays).where(strays.c.id == stray.id).values(due_at=due_at, failures=failures))


def forget(tx: Connection, stray: Stray) -> None:
    tx.execute(delete(strays).where(strays.c.id == stray.id))


def forget_known(tx: Connection, instance: str) -> None:
    """Those that are the incidents of their problems by now."""
    ours = select(incidents.c.id).where(incidents.c.sys_id == strays.c.sys_id).exists()
    tx.execute(delete(strays).where(strays.c.instance == instance, ours))


def waiting(tx: Connection, instance: str, limit: int) -> list[Stray]:
    """Those that people are asked about, the oldest first."""
    query = select(strays).where(strays.c.instance == instance, strays.c.outcome.in_(TOLD))
    return [_stray(row) for row in tx.execute(query.order_by(strays.c.id).limit(limit))]


def about_to_close(tx: Connection, stray: Stray, twin: Twin, until: datetime, now: datetime) -> None:
    """Nothing is sent after `until`."""
    tx.execute(update(strays).where(strays.c.id == stray.id).values(sent_until=until))
    append(tx, _entry(stray, twin, Action.INTENDED, now, outcome="close", reason="twin"))


def called(tx: Connection, stray: Stray, twin: Twin, outcome: str, error: BridgeError, now: datetime) -> None:
    """A close of a twin that came to something else than applied."""
    detail = {"operation": "close", "attempt": stray.failures + 1} | telling.status_of(error)
    append(tx, _entry(stray, twin, Action.CALLED, now, outcome=outcome, reason=error.code, detail=detail))


def settle(
    tx: Connection,
    stray: Stray,
    twin: Twin | None,
    outcome: Outcome,
    now: datetime,
    *,
    said: str = "",
    shows: Mapping[str, Json] = NOTHING,
) -> None:
    """Told in the log when it is news; of one that is expected, by who adopts it.

    `shows`: who changed the record last, and when, where it was read.
    """
    values: dict[str, object] = {"outcome": outcome.value, "outcome_text": said or None, "due_at": None, "failures": 0}
    values |= {"incident": twin.incident if twin is not None else None, "sent_until": None}
    if outcome is Outcome.CLOSED:
        values["closed_at"] = now
    mine = strays.c.id == stray.id
    if outcome is not Outcome.EXPECTED:  # what a person has ordered since it was read stays ordered
        mine &= strays.c.outcome.is_not_distinct_from(stray.outcome) & (strays.c.released == stray.released)
    news = outcome is not Outcome.EXPECTED and (outcome.value, said or None) != (stray.outcome, stray.outcome_text)
    if not tx.execute(update(strays).where(mine).values(**values)).rowcount or not news:
        return
    action = Action.ORPHAN if outcome is Outcome.ORPHAN else Action.TWIN
    append(tx, _entry(stray, twin, action, now, outcome=outcome.value, detail=dict(shows)), said=said)


def swap(tx: Connection, stray: Stray, twin: Twin, state: str, now: datetime, *, late_commit: timedelta) -> bool:
    """The stray becomes the incident, and what was the incident is the stray from now on. False: not at this moment.

    A close of the stray that may still be carried out would end the incident, as if a person had.
    """
    if stray.sent_until is not None and stray.sent_until + late_commit > now:
        return False
    tx.execute(select(correlations.c.id).where(correlations.c.id == twin.correlation).with_for_update())
    row = tx.execute(select(incidents).where(incidents.c.id == twin.incident).with_for_update()).one()
    if (
        is_leased(row, now)
        or row.sys_id != twin.sys_id
        or row.state != "open"
        or doubt_of(tx, twin.incident) is not None
    ):
        return False
    told = decode(row.episode, Episode)  # by the other one: this may show less
    episode = encode(replace(told, taken=True, told_resolved=False, close_refused_for=None))
    given: dict[str, object] = {"sys_id": stray.sys_id, "number": stray.number, "record_state": state}
    given |= {"episode": episode, "seen": None, "look_at": now}
    fence_off(tx, incidents.c.id == twin.incident)
    tx.execute(update(incidents).where(incidents.c.id == twin.incident).values(**given))
    wake(tx, twin, now)
    left = {"sys_id": twin.sys_id, "number": twin.number or "", "due_at": now, "version": "", "failures": 0}
    left |= {"sent_until": None, "closed_at": None, "released": False}  # they were said of the other record
    tx.execute(update(strays).where(strays.c.id == stray.id).values(**left, incident=twin.incident, outcome=None))
    append(tx, _entry(stray, twin, Action.TWIN, now, outcome="taken"))
    return True


def release(tx: Connection, instance: str, table: str, now: datetime) -> int:
    """Let the twins that are held be closed. How many."""
    freed = update(strays).where(*_held(instance, table)).values(outcome=None, released=True, due_at=now)
    return tx.execute(freed).rowcount


def known() -> ColumnElement[bool]:
    """Whether an orphan with the correlation ID whose key is `key` waits in `table` of `instance`."""
    place = [strays.c[name] == bindparam(name) for name in ("instance", "table", "key")]
    orphan = func.coalesce(strays.c.outcome, Outcome.ORPHAN.value).in_((Outcome.ORPHAN.value, Outcome.EXPECTED.value))
    return select(strays.c.id).where(*place, orphan).exists()


def list_told(tx: Connection, *, limit: int) -> list[StrayRow]:
    """Those that wait for a person, or were adopted and wait for their problem's next alert; newest first."""
    query = select(strays).where(strays.c.outcome.in_(TOLD)).order_by(strays.c.id.desc()).limit(limit)
    return [StrayRow(**{name: getattr(row, name) for name in StrayRow.__slots__}) for row in tx.execute(query)]


def orphans(tx: Connection, numbers: Sequence[str] | None) -> list[Stray]:
    """The reported orphans: of these numbers, or all."""
    query = select(strays).where(strays.c.outcome == Outcome.ORPHAN.value).order_by(strays.c.id)
    if numbers is not None:
        query = query.where(strays.c.number.in_([number.upper() for number in numbers]))
    return [_stray(row) for row in tx.execute(query)]


def count_unsettled(tx: Connection) -> int:
    """Those that nothing is known of yet: they wait for their turn."""
    return int(tx.execute(select(func.count()).where(strays.c.outcome.is_(None))).scalar_one())


def count_reported(tx: Connection) -> dict[str, int]:
    counted = select(strays.c.outcome, func.count()).where(strays.c.outcome.in_(REPORTED)).group_by(strays.c.outcome)
    return {row[0]: row[1] for row in tx.execute(counted.order_by(strays.c.outcome))}


def _row(instance: str, table: str, listed: Listed, now: datetime) -> dict[str, object]:
    return {
        "instance": instance,
        "table": table,
        "sys_id": listed.sys_id,
        "number": listed.number,
        "correlation_id": listed.correlation_id,
        "key": key_of(listed.correlation_id),
        "created_on": listed.created_on,
        "version": listed.shown.version,
        "found_at": now,
        "due_at": now,
        "failures": 0,
        "released": False,
    }


def _stray(row: Row[Any]) -> Stray:
    return Stray(**{name: getattr(row, name) for name in Stray.__slots__})


def created_at(text: str) -> datetime | None:
    """A record's sys_created_on; None: it may not be read."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _entry(
    stray: Stray, twin: Twin | None, action: Action, now: datetime, *, detail: Mapping[str, Json] = NOTHING, **more: Any
) -> Entry:
    about: dict[str, Any] = {"instance": stray.instance, "table": stray.table}
    about |= {"number": stray.number, "sys_id": stray.sys_id, "detail": {"created_on": stray.created_on, **detail}}
    if twin is not None:
        about["detail"] |= {"twin_of": twin.number or ""}
        about |= {"tenant": twin.tenant, "target": twin.target, "mapping": twin.mapping}
        about |= {"correlation": twin.correlation, "incident": twin.incident}
    return Entry(at=now, action=action, actor="sync", correlation_id=stray.correlation_id, **about, **more)


def _held(instance: str, table: str) -> tuple[ColumnElement[bool], ...]:
    return strays.c.instance == instance, strays.c.table == table, strays.c.outcome == Outcome.HELD.value
