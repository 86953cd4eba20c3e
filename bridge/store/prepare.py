"""What a request thread, and a replay, makes of a delivery's content before the store sees it: pure, and the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from bridge.alert import Json, MappedAlert, Status
from bridge.errors import Unmappable
from bridge.mapping.compile import Mapping
from bridge.sources.document import Document, decode, refuse_beyond_limits

ALERTS_MAX = 1_000  # taken of one delivery; the rest is quarantined as one remainder
LOOKED_AT_MAX = 5  # alerts of one delivery
FINGERPRINT_BYTES = 16
NOTHING = b""  # the content of a delivery out of whose envelope nothing could be taken
UNSTORABLE = Unmappable(
    "unstorable", "What the mapping made of this delivery could not be stored: see the service's log."
)
NO_ELEMENT = Unmappable(
    "no_element", "The mapping no longer yields an alert at this place of the delivery: see its `each`."
)


class PreparedAlert(msgspec.Struct, frozen=True, kw_only=True):
    position: int  # index of the element that `each` yields
    mapped: MappedAlert | None  # None: quarantined, for the reason in `code` and `detail`
    timed: bool = False  # the mapping reads a time
    code: str = ""
    detail: str = ""
    covers_rest: bool = False  # stands for everything from `position` on


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDelivery:
    source: str
    tenant: str
    mapping: str
    revision_id: int
    revision: str  # as the log names it
    sender_id: str | None
    content_type: str
    body: bytes  # as received
    content: bytes | None = None  # what the mapping was given, where that is something else than `body`
    fingerprint: bytes
    alerts: tuple[PreparedAlert, ...]  # empty: a ping
    # --- for the log
    known_by: str = ""  # the scheme by which the source proved itself; "": it is the bridge itself
    address: str = ""  # the TCP peer's
    forwarded_for: str = ""  # whom a trusted proxy passed it on for
    quiet: MappingType[str, Json] = field(
        default_factory=dict
    )  # of the mapping: what the log tells of rules that keep alerts quiet

    def unstorable(self) -> PreparedDelivery:
        """The same delivery, kept whole for a person to look at, when what was made of it cannot be stored."""
        return replace(self, alerts=(unstorable(0, covers_rest=True),))


def fingerprint(source: str, sender_id: str | None, content: bytes) -> bytes:
    """What makes two deliveries the same: source, sender's delivery id and content, each behind its length."""
    parts = (source.encode(), b"" if sender_id is None else b"=" + sender_id.encode(), hashlib.sha256(content).digest())
    whole = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return hashlib.sha256(whole).digest()[:FINGERPRINT_BYTES]


def wrapped(error: Unmappable) -> tuple[PreparedAlert, ...]:
    """The alerts of a delivery out of whose envelope nothing could be taken. No mapping can cure that."""
    return (_quarantined(0, error, covers_rest=True),)


def map_content(mapping: Mapping, content: bytes, *, now: datetime) -> tuple[PreparedAlert, ...]:
    """Decode, split and map. Whatever is wrong becomes quarantine."""
    try:
        document = decode(content)
    except Unmappable as error:
        return (_quarantined(0, error, covers_rest=True),)
    return map_document(mapping, document, now=now)


def map_document(mapping: Mapping, document: Document, *, now: datetime) -> tuple[PreparedAlert, ...]:
    """The same, of content that is decoded."""
    try:
        elements, more = mapping.split(document.value)
    except Unmappable as error:
        return (_quarantined(0, error, covers_rest=True),)
    return _map_from(mapping, 0, elements, more=more, checked=document.within_limits, now=now)


def seen_in(mapping: Mapping, content: bytes) -> list[frozenset[str]]:
    """Which of the fields that the mapping reads are there, of some alerts that say that something is wrong."""
    try:
        elements, _more = mapping.split(decode(content).value)
    except Unmappable:
        return []
    seen = []
    for element in elements[:LOOKED_AT_MAX]:
        with suppress(Unmappable):
            mapped = mapping.map(element)
            if mapped.status is Status.FIRING and mapped.target is not None:  # what ends or is dropped may hold less
                seen.append(mapping.present(element))
    return seen


def map_again(
    mapping: Mapping, content: bytes, waiting: Sequence[tuple[int, bool]], *, now: datetime
) -> list[tuple[PreparedAlert, ...]]:
    """For each that waits of a delivery, given as (position, covers_rest), what it comes to: one alert, or the rest."""
    try:
        document = decode(content)
        windows = [mapping.split(document.value, position, None if rest else 1) for position, rest in waiting]
    except Unmappable as error:
        return [(_quarantined(position, error, covers_rest=rest),) for position, rest in waiting]
    mapped: list[tuple[PreparedAlert, ...]] = []
    for (position, covers_rest), (elements, more) in zip(waiting, windows, strict=True):
        if covers_rest:
            found = _map_from(mapping, position, elements, more=more, checked=document.within_limits, now=now)
            mapped.append(found or (_quarantined(position, NO_ELEMENT, covers_rest=True),))
        elif elements:
            mapped.append((_map_element(mapping, position, elements[0], checked=document.within_limits, now=now),))
        else:
            mapped.append((_quarantined(position, NO_ELEMENT),))
    return mapped


def unstorable(position: int, *, covers_rest: bool) -> PreparedAlert:
    """What stays of alerts that cannot be stored as they were mapped."""
    return _quarantined(position, UNSTORABLE, covers_rest=covers_rest)


def _map_from(
    mapping: Mapping, start: int, elements: Sequence[Json], *, more: bool, checked: bool, now: datetime
) -> tuple[PreparedAlert, ...]:
    mapped = [
        _map_element(mapping, position, element, checked=checked, now=now)
        for position, element in enumerate(elements, start)
    ]
    if more:
        end = start + len(elements)
        message = (
            f"The delivery holds more than {end} alerts, and those after the first {end} wait here: "
            "`bridge quarantine replay` takes the next; let the sender send fewer at once."
        )
        mapped.append(_quarantined(end, Unmappable("too_many_alerts", message), covers_rest=True))
    return tuple(mapped)


def _map_element(mapping: Mapping, position: int, element: Json, *, checked: bool, now: datetime) -> PreparedAlert:
    try:
        if not checked:
            refuse_beyond_limits(element)
        mapped = mapping.map(element, now=now)
        return PreparedAlert(position=position, mapped=mapped, timed=mapping.event_time is not None)
    except Unmappable as error:
        return _quarantined(position, error)


def _quarantined(position: int, error: Unmappable, *, covers_rest: bool = False) -> PreparedAlert:
    return PreparedAlert(position=position, mapped=None, code=error.code, detail=error.message, covers_rest=covers_rest)
