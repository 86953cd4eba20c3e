"""Which correlation is claimed next: creates before closes before updates, of each the one that has been due longest.

Before them all goes a create of the source whose turn it is, so that a storm at one source does not keep another's
first incident waiting. What a claim comes to is decided later; here two columns tell what it is likely to be. Each kind
is a range of an index, so a claim reads one row of it, however many wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from functools import cache, partial
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)

from bridge.alert import Status
from bridge.store.columns import EPOCH, Instant
from bridge.store.held import LEASE_SEEN_MAX, UNSETTLED
from bridge.store.tables import correlations, episodes, incidents, intents, is_new

# (an episode is open, the newest alert's status), in the order of claims.
ORDER: tuple[tuple[bool, Status], ...] = (
    (False, Status.FIRING),  # a create, or a reopen: nobody sees the problem yet
    (True, Status.RESOLVED),  # a close
    (True, Status.FIRING),  # an update
    (False, Status.RESOLVED),  # over on both sides: counted, and mostly no call at all
)
NOW = bindparam("now", type_=Instant())
OUTDATED = bindparam("outdated", type_=Instant())
LONG_AGO = literal(EPOCH, Instant())
AFTER = bindparam("after", type_=Text())
PAUSED: BindParameter[list[str]] = bindparam("paused", expanding=True)
# Whether it was applied is not known, or is settled by nobody yet: the next holder looks it up.
IN_DOUBT = or_(intents.c.outcome.is_(None), intents.c.outcome == "ambiguous", intents.c.outcome_code == UNSETTLED)


def first_due(tx: Connection, now: datetime, paused: Collection[str], *, after: str) -> Row[Any] | None:
    """The row of the correlation to claim, locked; None when nothing can be.

    `turn` of it is the source whose turn it was, of those for which creates wait: the next after `after`, in a circle.
    """
    given = {"now": now, "outdated": now + LEASE_SEEN_MAX, "after": after} | (
        {"paused": list(paused)} if paused else {}
    )
    return tx.execute(_statement(but_paused=bool(paused)), given).first()


def is_due(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """All that is due, whatever its kind: named so that the index's ranges serve."""
    return and_(
        correlations.c.open.in_([false(), true()]),
        correlations.c.status.in_([literal_column(f"'{status.value}'") for status in Status]),
        correlations.c.due_at <= now,
    )


def target_of() -> ColumnElement[str | None]:
    """The target where a correlation's incident is, or where the one that is planned goes: of correlations outer joined
    with the incident of their newest episode.
    """
    planned_at = func.coalesce(correlations.c.target, incidents.c.target)
    opened_at = func.coalesce(func.nullif(incidents.c.target, ""), correlations.c.target)
    return case((incidents.c.state == "planned", planned_at), else_=opened_at)


@cache  # making it takes ten times as long as running it
def _statement(*, but_paused: bool) -> Select[Any]:
    """COALESCE looks no further than it must. Locked once more outside, to read the row as it is under the lock."""
    its = _longest_due(lambda due: is_new(due) & (due.source == _turn()), but_paused=but_paused)
    kinds = [_longest_due(partial(_is, is_open, status), but_paused=but_paused) for is_open, status in ORDER]
    found = select(correlations, _turn().label("turn")).where(correlations.c.id == func.coalesce(its, *kinds))
    return found.with_for_update(skip_locked=True, of=correlations)


def _turn() -> ColumnElement[str]:
    new = correlations.alias("new")
    first = select(func.min(new.c.source)).where(is_new(new.c))
    return func.coalesce(first.where(new.c.source > AFTER).scalar_subquery(), first.scalar_subquery(), "")


def _is(is_open: bool, status: Status, due: Any) -> ColumnElement[bool]:
    return and_(due.open.is_(is_open), due.status == status.value)


def _longest_due(which: Callable[[Any], ColumnElement[bool]], *, but_paused: bool) -> Any:
    due = correlations.alias("due")
    newest = and_(episodes.c.correlation == due.c.id, episodes.c.number == due.c.episode)
    incident = select(incidents.c.lease_until).join(episodes, incidents.c.id == episodes.c.incident).where(newest)
    # A value, not EXISTS: PostgreSQL would make a join of that, over all incidents.
    leased_until = func.coalesce(incident.where(incidents.c.lease_until <= OUTDATED).scalar_subquery(), LONG_AGO)
    statement = select(due.c.id).where(which(due.c), due.c.due_at <= NOW)
    if but_paused:
        # An incident stays where it was opened, wherever its correlation is routed by now. A plan follows the route;
        # what may have been made of it is looked up all the same where it was tried, for others wait to join it.
        opened_at = incident.with_only_columns(incidents.c.target).where(incidents.c.state != "planned")
        its_last = incident.join(intents, intents.c.incident == incidents.c.id).order_by(intents.c.id.desc()).limit(1)
        tried_at = its_last.with_only_columns(case((IN_DOUBT, intents.c.target))).where(incidents.c.state == "planned")
        is_plan = and_(~due.c.open, due.c.episode > 0)  # or nothing: the cheap question first
        is_looked_up = and_(is_plan, tried_at.scalar_subquery().not_in(PAUSED))
        statement = statement.where(
            or_(func.coalesce(due.c.target, "").not_in(PAUSED), is_looked_up),
            func.coalesce(opened_at.scalar_subquery(), "").not_in(PAUSED),
        )
    first = statement.where(leased_until <= NOW).order_by(due.c.due_at).limit(1)
    # SKIP LOCKED is PostgreSQL's; SQLite, which has one writer, leaves it out.
    return first.with_for_update(skip_locked=True).scalar_subquery()
