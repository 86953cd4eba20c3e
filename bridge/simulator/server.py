"""A small threaded HTTP/1.1 server for the simulator: keep-alive, and resets and outages that are real.

The ready-made development servers close the connection after each answer, which would hide every fault of a pooled
connection; and none can reset one.
"""

from __future__ import annotations

import io
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from flask import Flask

from bridge.errors import Misconfigured, Problem
from bridge.simulator.app import CERTIFICATE, ENDING, create_app
from bridge.simulator.applying import apply_scenario
from bridge.simulator.request import BODY_BYTES_MAX
from bridge.simulator.scenario import Scenario, load_scenario
from bridge.simulator.state import Clock, Simulator
from bridge.simulator.tls import Authority, common_name_of

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing sends RST, not FIN
IDLE_SECONDS = 60
DISCARD_BYTES_MAX = 4 * BODY_BYTES_MAX


class SimulatorServer:
    """A simulator on a real socket, served by threads until the block ends. Port 0: the system's choice."""

    def __init__(
        self,
        *,
        clock: Clock,  # aware UTC
        username: str = "bridge",
        password: str = "bridge",  # noqa: S107  # reachable from this machine only
        port: int = 0,
        security_incidents: bool = True,
        scenario: Scenario = Scenario(),  # noqa: B008  # frozen
        tls: ssl.SSLContext | None = None,  # None: plain HTTP
    ) -> None:
        self.username = username
        self.password = password
        self.simulator = Simulator(
            clock=clock,
            accounts={username: password},
            security_incidents=security_incidents,
        )
        self.simulator.access.certificates = {username: username}
        apply_scenario(self.simulator, scenario)
        self._app = create_app(self.simulator, go_down=self._go_down)
        self._tls = tls
        listener = _Listener(self._app, port, tls, self.simulator.clock)
        self._listener: _Listener | None = listener
        self._switch = threading.Lock()  # one outage at a time
        self._outages: list[threading.Thread] = []
        self.port: int = listener.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        if self._listener is not None:
            self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.simulator.stopping.set()
        for outage in self._outages:
            outage.join()
        self.down()

    def down(self) -> None:
        """Stop listening: connections are refused and the open ones cut, as if the instance were gone."""
        with self._switch:
            if self._listener is not None:
                self._listener.stop()
                self._listener = None

    def up(self) -> None:
        """Listen again, on the same port, with the same records."""
        with self._switch:
            if self._listener is None:
                self._listener = _Listener(self._app, self.port, self._tls, self.simulator.clock)
                self._listener.start()

    def _go_down(self, seconds: float) -> None:
        """The admin route's outage: ends by itself, for nobody could ask a closed port to open."""

        def outage() -> None:
            self.simulator.stopping.wait(0.1)  # the request that asked for it is still to be answered
            self.down()
            self.simulator.stopping.wait(seconds)
            if not self.simulator.stopping.is_set():
                self.up()

        thread = threading.Thread(target=outage, name="simulator-outage")
        self._outages.append(thread)
        thread.start()


def run(
    *,
    clock: Clock,
    port: int,
    username: str,
    password: str,
    scenario: Path | None,
    security_incidents: bool,
    tls_folder: Path | None,
    announce: Callable[[SimulatorServer], None],
) -> None:
    """Serve until interrupted; `announce` is called once it listens. Raises Misconfigured for a bad scenario or folder.

    With `tls_folder` it speaks TLS, with the authority in that folder, which also gets a certificate for a client.
    """
    read = Scenario() if scenario is None else load_scenario(scenario)
    server = SimulatorServer(
        clock=clock,
        username=username,
        password=password,
        port=port,
        security_incidents=security_incidents,
        scenario=read,
        tls=None if tls_folder is None else _tls(tls_folder, read, username, now=clock()),
    )
    with server:
        try:
            announce(server)
            threading.Event().wait()
        except KeyboardInterrupt:
            return


def _tls(folder: Path, scenario: Scenario, username: str, *, now: datetime) -> ssl.SSLContext:
    try:
        authority = Authority(folder, now=now)
        authority.client(username)
        return authority.context(scenario.client_certificates)
    except (OSError, ValueError) as error:
        problem = Problem(str(folder), 0, 0, f"no CA can be kept here: {error}", "empty the folder, or name another")
        raise Misconfigured([problem]) from error


class _Listener(ThreadingMixIn, TCPServer):
    """One listening socket and its connections, a thread each."""

    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = False  # joined by server_close: nothing is left behind

    def __init__(self, app: Flask, port: int, tls: ssl.SSLContext | None, clock: Clock) -> None:
        self.app = app
        self.tls = tls
        self.clock = clock  # that answers are dated by
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="simulator-listener")
        super().__init__((HOST, port), _Connection)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.ident is not None:
            self.shutdown()
            self._thread.join()
        with self._open_lock:
            for connection in self._open:
                _cut(connection)
        self.server_close()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.tls is not None:  # the handshake is the connection's own thread's: a slow client stops nobody
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        lingers, _ = struct.unpack("ii", request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        if lingers:
            self.close_request(request)  # a shutdown first would send FIN, and the reset would not be one
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # a client that hung up is no error of ours


def _cut(connection: socket.socket) -> None:
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # under TLS, without its farewell
    except OSError:
        return  # it is closed already


class _Connection(BaseHTTPRequestHandler):
    """Reads requests from one connection and asks the application for each answer."""

    protocol_version = "HTTP/1.1"
    server_version = "simulator"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    timeout = IDLE_SECONDS
    server: _Listener

    certificate = ""  # the common name in the client's, if it showed one

    def setup(self) -> None:
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()
            self.certificate = common_name_of(self.connection)

    def answer(self) -> None:
        body = self._read_body()
        if body is None:
            return
        environ = self._environ(body)
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _error: object = None
        ) -> Callable[[bytes], object]:
            head.append((status, headers))
            return self.wfile.write

        chunks: Iterable[bytes] = self.server.app(environ, start_response)
        content = b"".join(chunks)
        if ending := environ.get(ENDING):
            self._end(ending)
            return
        self._write(*head[-1], content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def _read_body(self) -> bytes | None:
        """The whole body, so that the next request starts where it should. None: answered already."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.send_error(411)
            self.close_connection = True
            return None
        if int(length) > BODY_BYTES_MAX:
            self._discard(int(length))  # refused by its length [OBSERVED]
            return b""
        return self.rfile.read(int(length))

    def _discard(self, length: int) -> None:
        """Take in what will be refused: closing on unread bytes would reset the connection, the answer unread."""
        self.close_connection = True
        left = min(length, DISCARD_BYTES_MAX)
        while left > 0 and (chunk := self.rfile.read(min(left, 1 << 16))):
            left -= len(chunk)

    def _environ(self, body: bytes) -> dict[str, Any]:
        target = urlsplit(self.path)
        host, port = self.server.server_address[:2]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(target.path, "latin-1"),
            "QUERY_STRING": target.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", "0"),
            "SERVER_NAME": str(host),
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self.server.tls is None else "https",
            CERTIFICATE: self.certificate,
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            key = "HTTP_" + name.upper().replace("-", "_")
            if key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
                environ[key] = value
        return environ

    def _write(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        code, _, words = status.partition(" ")
        self.send_response(int(code), words)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        if code != "204":
            self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _end(self, ending: str) -> None:
        self.close_connection = True
        if ending == "silence":
            self.rfile.read(1)  # until the caller hangs up, or the listener stops
        if ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def date_time_string(self, timestamp: float | None = None) -> str:
        del timestamp  # the machine's
        return format_datetime(self.server.clock(), usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Nothing: the simulator keeps its calls itself."""
