"""The reconciler, in one sentence: ask each table what changed, look hourly for what was deleted, and merge twins.

    claim a turn ─► poll each table ─► sweep for deletions ─► strays ─► end the turn, with the time of the next
                    (all in one burst, within a tenth of the instance's calls)

It writes nothing into incidents of ours: what somebody else changed is marked to be read, and the next round of its
correlation reads it and decides as ever. A crash anywhere leaves a turn that runs out; the next begins where the last
page was noted.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby

from bridge.correlation.reconcile import Shown, pause_after
from bridge.correlation.retry import backoff
from bridge.dictionary.reading import Reading
from bridge.errors import BridgeError, Transient
from bridge.servicenow.changes import SYS_IDS_MAX, changed, newest, other_times, standing
from bridge.servicenow.record import Record, changed_by_another
from bridge.servicenow.table import TableApi
from bridge.settings import Mode, Target
from bridge.store import reconciling, strays
from bridge.store.engine import Store
from bridge.store.reconciling import LEASE, Place, Turn, TurnLost
from bridge.store.strays import Listed
from bridge.sync.burst import CALLS_MAX, Burst
from bridge.sync.reading import CANCELLED_STATE, ENDED_STATES, version_of
from bridge.sync.twins import Twins

PAGES_PER_TABLE = 4  # of one burst
SWEEP_PAGES = 4
OVERLAP_MORE = timedelta(seconds=60)  # beyond the late-commit window: what commits late carries an early time
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"

_log = logging.getLogger(__name__)


class Reconciler:
    """`sweep` may be called from anywhere, as often as one likes: only one process at a time has an instance's turn."""

    def __init__(
        self,
        *,
        store: Store,
        targets: Mapping[str, Target],
        tables: Mapping[str, TableApi],
        calls_per_hour: Mapping[str, int],
        reading_of: Callable[[str], Reading],
        installation: str,
        monotonic: Callable[[], float],
        held: Callable[[], frozenset[str]] = frozenset,
        jitter: Callable[[], float] = random.random,
        stopping: Callable[[], bool] = bool,
    ) -> None:
        self._store = store
        self._targets = targets
        self._tables = tables  # by instance
        self._calls_per_hour = calls_per_hour  # by instance
        self._installation = installation
        self._held = held  # targets whose instance is left alone for now
        self._monotonic = monotonic
        self._jitter = jitter
        self._stopping = stopping  # the process ends: no further call is begun
        self._twins = Twins(store=store, tables=tables, reading_of=reading_of, installation=installation)

    def sweep(self) -> bool:
        """A turn at each instance whose time has come. False when none was due. Raises Transient as the store does."""
        worked = False
        for instance in dict.fromkeys(target.instance for target in self._written()):
            worked = (not self._stopping() and self._reconcile(instance)) or worked
        return worked

    def _reconcile(self, instance: str) -> bool:
        targets = {target.name: target for target in self._written() if target.instance == instance}
        if not targets.keys().isdisjoint(self._held()):
            return False
        with self._store.reading() as tx:
            if not reconciling.anything_due(tx, instance, self._store.now(tx)):
                return False
        tables = list(dict.fromkeys(target.table for target in targets.values()))
        pause_max = pause_after(CALLS_MAX, self._calls_per_hour[instance])
        with self._store.transaction("turn") as tx:
            turn = reconciling.claim(tx, instance, tables, self._store.now(tx), pause_max=pause_max)
        if turn is None:
            return False
        # The turn is durable, nothing was asked. If we die here it runs out, and the next begins where this would have,
        # as late as if all calls of a burst had been made.
        burst = Burst(self._monotonic, self._stopping)
        steps: list[Callable[[], None]] = [self._poll_step(turn, table, targets, burst) for table in tables]
        steps.append(lambda: self._sweep_deleted(turn, targets, burst))
        steps.append(lambda: self._twins.work(turn, targets, burst))
        failures: list[str] = []
        for step in steps:
            try:
                step()
            except TurnLost:
                return True
            except BridgeError as error:
                failures.append(error.message)
            except Exception as error:  # noqa: BLE001 (the loop's edge: one table must not keep the others from it)
                _log.exception("reconciling %s", instance)
                failures.append(f"{type(error).__name__}: see the service's log")
        self._end(turn, burst, failures)
        return True

    def _end(self, turn: Turn, burst: Burst, failures: list[str]) -> None:
        failure = " ".join(dict.fromkeys(failures))
        pause = pause_after(burst.calls, self._calls_per_hour[turn.instance])
        if failure:
            _log.warning("what people change at %s is not seen: %s", turn.instance, failure)
            pause = max(pause, backoff(turn.failures + 1, jitter=self._jitter()))
        with self._store.transaction("turn_over") as tx:
            everywhere = {(target.instance, target.table) for target in self._written()}
            due_at = turn.began_at + pause
            reconciling.end_turn(tx, turn, due_at, failure=failure, everywhere=everywhere)

    def _written(self) -> Iterable[Target]:
        return (target for target in self._targets.values() if target.mode is Mode.WRITE)

    # --- what has changed

    def _poll_step(self, turn: Turn, table: str, targets: Mapping[str, Target], burst: Burst) -> Callable[[], None]:
        return lambda: self._poll(turn, table, targets, burst)

    def _poll(self, turn: Turn, table: str, targets: Mapping[str, Target], burst: Burst) -> None:
        """The pages that this burst has room for."""
        api = self._tables[turn.instance]
        overlap = max(target.late_commit for target in targets.values() if target.table == table) + OVERLAP_MORE
        place = turn.places[table]
        elsewhere = [target.name for target in self._targets.values() if target.instance != turn.instance]
        for _ in range(PAGES_PER_TABLE):
            if not burst.left:
                return
            since = _earlier(place.seen_to, overlap)
            page = changed(api, table, self._installation, since=since, after=place.page, deadline=burst.call())
            if since and place.page is None and not page.records:  # not even the one that we saw last
                place = Place(seen_to=self._seen_to(api, table, since, burst))
            listed = [_listed(record, table) for record in page.records]
            place = _after(place, page.records, more=page.more)
            with self._store.transaction("page") as tx:
                reconciling.note_page(tx, turn, table, listed, place, elsewhere=elsewhere)
            # What this page tells is durable. If we die here the next turn asks for what comes after it.
            if not page.more:
                return

    def _seen_to(self, api: TableApi, table: str, since: str, burst: Burst) -> str:
        """Nothing came back: the newest record was deleted, or the query's time was not understood as we meant it."""
        last = newest(api, table, self._installation, deadline=burst.call())
        if last >= since:
            raise other_times()
        return last

    # --- what is gone

    def _sweep_deleted(self, turn: Turn, targets: Mapping[str, Target], burst: Burst) -> None:
        """Whether the open incidents are still there: the pages that this burst has room for.

        What may not be read keeps none of the others from being looked for, and is told in the end.
        """
        if not turn.sweep_due:
            return
        hiding: set[str] = set()
        self._sweep_pages(turn, targets, burst, hiding)
        if hiding:
            tables = ", ".join(sorted(hiding))
            raise Transient("rows_hidden", f"{tables} has incidents of ours that may not be read any more.")

    def _sweep_pages(self, turn: Turn, targets: Mapping[str, Target], burst: Burst, hiding: set[str]) -> None:
        """`hiding`: takes the tables where something may not be read: what is missing there may be that, or deleted."""
        after = turn.swept_to
        for _ in range(SWEEP_PAGES):
            with self._store.reading() as tx:
                asked = reconciling.to_sweep(tx, targets, after, SYS_IDS_MAX)
            if burst.left < len({targets[one.target].table for one in asked}):
                return
            there: list[Listed] = []
            unknown: set[str] = set()
            for table, ones in groupby(sorted(asked, key=lambda one: targets[one.target].table), key=_table(targets)):
                wanted = [one.sys_id for one in ones]
                records, hidden = standing(self._tables[turn.instance], table, wanted, deadline=burst.call())
                there += [_listed(record, table) for record in records]
                if hidden:
                    hiding.add(table)
                    unknown |= set(wanted) - {record.sys_id for record in records}
            done = len(asked) < SYS_IDS_MAX
            with self._store.transaction("swept") as tx:
                reconciling.note_swept(tx, turn, asked, there, unknown=unknown, done=done)
            # Committed: these were looked for. If we die here the sweep goes on after them.
            if done:
                self._sweep_strays(turn, burst)
                return
            after = asked[-1].id

    def _sweep_strays(self, turn: Turn, burst: Burst) -> None:
        """What people deleted of the records that they were asked about; of more than a page, the oldest."""
        with self._store.reading() as tx:
            asked = strays.waiting(tx, turn.instance, SYS_IDS_MAX)
        for table, ones in groupby(sorted(asked, key=lambda one: one.table), key=lambda one: one.table):
            mine = list(ones)
            wanted = [one.sys_id for one in mine]
            if not burst.left:
                return
            records, hidden = standing(self._tables[turn.instance], table, wanted, deadline=burst.call())
            there = {record.sys_id for record in records}
            with self._store.transaction("strays_gone") as tx:
                reconciling.fence(tx, turn)
                for one in mine:
                    if one.sys_id not in there and not hidden:
                        strays.forget(tx, one)


