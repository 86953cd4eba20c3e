"""What one instance may be asked, counted over all processes on PostgreSQL: calls at a time, and calls in any hour.

A call under way holds one session advisory lock, a **slot**: whoever dies frees it, and nothing has to be tidied up.
Calls of the hour are reserved in small batches, each counted before the first of it is made: what a process that dies
has reserved is lost, and never spent twice.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from bridge.store import advisory
from bridge.store.engine import Store, translated
from bridge.store.reconciler_tables import call_minutes

POLL_SECONDS = 0.05  # while all slots are taken: a process asks for one so often, whatever its threads
BATCH_MAX = 32  # calls that one statement reserves
BATCHES_MIN = 100  # a batch is no larger than this part of the hour's calls
BATCH_SECONDS = 60.0  # what is not spent by then is lost
# A call is made up to a batch's life after the minute in which it was counted; so many minutes hold any hour of calls.
WINDOW = timedelta(minutes=60) + timedelta(seconds=BATCH_SECONDS)
MINUTE = timedelta(minutes=1)

# So that the server notices a machine that vanished, and frees its slots; on a socket file they mean nothing.
KEEPALIVE = (
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = '20s'",
)


class CallShare:
    """Of one instance. Thread-safe; see servicenow.limits.Share for what its methods promise."""

    def __init__(
        self,
        store: Store,
        slots: Slots,
        instance: str,
        *,
        concurrent: int,
        per_hour: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._slots = slots
        self._instance = instance
        self._keys = [advisory.key_of("call", instance, number) for number in range(concurrent)]
        self._per_hour = per_hour
        self._monotonic = monotonic
        self._turn = threading.Lock()  # of the one thread that asks for a slot
        self._freed = threading.Event()
        self.waits = False
        self._budget = threading.Lock()
        self._left = 0  # calls reserved and not spent
        self._batch = 0  # how many the last reservation was asked for
        self._good_until = 0.0  # of what is reserved
        self._spent_until = 0.0

    def take(self, seconds: float) -> int | None:
        until = self._monotonic() + seconds
        if not self._turn.acquire(timeout=seconds):
            return None
        try:
            while True:
                self._freed.clear()
                slot = self._slots.take(self._keys)
                left = until - self._monotonic()
                if slot is not None or left <= 0.0:
                    return slot
                self.waits = True
                self._freed.wait(min(POLL_SECONDS, left))
        finally:
            self.waits = False
            self._turn.release()

    def give_back(self, slot: int) -> None:
        self._slots.give_back(slot)
        self._freed.set()

    def spend(self) -> float:
        with self._budget:
            now = self._monotonic()
            if now >= self._good_until:
                self._left = 0
            if self._left == 0 and now >= self._spent_until:
                self._reserve(now)
            if self._left == 0:
                return self._spent_until - now
            self._left -= 1
            return 0.0

    def _reserve(self, now: float) -> None:
        """Twice as many as before when those were spent in time, else one: a process that idles takes from nobody."""
        busy = now < self._good_until
        self._batch = max(1, min(2 * self._batch if busy else 1, BATCH_MAX, self._per_hour // BATCHES_MIN))
        self._left, wait = self._store.in_transaction(
            lambda tx: reserve(tx, self._instance, self._batch, per_hour=self._per_hour, now=self._store.now),
            "calls",
        )
        self._good_until, self._spent_until = now + BATCH_SECONDS, now + wait


class Slots:
    """The session of one process that holds the slots of its calls under way. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._session: Connection | None = None
        self._held: set[int] = set()

    def take(self, keys: Sequence[int]) -> int | None:
        """One of the keys, locked; None when all are. Raises Transient when the store does not answer."""
        with self._lock, translated():
            free = [key for key in keys if key not in self._held]  # a session could take the same lock twice
            try:
                slot = self._first_of(free)
            except DBAPIError:  # the session was ended: by a restart, or an administrator
                self._drop()
                slot = self._first_of(free)
            if slot is not None:
                self._held.add(slot)
            return slot

    def give_back(self, slot: int) -> None:
        """Never raises: what cannot be unlocked is freed with the session."""
        with self._lock:
            self._held.discard(slot)
            if self._session is not None:
                try:
                    self._session.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (slot,))
                except DBAPIError:
                    self._drop()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _first_of(self, keys: list[int]) -> int | None:
        """The scan of an array stops at the first row that is wanted, so no second one is locked."""
        if self._session is None:
            self._session = self._open()
        statement = "SELECT key FROM unnest(%s::bigint[]) AS key WHERE pg_try_advisory_lock(key) LIMIT 1"
        found: int | None = self._session.exec_driver_sql(statement, (keys,)).scalar()
        return found

    def _open(self) -> Connection:
        session = self._store.session()
        for setting in KEEPALIVE:
            session.exec_driver_sql(setting)
        # Calls that are under way while a session is lost go on: the new one counts them again where it still can.
        session.exec_driver_sql(
            "SELECT pg_try_advisory_lock(key) FROM unnest(%s::bigint[]) AS key", (list(self._held),)
        )
        return session

    def _drop(self) -> None:
        """The connection is closed, not put back: its locks end with it."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(DBAPIError):
                session.invalidate()
                session.close()


def reserve(
    tx: Connection, instance: str, wanted: int, *, per_hour: int, now: Callable[[Connection], datetime]
) -> tuple[int, float]:
    """Count up to `wanted` calls to the instance: how many, and where none, seconds until there may be more."""
    advisory.hold(tx, "call_minutes", instance)
    time = now(tx)  # under the lock: whoever counted before has an earlier one
    minute = _floor(time)
    mine = call_minutes.c.instance == instance
    oldest, spent = tx.execute(
        select(func.min(call_minutes.c.minute, type_=call_minutes.c.minute.type), func.sum(call_minutes.c.calls)).where(
            mine, call_minutes.c.minute > minute - WINDOW - MINUTE
        )
    ).one()
    count = min(wanted, per_hour - (spent or 0))
    if count <= 0:
        return 0, (oldest + WINDOW + MINUTE - time).total_seconds()
    row = update(call_minutes).where(mine, call_minutes.c.minute == minute)
    if tx.execute(row.values(calls=call_minutes.c.calls + count)).rowcount == 0:
        tx.execute(delete(call_minutes).where(mine, call_minutes.c.minute <= minute - WINDOW - MINUTE))
        tx.execute(insert(call_minutes).values(instance=instance, minute=minute, calls=count))
    return count, 0.0


def _floor(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)
