"""What a request thread, and a replay, makes of a delivery's content before the store sees it: pure, and the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.alert import Json, MappedAlert
from bridge.errors import Unmappable
from bridge.mapping.compile import Mapping
from bridge.sources.document import Document, decode, refuse_beyond_limits

ALERTS_MAX = 1_000  # taken of one delivery; the rest is quarantined as one remainder
FINGERPRINT_BYTES = 16
UNSTORABLE = Unmappable(
    "unstorable", "What the mapping made of this delivery could not be stored: see the service's log."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAlert:
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
    body: bytes
    fingerprint: bytes
    alerts: tuple[PreparedAlert, ...]  # empty: a ping

    def unstorable(self) -> PreparedDelivery:
        """The same delivery, kept whole for a person to look at, when what was made of it cannot be stored."""
        return replace(self, alerts=(_quarantined(0, UNSTORABLE, covers_rest=True),))


def fingerprint(source: str, sender_id: str | None, content: bytes) -> bytes:
    """What makes two deliveries the same: source, sender's delivery id and content, each behind its length."""
    parts = (source.encode(), b"" if sender_id is None else b"=" + sender_id.encode(), hashlib.sha256(content).digest())
    whole = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return hashlib.sha256(whole).digest()[:FINGERPRINT_BYTES]


def map_content(mapping: Mapping, content: bytes, *, now: datetime, start: int = 0) -> tuple[PreparedAlert, ...]:
    """Decode, split and map; alerts before position `start` are left out. Whatever is wrong becomes quarantine."""
    try:
        document = decode(content)
    except Unmappable as error:
        return (_quarantined(start, error, covers_rest=True),)
    return map_document(mapping, document, now=now, start=start)


def map_document(mapping: Mapping, document: Document, *, now: datetime, start: int = 0) -> tuple[PreparedAlert, ...]:
    """The same, of content that is decoded."""
    try:
        elements, more = mapping.split(document.value)
    except Unmappable as error:
        return (_quarantined(start, error, covers_rest=True),)
    more = more or len(elements) > ALERTS_MAX
    elements = elements[:ALERTS_MAX]
    mapped = [
        _map_element(mapping, position, elements[position], checked=document.within_limits, now=now)
        for position in range(start, len(elements))
    ]
    if more:
        code, limit = "too_many_alerts", len(elements)
        message = f"The delivery holds more than {limit} alerts; those after the first {limit} wait here."
        mapped.append(_quarantined(max(start, limit), Unmappable(code, message), covers_rest=True))
    return tuple(mapped)


def map_one(mapping: Mapping, content: bytes, position: int, *, now: datetime) -> PreparedAlert | None:
    """One alert of a delivery again; None when the mapping no longer yields an element there."""
    try:
        document = decode(content)
        elements, _ = mapping.split(document.value)
    except Unmappable as error:
        return _quarantined(position, error)
    if position >= len(elements):
        return None
    return _map_element(mapping, position, elements[position], checked=document.within_limits, now=now)


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
