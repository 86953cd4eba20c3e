"""Refused deliveries in the service's log: the first of a kind at once, then one line a minute that counts the rest."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from bridge.errors import Rejected

EVERY = timedelta(minutes=1)
NAME_CHARS_MAX = 60

_log = logging.getLogger(__name__)


class Refusals:
    """A kind is a configured source, or all unknown ones together, and a reason: nobody floods the log from outside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], tuple[datetime, int]] = {}  # when last, and how many since

    def tell(self, source: str, error: Rejected, *, asked: str, remote: str, now: datetime) -> None:
        """`source` as it is configured or "unknown", `asked` as the URL named it."""
        kind = (source, error.code)
        with self._lock:
            last, since = self._told.get(kind, (None, 0))
            due = last is None or now - last >= EVERY
            self._told[kind] = (now, 0) if due or last is None else (last, since + 1)
        if due:
            more = f", and {since} more since the last such line" if since else ""
            what = f"/hooks/{asked[:NAME_CHARS_MAX]} from {remote}: {error.status} {error.code}{more}"
            hint = "no source of this name is configured" if source != asked else error.message
            _log.warning("delivery refused: %s: %s", what, hint)
