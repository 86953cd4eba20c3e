"""Which days a statement of completeness was written of. One process at a time computes the next; it is written once.

Nothing is locked while it is computed, which may take a minute: whoever does it has a lease, and writes only if nobody
was quicker.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from bridge.alert import Json
from bridge.log.entries import Action, Entry, append
from bridge.log.statement import Statement, as_detail
from bridge.store.statement_tables import statements
from bridge.store.tables import installation
from bridge.store.upsert import insert_into

DAY = timedelta(days=1)
LEASE = timedelta(minutes=15)
SETTLES = timedelta(minutes=10)  # after a day has ended: what was received in it has been committed
CATCH_UP_DAYS_MAX = 31  # whoever was not there for longer states the newest so many, and names the others
ACTOR = "statement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The day to state."""

    day: datetime  # its first moment, UTC
    never: int  # days before it that never were stated, and will not be
    again: bool  # it was stated before, by a clock that had run ahead


def midnight(at: datetime) -> datetime:
    """The first moment of its UTC day."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def next_day(stated_to: datetime, reached: datetime, now: datetime) -> Turn | None:
    """The next day to state; None: none has ended that was not. Pure.

    A clock that ran ahead has stated days that had not ended: these are stated again, once they have.
    """
    ended = midnight(now - SETTLES)  # up to here all days have ended
    stated_to = min(stated_to, midnight(now))
    day = max(stated_to, ended - CATCH_UP_DAYS_MAX * DAY)
    if day >= ended:
        return None
    return Turn(day=day, never=(day - stated_to) // DAY, again=day < reached)


def anything_due(tx: Connection, now: datetime) -> bool:
    """A cheap look, before a turn is claimed. A clock that had run ahead is noted, too, when it is right again."""
    row = _row(tx)
    if row is None or row.stated_to > midnight(now):
        return True
    return _is_free(row, now) and next_day(row.stated_to, row.reached, now) is not None


def claim(tx: Connection, now: datetime) -> Turn | None:
    """The next day, leased. None: there is none, or another process computes it.

    The first one ever is that on which this store began.
    """
    began = tx.execute(select(installation.c.created_at)).scalar()
    first = midnight(began if began is not None and began < now else now)
    new = insert_into(tx, statements).values(id=1, stated_to=first, reached=first, differences=0)
    tx.execute(new.on_conflict_do_nothing())
    row = tx.execute(select(statements).with_for_update()).one()
    turn = next_day(row.stated_to, row.reached, now) if _is_free(row, now) else None
    stated_to = min(row.stated_to, midnight(now))
    leased = now + LEASE if turn is not None else row.lease_until
    tx.execute(update(statements).values(stated_to=stated_to, lease_until=leased))
    return turn


def state(tx: Connection, turn: Turn, statement: Statement, now: datetime) -> bool:
    """The entry, and that it was written, in the caller's transaction. False: another process was quicker."""
    ends = turn.day + DAY
    values = {"stated_to": ends, "lease_until": None, "differences": statement.difference_count}
    stated = (
        update(statements).where(statements.c.stated_to <= turn.day).values(**values).returning(statements.c.reached)
    )
    reached = tx.execute(stated).scalar_one_or_none()
    if reached is None:
        return False
    tx.execute(update(statements).values(reached=max(reached, ends)))
    detail = as_detail(statement) | _beside(turn)
    append(tx, Entry(at=now, action=Action.STATEMENT, actor=ACTOR, outcome=statement.word, detail=detail))
    return True


def release(tx: Connection) -> None:
    """The turn is given up: the next look takes it."""
    tx.execute(update(statements).values(lease_until=None))


def differs(tx: Connection) -> str:
    """A sentence on the newest statement, where it names differences; else empty."""
    row = _row(tx)
    if row is None or not row.differences:
        return ""
    named = f"{row.differences} difference{'' if row.differences == 1 else 's'}"
    return (
        f"the newest daily statement names {named} in the record: `bridge log show --action statement` says of what day"
    )


def _beside(turn: Turn) -> dict[str, Json]:
    found: dict[str, Json] = {"again": True} if turn.again else {}
    if turn.never:
        first, last = turn.day - turn.never * DAY, turn.day - DAY
        found["never_stated"] = {"days": turn.never, "first": f"{first:%Y-%m-%d}", "last": f"{last:%Y-%m-%d}"}
    return found


def _row(tx: Connection) -> Row[Any] | None:
    return tx.execute(select(statements)).one_or_none()


def _is_free(row: Row[Any], now: datetime) -> bool:
    """A lease longer than any is of a clock that has run ahead."""
    return row.lease_until is None or not now < row.lease_until <= now + LEASE
