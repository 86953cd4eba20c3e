"""Bodies that hold several documents without a list around them, and forms.

What comes out is one JSON document: the list of them, or the only one as it is. One that is broken stays in the list as
the text that it was, and so it waits in quarantine alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qsl

import msgspec

from bridge.errors import Unmappable
from bridge.sources.document import BOM, decode
from bridge.sources.envelope.shape import Envelope, Headers, Unwrapped, media_type

DOCUMENTS_MAX = 5_000  # of one body; what comes after is one broken document
FIELDS_MAX = 1_000  # of a form

_reader = json.JSONDecoder()
BLANKS = " \t\r\n"


def is_form(headers: Headers) -> bool:
    return media_type(headers) == "application/x-www-form-urlencoded"


def form_payload(body: bytes) -> bytes:
    """The JSON in the field `payload`, or all fields as one object of texts. Raises Unmappable."""
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError as error:
        raise Unmappable("not_a_form", "The body is not a form, or one of too many fields.") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Unmappable("duplicate_key", "A field of the form stands twice or more.")
    if "payload" in fields:
        return fields["payload"].encode()
    return msgspec.json.encode(fields)


def listed(body: bytes, *, separators: str, by_line: bool) -> bytes:
    """`by_line`: after a broken document the next line is tried; else nothing after it can be made out."""
    try:
        text = body.removeprefix(BOM).decode()
    except UnicodeDecodeError:
        return body  # the decoder tells where
    pieces: list[bytes] = []
    at = _skipped(text, 0, separators)
    while at < len(text):
        end = _end_of(text, at) if len(pieces) < DOCUMENTS_MAX else None
        if end is None:
            end = text.find("\n", at) if by_line and len(pieces) < DOCUMENTS_MAX else len(text)
            end = len(text) if end == -1 else end
        pieces.append(_clean(text[at:end]))
        at = _skipped(text, end, separators)
    return body if len(pieces) < 2 else b"[" + b",".join(pieces) + b"]"


def _end_of(text: str, at: int) -> int | None:
    try:
        return _reader.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def _skipped(text: str, at: int, separators: str) -> int:
    while at < len(text) and text[at] in separators:
        at += 1
    return at


def _clean(piece: str) -> bytes:
    """As it is where the mapping's decoder takes it; else as a text, for one that it refuses would fail the list."""
    raw = piece.encode()
    try:
        decode(raw)
    except Unmappable:
        return msgspec.json.encode(piece.replace("\0", "\ufffd"))
    return raw


def _several(separators: str, *, by_line: bool) -> Callable[[Headers, str, bytes], Unwrapped]:
    def unwrap(_headers: Headers, _query: str, body: bytes) -> Unwrapped:
        return Unwrapped(sender_id=None, content=listed(body, separators=separators, by_line=by_line))

    return unwrap


def _form(_headers: Headers, _query: str, body: bytes) -> Unwrapped:
    return Unwrapped(sender_id=None, content=form_payload(body))


# Splunk's HTTP event collector: {"event": …}{"event": …}; its senders look for code 0.
HEC = Envelope(unwrap=_several(BLANKS, by_line=False), answered_too={"text": "Success", "code": 0})
NDJSON = Envelope(unwrap=_several(BLANKS, by_line=True))
KIBANA = Envelope(unwrap=_several(BLANKS + ",", by_line=False))  # {{context.alerts}} without brackets around it
FORM = Envelope(unwrap=_form)
