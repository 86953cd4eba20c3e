"""The daily statement: a few minutes after a UTC day has ended, what became of all that was received in it is written
into the log, by whichever process has the turn.

A process that starts late states the days that were missed, one after the other. A crash while one is computed leaves a
lease that runs out; in the transaction that writes the entry stands how far it got, so no day is stated twice or left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from bridge.audit import Stopped, audit
from bridge.settings import Source
from bridge.store import pruning, stating
from bridge.store.engine import Store

_log = logging.getLogger(__name__)


class Stating:
    """Any number of processes may look: one at a time computes, and each day is stated once."""

    def __init__(
        self,
        *,
        store: Store,
        sources: Mapping[str, Source],  # may change while we serve
        log_kept: timedelta,  # by `retention`: what is older may be gone, and is not compared
        stopping: Callable[[], bool],
    ) -> None:
        self._store = store
        self._sources = sources
        self._log_kept = log_kept
        self._stopping = stopping

    def look(self) -> None:
        """Raises Transient as the store does."""
        while not self._stopping() and (turn := self._turn()) is not None:
            self._state(turn)

    def _turn(self) -> stating.Turn | None:
        with self._store.reading() as tx:
            if not stating.anything_due(tx, self._store.now(tx)):
                return None
        return self._store.in_transaction(lambda tx: stating.claim(tx, self._store.now(tx)), "statement_turn")

    def _state(self, turn: stating.Turn) -> None:
        # The turn is ours, and nothing is written. If we die here, another process takes it when the lease has run out.
        expected = {name: source.expect_every for name, source in dict(self._sources).items()}
        until = turn.day + stating.DAY
        with self._store.reading() as tx:
            kept_from = pruning.kept_from(tx, self._log_kept, self._store.now(tx))
        try:
            found = audit(
                self._store, since=turn.day, until=until, expected=expected, kept_from=kept_from, stopped=self._stopping
            )
        except Stopped:
            self._store.in_transaction(stating.release, "statement_left")
            return
        with self._store.transaction("stated") as tx:
            stating.state(tx, turn, found, self._store.now(tx))
        # The day is stated, and that it was. If we die here the next look begins with the day after.
        if found.difference_count:
            _log.error("the record of %s differs: %s", f"{turn.day:%Y-%m-%d}", found.differences[0].text)
