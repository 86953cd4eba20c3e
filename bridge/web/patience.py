"""Asking the store for those who must not wait for it: health checks and metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Asked(Generic[T]):
    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: T | None = None


class Patient(Generic[T]):
    """Asks in a thread of its own, one question at a time, and waits so many seconds for the answer. None: it hangs.

    Whoever asks while a question is under way is given its answer. `ask` must not raise.
    """

    def __init__(self, ask: Callable[[], T], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked: _Asked[T] | None = None

    def __call__(self) -> T | None:
        with self._lock:
            if (asked := self._asked) is None:
                asked = _Asked()
                threading.Thread(target=self._run, args=(asked,), name="patient", daemon=True).start()
                self._asked = asked  # only now: where no thread can be had, the next one asks again
        return asked.answer if asked.done.wait(self._seconds) else None

    def _run(self, asked: _Asked[T]) -> None:
        try:
            asked.answer = self._ask()
        finally:
            with self._lock:
                self._asked = None
            asked.done.set()
