"""Products that post their alerts as they are: their delivery ids, their pings, Okta's challenge."""

from __future__ import annotations

import msgspec

from bridge.sources.envelope.several import form_payload, is_form
from bridge.sources.envelope.shape import Envelope, Handshake, Headers, Unwrap, Unwrapped, glimpse, identified, member

CHALLENGE_CHARACTERS_MAX = 2_000


def _by_header(*names: str, ping: tuple[str, str] | None = None) -> Unwrap:
    """The id is the first of the headers that is there; `ping` is a header and its value."""

    def unwrap(headers: Headers, _query: str, body: bytes) -> Unwrapped:
        ids = (identified(headers.get(name)) for name in names)
        is_ping = ping is not None and headers.get(ping[0]) == ping[1]
        return Unwrapped(sender_id=next((one for one in ids if one), None), content=body, is_ping=is_ping)

    return unwrap


_github = _by_header("X-GitHub-Delivery", ping=("X-GitHub-Event", "ping"))


def _github_or_form(headers: Headers, query: str, body: bytes) -> Unwrapped | Handshake:
    """A hook of GitHub's may be set to send forms: the same JSON in the field `payload`."""
    return _github(headers, query, form_payload(body) if is_form(headers) else body)


def _pagerduty(headers: Headers, _query: str, body: bytes) -> Unwrapped:
    """The event's own id stands in the signed body; the header's stands in for one that has none."""
    event_id = identified(member(glimpse(body), "event", "id"))
    return Unwrapped(sender_id=event_id or identified(headers.get("X-Webhook-Id")), content=body)


def _okta(_headers: Headers, _query: str, body: bytes) -> Unwrapped:
    events = member(glimpse(body), "data", "events")
    ids = [member(event, "uuid") for event in events] if isinstance(events, list) else []
    return Unwrapped(sender_id=identified(*ids), content=body)


def _challenge(headers: Headers) -> Handshake | None:
    """https://developer.okta.com/docs/concepts/event-hooks/: asked once, when the hook is made."""
    challenge = headers.get("X-Okta-Verification-Challenge", "")
    if not 0 < len(challenge) <= CHALLENGE_CHARACTERS_MAX:
        return None
    return Handshake(body=msgspec.json.encode({"verification": challenge}))


PLAIN = Envelope(unwrap=lambda _headers, _query, body: Unwrapped(sender_id=None, content=body))
GITHUB = Envelope(unwrap=_github_or_form)
GITLAB = Envelope(unwrap=_by_header("Idempotency-Key", "X-Gitlab-Event-UUID"))
PAGERDUTY = Envelope(unwrap=_pagerduty)
SNYK = Envelope(unwrap=_by_header("X-Snyk-Transport-ID", ping=("X-Snyk-Event", "ping/v0")))
STANDARD_WEBHOOKS = Envelope(unwrap=_by_header("webhook-id", "svix-id"))
VAULT_RADAR = Envelope(unwrap=_by_header("X-HCP-Radar-Message-ID"))
OKTA = Envelope(unwrap=_okta, greetings={"GET": _challenge})
