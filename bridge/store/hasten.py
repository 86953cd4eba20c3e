"""What waits out a failure is due now: for whoever has learned that its reason is gone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import BindParameter, Connection, and_, bindparam, or_, select, update

from bridge.store.columns import Instant
from bridge.store.tables import additions, correlations, episodes, incidents

HASTENED_MAX = 200  # in one transaction: intake waits no longer than for one of its batches


# Asked at the start of every process, and whenever a secret has changed; made once, for making takes longer.
_NOW = bindparam("now", type_=Instant())
_CODES: BindParameter[list[str]] = bindparam("codes", expanding=True)
_TARGETS: BindParameter[list[str]] = bindparam("targets", expanding=True)
_OPENED_AT = (
    select(incidents.c.target)
    .join(episodes, episodes.c.incident == incidents.c.id)
    .where(episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode)
    .scalar_subquery()
)
_FAILED = (
    select(correlations.c.id)
    .where(correlations.c.failure.in_(_CODES), correlations.c.failures > 0, correlations.c.due_at > _NOW)
    .where(or_(correlations.c.target.in_(_TARGETS), _OPENED_AT.in_(_TARGETS)))
    .order_by(correlations.c.id)
    .limit(HASTENED_MAX)
    .with_for_update()
)
# A value, not a list of ids: SQLite would look each incident of these targets up among the few additions that wait.
_ITS_TARGET = select(incidents.c.target).where(incidents.c.id == additions.c.incident).scalar_subquery()
_FAILED_ADDITIONS = (
    select(additions.c.incident, additions.c.kind)
    .where(additions.c.outcome_code.in_(_CODES), additions.c.due_at > _NOW, _ITS_TARGET.in_(_TARGETS))
    .order_by(additions.c.incident, additions.c.kind)
    .limit(HASTENED_MAX)
    .with_for_update(of=additions)
)


def hasten(tx: Connection, codes: Collection[str], targets: Collection[str], now: datetime) -> int:
    """Of what failed with one of these codes at one of these targets, up to HASTENED_MAX rows of a table; how many of
    the table with most.

    Their failures are forgotten. What waits for a person waits on: it has no time that it is due at.
    """
    given = {"codes": sorted(codes), "targets": sorted(targets), "now": now}
    ids = list(tx.execute(_FAILED, given).scalars())
    if ids:
        row = {"due_at": now, "failures": 0, "failure": None, "failure_text": None}
        tx.execute(update(correlations).where(correlations.c.id.in_(ids)).values(**row))
    rows = tx.execute(_FAILED_ADDITIONS, given).all()
    for one in rows:
        mine = and_(additions.c.incident == one.incident, additions.c.kind == one.kind)
        tx.execute(update(additions).where(mine).values(due_at=now, failures=0))
    return max(len(ids), len(rows))
