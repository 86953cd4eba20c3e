"""The thread that looks around, beside those that work rounds. Whether it is time, each look says itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from bridge.errors import Transient

LOOK_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Watch:
    """`start` and `stop` frame its life."""

    def __init__(
        self, looks: Sequence[Callable[[], object]], stopping: threading.Event, *, every: float = LOOK_SECONDS
    ) -> None:
        self._looks = looks  # each may raise: it is told, and looked at again after a while
        self._stopping = stopping  # set by `wind_down`; a look that takes long may ask it
        self._every = every  # seconds
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
        while not self._stopping.wait(self._every):
            for look in self._looks:
                if not self._stopping.is_set():
                    self._look(look)

    def _look(self, look: Callable[[], object]) -> None:
        try:
            look()
        except Transient as error:
            _log.warning("the watch pauses: %s", error.message)
        except Exception:  # noqa: BLE001 (the loop's edge: the thread must outlive a bug)
            _log.exception("the watch: a look came to nothing")
