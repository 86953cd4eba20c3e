"""The brake: which creates wait for the hour to go by, the worst last to; and a person's word that lets them go."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    select,
    update,
)

from bridge.correlation.policy import BRAKE_RECHECK, Kind, Reason
from bridge.log.entries import Action, Entry, append
from bridge.store import strays
from bridge.store.columns import to_us
from bridge.store.due import PAUSED
from bridge.store.held import Held
from bridge.store.settle import fence
from bridge.store.tables import correlations, episodes, incidents
from bridge.store.work import create_counted_at, creates_since

WINDOW = timedelta(hours=1)
RECHECK_MAX = timedelta(minutes=5)  # those ahead may be resolved, or the limit raised
APART = timedelta(milliseconds=250)  # four rounds a second, however many wait
BRAKED = f"{Kind.NOTHING.value}: {Reason.BRAKE.value}"  # correlations.last_decision
RELEASED = "released: by_person"  # the same, of one that a person has let go
RELEASED_WAITS = f"released: {Reason.WAITS_TO_JOIN.value}"  # and that waits to join, which may come to nothing
SECOND_US = 1_000_000

# Spelt out in the statement: by a parameter SQLite could not tell that the partial index serves.
_BRAKED = correlations.c.last_decision == literal_column(f"'{BRAKED}'")

# Asked before every create, so made once: making them takes longer than running them.
_OF: BindParameter[int] = bindparam("of")
_MINE = select(correlations.c.severity).where(correlations.c.id == _OF).scalar_subquery()
_WORSE = correlations.c.severity > _MINE
_BEFORE = _WORSE | ((correlations.c.severity == _MINE) & (correlations.c.id < _OF))
# What cannot be claimed goes before nobody: its last incident is at a target where nothing is sent now.
_ITS = and_(episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode)
_LAST_AT_PAUSED = (
    select(incidents.c.id)
    .join(episodes, episodes.c.incident == incidents.c.id)
    .where(_ITS, incidents.c.state != "planned", incidents.c.target.in_(PAUSED))
    .exists()
)
_WAITING = select(func.count()).where(
    _BRAKED,
    correlations.c.target == bindparam("at"),
    correlations.c.id != _OF,
    correlations.c.failures == 0,
)
_WORSE_WAIT, _AHEAD = _WAITING.where(_WORSE), _WAITING.where(_BEFORE)  # in a flood many rows, and mostly none is paused
_WORSE_BUT_PAUSED, _AHEAD_BUT_PAUSED = _WORSE_WAIT.where(~_LAST_AT_PAUSED), _AHEAD.where(~_LAST_AT_PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Problems of one mapping that wait at one target."""

    target: str
    tenant: str
    mapping: str
    problems: int


def holds(
    tx: Connection, held: Held, target: str, *, most: int, now: datetime, paused: Collection[str]
) -> datetime | None:
    """Until when this create must wait, to be asked again: the hour's creates are made, or what is left of them is for
    worse problems. None: it may go.

    Each is asked about when its turn may have come, and no two at the same moment: a flood that asked all the time
    would keep closes and updates waiting. `paused`: as claims leave it out.
    """
    if held.last_decision in (RELEASED, RELEASED_WAITS):
        return None
    ours = held.incident.id if held.incident.episode is None else None
    room = most - creates_since(tx, target, now - WINDOW, but=ours)
    asks = {"of": held.correlation, "at": target} | ({"paused": list(paused)} if paused else {})
    worse_wait, before = (_WORSE_BUT_PAUSED, _AHEAD_BUT_PAUSED) if paused else (_WORSE_WAIT, _AHEAD)
    if room > 0 and int(tx.execute(worse_wait, asks).scalar_one()) < room:
        return None
    ahead = int(tx.execute(before, asks).scalar_one())
    counted_at = create_counted_at(tx, target, now - WINDOW, but=ours, after=ahead)
    until = now + RECHECK_MAX if counted_at is None else min(counted_at + WINDOW, now + RECHECK_MAX)
    return max(until, now + BRAKE_RECHECK if room > 0 else now) + ahead * APART


def has_released(tx: Connection, held: Held) -> bool:
    """A person has let it go while the round was told to wait. Raises LeaseLost."""
    fence(tx, held)
    word = select(correlations.c.last_decision).where(correlations.c.id == held.correlation)
    return tx.execute(word).scalar_one() in (RELEASED, RELEASED_WAITS)


def waiting(tx: Connection) -> list[Waiting]:
    which = (correlations.c.target, correlations.c.tenant, correlations.c.mapping)
    # Not `due_at IS NOT NULL`: SQLite would then go through all that is due at any time.
    many = func.count(correlations.c.due_at)
    counted = select(*which, many.label("problems")).where(_BRAKED).group_by(*which).having(many > 0).order_by(*which)
    return [
        Waiting(target=row.target or "", tenant=row.tenant, mapping=row.mapping, problems=row.problems)
        for row in tx.execute(counted)
    ]


def held_at(tx: Connection, target: str, *, instance: str, table: str) -> int:
    """What `release` would let go."""
    problems = select(func.count()).where(_waits(target))
    return int(tx.execute(problems).scalar_one()) + strays.held_at(tx, instance, table)


def release(tx: Connection, target: str, *, instance: str, table: str, actor: str, now: datetime) -> tuple[int, int]:
    """(problems that waited for their create, twins that waited for their close): all are let go, the worst first."""
    held = select(correlations.c.id).where(_waits(target)).order_by(correlations.c.id)
    problems = len(tx.execute(held.with_for_update()).all())  # in intake's order
    earlier = literal(to_us(now), BigInteger) - cast(correlations.c.severity, BigInteger) * SECOND_US
    freed = update(correlations).where(_waits(target))
    tx.execute(freed.values(last_decision=RELEASED, due_at=earlier))
    twins = strays.release(tx, instance, table, now)
    if problems or twins:
        detail = {"problems": problems, "twins": twins}
        entry = Entry(
            at=now,
            action=Action.RELEASED,
            actor=actor,
            instance=instance,
            target=target,
            table=table,
            detail=detail,
        )
        append(tx, entry)
    return problems, twins


def _waits(target: str) -> ColumnElement[bool]:
    return _BRAKED & (correlations.c.target == target)
