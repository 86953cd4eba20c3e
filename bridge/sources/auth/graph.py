"""Scheme `graph`: Microsoft Graph writes the subscription's `clientState`, a secret of ours, into each notification.

https://learn.microsoft.com/graph/change-notifications-delivery-webhooks. Its question whether the URL is ours carries
none: it is let through to its envelope, which keeps nothing of it and answers with what was asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from bridge.alert import Json
from bridge.errors import Unmappable
from bridge.sources.auth.verifier import matches, refusal
from bridge.sources.document import decode
from bridge.sources.graph_question import validation_token

NOTIFICATIONS_MAX = 5_000
_STATE = re.compile(rb'("clientState"\s*:\s*")(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class ClientState:
    """Every notification of the body must have it: one that has not would come in with the others."""

    needs_body: ClassVar[bool] = True

    secrets: tuple[bytes, ...]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        if validation_token(query) is not None:
            return
        states = _states(body)
        if not states or sum([matches(state, self.secrets) for state in states]) < len(states):
            raise refusal()

    def masked(self, body: bytes) -> bytes:
        """What may be kept of a body that was let in: no row of ours holds a secret. Raises Rejected(401) where that is
        written as Graph does not write it.
        """
        kept = _STATE.sub(rb'\1***"', body)
        if any(matches(state, self.secrets) for state in _states(kept)):
            raise refusal()
        return kept


def _states(body: bytes) -> list[bytes]:
    """The `clientState` of each notification; b"" for one without."""
    try:
        document: Json = decode(body).value
    except Unmappable:
        return []
    found = document.get("value") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) > NOTIFICATIONS_MAX:
        return []
    states = [one.get("clientState") if isinstance(one, dict) else None for one in found]
    return [state.encode("utf-8", "surrogatepass") if isinstance(state, str) else b"" for state in states]
