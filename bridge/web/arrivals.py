"""gunicorn's threaded worker, with an end to waiting: a sender that dawdles holds a thread for seconds, not for ever.

A thread reads a request as slowly as its sender writes it, and gunicorn sets no limit to that. So one watchdog shuts
the socket of a request that has not arrived in time, for reading only: the read ends, and the answer can still be sent.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

ARRIVAL_SECONDS = 10.0  # for headers and body together; GitHub, for one, gives the whole exchange no longer
WATCH_SECONDS = 0.5  # how late the watchdog may be
LINGER_SECONDS = 1.0  # after the last answer: what is still under way is read, or a reset could overtake the answer
LINGER_BYTES_MAX = 1 << 16


class Worker(ThreadWorker):  # type: ignore[misc]
    def init_process(self) -> None:
        self._arrivals = Arrivals(ARRIVAL_SECONDS)
        threading.Thread(target=self._watch, name="arrivals", daemon=True).start()
        super().init_process()

    def handle(self, conn: Any) -> object:
        with self._arrivals.expect(conn.sock):
            goes_on: object = super().handle(conn)
        if goes_on is False:
            linger(conn.sock)  # here: gunicorn would do it in the one thread that accepts connections
        return goes_on

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            self._arrivals.cut(time.monotonic())


class Arrivals:
    """The sockets on which a request is awaited or worked on, each with its deadline. Shared by all threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[int, tuple[float, socket.socket]] = {}  # single operations on it are atomic

    @contextlib.contextmanager
    def expect(self, sock: socket.socket) -> Iterator[None]:
        key = id(sock)
        self._due[key] = (time.monotonic() + self._seconds, sock)
        try:
            yield
        finally:
            self._due.pop(key, None)

    def cut(self, now: float) -> None:
        """End the reading on every overdue socket. One that has its request already loses no more than keep-alive."""
        for deadline, sock in list(self._due.values()):
            if deadline <= now:
                with contextlib.suppress(OSError):  # it has been closed by now
                    sock.shutdown(socket.SHUT_RD)


def linger(sock: socket.socket) -> None:
    """Say that no more comes, and read what is still under way, for a moment; then for reading, too, it is shut."""
    with contextlib.suppress(OSError):  # it is gone already
        sock.shutdown(socket.SHUT_WR)
        until, read = time.monotonic() + LINGER_SECONDS, 0
        while (left := until - time.monotonic()) > 0 and read < LINGER_BYTES_MAX:
            sock.settimeout(left)
            chunk = sock.recv(1 << 14)
            if not chunk:
                break
            read += len(chunk)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RD)
