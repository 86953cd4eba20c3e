"""What waits, in numbers: for the metrics and for /readyz."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, select

from bridge.alert import Outcome
from bridge.correlation.policy import Kind, Reason
from bridge.metrics import Backlog
from bridge.store import lamps
from bridge.store.brake import BRAKED
from bridge.store.due import is_due
from bridge.store.sealing import COUNTED_MAX, waiting
from bridge.store.tables import alerts, correlations
from bridge.store.work import paused_targets

WAITS_TO_JOIN = f"{Kind.NOTHING.value}: {Reason.WAITS_TO_JOIN.value}"  # as well


def backlog(tx: Connection, now: datetime) -> Backlog:
    due = tx.execute(select(func.count()).select_from(correlations).where(is_due(now))).scalar_one()
    held = select(func.count()).where(alerts.c.outcome == Outcome.QUARANTINED.value)
    oldest = tx.execute(_OLDEST_UNAPPLIED).scalar_one()
    unsealed = waiting(tx, COUNTED_MAX)
    return Backlog(
        due=due,
        oldest_unapplied_seconds=(now - oldest).total_seconds() if oldest is not None else 0.0,
        quarantined=tx.execute(held).scalar_one(),
        unsealed=unsealed.entries,
        sealing_lag_seconds=(now - unsealed.oldest_at).total_seconds() if unsealed.oldest_at is not None else 0.0,
        troubles=lamps.present(tx),
    )


# Of each correlation that sync will look at again the first alert that it has not settled: what a failed round puts
# off is as old as before. What waits for a person is not in it; /readyz counts that. A subquery, for a join might
# begin with the alerts, which are many more.
_RECEIVED = (
    select(alerts.c.received_at)
    .where(alerts.c.correlation == correlations.c.id, alerts.c.seq == correlations.c.applied_seq + 1)
    .where(correlations.c.due_at.is_not(None))  # not outside: SQLite would go through all that is due at any time
    .scalar_subquery()
)
_OLDEST_UNAPPLIED = select(func.min(_RECEIVED, type_=alerts.c.received_at.type)).where(
    correlations.c.applied_seq < correlations.c.last_seq
)


def failing(tx: Connection) -> str:
    """A sentence on the correlations whose last round failed; empty when there are none."""
    query = (
        select(correlations.c.failure, func.count())
        .where(correlations.c.failure.is_not(None))
        .group_by(correlations.c.failure)
        .order_by(func.count().desc())
    )
    counts = [f"{code}: {count}" for code, count in tx.execute(query)]
    return f"work waits ({', '.join(counts)}): see `bridge incidents list`" if counts else ""


def braked(tx: Connection) -> str:
    """A sentence on the problems that wait for the hourly limit of creates; empty when there are none."""
    # Not `due_at IS NOT NULL`: SQLite would then go through all that is due at any time.
    waiting = func.count(correlations.c.due_at)
    held = (
        select(correlations.c.target, waiting)
        .where(correlations.c.last_decision == BRAKED)
        .group_by(correlations.c.target)
        .having(waiting > 0)
        .order_by(correlations.c.target)
    )
    counts = [f"{target}: {count}" for target, count in tx.execute(held)]
    remedy = "see `max_creates_per_hour` of the target; `bridge targets release` lets go what is held"
    return f"more new problems than the target takes in an hour ({', '.join(counts)}): {remedy}" if counts else ""


def paused(tx: Connection, targets: Collection[str]) -> str:
    """A sentence on those of `targets` that a person has paused; empty when there are none."""
    names = sorted(paused_targets(tx).intersection(targets))
    return f"paused: {', '.join(names)}; `bridge targets resume {' '.join(names)}` ends it" if names else ""
