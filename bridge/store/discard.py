"""Quarantined alerts that can never be mapped, taken out by a person; and dropped ones that are to be mapped again.

Rows and bodies stay; the log says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select, tuple_, update

from bridge.alert import Outcome
from bridge.log.entries import Action, Entry, append
from bridge.store.rows import AlertId
from bridge.store.tables import alerts, deliveries

DISCARDED = "discarded"  # the reason of such an alert
BROUGHT_BACK = "brought_back"  # and of one that was dropped, until it is mapped again


def discard(tx: Connection, ids: Sequence[AlertId], *, reason: str, actor: str, now: datetime) -> int:
    """How many of `ids` were quarantined still, and are dropped now; others are left. In the caller's transaction.

    One log entry for each delivery, with `reason` and what the alerts were quarantined for.
    """
    about = _locked(tx, ids)
    held = (tuple_(alerts.c.delivery_id, alerts.c.position).in_(ids), alerts.c.outcome == Outcome.QUARANTINED.value)
    query = select(alerts.c.delivery_id, alerts.c.position, alerts.c.reason).where(*held)
    found = tx.execute(query.order_by(alerts.c.delivery_id, alerts.c.position)).all()
    tx.execute(update(alerts).where(*held).values(outcome=Outcome.DROPPED.value, reason=DISCARDED, detail=None))
    for delivery, group in groupby(found, key=lambda row: row.delivery_id):
        rows = list(group)
        detail = {"positions": [row.position for row in rows], "quarantined": sorted({row.reason for row in rows})}
        entry = Entry(at=now, action=Action.DISCARDED, actor=actor, reason=reason, detail=detail, **about[delivery])
        append(tx, entry)
    return len(found)


def bring_back(tx: Connection, ids: Sequence[AlertId], *, actor: str, now: datetime) -> None:
    """Dropped alerts among `ids` wait in quarantine again, to be replayed as all that do. One log entry for each
    delivery."""
    about = _locked(tx, ids)
    dropped = (tuple_(alerts.c.delivery_id, alerts.c.position).in_(ids), alerts.c.outcome == Outcome.DROPPED.value)
    query = select(alerts.c.delivery_id, alerts.c.position).where(*dropped)
    found = tx.execute(query.order_by(alerts.c.delivery_id, alerts.c.position)).all()
    waits = {"outcome": Outcome.QUARANTINED.value, "reason": BROUGHT_BACK, "detail": "A person asked to map it again."}
    tx.execute(update(alerts).where(*dropped).values(**waits))
    for delivery, group in groupby(found, key=lambda row: row.delivery_id):
        detail = {"positions": [row.position for row in group]}
        append(
            tx,
            Entry(
                at=now, action=Action.QUARANTINED, actor=actor, reason=BROUGHT_BACK, detail=detail, **about[delivery]
            ),
        )


def _locked(tx: Connection, ids: Sequence[AlertId]) -> dict[int, dict[str, Any]]:
    """What their entries say of each delivery. Locked as a replay locks them: what is mapped at this moment is not
    discarded, nor the other way round."""
    locked = tx.execute(
        select(deliveries.c.id, deliveries.c.tenant, deliveries.c.source)
        .where(deliveries.c.id.in_(sorted({delivery for delivery, _ in ids})))
        .order_by(deliveries.c.id)
        .with_for_update()
    )
    return {row.id: {"tenant": row.tenant, "source": row.source, "delivery": row.id} for row in locked}
