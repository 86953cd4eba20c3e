"""Strays, one at a time: whose are they, and of two records of one incident, which one stays?

    due stray ─► read both ─► which stays ─► intend ─► close the other ─► settled
                              (pure)         (nothing is sent after its time)

A close of a twin says the same whenever it is sent, and each try begins with a read: one that was applied is not sent
again. A crash anywhere leaves a stray that is still due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.correlation.policy import CloseWhen
from bridge.correlation.reconcile import CLOSES_PER_HOUR_MAX, HOUR, Merge, Side, merge
from bridge.correlation.retry import backoff
from bridge.dictionary.reading import Reading
from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow.ownership import is_ours
from bridge.servicenow.record import Record, changed_by_another
from bridge.servicenow.table import PARENT_FIELD, TableApi
from bridge.settings import Target
from bridge.store import reconciling, strays, work
from bridge.store.adopting import Place, adopt_expected
from bridge.store.engine import Store
from bridge.store.reconciling import Turn
from bridge.store.strays import Outcome, Stray, Twin
from bridge.sync.burst import Burst
from bridge.sync.fit import closes
from bridge.sync.outcomes import outcome_word
from bridge.sync.reading import ENDED_STATES, FIRST_STATE, told_of

CALLS_PER_STRAY = 4  # both records, the twin's children, and its close
AGAIN = timedelta(minutes=1)  # for what another part of the bridge must do first
DOUBLINGS_MAX = 10  # of it: 17 hours

_log = logging.getLogger(__name__)


class Twins:
    def __init__(
        self,
        *,
        store: Store,
        tables: Mapping[str, TableApi],
        reading_of: Callable[[str], Reading],
        installation: str,
    ) -> None:
        self._store = store
        self._tables = tables  # by instance
        self._reading_of = reading_of
        self._installation = installation

    def work(self, turn: Turn, targets: Mapping[str, Target], burst: Burst) -> None:
        """The strays that are due, as far as the burst has room. Raises TurnLost."""
        tenants = {target.tenant for target in targets.values()}
        while True:
            with self._store.reading() as tx:
                stray = strays.next_due(tx, turn.instance, tenants, turn.began_at)
            if stray is None or burst.left < CALLS_PER_STRAY:
                return
            try:
                self._work(turn, stray, targets, burst)
            except (Transient, Ambiguous) as error:
                self._later(turn, stray, error)

    def _later(self, turn: Turn, stray: Stray, error: BridgeError, closing: Twin | None = None) -> None:
        """`closing`: the error is of the call that was to close the stray."""
        _log.warning("the record %s waits: %s", stray.number, error.message)
        with self._store.transaction("stray_later") as tx:
            reconciling.fence(tx, turn)
            if closing is not None:
                strays.called(tx, stray, closing, outcome_word(error), error, self._store.now(tx))
            due_at = turn.began_at + backoff(stray.failures + 1, jitter=0.0)
            strays.later(tx, stray, due_at, failed=True)

    def _work(self, turn: Turn, stray: Stray, targets: Mapping[str, Target], burst: Burst) -> None:
        here = [name for name, target in targets.items() if target.table == stray.table]
        with self._store.transaction("stray") as tx:
            reconciling.fence(tx, turn)
            now = self._store.now(tx)
            if _is_no_stray(tx, stray, here):
                return
            if stray.outcome == Outcome.EXPECTED:
                self._expected(tx, stray, [targets[name] for name in here], now)
                return
            twin = strays.twin_of(tx, stray, here)
            if twin is None:
                strays.settle(tx, stray, None, Outcome.ORPHAN, now, said=_orphan(stray))
                return
            if twin.sys_id is None:  # it may wait for a person: that is asked ever less often
                strays.wake(tx, twin, now)
                strays.later(tx, stray, now + AGAIN * 2 ** min(stray.failures, DOUBLINGS_MAX), failed=True)
                return
            if _waits_for_its_target(tx, stray, twin, now):
                return
        try:
            self._merge(turn, stray, twin, targets[twin.target], burst, here)
        except Permanent as error:  # what must be asked first may not be read: the other strays go on
            self._report(turn, stray, twin, f"{_two(stray, twin)} {error.message}")

    def _expected(self, tx: Connection, stray: Stray, here: Collection[Target], now: datetime) -> None:
        try:
            adopt_expected(tx, stray, places_of(here), now)
        except Permanent as error:
            strays.settle(tx, stray, None, Outcome.ORPHAN, now, said=error.message)

    def _merge(self, turn: Turn, stray: Stray, twin: Twin, target: Target, burst: Burst, here: Collection[str]) -> None:
        table = self._tables[turn.instance]
        other = table.read(target.table, stray.sys_id, deadline=burst.call())
        kept = table.read(target.table, twin.sys_id or "", deadline=burst.call())
        if other is not None and not is_ours(
            other, correlation_id=stray.correlation_id, installation=self._installation
        ):
            other = None  # somebody has taken our mark away: it is theirs
        ours = _side(kept, target, twin.record_state)
        theirs = _side(other, target, FIRST_STATE[target.table] if _ever_changed(other) else None)
        decided = merge(ours, theirs)
        ended = ENDED_STATES[target.table]
        if decided is Merge.CLOSE and table.has_open_children(
            target.table, stray.sys_id, ended=ended, deadline=burst.call()
        ):
            decided = merge(ours, replace(theirs, touched=True) if theirs is not None else None)
        if decided is Merge.CLOSE:
            self._close(turn, stray, twin, target, burst, here)
            return
        shows = told_of(other, over=theirs is not None and theirs.over)
        with self._store.transaction("merged") as tx:
            reconciling.fence(tx, turn)
            now = self._store.now(tx)
            if _is_no_stray(tx, stray, here):
                return
            if decided is Merge.OVER:
                outcome = Outcome.CLOSED if stray.sent_until is not None and other is not None else Outcome.OVER
                strays.settle(tx, stray, twin, outcome, now, shows=shows)
            elif decided is Merge.REPORT:
                said = (_alone if kept is None else _two)(stray, twin)
                strays.settle(tx, stray, twin, Outcome.TWO, now, said=said, shows=shows)
            elif not strays.swap(tx, stray, twin, FIRST_STATE[target.table], now, late_commit=target.late_commit):
                strays.later(tx, stray, now + AGAIN)

    def _close(self, turn: Turn, stray: Stray, twin: Twin, target: Target, burst: Burst, here: Collection[str]) -> None:
        close = target.close
        if close is None or close.when is CloseWhen.NEVER or not closes(target, self._reading_of(target.instance)):
            self._report(turn, stray, twin, f"{_two(stray, twin)} The target {target.name} does not say how to close.")
            return
        with self._store.transaction("twin_intent") as tx:
            reconciling.fence(tx, turn)
            now = self._store.now(tx)
            if _is_no_stray(tx, stray, here) or _waits_for_its_target(tx, stray, twin, now):
                return
            made = strays.other_closes_since(tx, stray, now - HOUR)
            if not stray.released and (made >= CLOSES_PER_HOUR_MAX or strays.any_held(tx, stray.instance)):
                strays.settle(tx, stray, twin, Outcome.HELD, now, said=_held(stray, twin))
                return
            deadline = burst.call()
            until = now + timedelta(seconds=Burst.CALL_SECONDS_MAX)
            strays.about_to_close(tx, stray, twin, until, now)
        # The intent is durable, nothing was sent. If we die from here on, the next turn reads the record first.
        fields = {
            "state": close.state,
            "close_code": close.code or "",
            "close_notes": f"Created twice: {twin.number} is the same problem, and goes on.",
            PARENT_FIELD[target.table]: twin.sys_id or "",
        }
        try:
            self._tables[turn.instance].update(target.table, stray.sys_id, fields, deadline=deadline)
        except (Transient, Ambiguous) as error:
            self._later(turn, stray, error, closing=twin)
            return
        except Permanent as error:
            said = f"{_two(stray, twin)} It could not be closed: {error.message}"
            self._report(turn, stray, twin, said, refused=error)
            return
        with self._store.transaction("twin_closed") as tx:
            reconciling.fence(tx, turn)
            strays.settle(tx, stray, twin, Outcome.CLOSED, self._store.now(tx))

    def _report(self, turn: Turn, stray: Stray, twin: Twin, said: str, *, refused: Permanent | None = None) -> None:
        with self._store.transaction("twin_told") as tx:
            reconciling.fence(tx, turn)
            now = self._store.now(tx)
            if refused is not None:
                strays.called(tx, stray, twin, outcome_word(refused), refused, now)
            strays.settle(tx, stray, twin, Outcome.TWO, now, said=said)


def places_of(targets: Collection[Target]) -> list[Place]:
    return [Place(target=one.name, tenant=one.tenant, first_state=FIRST_STATE[one.table]) for one in targets]


def _is_no_stray(tx: Connection, stray: Stray, targets: Collection[str]) -> bool:
    """Asked again in each transaction: while records are read, the store may learn that it is an incident's own."""
    if not strays.is_ours_by_now(tx, stray, targets):
        return False
    strays.forget(tx, stray)
    return True


