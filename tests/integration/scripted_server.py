"""A server of raw bytes for what no decent HTTP server does: resets, dripped headers, truncated and endless answers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType

# One step answers one request: it gets the connection after the request was read whole. Returning True keeps the
# connection open for another request.
Step = Callable[[socket.socket, threading.Event], bool | None]


class ScriptedServer:
    """Serves the steps in order, one request each; `requests` holds what was read, `accepted` counts connections."""

    def __init__(
        self,
        *steps: Step,
        tls: ssl.SSLContext | None = None,
        on_accept: Callable[[], None] = lambda: None,
        read_request: bool = True,
    ) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self._steps = list(steps)
        self._tls = tls
        self._on_accept = on_accept
        self._read_request = read_request
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._thread = threading.Thread(target=self._serve)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _address = self._listener.accept()
                self.accepted += 1
                self._on_accept()
                with contextlib.suppress(OSError):
                    self._converse(connection)
                connection.close()

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            while self._steps:
                if self._read_request:
                    request = _read(connection)
                    if not request:
                        return
                    self.requests.append(request)
                if not self._steps.pop(0)(connection, self._stop):
                    return


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        body += chunk
    return head + b"\r\n\r\n" + body


def answer(status: int, body: bytes, *headers: str, content_type: str = "application/json", keep: bool = False) -> Step:
    """A well-formed answer."""

    def step(connection: socket.socket, _stop: threading.Event) -> bool:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
        if not keep:
            lines.append("Connection: close")
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return keep

    return step


def raw(data: bytes) -> Step:
    """Exactly these bytes, then the end."""

    def step(connection: socket.socket, _stop: threading.Event) -> None:
        connection.sendall(data)

    return step


def reset(connection: socket.socket, _stop: threading.Event) -> None:
    """RST instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drip(data: bytes, *, every: float) -> Step:
    """One byte at a time, until the data or the caller is at its end."""

    def step(connection: socket.socket, stop: threading.Event) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            if stop.wait(every):
                return

    return step


def silence(_connection: socket.socket, stop: threading.Event) -> None:
    """Nothing, until the test ends."""
    stop.wait(10)


def endless(connection: socket.socket, stop: threading.Event) -> None:
    """A body without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b" " * 65536)
