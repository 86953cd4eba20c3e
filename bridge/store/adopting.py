"""Taking an orphan in, by a person's order: a record that the store has lost is the incident of its problem again.

Nothing is written to ServiceNow here: the next round reads the record and decides as ever.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from bridge.alert import key_of
from bridge.correlation.policy import TAKEN_UNREAD
from bridge.errors import Permanent, Transient
from bridge.log.entries import Action, Entry, append
from bridge.store import strays
from bridge.store.leases import fence_off, is_leased
from bridge.store.strays import Outcome, Stray
from bridge.store.tables import correlation_keys, correlations, episodes, incidents
from bridge.store.work import doubt_of, encode, plan

EXPECTED_SAID = "It is taken by the next alert of its problem. Where none comes any more, close it in ServiceNow."
EXPECTED_AGAIN = timedelta(minutes=1)


class Adopted(StrEnum):
    TAKEN = "taken"  # it is the incident of its problem
    EXPECTED = "expected"  # no alert has told this store of the problem: the next one takes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A target where the orphan could have been created."""

    target: str
    tenant: str
    first_state: str  # of a record that nobody has moved on


def adopt(tx: Connection, stray: Stray, places: Collection[Place], *, actor: str, now: datetime) -> Adopted:
    """Raises Permanent when its problem has an incident, Transient while a round is under way: try again."""
    row = _correlation(tx, stray, places)
    if row is None:
        strays.settle(tx, stray, None, Outcome.EXPECTED, now, said=EXPECTED_SAID)
        append(tx, _entry(stray, None, None, actor, now, Adopted.EXPECTED))
        return Adopted.EXPECTED
    if row.open:
        said = f"{stray.number} cannot be adopted: the problem {row.correlation_id} has an open incident by now."
        raise Permanent("has_incident", f"{said} `bridge incidents show '{row.correlation_id}'` names it.")
    mine = [place for place in places if place.tenant == row.tenant]
    place = next((one for one in mine if one.target == row.target), mine[0])
    incident = _vacant(tx, stray, row, place, now)
    values: dict[str, Any] = {"state": "open", "target": place.target, "sys_id": stray.sys_id, "number": stray.number}
    # The ID as the record has it: an earlier mapping's, perhaps.
    values |= {"correlation_id": stray.correlation_id, "record_state": place.first_state}
    values |= {"episode": encode(TAKEN_UNREAD), "created_at": now, "look_at": now}
    tx.execute(update(incidents).where(incidents.c.id == incident).values(**values))
    due: dict[str, Any] = {"open": True, "target": place.target, "due_at": now, "last_decision": "adopted: by_person"}
    due |= {"failures": 0, "failure": None, "failure_text": None, "waits_for_person": False}
    tx.execute(update(correlations).where(correlations.c.id == row.id).values(**due))
    strays.forget(tx, stray)
    append(tx, _entry(stray, row, incident, actor, now, Adopted.TAKEN))
    return Adopted.TAKEN


def adopt_expected(tx: Connection, stray: Stray, places: Collection[Place], now: datetime) -> None:
    """What a person adopted before an alert told of its problem: one has by now. A firing one looks for the record
    itself; one that says resolved asks for no incident. Raises as `adopt` does.
    """
    if _correlation(tx, stray, places) is not None:
        adopt(tx, stray, places, actor="sync", now=now)
    else:  # told of at another table of the instance only
        strays.later(tx, stray, now + EXPECTED_AGAIN)


def _correlation(tx: Connection, stray: Stray, places: Collection[Place]) -> Row[Any] | None:
    tenants = {place.tenant for place in places}
    named = select(correlation_keys.c.correlation).where(
        correlation_keys.c.key == key_of(stray.correlation_id), correlation_keys.c.tenant.in_(tenants)
    )
    query = select(correlations).where(correlations.c.id.in_(named)).order_by(correlations.c.id).with_for_update()
    rows = tx.execute(query).all()
    if len(rows) > 1:
        said = f"{stray.number} cannot be adopted: several tenants have the problem {stray.correlation_id}."
        raise Permanent("several_tenants", f"{said} Close it in ServiceNow.")
    return rows[0] if rows and rows[0].status_changed_seq else None  # 0: all its alerts were suppressed


def _vacant(tx: Connection, stray: Stray, row: Row[Any], place: Place, now: datetime) -> int:
    """The incident's row for it: the one that is planned, or a new one, of the next episode."""
    newest = (episodes.c.correlation == row.id, episodes.c.number == row.episode)
    query = select(incidents).join(episodes, episodes.c.incident == incidents.c.id).where(*newest).with_for_update()
    last = tx.execute(query).one_or_none()
    if last is not None:
        doubt = doubt_of(tx, last.id)
        if doubt is not None and doubt.known and row.due_at is None:
            said = f"The create of the problem {row.correlation_id} was refused: `bridge incidents show` says why."
            remedy = f"`bridge incidents sync '{row.correlation_id}'` tries again, and takes what is at its target."
            raise Permanent("create_refused", f"{stray.number} is not adopted. {said} {remedy}")
        if is_leased(last, now) or doubt is not None:
            raise Transient("busy", f"The problem {row.correlation_id} is being worked: try again in a minute.")
        fence_off(tx, incidents.c.id == last.id)
        if last.state == "planned":
            return int(last.id)
    about = {"tenant": row.tenant, "mapping": row.mapping, "correlation_id": row.correlation_id}
    return plan(tx, row.id, row.episode + 1, target=place.target, **about).id


def _entry(
    stray: Stray, row: Row[Any] | None, incident: int | None, actor: str, now: datetime, outcome: Adopted
) -> Entry:
    return Entry(
        at=now,
        action=Action.ADOPTED,
        actor=actor,
        outcome=outcome.value,
        tenant=row.tenant if row is not None else None,
        mapping=row.mapping if row is not None else None,
        correlation=row.id if row is not None else None,
        incident=incident,
        instance=stray.instance,
        table=stray.table,
        number=stray.number,
        sys_id=stray.sys_id,
        correlation_id=stray.correlation_id,
    )
