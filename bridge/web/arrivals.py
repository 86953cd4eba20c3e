"""gunicorn's threaded worker, with an end to waiting: a sender that dawdles holds a thread for seconds, not for ever.

A thread reads a request as slowly as its sender writes it, and gunicorn sets no limit to that. So one watchdog shuts
the socket of a request that has not arrived in time, for reading only: the read ends, and the answer can still be sent.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import select
import socket
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from gunicorn.workers.gthread import _DEFER, ThreadWorker

ARRIVAL_SECONDS = 10.0  # for headers and body together; GitHub, for one, gives the whole exchange no longer
FIRST_BYTE_SECONDS = 0.05  # a thread waits so long for a new connection to say anything
WATCH_SECONDS = 0.5  # how late the watchdog may be
LINGER_SECONDS = 1.0  # after the last answer: what is still under way is read, or a reset could overtake the answer
LINGER_BYTES_MAX = 1 << 16
# New objects from one search for unreachable cycles to the next. Python's own 700 are reached many times while one
# delivery of 100 alerts is taken in, for nothing: mapping and storing it make no cycle.
OBJECTS_BETWEEN_SEARCHES = 10_000
# glibc gives each thread a heap of its own, and hands little of what they held at their busiest back: a twelfth of the
# process, with 32 threads and bodies of 100 KB. So one heap for all, for they hold one interpreter's lock anyway, and
# large pieces apart from it. Numbers of the options as in <malloc.h>.
MALLOC = {"M_ARENA_MAX": (-8, 1), "M_MMAP_THRESHOLD": (-3, 1 << 16), "M_TRIM_THRESHOLD": (-1, 1 << 17)}


# Connections whose body is not wanted: whoever is refused by the headers alone.
_unwanted: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def leave_unread(environ: Mapping[str, Any]) -> None:
    """Close this request's connection after the answer, instead of waiting for the rest of its body."""
    if (sock := environ.get("gunicorn.socket")) is not None:
        _unwanted.add(sock)


def keep_little_memory() -> None:
    """Of a process that has no thread but this one yet. Nothing where the C library is not glibc."""
    with contextlib.suppress(AttributeError):
        for option, value in MALLOC.values():
            ctypes.CDLL(None).mallopt(option, value)


class Worker(ThreadWorker):  # type: ignore[misc]
    def init_process(self) -> None:
        gc.set_threshold(OBJECTS_BETWEEN_SEARCHES, *gc.get_threshold()[1:])
        keep_little_memory()
        self._arrivals = Arrivals(ARRIVAL_SECONDS)
        threading.Thread(target=self._watch, name="arrivals", daemon=True).start()
        super().init_process()

    def handle(self, conn: Any) -> object:
        if not conn.initialized and not conn.wait_for_data(FIRST_BYTE_SECONDS):
            return _DEFER  # it says nothing yet: the selector waits for it, not a thread
        with self._arrivals.expect(conn.sock):
            goes_on: object = super().handle(conn)
        if goes_on is False:
            linger(conn.sock)  # here: gunicorn would do it in the one thread that accepts connections
        return goes_on

    def handle_request(self, req: Any, conn: Any) -> object:
        goes_on: object = super().handle_request(req, conn)
        if conn.sock in _unwanted:
            _unwanted.discard(conn.sock)
            return False
        return goes_on

    def set_accept_enabled(self, enabled: bool) -> None:
        """At the end: whoever is connected already is answered, and nobody is let in to be cut off later."""
        super().set_accept_enabled(enabled)
        if self.alive or enabled:
            return
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()  # the master has closed its own: from here on a connection is refused, not reset

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
