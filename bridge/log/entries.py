"""Entries of the correlation log. One is written in the same transaction as the step it tells.

An entry holds names, numbers and digests, never an alert's or a field's value: values sit in tables that can be erased.
docs/log-entries.md says of each action when it is written, and what its entry holds.
"""

from __future__ import annotations

import socket
from datetime import datetime
from enum import StrEnum
from functools import cache

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
    INTENDED = "intended"  # the last step before a write
    CALLED = "called"  # a write of which no answer said that it was applied: not_applied, ambiguous or permanent
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
    RESTORED = "restored"  # an anchor has seen a history of this log that this store has not, or not so
    LOG_READ = "log_read"  # by a command, `show` or `prove`, or over HTTP
    LOG_EXPORTED = "log_exported"  # with the SHA-256 of what left the bridge
    STATEMENT = "statement"  # once a day: what became of all that was received, and what is not as it must be
    TOKEN_CREATED = "token_created"  # noqa: S105 (a word)
    TOKEN_ROLE_CHANGED = "token_role_changed"  # noqa: S105 (a word)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 (a word)
    SIGNED_IN = "signed_in"  # a token was used: the first time, from another address, or again after an hour
    SIGN_IN_REFUSED = "sign_in_refused"  # once a minute for each token, or for all unknown ones, and reason
    SCHEMA_UPGRADED = "schema_upgraded"
    ERASED = "erased"  # values were taken out of the store, by a person's order
    PRUNED = "pruned"  # what is older than `retention` says
    STARTED = "started"  # by which version, with which configuration, and what of it is new
    STOPPED = "stopped"


COMMAND = "cli:"  # before the user, in the actor of what a person orders by a command
OS_USER = "os_user"  # Entry.known_by: the operating system says so
CLAIM = "claim"  # nobody says so but the actor


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    at: datetime  # UTC
    action: Action
    actor: str  # "source:elastic", "sync", "cli:root"
    known_by: str = ""  # a source's auth scheme, OS_USER, CLAIM; "": the actor is the bridge itself
    address: str = ""  # of a delivery's sender as we saw it; of a command the host it was given on
    forwarded_for: str = ""  # whom a proxy that we trust passed the delivery on for
    outcome: str = ""
    reason: str = ""
    tenant: str | None = None
    source: str | None = None
    mapping: str | None = None
    revision: str | None = None  # of the mapping, by which this was mapped, decided or worded: its first 12 hex digits
    correlation_id: str | None = None
    instance: str | None = None
    target: str | None = None
    table: str | None = None
    number: str | None = None
    sys_id: str | None = None
    correlation: int | None = None  # row id
    incident: int | None = None  # row id
    delivery: int | None = None  # row id
    detail: dict[str, Json] = msgspec.field(default_factory=dict)


_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(entry: Entry) -> bytes:
    """The stored bytes: JSON, keys sorted, empty fields left out, time as RFC 3339 UTC to the microsecond."""
    stored = _ENCODER.encode(entry)
    if (
        entry.at.microsecond == 0
    ):  # the fraction was left out; nothing before it can look like it, for quotes are escaped
        short = entry.at.strftime("%Y-%m-%dT%H:%M:%S").encode()
        stored = stored.replace(b'"at":"%sZ"' % short, b'"at":"%s.000000Z"' % short, 1)
    return stored


_INSERT = log_entries.insert()


def append(tx: Connection, *entries: Entry, said: str = "") -> None:
    """Write entries in the caller's transaction: they are true if and only if the step they tell is.

    `said`: the sentence for people that goes with them. It may quote values, so it is no part of what is sealed and
    can be erased.
    """
    rows = [
        {
            "at": entry.at,
            "action": entry.action.value,
            "source": entry.source,
            "correlation": entry.correlation,
            "incident": entry.incident,
            "delivery": entry.delivery,
            "entry": encode(_known(entry)),
            "said": said or None,
        }
        for entry in entries
    ]
    if rows:
        tx.execute(_INSERT, rows)


def _known(entry: Entry) -> Entry:
    """Whoever gives an order by a command is known by the operating system, and given on this host."""
    if not entry.actor.startswith(COMMAND):
        return entry
    return msgspec.structs.replace(entry, known_by=OS_USER, address=_host())


@cache
def _host() -> str:
    return socket.gethostname()
