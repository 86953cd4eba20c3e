"""Sign-ins that were refused: counted in memory, and told in the log once a minute for each reason.

Whoever guesses tokens does not fill the log. A crash forgets the last minute of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from bridge.errors import Transient
from bridge.log.entries import CLAIM, Action, Entry, append
from bridge.store.engine import Store
from bridge.store.tokens import KNOWN_BY, actor_of

ADDRESSES_MAX = 5  # that an entry names
UNKNOWN = "unknown"  # in place of a token's name


@dataclass(slots=True)
class _Count:
    requests: int = 0
    addresses: dict[str, None] = field(default_factory=dict)  # some of those they came from

    def add(self, requests: int, addresses: Iterable[str]) -> None:
        self.requests += requests
        for address in addresses:
            if len(self.addresses) < ADDRESSES_MAX:
                self.addresses[address] = None


class SignIns:
    """Thread-safe. `flush` is called once a minute, and at a stop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._refused: dict[tuple[str, str], _Count] = {}  # by the token's name, or "", and the reason

    def refused(self, name: str, reason: str, address: str) -> None:
        """`name`: "" where the token is none of ours."""
        with self._lock:
            self._refused.setdefault((name, reason), _Count()).add(1, [address])

    def flush(self) -> None:
        """Raises Transient as the store does; what was gathered is kept for the next time."""
        now = self._store.moment()  # first: it may raise
        with self._lock:
            refused, self._refused = self._refused, {}
        if not refused:
            return
        entries = [_entry(*key, refused[key], now) for key in sorted(refused)]
        try:
            self._store.in_transaction(lambda tx: append(tx, *entries))
        except Transient:
            with self._lock:
                for key, since in self._refused.items():
                    refused.setdefault(key, _Count()).add(since.requests, since.addresses)
                self._refused = refused
            raise


def _entry(name: str, reason: str, count: _Count, now: datetime) -> Entry:
    return Entry(
        at=now,
        action=Action.SIGN_IN_REFUSED,
        actor=actor_of(name or UNKNOWN),
        known_by=KNOWN_BY if name else CLAIM,
        outcome="refused",
        reason=reason,
        detail={"requests": count.requests, "addresses": [*sorted(count.addresses)]},
    )
