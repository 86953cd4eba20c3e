"""Entries of the correlation log. One is written in the same transaction as the step it tells.

An entry holds names, numbers and digests, never an alert's or a field's value: values sit in tables that can be erased.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Connection

from bridge.alert import Json
from bridge.store.tables import log_entries


class Action(StrEnum):
    """What happened. Stable words: auditors filter by them."""

    DELIVERED = "delivered"  # one per delivery, listing its alerts and their outcomes
    QUARANTINED = "quarantined"
    REFUSED = "refused"  # deliveries turned away: of a source, or `unknown`, one a minute for each reason
    FIELD_VANISHED = "field_vanished"  # of a source's alerts: it was always there
    REPLAYED = "replayed"
    DISCARDED = "discarded"  # taken out of quarantine by a person
    DECIDED = "decided"
    INTENDED = "intended"
    WRITTEN = "written"  # created, updated
    ADDED = "added"  # beside the record, once: the raw alert attached, observables linked
    CLOSED = "closed"
    REOPENED = "reopened"
    ENDED_BY_PERSON = "ended_by_person"
    EDITED = "edited"  # in ServiceNow, by somebody else: the names of the fields
    JOINED = "joined"  # taken into an open incident that shares values
    SPLIT = "split"  # taken out of it again: by a person, or because it ended before it told of the correlation
    RECORD_GONE = "record_gone"  # deleted in ServiceNow; by whom is not known
    TWIN = "twin"  # a second record of one incident: closed, taken instead, held or left to people
    ORPHAN = "orphan"  # a record of ours that the store does not know
    ADOPTED = "adopted"  # an orphan, by a person's order
    FAILED = "failed"
    LEASE_LOST = "lease_lost"
    LOOKED_UP = "looked_up"
    SYNC_ASKED = "sync_asked"
    PAUSED = "paused"
    RESUMED = "resumed"
    RELEASED = "released"  # what the brake held, by a person's order
    PUBLISHED = "published"  # a mapping's revision was put into use, rolled back to, or removed
    MAPPINGS_LOADED = "mappings_loaded"  # a process has taken what is published
    MAPPINGS_REFUSED = "mappings_refused"
    SOURCES_LOADED = "sources_loaded"  # a process has taken what changed in `sources` of bridge.yaml
    SOURCES_REFUSED = "sources_refused"
    KEY_CHANGED = "key_changed"  # the log's checkpoints are signed by other keys from here on
    STARTED = "started"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    at: datetime  # UTC
    action: Action
    actor: str  # "source:elastic", "sync", "cli:root"
    outcome: str = ""
    reason: str = ""
    tenant: str | None = None
    source: str | None = None
    mapping: str | None = None
    revision: str | None = None  # the mapping revision's digest, first 12 hex digits
    correlation_id: str | None = None
    target: str | None = None
    table: str | None = None
    number: str | None = None
    sys_id: str | None = None
    correlation: int | None = None  # row id
    incident: int | None = None  # row id
    delivery: int | None = None  # row id
    detail: dict[str, Json] = field(default_factory=dict)


def encode(entry: Entry) -> bytes:
    """The stored bytes: JSON, keys sorted, empty fields left out, time as RFC 3339 UTC."""
    document = {name: value for name in Entry.__slots__ if (value := getattr(entry, name)) not in (None, "", {})}
    document["at"] = entry.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.json.encode(document, order="sorted")


_INSERT = log_entries.insert()


def append(tx: Connection, *entries: Entry) -> None:
    """Write entries in the caller's transaction: they are true if and only if the step they tell is."""
    rows = [
        {
            "at": entry.at,
            "action": entry.action.value,
            "source": entry.source,
            "correlation": entry.correlation,
            "incident": entry.incident,
            "delivery": entry.delivery,
            "entry": encode(entry),
        }
        for entry in entries
    ]
    if rows:
        tx.execute(_INSERT, rows)
