"""The transport wrapping around alerts: what is taken out of a request, and what is answered to a sender's question."""

from __future__ import annotations

from bridge.settings import DECODED_BYTES_MAX_DEFAULT, SourceAuth
from bridge.sources.envelope.cloud import EVENTBRIDGE, PUBSUB, SNS
from bridge.sources.envelope.coding import decoded
from bridge.sources.envelope.events import CLOUDEVENTS, EVENT_GRID, GRAPH
from bridge.sources.envelope.products import (
    GITHUB,
    GITLAB,
    OKTA,
    PAGERDUTY,
    PLAIN,
    SNYK,
    STANDARD_WEBHOOKS,
    VAULT_RADAR,
)
from bridge.sources.envelope.several import FORM, HEC, KIBANA, NDJSON
from bridge.sources.envelope.shape import Envelope, Handshake, Headers, Unwrapped

__all__ = ["ENVELOPES", "PLAIN", "Envelope", "Handshake", "Unwrapped", "envelope_for", "unwrap"]

ENVELOPES: dict[str, Envelope] = {
    "none": PLAIN,
    "github": GITHUB,
    "gitlab": GITLAB,
    "pagerduty": PAGERDUTY,
    "snyk": SNYK,
    "vault_radar": VAULT_RADAR,
    "okta": OKTA,
    "standard_webhooks": STANDARD_WEBHOOKS,
    "sns": SNS,
    "eventbridge": EVENTBRIDGE,
    "pubsub": PUBSUB,
    "event_grid": EVENT_GRID,
    "graph": GRAPH,
    "cloudevents": CLOUDEVENTS,
    "hec": HEC,
    "ndjson": NDJSON,
    "kibana": KIBANA,
    "form": FORM,
}
GITLAB_HEADER = "x-gitlab-token"


def envelope_for(named: str | None, auth: SourceAuth) -> Envelope:
    """The one that bridge.yaml names; else that of the product whose way of signing it is.

    A delivery id is believed only of these: any client can write a header.
    """
    if auth.scheme == "graph":
        return GRAPH  # which alone answers what its verifier lets through without a secret
    if named is not None:
        return ENVELOPES[named]
    if auth.scheme == "hmac":
        return ENVELOPES.get(auth.preset or "", PLAIN)
    if auth.scheme == "header" and (auth.header or "").lower() == GITLAB_HEADER:
        return GITLAB
    return {"standard_webhooks": STANDARD_WEBHOOKS, "sns": SNS}.get(auth.scheme, PLAIN)


def unwrap(
    envelope: Envelope, headers: Headers, query: str, body: bytes, *, decoded_max: int = DECODED_BYTES_MAX_DEFAULT
) -> Unwrapped | Handshake:
    """One authenticated request. Raises Rejected(413, 415), and Unmappable for what is kept and cannot be unwrapped.

    The content type is not asked for JSON: SNS, for one, posts it as text.
    """
    coding = headers.get("Content-Encoding", "")
    return envelope.unwrap(headers, query, decoded(coding, body, decoded_max) if coding else body)
