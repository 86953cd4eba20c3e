"""Retention: what is old and not needed any more goes, in transactions so small that intake does not notice.

A command does it at once, and a process that syncs once a day, a moment at a time. Each batch is a transaction with
its log entry: after a crash, or at a stop, the rest is still there, and goes with the next turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from bridge.alert import Json
from bridge.log.entries import Action, Entry, append
from bridge.settings import Retention
from bridge.store import pruning
from bridge.store.columns import EPOCH
from bridge.store.engine import Store
from bridge.store.pruning import Pruned, Turn

ACTOR = "retention"  # of the log's entries, where nobody gave the order
MOMENT_SECONDS = 0.5  # of the thread that looks around: it has other things to look at

T = TypeVar("T")
Work = Callable[[Connection, datetime], Pruned]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """One pass over all that is old. `undo`: each batch is taken back, and only counted."""

    store: Store
    retention: Retention
    actor: str
    undo: bool = False

    def batches(self) -> Iterator[Pruned]:
        """What each batch took away; nothing where all of it is still needed. Raises Transient."""
        now = self.store.moment()
        log_before = _before(now, self.retention.log)
        yield from self._deliveries(_before(now, self.retention.deliveries), log_before)
        yield from self._incidents(log_before)
        yield from self._log(log_before)

    def _deliveries(self, bodies_before: datetime, rows_before: datetime) -> Iterator[Pruned]:
        after = 0
        while old := self._asked(partial(pruning.old_deliveries, after=after, before=bodies_before)):
            after = old[-1].id
            if any(one.size is not None or one.received_at < rows_before for one in old):
                yield self._batch(partial(pruning.prune_deliveries, old=old, rows_before=rows_before))
            else:
                yield Pruned()  # their bodies went before

    def _incidents(self, before: datetime) -> Iterator[Pruned]:
        after = 0
        while True:
            last, ids = self._asked(partial(pruning.old_incidents, after=after, before=before))
            if last == after:
                return
            yield self._batch(partial(pruning.prune_incidents, incident_rows=ids)) if ids else Pruned()
            after = last

    def _log(self, before: datetime) -> Iterator[Pruned]:
        first = self._asked(pruning.pruned_to)
        while True:
            upto, ids = self._asked(partial(pruning.old_seals, first=first, before=before))
            if upto == first:
                return
            yield self._batch(partial(pruning.prune_log, upto=upto, ids=ids), indices={"first": first, "end": upto})
            first = upto

    def _asked(self, question: Callable[[Connection], T]) -> T:
        with self.store.reading() as tx:
            return question(tx)

    def _batch(self, work: Work, **more: Json) -> Pruned:
        with self.store.trial() if self.undo else self.store.transaction("pruned") as tx:
            now = self.store.now(tx)
            pruned = work(tx, now)
            if pruned:
                detail: dict[str, Json] = {"removed": pruned.counts, **more}
                append(tx, Entry(at=now, action=Action.PRUNED, actor=self.actor, detail=detail))
        # Durable, and in the log. If we die here the rest is still there, and the next pass finds it.
        return pruned


class Pruner:
    """Looked at by the thread that looks around. Any number of processes may: one at a time prunes, once a day."""

    def __init__(self, store: Store, retention: Retention, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._pruning = Pruning(store=store, retention=retention, actor=ACTOR)
        self._monotonic = monotonic
        self._turn: Turn | None = None
        self._batches: Iterator[Pruned] = iter(())

    def look(self) -> bool:
        """Half a second of it at most. True: there is more to do. Raises Transient: the turn is left, and taken again
        when its lease is over."""
        turn, self._turn = self._turn, None
        if turn is None:
            turn = self._claimed()
        elif not self._kept(turn):
            return False
        if turn is None:
            return False
        until = self._monotonic() + MOMENT_SECONDS
        for _ in self._batches:
            if self._monotonic() >= until:
                self._turn = turn
                return True
        with self._store.transaction("prune_turn") as tx:
            pruning.end(tx, turn, self._store.now(tx))
        return False

    def _claimed(self) -> Turn | None:
        with self._store.reading() as tx:
            if not pruning.is_due(tx, self._store.now(tx)):
                return None
        with self._store.transaction("prune_turn") as tx:
            turn = pruning.claim(tx, self._store.now(tx))
        self._batches = self._pruning.batches()
        return turn

    def _kept(self, turn: Turn) -> bool:
        with self._store.transaction("prune_turn") as tx:
            return pruning.keep(tx, turn, self._store.now(tx))


def _before(now: datetime, kept: timedelta) -> datetime:
    return now - min(kept, now - EPOCH)
