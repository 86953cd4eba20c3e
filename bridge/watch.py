"""The thread that looks around, beside those that work rounds: at each thing as often as is said of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.errors import Transient

SECONDS_MAX = 2.0  # between two looks around

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Look:
    take: Callable[[], object]
    every: float  # seconds
    next_at: float = 0.0  # by the monotonic clock


class Watch:
    """`start` and `stop` frame its life."""

    def __init__(self, looks: Sequence[tuple[Callable[[], object], float]], stopping: threading.Event) -> None:
        """`looks`: each with the seconds until it is taken again; sooner where it returns True: there is
        more to do. One that raises is told, and taken again like the others.
        """
        self._looks = [_Look(*look) for look in looks]
        self._stopping = stopping  # set by `wind_down`; a look that takes long may ask it
        self._pause = min(SECONDS_MAX, *(look.every for look in self._looks))
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wind_down(self) -> None:
        """No other look is begun. Returns at once."""
        self._stopping.set()

    def stop(self) -> None:
        """Returns when the look in progress has ended."""
        self.wind_down()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause):
            for look in self._looks:
                if not self._stopping.is_set() and time.monotonic() >= look.next_at:
                    self._take(look)

    def _take(self, look: _Look) -> None:
        look.next_at = time.monotonic() + look.every
        try:
            if look.take() is True:
                look.next_at = 0.0
        except Transient as error:
            _log.warning("the watch pauses: %s", error.message)
        except Exception:  # noqa: BLE001 (the loop's edge: the thread must outlive a bug)
            _log.exception("the watch: a look came to nothing")
