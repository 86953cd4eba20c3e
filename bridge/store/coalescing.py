"""Whether a target's transform map finds the record that an update is for, by what became of the updates so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, literal, or_, select

from bridge.errors import Permanent
from bridge.settings import Target
from bridge.store.tables import intents

NOT_COALESCED = "not_coalesced"  # the outcome of an update that made a record


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an update made instead of changing a record."""

    number: str
    at: datetime


def refuse_if_it_makes(tx: Connection, target: Target, *, asked_at: datetime | None) -> None:
    """An update through a map that has made a record of the last one would make another. Raises Permanent, until a
    person, who has mended the map, asks for one.
    """
    if target.staging is None or not target.staging.coalesces:
        return
    made = _made_instead(tx, target.name)
    if made is not None and (asked_at is None or asked_at <= made.at):
        raise Permanent(
            NOT_COALESCED,
            f"Nothing was sent: the transform map of {target.staging.table} made {made.number} of another update "
            f"instead of changing its record. Let it coalesce on {target.key_field}, and close what it made.",
        )


def _made_instead(tx: Connection, target: str) -> Made | None:
    """By the newest update, where another would make one more: None once one was applied after it.

    An update that made a record among others that were applied is two imports that met: the second in a row is not.
    """
    update = intents.c.target == target, intents.c.operation != "create"
    # The word stands in the statement: with a parameter no engine would take the index.
    failed = intents.c.outcome_code == literal(NOT_COALESCED, literal_execute=True)
    newest = select(intents.c.id, intents.c.number, intents.c.finished_at).where(*update, failed)
    row = tx.execute(newest.order_by(intents.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    applied = intents.c.outcome == "applied"
    if tx.execute(select(intents.c.id).where(*update, applied, intents.c.id > row.id).limit(1)).first() is not None:
        return None
    before = select(intents.c.outcome).where(*update, or_(applied, failed), intents.c.id < row.id)
    if tx.execute(before.order_by(intents.c.id.desc()).limit(1)).scalar() == "applied":
        return None
    return Made(number=row.number or "a record", at=row.finished_at)
