"""Taking values out of the store: bodies, and all that was rendered of them. Rows, counts and the log's bytes stay.

docs/correlation-log.md, "Where values lie", lists each place; a test finds every place that this forgets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, or_, select, update

from bridge.alert import Outcome
from bridge.store import at_rest
from bridge.store.counts import Counts
from bridge.store.discard import discard
from bridge.store.held import Seen, WrittenField
from bridge.store.reconciler_tables import strays
from bridge.store.rows import AlertId
from bridge.store.tables import additions, alerts, correlations, deliveries, incidents, intents, join_keys, log_entries
from bridge.typed import decode

NO_FIELDS = b"{}"
ERASED = "erased"  # why a quarantined alert is discarded whose body is taken away
ALERT_ERASED = "alert_erased"  # why an addition is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken(Counts):
    """How many rows lost their values, by table."""

    deliveries: int = 0  # bodies
    alerts: int = 0  # that waited in quarantine, and were discarded
    correlations: int = 0  # texts of IDs
    incidents: int = 0  # what we wrote and read
    intents: int = 0  # the fields of a write
    additions: int = 0  # observables, facts
    join_keys: int = 0  # digests of joined values; the rows are gone
    strays: int = 0  # sentences about them
    log_entries: int = 0  # sentences beside entries; the entries stay


def erase_problems(tx: Connection, correlation_rows: Collection[int], now: datetime) -> tuple[Taken, set[int]]:
    """What was rendered of the alerts of these problems. Returns what was taken, and the live ones, which keep all.

    An incident that a live problem shares, or may still reopen, keeps its values too.
    """
    at_rest.lock(tx, (), correlation_rows)
    held = at_rest.live(tx, correlation_rows, now)
    resting = set(correlation_rows) - held
    theirs = at_rest.incidents_of(tx, resting)
    kept = at_rest.in_use(tx, theirs, now)
    taken = Taken()
    for some in at_rest.chunks(sorted(resting)):
        renamed = correlations.c.correlation_text != correlations.c.correlation_id
        said = and_(correlations.c.id.in_(some), or_(renamed, correlations.c.failure_text.is_not(None)))
        values = {"correlation_text": correlations.c.correlation_id, "failure_text": None}
        taken += Taken(correlations=_change(tx, correlations, said, values))
        taken += forget_sentences(tx, log_entries.c.correlation.in_(some))
    for some in at_rest.chunks(sorted(theirs - kept)):
        taken += erase_incidents(tx, some, now)
    shared = at_rest.sharing(tx, kept) & resting  # part of theirs is kept
    return taken, held | shared


def erase_incidents(tx: Connection, incident_rows: Sequence[int], now: datetime) -> Taken:
    """The values of incidents that are over. Which fields were ours stays known, though not what we wrote to them."""
    sent = and_(intents.c.incident.in_(incident_rows), intents.c.fields != NO_FIELDS)
    beside = additions.c.incident.in_(incident_rows)
    told = and_(beside, or_(additions.c.content.is_not(None), additions.c.outcome_text.is_not(None)))
    given_up = {"outcome": "given_up", "outcome_code": ALERT_ERASED, "finished_at": now, "due_at": None}
    taken = Taken(
        intents=_change(tx, intents, sent, {"fields": NO_FIELDS, "digest": b"", "salt": None, "before": None}),
        additions=_change(tx, additions, told, {"content": None, "outcome_text": None}),
        join_keys=tx.execute(delete(join_keys).where(join_keys.c.incident.in_(incident_rows))).rowcount,
        strays=_change(
            tx,
            strays,
            and_(strays.c.incident.in_(incident_rows), strays.c.outcome_text.is_not(None)),
            {"outcome_text": None},
        ),
    )
    _change(tx, additions, and_(beside, additions.c.outcome.is_(None)), given_up)
    taken += forget_sentences(tx, log_entries.c.incident.in_(incident_rows))
    query = select(incidents.c.id, incidents.c.written, incidents.c.seen).where(incidents.c.id.in_(incident_rows))
    for row in tx.execute(query.order_by(incidents.c.id)).all():
        values = _without_values(row.written, row.seen)
        if (values["written"], values["seen"]) != (row.written, row.seen):
            taken += Taken(incidents=1)
        _change(tx, incidents, incidents.c.id == row.id, values | {"erased_at": now})
    return taken


def erase_deliveries(
    tx: Connection, delivery_rows: Collection[int], *, actor: str, now: datetime
) -> tuple[Taken, dict[int, set[int]]]:
    """Bodies, and what was said of them. A delivery that holds an alert of a live problem keeps its body.

    Returns what was taken, and which live problems kept which deliveries. What waits in quarantine is discarded: it can
    never be mapped any more.
    """
    at_rest.lock(tx, delivery_rows, at_rest.correlations_of(tx, delivery_rows))
    held = _held_by(tx, delivery_rows, now)
    free = sorted(set(delivery_rows) - held.keys())
    discarded = discard(tx, _quarantined(tx, free), reason=ERASED, actor=actor, now=now)
    sentences = Taken()
    for some in at_rest.chunks(free):
        sentences += forget_sentences(tx, log_entries.c.delivery.in_(some))
        _change(tx, alerts, and_(alerts.c.delivery_id.in_(some), alerts.c.detail.is_not(None)), {"detail": None})
    return take_bodies(tx, free, forget_sender=True) + sentences + Taken(alerts=discarded), held


def forget_sentences(tx: Connection, which: ColumnElement[bool]) -> Taken:
    """What was said beside entries of the log. The entries' own bytes, which are sealed, are not touched."""
    return Taken(log_entries=_change(tx, log_entries, and_(which, log_entries.c.said.is_not(None)), {"said": None}))


