"""What a person orders by a command: pause, resume, try again. Each is one log entry in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, update

from bridge.errors import Transient
from bridge.log.entries import Action, Entry, append
from bridge.store import additions
from bridge.store.rows import CorrelationRow
from bridge.store.tables import correlations, target_states
from bridge.store.upsert import insert_into

PAUSED = "paused"  # the failure of a round that met the pause half-way


class Paused(Transient):
    """The target was paused since the claim, or the route has moved there: nothing was sent. The work waits for it."""

    def __init__(self, target: str) -> None:
        super().__init__(PAUSED, f"The target {target} is paused: resume it to go on.")
        self.target = target


def pause(tx: Connection, target: str, *, actor: str, now: datetime) -> bool:
    """Hold all writes to the target; its work stays due. False when it was paused already."""
    row = {"paused_at": now, "paused_by": actor}
    statement = (
        insert_into(tx, target_states)
        .values(name=target, **row)
        .on_conflict_do_update(index_elements=["name"], set_=row, where=target_states.c.paused_at.is_(None))
        .returning(target_states.c.name)
    )
    changed = tx.execute(statement).one_or_none() is not None
    if changed:
        append(tx, Entry(at=now, action=Action.PAUSED, actor=actor, target=target))
    return changed


def resume(tx: Connection, target: str, *, actor: str, now: datetime) -> bool:
    """False when it was not paused."""
    statement = (
        update(target_states)
        .where(target_states.c.name == target, target_states.c.paused_at.is_not(None))
        .values(paused_at=None, paused_by=None)
    )
    changed = tx.execute(statement).rowcount > 0
    if changed:
        append(tx, Entry(at=now, action=Action.RESUMED, actor=actor, target=target))
        held_back = update(correlations).where(correlations.c.failure == PAUSED, correlations.c.target == target)
        tx.execute(held_back.values(due_at=now, failures=0, failure=None, failure_text=None))
    return changed


def ask_sync(tx: Connection, rows: Sequence[CorrelationRow], *, actor: str, now: datetime) -> None:
    """Forget what failed or was refused and look at these correlations at once. The worker decides as ever."""
    tx.execute(
        update(correlations)
        .where(correlations.c.id.in_([row.row_id for row in rows]))
        .values(due_at=now, failures=0, failure=None, failure_text=None, waits_for_person=False, sync_asked_at=now)
    )
    additions.ask_again(tx, [row.incident for row in rows if row.incident is not None], now)
    entries = [
        Entry(
            at=now,
            action=Action.SYNC_ASKED,
            actor=actor,
            reason=row.failure or "",
            tenant=row.tenant,
            correlation_id=row.correlation_id,
            target=row.target,
            number=row.number,
            correlation=row.row_id,
            incident=row.incident,
        )
        for row in rows
    ]
    append(tx, *entries)
