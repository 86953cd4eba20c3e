"""What waits because an instance or its proxy refused us is due as soon as a secret has changed, or we are taken again.

A refusal names a long wait, for users who keep trying get locked out. Whoever corrects the secret must not have to wait
it out; and a process that starts anew knows of no refusal: whoever started it may just have corrected the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bridge.servicenow.breaker import HELD_CODES, MENDABLE
from bridge.settings import Target
from bridge.store.engine import Store
from bridge.store.hasten import HASTENED_MAX, hasten

CODES = MENDABLE | HELD_CODES  # the latter: turned away while the instance, or an API of it, was left alone


class Mended(Protocol):
    @property
    def mended(self) -> int: ...


class Hastening:
    """Thread-safe: two threads at once make due twice, which is what once is."""

    def __init__(self, *, store: Store, targets: Mapping[str, Target], clients: Mapping[str, Mended]) -> None:
        self._store = store
        self._clients = clients  # by instance
        self._targets = {
            name: [target.name for target in targets.values() if target.instance == name] for name in clients
        }
        self._done: dict[str, int] = {}  # of each instance's `mended`, as far as it was heeded

    def look(self) -> None:
        """Raises Transient when the store does not answer: then it is looked at again."""
        for name, client in self._clients.items():
            mended = client.mended  # before the store is asked: what is refused meanwhile is not overlooked
            if self._done.get(name) != mended:
                self._make_due(self._targets[name])
                self._done[name] = mended

    def _make_due(self, targets: list[str]) -> None:
        while targets:
            with self._store.transaction("hastened") as tx:
                if hasten(tx, CODES, targets, self._store.now(tx)) < HASTENED_MAX:
                    return
