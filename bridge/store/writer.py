"""The group commit: request threads hand deliveries to one writer thread, which stores all that wait at once.

A batch is what queued while the last one was being made durable, and those whom that one answered, where they come
again soon. One fsync serves them all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from bridge.errors import Rejected, Transient
from bridge.store.engine import Store, refusal
from bridge.store.intake import DeliveryAnswer, commit
from bridge.store.prepare import PreparedDelivery

BATCH_DELIVERIES_MAX = 256
BATCH_ALERTS_MAX = 2_000
BATCH_BYTES_MAX = 8 << 20
QUEUE_DELIVERIES_MAX = 1_024
# Without the pause after a batch, threads that are never out of work fall into two halves that take turns, and each
# delivery waits for two commits. `make bench` has it with and without (overload, switches).
GATHER_SHARE, GATHER_SECONDS_MAX = 0.4, 0.04  # a share of what the batch took
ANSWER_SECONDS_MAX = 1.5  # a sender is told 503 rather than kept waiting for a store that does not answer
RETRY_AFTER_SECONDS = 2

_log = logging.getLogger(__name__)


class _Ticket:
    """A delivery on its way to the writer and the answer on its way back."""

    __slots__ = ("abandoned", "answer", "delivery", "done", "queued_at", "refusal")

    def __init__(self, delivery: PreparedDelivery) -> None:
        self.delivery = delivery
        self.answer: DeliveryAnswer | None = None
        self.refusal: Rejected | None = None
        self.abandoned = False  # its request was answered 503: not to be begun any more
        self.queued_at = time.monotonic()
        self.done = threading.Lock()  # the cheapest one-shot signal there is: held until there is an answer
        self.done.acquire()


class Writer:
    """`start` and `stop` frame its life; `submit` may be called from any thread in between."""

    def __init__(
        self,
        store: Store,
        *,
        on_commit: Callable[[], None],
        observe_queue: Callable[[float], None],
        observe_commit: Callable[[float], None],
    ) -> None:
        self._store = store
        self._on_commit = on_commit  # wakes the sync half of this process
        self._observe_queue = observe_queue  # seconds that a delivery waited for its batch
        self._observe_commit = observe_commit  # seconds that a batch took
        self._queue: deque[_Ticket] = deque()
        self._arrived = threading.Condition(threading.Lock())
        self._running = False
        self._awaited = 1  # so many deliveries wake the writer
        self._most = BATCH_DELIVERIES_MAX  # deliveries that fill a batch, as far as the last one tells
        self._failing = False  # the last batch was refused by the store
        self._began: float | None = None  # when the commit that is under way began
        self._thread = threading.Thread(target=self._run, name="intake-writer", daemon=True)

    def start(self) -> None:
        self._running = True
        self._thread.start()

    def wind_down(self) -> None:
        """What comes from now on is refused. Returns at once."""
        with self._arrived:
            self._running = False
            self._arrived.notify()

    def stop(self) -> None:
        """Returns when all that was handed in is answered. What comes later is refused."""
        self.wind_down()
        if self._thread.ident is not None:
            self._thread.join()

    def problem(self) -> str:
        """Empty while deliveries can be stored, else what to do. After a batch that was refused, a write is tried."""
        if not self._thread.is_alive():
            return "the thread that stores deliveries has ended: restart the bridge"
        if self._hangs():
            return f"the database has not confirmed a batch for more than {ANSWER_SECONDS_MAX} seconds"
        if self._failing:
            try:
                self._store.probe()
            except Transient as error:
                return error.message
            self._failing = False
        return ""

    def submit(self, delivery: PreparedDelivery) -> DeliveryAnswer:
        """Blocks until the delivery is durable. Raises Rejected(503), which promises nothing: send it again."""
        ticket = _Ticket(delivery)
        with self._arrived:
            if not self._running:
                raise _not_now("stopping", "The bridge is stopping.")
            if self._hangs():  # at once: waiting senders would take all threads, and others wait for those
                raise _not_now("store_slow", "The database does not confirm deliveries.")
            if len(self._queue) >= QUEUE_DELIVERIES_MAX:
                raise _not_now("overloaded", "More deliveries wait than can be stored soon.")
            self._queue.append(ticket)
            if len(self._queue) >= self._awaited:
                self._arrived.notify()
        if not ticket.done.acquire(timeout=ANSWER_SECONDS_MAX):
            ticket.abandoned = True
            raise _not_now("store_slow", "The database has not confirmed the delivery in time.")
        if ticket.answer is None:
            raise ticket.refusal or _not_now("store_unavailable", "The database does not answer.")
        return ticket.answer

    def _hangs(self) -> bool:
        began = self._began
        return began is not None and time.monotonic() - began > ANSWER_SECONDS_MAX

    def _run(self) -> None:
        while (tickets := self._next_batch()) is not None:
            began = time.monotonic()
            awaited = self._store_batch(tickets)
            # All of them are answered: what goes wrong from here must not end the thread on which every delivery waits.
            try:
                self._observe(tickets, began)
                self._on_commit()
            except Exception:  # noqa: BLE001 (the loop's edge)
                _log.exception("a batch was stored and could not be told of")
            self._gather(awaited, min(GATHER_SHARE * (time.monotonic() - began), GATHER_SECONDS_MAX))

    def _gather(self, awaited: int, seconds: float) -> None:
        """Until so many wait or a batch is full, no longer: nothing says that who was answered comes again."""
        with self._arrived:
            self._awaited = min(awaited, self._most)
            self._arrived.wait_for(lambda: len(self._queue) >= self._awaited or not self._running, seconds)
            self._awaited = 1

    def _next_batch(self) -> list[_Ticket] | None:
        """What waits, up to the bounds of a batch; None when stopped and drained."""
        with self._arrived:
            while not self._queue:
                if not self._running:
                    return None
                self._arrived.wait()
            batch: list[_Ticket] = []
            alerts = size = 0
            while self._queue and len(batch) < BATCH_DELIVERIES_MAX:
                delivery = self._queue[0].delivery
                alerts, size = alerts + len(delivery.alerts), size + len(delivery.body) + len(delivery.content or b"")
                if batch and (alerts > BATCH_ALERTS_MAX or size > BATCH_BYTES_MAX):
                    break
                batch.append(self._queue.popleft())
            self._most = len(batch) if self._queue else BATCH_DELIVERIES_MAX
            return batch

    def _observe(self, tickets: Sequence[_Ticket], began: float) -> None:
        self._observe_commit(time.monotonic() - began)
        for ticket in tickets:
            self._observe_queue(began - ticket.queued_at)

    def _store_batch(self, tickets: list[_Ticket]) -> int:
        """Every ticket is answered, whatever happens. How many deliveries would wait if all who are answered came again
        at once; 0 where that is not to be waited for."""
        tickets = [ticket for ticket in tickets if not ticket.abandoned]
        if not tickets:
            return 0
        try:
            answers = self._commit([ticket.delivery for ticket in tickets])
        except Transient as error:
            if not self._failing:  # once: each sender is told, and /readyz from now on
                _log.error("deliveries are refused: %s", error.message)
            self._failing = True
            for ticket in tickets:
                _refuse(ticket, error)
        except Exception as error:  # noqa: BLE001 — a loop's edge: one delivery's data must not stop the writer
            _log.warning("a batch of %d could not be stored, one by one now: %s", len(tickets), refusal(error))
            for ticket in tickets:
                self._store_alone(ticket)
        else:
            self._failing = False
            # The batch is durable and nobody has been told. If we die here, the senders get no answer and send again:
            # the fingerprint finds what is stored, and the answer is the first one, marked as a duplicate.
            behind = len(self._queue)  # now: whoever is answered may be in it again a moment later
            for ticket, answer in zip(tickets, answers, strict=True):
                ticket.answer = answer
                ticket.done.release()
            return len(tickets) + behind
        return 0

    def _store_alone(self, ticket: _Ticket) -> None:
        """A poisonous delivery is kept whole, for a person to look at; its neighbours are stored as if it were not."""
        refused: Exception | None = None
        for delivery in (ticket.delivery, ticket.delivery.unstorable()):
            try:
                ticket.answer = self._commit([delivery])[0]
                break
            except Exception as error:  # noqa: BLE001 — the same edge: every ticket gets its answer
                refused = error
                if isinstance(error, Transient):
                    break
                _log.error("a delivery of %s could not be stored: %s", delivery.source, refusal(error))
        if ticket.answer is None:
            _refuse(ticket, refused)
        else:
            ticket.done.release()

    def _commit(self, deliveries: list[PreparedDelivery]) -> list[DeliveryAnswer]:
        self._began = time.monotonic()
        try:
            return self._store.in_transaction(lambda tx: commit(tx, deliveries, self._store.now(tx)), "intake")
        finally:
            self._began = None


def _refuse(ticket: _Ticket, error: Exception | None) -> None:
    code = error.code if isinstance(error, Transient) else "store_refused"
    ticket.refusal = _not_now(code, "The delivery could not be stored.")
    ticket.done.release()


def _not_now(code: str, message: str) -> Rejected:
    return Rejected(503, code, f"{message} Send it again.", retry_after=RETRY_AFTER_SECONDS)
