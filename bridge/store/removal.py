"""Removing a mapping: the correlations that it still keeps in step, and letting them go.

Let go means: nothing is due any more. The incident stays in ServiceNow as it is, for people to end; no note is
written. A new alert of the same correlation ID, mapped by whatever mapping then knows it, or `bridge incidents sync`,
takes it up again where it was left.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from bridge.store.leases import fence_off
from bridge.store.tables import correlations, episodes, incidents

LET_GO = "let_go: mapping_removed"  # correlations.last_decision
ERASED = "nothing: erased"  # the same, where what the alerts said is gone


def still_kept(tx: Connection, mapping: str) -> int:
    """How many correlations of the mapping have an open episode, or work that is due or waits."""
    return tx.execute(select(func.count()).where(_kept(mapping))).scalar_one()


def let_go(tx: Connection, mapping: str) -> int:
    """In the caller's transaction; how many. A round that holds one finds its lease lost, and settles nothing."""
    kept = select(correlations.c.id).where(_kept(mapping)).order_by(correlations.c.id)
    held = tx.execute(kept.with_for_update()).all()  # in intake's order
    nothing_due = {"due_at": None, "failures": 0, "failure": None, "failure_text": None, "waits_for_person": False}
    tx.execute(update(correlations).where(_kept(mapping)).values(**nothing_due, last_decision=LET_GO))
    theirs = (
        select(episodes.c.incident)
        .join(
            correlations, and_(correlations.c.id == episodes.c.correlation, correlations.c.episode == episodes.c.number)
        )
        .where(correlations.c.mapping == mapping, correlations.c.last_decision == LET_GO)
    )
    fence_off(tx, and_(incidents.c.id.in_(theirs), incidents.c.lease_until.is_not(None)))
    return len(held)


def _kept(mapping: str) -> ColumnElement[bool]:
    waits = or_(correlations.c.open, correlations.c.due_at.is_not(None), correlations.c.waits_for_person)
    let_go_already = func.coalesce(correlations.c.last_decision, "") == LET_GO
    return and_(correlations.c.mapping == mapping, waits, or_(~let_go_already, correlations.c.due_at.is_not(None)))
