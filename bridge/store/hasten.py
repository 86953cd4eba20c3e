"""What waits out a failure is due now: for whoever has learned that its reason is gone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, and_, or_, select, update

from bridge.store.tables import additions, correlations, episodes, incidents

HASTENED_MAX = 200  # in one transaction: intake waits no longer than for one of its batches


def hasten(tx: Connection, codes: Collection[str], targets: Collection[str], now: datetime) -> int:
    """Of what failed with one of these codes at one of these targets, up to HASTENED_MAX rows of a table; how many of
    the table with most.

    Their failures are forgotten. What waits for a person waits on: it has no time that it is due at.
    """
    opened_at = (
        select(incidents.c.target)
        .join(episodes, episodes.c.incident == incidents.c.id)
        .where(episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode)
        .scalar_subquery()
    )
    theirs = or_(correlations.c.target.in_(targets), opened_at.in_(targets))
    failed = correlations.c.failure.in_(codes), correlations.c.failures > 0, correlations.c.due_at > now
    found = tx.execute(
        select(correlations.c.id)
        .where(*failed, theirs)
        .order_by(correlations.c.id)
        .limit(HASTENED_MAX)
        .with_for_update()
    ).scalars()
    ids = list(found)
    if ids:
        row = {"due_at": now, "failures": 0, "failure": None, "failure_text": None}
        tx.execute(update(correlations).where(correlations.c.id.in_(ids)).values(**row))
    return max(len(ids), _hasten_additions(tx, codes, targets, now))


def _hasten_additions(tx: Connection, codes: Collection[str], targets: Collection[str], now: datetime) -> int:
    theirs = select(incidents.c.id).where(incidents.c.target.in_(targets))
    failed = additions.c.outcome_code.in_(codes), additions.c.due_at > now, additions.c.incident.in_(theirs)
    statement = select(additions.c.incident, additions.c.kind).where(*failed)
    ordered = statement.order_by(additions.c.incident, additions.c.kind).limit(HASTENED_MAX)
    rows = tx.execute(ordered.with_for_update(of=additions)).all()
    for row in rows:
        mine = and_(additions.c.incident == row.incident, additions.c.kind == row.kind)
        tx.execute(update(additions).where(mine).values(due_at=now, failures=0))
    return len(rows)
