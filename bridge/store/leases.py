"""For who changes an incident beside its rounds, by a person's order or for a twin: is a round at it; none goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, update

from bridge.store.held import LEASE_SEEN_MAX
from bridge.store.tables import incidents


def is_leased(incident: Row[Any], now: datetime) -> bool:
    """Of an incident's row, locked."""
    return incident.lease_until is not None and now < incident.lease_until <= now + LEASE_SEEN_MAX


def fence_off(tx: Connection, which: ColumnElement[bool]) -> None:
    """Whoever holds it finds it lost, also who stood still until the lease had run out: what it would settle was true
    before.
    """
    tx.execute(update(incidents).where(which).values(lease_until=None, epoch=incidents.c.epoch + 1))
