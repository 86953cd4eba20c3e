"""What the correlation log tells of a round: names, numbers and digests. In the transaction of the step it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from bridge.alert import Json
from bridge.correlation.policy import Decision
from bridge.errors import BridgeError
from bridge.library import REVISION_DIGITS
from bridge.log.digest import changes
from bridge.log.entries import Action, Entry, append
from bridge.store.held import Held, Settlement
from bridge.store.tables import intents, revisions

# Statements of every round are made once: making one takes longer than running it.
_OF: BindParameter[int] = bindparam("of")
_SINCE = intents.alias()
_OTHER = intents.alias()
_APPLIED = (  # of the incident of _SINCE: of what is two levels out SQLAlchemy would make a table of its own
    select(func.max(_OTHER.c.id))
    .where(_OTHER.c.incident == _SINCE.c.incident, _OTHER.c.id < _OF, _OTHER.c.outcome == "applied")
    .scalar_subquery()
)
_ATTEMPT = (
    select(func.count())
    .where(
        _SINCE.c.incident == intents.c.incident,
        _SINCE.c.operation == intents.c.operation,
        _SINCE.c.id <= _OF,
        _SINCE.c.id > func.coalesce(_APPLIED, 0),
    )
    .scalar_subquery()
)
_INTENT = (
    select(revisions.c.digest, intents.c.revision_id, intents.c.operation, _ATTEMPT.label("attempt"))
    .outerjoin(revisions, revisions.c.id == intents.c.revision_id)
    .where(intents.c.id == _OF)
)
_DIGEST = select(revisions.c.digest).where(revisions.c.id == _OF)


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutIntent:
    id: int
    operation: str
    attempt: int  # the how manieth such write since one was applied to the incident
    revision: str | None  # that worded it, as the log names it
    revision_id: int | None


def entry(held: Held, action: Action, now: datetime, **more: object) -> Entry:
    """An entry about the held correlation, with the names every one of them carries."""
    target = more.get("target", held.incident.target or held.target)
    there = target == held.incident.target  # else it is of an incident that is to be opened: it has no number yet
    told: dict[str, object] = {
        "at": now,
        "action": action,
        "actor": "sync",
        "tenant": held.tenant,
        "source": held.source,
        "mapping": held.mapping,
        "correlation_id": held.correlation_id,
        "target": target,
        "correlation": held.correlation,
        "incident": held.incident.id,
        "number": held.incident.number if there else None,
        "sys_id": held.incident.sys_id if there else None,
    }
    told |= more
    told["instance"], told["table"] = held.places.get(str(target), (None, None))
    return Entry(**told)  # type: ignore[arg-type]


def decided(tx: Connection, held: Held, decision: Decision, now: datetime, *, said: str = "", **more: object) -> None:
    told = entry(held, Action.DECIDED, now, outcome=decision.kind.value, reason=decision.reason.value, **more)
    append(tx, told, said=said)


def intended(
    tx: Connection,
    held: Held,
    settlement: Settlement,
    about: AboutIntent,
    fields: Mapping[str, str],
    *,
    before: Mapping[str, str],
    salt: bytes,
    target: str,
    ref: str,
    now: datetime,
) -> None:
    detail: dict[str, Json] = {"intent": about.id, "ref": ref, "attempt": about.attempt}
    if held.alert is not None:  # the one that is worded, and the revision that mapped it when it came
        detail["alert"] = f"{held.alert.delivery_id}-{held.alert.position}"
        same = held.alert.revision_id == about.revision_id
        detail["mapped_by"] = about.revision if same else _revision(tx, held.alert.revision_id)
    detail["fields"] = changes(salt, before, fields)
    told = {"outcome": settlement.kind, "reason": settlement.reason, "target": target, "revision": about.revision}
    append(tx, entry(held, Action.INTENDED, now, detail=detail, **told))


def called(tx: Connection, held: Held, about: AboutIntent, outcome: str, error: BridgeError, now: datetime) -> None:
    """A write that came to something else than applied. What that means for the work is told by the next entry."""
    detail = {"intent": about.id, "operation": about.operation, "attempt": about.attempt} | status_of(error)
    append(
        tx, entry(held, Action.CALLED, now, outcome=outcome, reason=error.code, revision=about.revision, detail=detail)
    )


def status_of(error: BridgeError) -> dict[str, Json]:
    """The HTTP status of the answer that an error was made of, where one came."""
    status = error.answered_with
    return {"status": status} if status is not None else {}


def lease_lost(tx: Connection, held: Held, now: datetime) -> None:
    append(tx, entry(held, Action.LEASE_LOST, now))


def about_intent(tx: Connection, intent: int) -> AboutIntent:
    row = tx.execute(_INTENT, {"of": intent}).one()
    return AboutIntent(
        id=intent,
        operation=row.operation,
        attempt=row.attempt,
        revision=_shown(row.digest),
        revision_id=row.revision_id,
    )


def _revision(tx: Connection, revision_id: int | None) -> str | None:
    return _shown(tx.execute(_DIGEST, {"of": revision_id}).scalar()) if revision_id is not None else None


def _shown(digest: str | None) -> str | None:
    return digest[:REVISION_DIGITS] if digest is not None else None