def take_bodies(tx: Connection, delivery_rows: Sequence[int], *, forget_sender: bool = False) -> Taken:
    """As received and as unwrapped. The key stays, so that the same delivery is still known when it comes again."""
    values: dict[str, Any] = {"body": None, "content": None}
    values |= {"sender_id": None, "content_type": ""} if forget_sender else {}
    count = 0
    for some in at_rest.chunks(sorted(delivery_rows)):
        count += _change(tx, deliveries, and_(deliveries.c.id.in_(some), deliveries.c.body.is_not(None)), values)
    return Taken(deliveries=count)


def _held_by(tx: Connection, delivery_rows: Collection[int], now: datetime) -> dict[int, set[int]]:
    """The deliveries that live problems have alerts in, each with those problems."""
    live = at_rest.live(tx, at_rest.correlations_of(tx, delivery_rows), now)
    held: dict[int, set[int]] = {}
    query = select(alerts.c.delivery_id, alerts.c.correlation).where(alerts.c.correlation.in_(live))
    for some in at_rest.chunks(sorted(delivery_rows)) if live else ():
        for delivery, correlation in tx.execute(query.where(alerts.c.delivery_id.in_(some))):
            held.setdefault(delivery, set()).add(correlation)
    return held


def _quarantined(tx: Connection, delivery_rows: Sequence[int]) -> list[AlertId]:
    waits = select(alerts.c.delivery_id, alerts.c.position).where(alerts.c.outcome == Outcome.QUARANTINED.value)
    return [
        (row.delivery_id, row.position)
        for some in at_rest.chunks(delivery_rows)
        for row in tx.execute(waits.where(alerts.c.delivery_id.in_(some)))
    ]


def _without_values(written: bytes | None, seen: bytes | None) -> dict[str, bytes | None]:
    """What is left of an incident's `written` and `seen`: names and versions.

    A field that a person had changed when we last looked is forgotten, so that what stands in it is taken for theirs.
    """
    try:
        shown = decode(seen, Seen) if seen is not None else None
        ours = decode(written, dict[str, WrittenField]) if written is not None else {}
    except msgspec.DecodeError:  # of another version
        return {"written": None, "seen": None}
    values = shown.values if shown is not None else {}
    kept = {
        name: WrittenField(read=None) for name, one in ours.items() if name not in values or one.is_own(values[name])
    }
    return {
        "written": msgspec.json.encode(kept) if written is not None else None,
        "seen": msgspec.json.encode(replace(shown, values={})) if shown is not None else None,
    }


def _change(tx: Connection, table: Table, which: ColumnElement[bool], values: dict[str, Any]) -> int:
    return tx.execute(update(table).where(which).values(**values)).rowcount
