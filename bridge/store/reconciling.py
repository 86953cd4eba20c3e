"""The reconciler's turns, one process at a time for an instance, and what they learn: which records must be read.

All that a turn writes is written under its epoch: one that was overtaken writes nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, insert, literal, or_, select, update

from bridge.correlation.reconcile import is_news
from bridge.errors import BridgeError
from bridge.store import strays
from bridge.store.columns import Instant
from bridge.store.few import IS_OPEN
from bridge.store.held import Seen
from bridge.store.reconciler_tables import reconciled_tables, reconcilers
from bridge.store.removal import ERASED, LET_GO
from bridge.store.tables import correlations, episodes, incidents, installation
from bridge.store.upsert import insert_into
from bridge.typed import decode

LEASE = timedelta(seconds=240)
LEASE_SEEN_MAX = 2 * LEASE  # by one that asked for the time just before: a longer one is of a clock since set back
SWEEP_EVERY = timedelta(hours=1)
# At first less than the overlap of two polls, so that a change which is not heeded at once is listed again when it can
# be. After several failures it may not be: what is done to the record then is read at its next change, or `sync`.
LOOK_AGAIN_AFTER = timedelta(minutes=5)
LOOK_AGAIN_AT_LATEST = timedelta(days=1)
DOUBLINGS = 9  # of the one, until it is more than the other

_RESTORED = select(installation.c.id).where(installation.c.restored_at.is_not(None)).exists()
_LOOKS_FIRST = select(or_(_RESTORED, strays.known()))  # asked before every create, so it is made once


class TurnLost(BridgeError):
    """Another process has the turn now: it begins again where this one got to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a table has been seen, in ServiceNow's own times."""

    seen_to: str | None = None  # None: its first, full pass is not over
    page: tuple[str, str] | None = None  # (sys_updated_on, sys_id) that a pass in progress has come to


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    instance: str
    epoch: int
    began_at: datetime
    places: Mapping[str, Place]  # by table
    sweep_due: bool
    swept_to: int  # incidents.id that the sweep in progress has come to; 0: it begins
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An open incident, to be looked for at its place."""

    id: int
    target: str
    sys_id: str


def anything_due(tx: Connection, instance: str, now: datetime) -> bool:
    """A cheap look, before a turn is claimed. An instance without a row never had one."""
    row = tx.execute(select(_is_due(now)).where(reconcilers.c.instance == instance)).one_or_none()
    return row is None or bool(row[0])


def claim(
    tx: Connection, instance: str, tables: Collection[str], now: datetime, *, pause_max: timedelta
) -> Turn | None:
    """None: it is not due, or another process has it. `pause_max`: after it, should nobody live to end it."""
    begun = {"epoch": 0, "due_at": now, "sweep_at": now + SWEEP_EVERY, "swept_to": 0, "failures": 0}
    new = insert_into(tx, reconcilers).values(instance=instance, **begun)
    tx.execute(new.on_conflict_do_nothing())
    row = tx.execute(
        update(reconcilers)
        .where(reconcilers.c.instance == instance, _is_due(now))
        .values(lease_until=now + LEASE, epoch=reconcilers.c.epoch + 1, due_at=now + pause_max)
        .returning(reconcilers)
    ).one_or_none()
    if row is None:
        return None
    known = tx.execute(select(reconciled_tables).where(reconciled_tables.c.instance == instance)).all()
    places = {one.table: Place(seen_to=one.seen_to, page=_page(one)) for one in known}
    missing = [{"instance": instance, "table": table} for table in tables if table not in places]
    if missing:
        tx.execute(insert(reconciled_tables), missing)
    return Turn(
        instance=instance,
        epoch=row.epoch,
        began_at=now,
        places={table: places.get(table, Place()) for table in tables},
        sweep_due=row.sweep_at <= now or row.swept_to > 0 or row.sweep_at > now + SWEEP_EVERY,
        swept_to=row.swept_to,
        failures=row.failures,
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    """And free. If the clock was set back since the last turn, or in it, nobody waits until it has caught up."""
    until = reconcilers.c.lease_until
    outdated = until > now + LEASE_SEEN_MAX
    due = or_(reconcilers.c.due_at <= now, reconcilers.c.done_at > now, outdated)
    return and_(due, or_(until.is_(None), until <= now, outdated))


def note_page(
    tx: Connection, turn: Turn, table: str, listed: Sequence[strays.Listed], place: Place, *, elsewhere: Collection[str]
) -> None:
    """What a page of changed records tells, and how far it got. `elsewhere`: targets at other instances.

    Raises TurnLost, and then nothing has changed.
    """
    fence(tx, turn)
    known = _known(tx, [one.sys_id for one in listed], elsewhere)
    _ask_looks(tx, [row.id for one in listed if (row := known.get(one.sys_id)) and _is_news(one, row)], turn.began_at)
    strays.note(tx, turn.instance, table, [one for one in listed if one.sys_id not in known], turn.began_at)
    page = place.page or (None, None)
    values = {"seen_to": place.seen_to, "page_time": page[0], "page_sys_id": page[1]}
    mine = reconciled_tables.c.instance == turn.instance, reconciled_tables.c.table == table
    tx.execute(update(reconciled_tables).where(*mine).values(**values))


def to_sweep(tx: Connection, targets: Collection[str], after: int, limit: int) -> list[Standing]:
    """Open incidents in the order of their rows."""
    query = select(incidents.c.id, incidents.c.target, incidents.c.sys_id).where(
        IS_OPEN,
        incidents.c.sys_id.is_not(None),
        func.coalesce(incidents.c.target, "").in_(targets),  # else SQLite would go through all that ever was there
        incidents.c.id > after,
    )
    rows = tx.execute(query.order_by(incidents.c.id).limit(limit))
    return [Standing(id=row.id, target=row.target, sys_id=row.sys_id) for row in rows]


def note_swept(
    tx: Connection,
    turn: Turn,
    asked: Sequence[Standing],
    there: Sequence[strays.Listed],
    *,
    unknown: Collection[str],
    done: bool,
) -> None:
    """Of the incidents asked for, those that are not there, or have changed, are to be read. Raises TurnLost.

    `unknown`: sys_ids of those that may be there and hidden.
    """
    fence(tx, turn)
    shown = {one.sys_id: one for one in there}
    sure = [one.id for one in asked if one.sys_id not in unknown]
    rows = tx.execute(select(incidents).where(incidents.c.id.in_(sure))).all()
    news = [row.id for row in rows if (one := shown.get(row.sys_id)) is None or _is_news(one, row)]
    _ask_looks(tx, news, turn.began_at)
    values = {"swept_to": 0, "sweep_at": turn.began_at + SWEEP_EVERY} if done else {"swept_to": asked[-1].id}
    tx.execute(update(reconcilers).where(reconcilers.c.instance == turn.instance).values(**values))


def end_turn(
    tx: Connection,
    turn: Turn,
    due_at: datetime,
    *,
    failure: str,
    everywhere: Collection[tuple[str, str]],
) -> None:
    """`everywhere`: (instance, table) of all that is written to.

    Nothing is written when another process has the turn by now.
    """
    values: dict[str, object] = {"lease_until": None, "due_at": due_at, "failure": failure or None}
    values["failures"] = turn.failures + 1 if failure else 0
    values["done_at"] = turn.began_at  # of one that failed, too: a clock that is set back makes one turn due, not all
    mine = reconcilers.c.instance == turn.instance, reconcilers.c.epoch == turn.epoch
    if tx.execute(update(reconcilers).where(*mine).values(**values)).rowcount == 0:
        return
    strays.forget_known(tx, turn.instance)
    if not failure:
        _forget_restored(tx, turn, everywhere)


def unreconciled(tx: Connection) -> str:
    """Sentences on what people change and is not seen, and on the records that wait for them; empty: all is well."""
    failing = select(reconcilers.c.instance, reconcilers.c.failure).where(reconcilers.c.failure.is_not(None))
    said = [
        f"What people change at {row.instance} is not seen: {row.failure.rstrip('.')}."
        for row in tx.execute(failing.order_by(reconcilers.c.instance))
    ]
    waiting = strays.count_reported(tx)
    if waiting:
        counts = ", ".join(f"{outcome}: {count}" for outcome, count in waiting.items())
        said.append(f"Records with our mark wait for a person ({counts}): see `bridge incidents strays`.")
    return " ".join(said)


def fence(tx: Connection, turn: Turn) -> None:
    query = select(reconcilers.c.epoch).where(reconcilers.c.instance == turn.instance).with_for_update()
    if tx.execute(query).scalar() != turn.epoch:
        raise TurnLost("turn_lost", "another process reconciles this instance now")


def mark_restored(tx: Connection, now: datetime) -> None:
    """The store may be older than ServiceNow: look before each create, and see every record anew."""
    tx.execute(update(installation).values(restored_at=now))
    tx.execute(update(reconciled_tables).values(seen_to=None, page_time=None, page_sys_id=None))
    tx.execute(update(reconcilers).values(lease_until=None, epoch=reconcilers.c.epoch + 1, due_at=now))


def looks_first(tx: Connection, instance: str, table: str, key: str) -> bool:
    """Whether a record may be there that this store does not know: it is looked up before a first create, too."""
    return bool(tx.execute(_LOOKS_FIRST, {"instance": instance, "table": table, "key": key}).scalar())


def _forget_restored(tx: Connection, turn: Turn, everywhere: Collection[tuple[str, str]]) -> None:
    """Once every table has been seen whole, what this store lacks is known: by its strays."""
    restored = installation.c.restored_at
    if tx.execute(select(restored).where(restored.is_not(None), restored <= turn.began_at)).first() is None:
        return
    whole = select(reconciled_tables.c.instance, reconciled_tables.c.table)
    seen = {(row[0], row[1]) for row in tx.execute(whole.where(reconciled_tables.c.seen_to.is_not(None)))}
    if seen.issuperset(everywhere):
        tx.execute(update(installation).values(restored_at=None))


def _page(row: Row[Any]) -> tuple[str, str] | None:
    return None if row.page_time is None else (row.page_time, row.page_sys_id)


def _known(tx: Connection, sys_ids: Sequence[str], elsewhere: Collection[str]) -> dict[str, Row[Any]]:
    if not sys_ids:
        return {}
    rows = tx.execute(select(incidents).where(incidents.c.sys_id.in_(sys_ids), incidents.c.target.not_in(elsewhere)))
    return {row.sys_id: row for row in rows}


def _is_news(listed: strays.Listed, row: Row[Any]) -> bool:
    seen = _seen(row)
    version, end = (seen.version, seen.values) if seen is not None else (None, {})
    return is_news(listed.shown, known_open=row.state == "open", known_version=version, known_end=end)


def _seen(row: Row[Any]) -> Seen | None:
    try:
        return decode(row.seen, Seen) if row.seen is not None else None
    except msgspec.DecodeError:
        return None


def _looked_before(now: datetime) -> ColumnElement[datetime]:
    """When one that waits for a person must have been asked about last, to be asked about again."""
    waits = [min(LOOK_AGAIN_AFTER * 2**times, LOOK_AGAIN_AT_LATEST) for times in range(DOUBLINGS + 1)]
    often = [
        (correlations.c.failures > times, literal(now - waits[times], Instant)) for times in range(DOUBLINGS, 0, -1)
    ]
    return case(*often, else_=literal(now - waits[0], Instant))


def _ask_looks(tx: Connection, incident_ids: Sequence[int], now: datetime) -> None:
    """The next round of these incidents reads the record, whatever is due. One that failed waits its time out, and one
    that waits for a person is tried after twice the time each time: polls list its record for as long as no round has
    noted it, in a quiet table for ever.
    """
    if not incident_ids:
        return
    newest = and_(correlations.c.id == episodes.c.correlation, correlations.c.episode == episodes.c.number)
    last = func.coalesce(correlations.c.last_decision, "")
    erased = and_(last == ERASED, correlations.c.applied_seq == correlations.c.last_seq)  # its next alert looks
    asked = incidents.c.look_at
    turn = or_(~correlations.c.waits_for_person, asked.is_(None), asked < _looked_before(now), asked > now)
    query = select(correlations.c.id, episodes.c.incident).join(episodes, newest).join(incidents)
    mine = query.where(episodes.c.incident.in_(incident_ids))
    led = mine.where(last != LET_GO, ~erased, turn).order_by(correlations.c.id)
    rows = tx.execute(led.with_for_update(of=correlations)).all()
    waits = and_(correlations.c.failures > 0, correlations.c.due_at.is_not(None))
    hastened = case(
        (waits, correlations.c.due_at),
        (correlations.c.due_at < now, correlations.c.due_at),
        else_=literal(now, Instant),
    )
    tx.execute(update(correlations).where(correlations.c.id.in_([row.id for row in rows])).values(due_at=hastened))
    looked = {row.incident for row in (*rows, *tx.execute(mine.where(erased)))}
    tx.execute(update(incidents).where(incidents.c.id.in_(sorted(looked))).values(look_at=now))
