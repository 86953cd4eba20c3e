"""Microsoft Graph's question whether a notification URL is ours: asked before there is any secret to show.

https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""

from __future__ import annotations

from urllib.parse import parse_qsl

TOKEN_CHARACTERS_MAX = 4_000


def validation_token(query: str) -> str | None:
    """What is to be given back; None: the request is no such question, and must prove itself as any other."""
    if "validationToken=" not in query:
        return None
    try:
        token = dict(parse_qsl(query)).get("validationToken", "")
    except ValueError:  # more fields than the standard library takes
        return None
    return token if 0 < len(token) <= TOKEN_CHARACTERS_MAX else None
