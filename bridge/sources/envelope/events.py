"""CloudEvents, Azure Event Grid and Microsoft Graph: events with an id and a source, and how each asks who is there."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

import msgspec

from bridge.alert import Json
from bridge.errors import Rejected, Unmappable
from bridge.sources.document import BOM, decode
from bridge.sources.envelope.shape import (
    Envelope,
    Handshake,
    Headers,
    Unwrapped,
    glimpse,
    identified,
    media_type,
    member,
)
from bridge.sources.graph_question import TOKEN_CHARACTERS_MAX, validation_token

EVENTS_IN_ID_MAX = 5_000

_ATTRIBUTE = re.compile(r"ce-([a-z0-9]{1,40})")
_DATA = ("data", "datacontenttype")  # are no attributes in a header
_ORIGIN = re.compile(r"[A-Za-z0-9*]([A-Za-z0-9.:/_*-]{0,253}[A-Za-z0-9*])?")


def _cloudevents(headers: Headers, _query: str, body: bytes) -> Unwrapped:
    """CloudEvents 1.0 over HTTP, all three modes. A binary one is given to the mapping as if it were structured."""
    media = media_type(headers)
    if media.startswith("application/cloudevents"):
        if not media.endswith("+json"):
            raise Rejected(415, "format_unsupported", "CloudEvents are taken in JSON only.")
    elif headers.get("ce-specversion"):
        source, event_id = (unquote(headers.get(name, "")) for name in ("ce-source", "ce-id"))
        return Unwrapped(sender_id=identified(source, event_id), content=_structured(headers, media, body))
    return Unwrapped(sender_id=_ids_of(body, "source"), content=body)


def _structured(headers: Headers, media: str, body: bytes) -> bytes:
    """Attributes from the headers, percent-decoded, and the data beside them. Raises Unmappable."""
    found = ((_ATTRIBUTE.fullmatch(name.lower()), value) for name, value in headers.items())
    event: dict[str, Json] = {match[1]: unquote(value) for match, value in found if match and match[1] not in _DATA}
    if media:
        event["datacontenttype"] = headers["Content-Type"]
    body = body.removeprefix(BOM)
    if not body:
        return msgspec.json.encode(event)
    if media in ("", "application/json", "text/json") or media.endswith("+json"):
        decode(body)  # only a whole document may be set into another
        return msgspec.json.encode(event | {"data": msgspec.Raw(body)})
    try:
        return msgspec.json.encode(event | {"data": body.decode()})
    except UnicodeDecodeError:
        return msgspec.json.encode(event | {"data_base64": base64.b64encode(body).decode()})


def _ids_of(body: bytes, source: str) -> str | None:
    """Source and id of each event in the body, one or a list."""
    found = glimpse(body)
    events = found if isinstance(found, list) else [found]
    return identified(*[member(event, key) for event in events[:EVENTS_IN_ID_MAX] for key in (source, "id")])


def _webhook_options(headers: Headers) -> Handshake | None:
    """The validation of the HTTP 1.1 Web Hooks for Event Delivery that belongs to CloudEvents.

    Whoever asks is told yes: it lets nobody in, for every event must still prove itself.
    """
    origin = headers.get("WebHook-Request-Origin", "")
    if _ORIGIN.fullmatch(origin) is None:
        return None
    answer = [("Allow", "POST"), ("WebHook-Allowed-Origin", origin)]
    if headers.get("WebHook-Request-Rate"):
        answer.append(("WebHook-Allowed-Rate", "*"))
    return Handshake(headers=tuple(answer))


def _event_grid(headers: Headers, _query: str, body: bytes) -> Unwrapped | Handshake:
    """https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema."""
    kind = headers.get("aeg-event-type", "").lower()
    if kind == "subscriptionvalidation":
        events = glimpse(body)
        code = member(events[0], "data", "validationCode") if isinstance(events, list) and events else None
        if not isinstance(code, str) or not 0 < len(code) <= TOKEN_CHARACTERS_MAX:
            raise Unmappable("no_validation_code", "The validation of an Event Grid subscription has no code.")
        answer = msgspec.json.encode({"validationResponse": code})
        return Handshake(told="answered the validation of an Event Grid subscription", body=answer)
    is_ping = kind in ("subscriptiondeletion", "unsubscribe")
    return Unwrapped(sender_id=_ids_of(body, "topic"), content=body, is_ping=is_ping)


def _graph(_headers: Headers, query: str, body: bytes) -> Unwrapped | Handshake:
    """Change notifications: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks."""
    token = validation_token(query)
    if token is not None:
        return Handshake(  # not told: with the scheme `graph` anybody may ask
            body=token.encode("utf-8", "replace"),
            content_type="text/plain; charset=utf-8",
            headers=(("X-Content-Type-Options", "nosniff"),),
        )
    changes = member(glimpse(body), "value")
    ids = [member(change, "id") for change in changes] if isinstance(changes, list) else []
    return Unwrapped(sender_id=identified(*ids), content=body)


CLOUDEVENTS = Envelope(unwrap=_cloudevents, greetings={"OPTIONS": _webhook_options})
EVENT_GRID = Envelope(unwrap=_event_grid)
GRAPH = Envelope(unwrap=_graph)
