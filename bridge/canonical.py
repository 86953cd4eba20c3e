"""One spelling of what is hashed, signed or compared as bytes: JSON, and times. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from bridge.alert import Json


def canonical(value: Json) -> bytes:
    """JSON: keys sorted, no spaces, nothing escaped that need not be."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def at_text(at: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond: texts compare as their times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