def _table(targets: Mapping[str, Target]) -> Callable[[reconciling.Standing], str]:
    return lambda one: targets[one.target].table


def _listed(record: Record, table: str) -> Listed:
    shown = Shown(
        over=record.state in ENDED_STATES[table],
        cancelled=record.state == CANCELLED_STATE[table],
        version=version_of(record),
        end={name: record.text(name) for name in ("state", "close_code") if name in record.fields},
        by_another=changed_by_another(record),
    )
    return Listed(
        sys_id=record.sys_id,
        number=record.number,
        correlation_id=record.text("correlation_id"),
        created_on=record.text("sys_created_on"),
        shown=shown,
    )


def _after(place: Place, records: list[Record], *, more: bool) -> Place:
    """Where the next page begins; when there is none, up to when all was seen."""
    last = (records[-1].text("sys_updated_on"), records[-1].sys_id) if records else place.page
    if more:
        return Place(seen_to=place.seen_to, page=last)
    return Place(seen_to=max(place.seen_to or "", last[0] if last is not None else ""))


def _earlier(seen_to: str | None, overlap: timedelta) -> str:
    """`seen_to` less the overlap, as ServiceNow writes it; "" for all there ever was."""
    if not seen_to:
        return ""
    moment = datetime.strptime(seen_to, TIME_FORMAT).replace(tzinfo=UTC)
    return (moment - overlap).strftime(TIME_FORMAT)


assert LEASE.total_seconds() > CALLS_MAX * Burst.CALL_SECONDS_MAX, "a turn must not outlive its lease"  # noqa: S101
