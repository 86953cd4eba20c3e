"""The threads that work rounds: asleep while nothing is due, woken one at a time."""

from __future__ import annotations

import logging
import threading

from bridge.errors import Transient
from bridge.sync.worker import Worker

IDLE_SECONDS = 0.5  # how late a timer, or work of another process, is noticed
STORE_DOWN_SECONDS = 2.0

_log = logging.getLogger(__name__)


class SyncLoop:
    def __init__(self, worker: Worker, *, threads: int) -> None:
        self._worker = worker
        self._wake = threading.Condition()
        self._signals = 0
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, name=f"sync-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def notify(self) -> None:
        """Something became due: one sleeper looks. It wakes the next when it has found work."""
        with self._wake:
            self._signals = 1
            self._wake.notify()

    def stop(self) -> None:
        """Returns when every round in progress has ended: calls in flight are finished, leases handed back."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        while not self._stopping:
            try:
                worked = self._worker.work()
            except Transient as error:
                _log.warning("sync pauses: %s", error.message)
                self._pause()
                continue
            except Exception:  # noqa: BLE001 (the loop's edge: the thread must outlive a bug)
                _log.exception("sync: a round could not be recorded")
                self._pause()
                continue
            if worked:
                self.notify()
            else:
                self._sleep(IDLE_SECONDS)

    def _pause(self) -> None:
        """After an error, whatever signals come: a store that is down is not asked by every new alert."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopping, STORE_DOWN_SECONDS)

    def _sleep(self, seconds: float) -> None:
        with self._wake:
            if not self._signals and not self._stopping:
                self._wake.wait(seconds)
            self._signals = 0
