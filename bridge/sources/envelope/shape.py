"""What an envelope is: how one takes the alerts out of a request, and which questions of the sender it answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from bridge.alert import Json

ID_CHARACTERS_MAX = 200

Headers: TypeAlias = Mapping[str, str]  # read without regard to case


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrapped:
    """One delivery."""

    sender_id: str | None  # the same when it is sent again; None: the sender gives none
    content: bytes  # what the mapping is given: one JSON document
    is_ping: bool = False  # no alerts are in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """A question of the sender's, and our answer. It is no delivery: nothing is kept of it."""

    told: str = ""  # what it was, for the service's log; "" where anybody may ask: nobody floods it from outside
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    visit: str | None = None  # a URL to be fetched before the answer; its host has been checked


Unwrap: TypeAlias = Callable[[Headers, str, bytes], Unwrapped | Handshake]
Greeting: TypeAlias = Callable[[Headers], Handshake | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    # (headers, query, decoded body) of an authenticated request. Raises Unmappable: it is kept, and quarantined whole.
    unwrap: Unwrap
    # By method, for requests that carry no alert and no secret: GET, OPTIONS. None: it is not such a question.
    greetings: Mapping[str, Greeting] = field(default_factory=dict)
    answered_too: Mapping[str, Json] = field(default_factory=dict)  # beside our own answer of a delivery


def identified(*parts: object) -> str | None:
    """The sender's id for a delivery, of the ids that it gives; None unless each is a text. Long ones are digested."""
    texts = [part for part in parts if isinstance(part, str) and part]
    if not parts or len(texts) < len(parts):
        return None
    whole = " ".join(texts)
    if len(whole) <= ID_CHARACTERS_MAX and whole.isprintable():
        return whole
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def media_type(headers: Headers) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def glimpse(content: bytes) -> Json:
    """The document for a look at its ids, less strictly than the mapping will read it; None: it is none."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def member(value: Json, *path: str) -> Json:
    """What stands at the end of the path; None where there is nothing."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
