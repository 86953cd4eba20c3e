"""The transport wrapping around alerts. So far one envelope: `none`, one JSON document for each delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.errors import Rejected
from bridge.settings import SourceAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Where a source's deliveries carry what is not the alert. Built once for each source."""

    id_header: str | None  # the sender's delivery id, the same when it sends again; None: the sender gives none
    ping_header: tuple[str, str] | None  # (header, value) of a delivery that only asks whether we are there


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrapped:
    sender_id: str | None
    content: bytes
    is_ping: bool  # no alerts are in it


GITHUB = Envelope(id_header="X-GitHub-Delivery", ping_header=("X-GitHub-Event", "ping"))
STANDARD_WEBHOOKS = Envelope(id_header="webhook-id", ping_header=None)
PLAIN = Envelope(id_header=None, ping_header=None)


def envelope_for(auth: SourceAuth) -> Envelope:
    """Only a header that belongs to how the source signs is believed to be its delivery id."""
    if auth.scheme == "hmac" and auth.preset == "github":
        return GITHUB
    return STANDARD_WEBHOOKS if auth.scheme == "standard_webhooks" else PLAIN


def unwrap(envelope: Envelope, headers: Mapping[str, str], body: bytes) -> Unwrapped:
    """The content of one authenticated delivery. Raises Rejected(415); the content type is not asked for JSON."""
    coding = headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise Rejected(415, "encoding_unsupported", "The body is compressed: send it without Content-Encoding.")
    sender_id = headers.get(envelope.id_header) if envelope.id_header else None
    ping = envelope.ping_header
    is_ping = ping is not None and headers.get(ping[0]) == ping[1]
    return Unwrapped(sender_id=sender_id or None, content=body, is_ping=is_ping)
