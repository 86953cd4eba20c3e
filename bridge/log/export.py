"""An export of the correlation log: what of it is asked for, and the lines that an auditor's verifier reads.

A whole export has every index up to the size of a checkpoint; a selection has the entries that a filter lets through,
each with the proof that it is in the checkpoint's tree. docs/correlation-log.md describes the file.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import msgspec

from bridge.alert import Json, key_of
from bridge.canonical import at_text, canonical
from bridge.typed import decode

FORMAT = 1
PRUNED_RUN_MAX = 256  # hashes in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What of the log is asked for; all that is set must be so. Nothing set: all of it."""

    since: datetime | None = None  # entries of this time or later
    until: datetime | None = None  # entries of before this time
    source: str | None = None
    correlation: str | None = None  # a correlation ID, or the number of an incident: of the problems that it stands for
    incident: str | None = None  # the number of an incident: what names its record
    actor: str | None = None
    entry: int | None = None  # one, by its number in the store

    def named(self) -> dict[str, Json]:
        """What is set, as an export's first line and the log's own entry of it say it."""
        asked = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None}
        return {name: at_text(value) if isinstance(value, datetime) else value for name, value in asked.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the store knows a correlation ID, or an incident's number, to mean. Row ids of this store."""

    keys: frozenset[str] = frozenset()  # every ID of the correlations: alert.key_of
    correlations: frozenset[int] = frozenset()
    incidents: frozenset[int] = frozenset()
    deliveries: frozenset[int] = frozenset()  # that brought their alerts


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry that is exported."""

    index: int
    entry: bytes
    proof: Sequence[bytes] = ()  # in a selection


@dataclass(frozen=True, slots=True)
class Pruned:
    """Entries of a whole export that are stored no more, beginning at an index: the tree keeps their leaf hashes."""

    first: int
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Passed:
    """The checkpoint that was signed when a whole export's entries reached so far: what it fits is right up to here."""

    note: str


Piece = Kept | Pruned | Passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """That the tree of an earlier checkpoint is the beginning of this one's."""

    note: str
    proof: Sequence[bytes]


class _Alert(msgspec.Struct):
    correlation_id: str | None = None


class _Detail(msgspec.Struct):
    alerts: list[_Alert] = []


class _Glimpse(msgspec.Struct):
    """What a filter looks at."""

    at: str
    actor: str
    source: str = ""
    correlation_id: str = ""
    number: str = ""
    correlation: int | None = None
    incident: int | None = None
    delivery: int | None = None
    detail: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class Sieve:
    """Lets the entries of a filter through, by what they say and what the store knows of the names asked for.

    A correlation ID finds what names it or one of its incidents, and everything about the deliveries of its alerts. An
    entry of a delivery lists its alerts, so it is found also when the rows of the alerts are gone.
    """

    def __init__(self, asked: Filter, correlation: About | None, incident: About | None) -> None:
        self._since = None if asked.since is None else at_text(asked.since)  # as entries spell it, so texts compare
        self._until = None if asked.until is None else at_text(asked.until)
        self._asked = asked
        self._correlation = correlation
        self._incident = incident

    def takes(self, entry: bytes) -> bool:
        """Raises ValueError when the stored bytes are no entry."""
        seen = decode(entry, _Glimpse)
        asked = self._asked
        return (
            (self._since is None or seen.at >= self._since)
            and (self._until is None or seen.at < self._until)
            and asked.source in (None, seen.source)
            and asked.actor in (None, seen.actor)
            and (self._incident is None or _of_incident(seen, self._incident, asked.incident or ""))
            and (self._correlation is None or _of_correlation(seen, self._correlation))
        )


def _of_incident(seen: _Glimpse, incident: About, number: str) -> bool:
    return seen.number.upper() == number.upper() or seen.incident in incident.incidents


def _of_correlation(seen: _Glimpse, about: About) -> bool:
    if seen.correlation in about.correlations or seen.incident in about.incidents or seen.delivery in about.deliveries:
        return True
    if seen.correlation_id and key_of(seen.correlation_id) in about.keys:
        return True
    return seen.delivery is not None and _lists(seen, about.keys)


def _lists(seen: _Glimpse, keys: Collection[str]) -> bool:
    try:
        alerts = decode(seen.detail, _Detail).alerts
    except msgspec.DecodeError:  # it has no list of alerts
        return False
    return any(one.correlation_id and key_of(one.correlation_id) in keys for one in alerts)


def delivery_listing(entry: bytes, keys: Collection[str]) -> int | None:
    """The delivery of an entry that lists an alert of one of these IDs (alert.key_of); None when it lists none."""
    try:
        seen = decode(entry, _Glimpse)
    except msgspec.DecodeError:
        return None
    return seen.delivery if _lists(seen, keys) else None


def jsonl(
    pieces: Iterable[Piece],
    *,
    origin: str,
    asked: Mapping[str, Json],
    checkpoint: str,
    consistency: Sequence[Consistency] = (),
) -> Iterator[bytes]:
    """The lines of an export, each canonical JSON. `asked`: Filter.named; nothing asked for is a whole export."""
    digest = hashlib.sha256()
    whole = not asked
    header = {
        "bridge_log_export": FORMAT,
        "origin": origin,
        "filter": dict(asked),
        "kind": "whole" if whole else "selection",
    }
    count = 0
    for line in _before_last(header, pieces, whole=whole, consistency=consistency):
        digest.update(line)
        count += line.startswith(b'{"entry":')
        yield line
    yield _line({"checkpoint": checkpoint, "count": count, "sha256": digest.hexdigest()})


def _before_last(
    header: dict[str, Json], pieces: Iterable[Piece], *, whole: bool, consistency: Sequence[Consistency]
) -> Iterator[bytes]:
    yield _line(header)
    for piece in pieces:
        if isinstance(piece, Pruned):
            hashes = _base64(b"".join(piece.hashes))
            yield _line({"first": piece.first, "hashes": hashes, "pruned": len(piece.hashes)})
        elif isinstance(piece, Passed):
            yield _line({"checkpoint": piece.note})
        elif whole:  # what is stored is canonical: the line is made around it
            yield b'{"entry":%b,"index":%d}\n' % (piece.entry, piece.index)
        else:
            proof = canonical([_base64(one) for one in piece.proof])
            yield b'{"entry":%b,"index":%d,"proof":%b}\n' % (piece.entry, piece.index, proof)
    for since in consistency:
        yield _line({"consistency": {"from": since.note, "proof": [_base64(one) for one in since.proof]}})


def _line(value: Json) -> bytes:
    """As the verifier spells it again."""
    return canonical(value) + b"\n"


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
