"""How much one instance may be asked: calls at a time, and calls in any hour."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.errors import Transient
from bridge.settings import Limits

HOUR_SECONDS = 3600.0


class Gate:
    """Every call passes here before it touches the network; what is turned away was not applied."""

    def __init__(self, limits: Limits, *, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._free = threading.BoundedSemaphore(limits.concurrent_calls)
        self._lock = threading.Lock()
        self._started: deque[float] = deque()  # when the calls of the last hour began, oldest first

    @contextmanager
    def call(self, deadline: float) -> Iterator[None]:
        """Hold one of the concurrent calls and count it in the hour's budget. Waits no longer than the deadline."""
        if not self._free.acquire(timeout=max(0.0, deadline - self._monotonic())):
            raise Transient("busy", f"{self._limits.concurrent_calls} calls were under way until the deadline.")
        try:
            self.spend()
            yield
        finally:
            self._free.release()

    def spend(self) -> None:
        """Count one more request: of a call, the first is counted already."""
        now = self._monotonic()
        with self._lock:
            while self._started and self._started[0] <= now - HOUR_SECONDS:
                self._started.popleft()
            if len(self._started) >= self._limits.calls_per_hour:
                wait = self._started[0] + HOUR_SECONDS - now if self._started else HOUR_SECONDS
                raise Transient(
                    "call_budget",
                    f"The {self._limits.calls_per_hour} calls of this hour are spent; raise limits.calls_per_hour "
                    "of the instance if ServiceNow allows more.",
                    retry_after=wait,
                )
            self._started.append(now)