def _waits_for_its_target(tx: Connection, stray: Stray, twin: Twin, now: datetime) -> bool:
    """Asked again with the intent, as before every write: people may have paused it while records were read."""
    if twin.target not in work.paused_targets(tx):
        return False
    strays.later(tx, stray, now + AGAIN)
    return True


def _side(record: Record | None, target: Target, our_state: str | None) -> Side | None:
    if record is None:
        return None
    moved = our_state is not None and record.state != our_state
    over = record.state in ENDED_STATES[target.table]
    touched = bool(record.text("assigned_to")) or (not over and (moved or changed_by_another(record)))
    return Side(over=over, touched=touched, created=f"{record.text('sys_created_on')} {record.sys_id}")


def _ever_changed(record: Record | None) -> bool:
    return record is not None and record.text("sys_mod_count") != "0"


def _two(stray: Stray, twin: Twin) -> str:
    return f"{stray.number} and {twin.number} are the same problem: close one of them in ServiceNow."


def _alone(stray: Stray, twin: Twin) -> str:
    return (
        f"{stray.number} is open, and {twin.number}, of the same problem, is deleted or may not be read: close it in "
        "ServiceNow where nobody needs it."
    )


def _held(stray: Stray, twin: Twin) -> str:
    return (
        f"{stray.number} is a twin of {twin.number}, and {CLOSES_PER_HOUR_MAX} twins were closed within an hour: see "
        f"why there are so many, then `bridge targets release {twin.target}` closes them."
    )


def _orphan(stray: Stray) -> str:
    return (
        f"{stray.number} carries our mark and this store does not know it: `bridge incidents adopt {stray.number}` "
        "takes it, or close it in ServiceNow."
    )
