"""The calls of one turn of the reconciler: counted, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

CALLS_MAX = 12


class Burst:
    CALL_SECONDS_MAX: ClassVar[float] = 15.0  # a deadline for one whole call

    def __init__(self, monotonic: Callable[[], float], stopping: Callable[[], bool]) -> None:
        self._monotonic = monotonic
        self._stopping = stopping  # then there is no room for any more: the next turn goes on here
        self.calls = 0

    @property
    def left(self) -> int:
        return 0 if self._stopping() else max(0, CALLS_MAX - self.calls)

    def call(self) -> float:
        """Count a call that is about to be made. Returns its deadline."""
        self.calls += 1
        return self._monotonic() + self.CALL_SECONDS_MAX
