"""The threads that work rounds: asleep while nothing is due, woken one at a time.

One of those that sleep watches: it asks the store now and then, for timers and for what other processes took in.
"""

from __future__ import annotations

import logging
import threading

from bridge.errors import Transient
from bridge.sync.worker import Worker

# How late a timer is noticed, or what a person orders; and, where other processes take alerts in, what they took in.
IDLE_SECONDS = 0.05
IDLE_SECONDS_ALONE = 0.2  # where none does: intake wakes the threads itself
STORE_DOWN_SECONDS = 2.0

_log = logging.getLogger(__name__)


class SyncLoop:
    def __init__(self, worker: Worker, *, threads: int, alone: bool) -> None:
        """`alone`: no other process takes alerts in."""
        self._worker = worker
        self._wake = threading.Condition()
        self._idle_seconds = IDLE_SECONDS_ALONE if alone else IDLE_SECONDS
        self._signals = 0
        self._watched = False
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"sync-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def notify(self) -> None:
        """Something became due: one sleeper looks. It wakes the next when it has claimed something."""
        with self._wake:
            self._signals = 1
            self._wake.notify()

    def wind_down(self) -> None:
        """No other round is begun. Returns at once."""
        with self._wake:
            self._stopping.set()
            self._wake.notify_all()

    def stop(self) -> None:
        """Returns when every round in progress has ended: calls in flight are finished, leases handed back."""
        self.wind_down()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        worked = False
        while not self._stopping.is_set():
            try:
                worked = self._worker.work(busy=worked, claimed=self.notify)
            except Transient as error:
                _log.warning("sync pauses: %s", error.message)
                self._pause()
                continue
            except Exception:  # noqa: BLE001 (the loop's edge: the thread must outlive a bug)
                _log.exception("sync: a round could not be recorded")
                self.notify()  # this one may have been the one that watched
                self._pause()
                continue
            if not worked:
                self._sleep()

    def _pause(self) -> None:
        """After an error, whatever signals come: a store that is down is not asked by every new alert."""
        self._stopping.wait(STORE_DOWN_SECONDS)

    def _sleep(self) -> None:
        """Until there is a signal, or, for the one that watches, until it is time to look."""
        with self._wake:
            over = False
            while not (self._signals or over or self._stopping.is_set()):
                if self._watched:
                    self._wake.wait()
                else:
                    self._watched = True
                    over = not self._wake.wait(self._idle_seconds)
                    self._watched = False
            self._signals = 0
            if not self._watched:
                self._wake.notify()  # the next one watches: what is found now may take long
