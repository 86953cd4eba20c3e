"""Connections that keep a deadline: checked just before the first byte goes out, enforced by a watchdog after.

Phase time-outs bound one read, not the sum of them: a server that drips a header byte a second holds a caller for
hours. So every call has a timer that shuts its socket at the deadline, through a duplicate of its descriptor: the TLS
layer and `Connection: close` both take the original away while a call is still under way. Two things it cannot cut
short, both before anything is sent: the system's name resolution, and the connect time-out of each further address.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from http import HTTPStatus
from types import TracebackType
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProxyError

from bridge.errors import Transient
from bridge.servicenow.proxy import Proxy
from bridge.settings import Transport

# A connection that rested longer is not used again. The server may close one at the very moment we send on it, and
# such a write is ambiguous; a round's read and write follow each other well within this, and servers keep idle ones
# longer.
IDLE_SECONDS_MAX = 2.0

_current: ContextVar[Call] = ContextVar("servicenow_call")


class Call:
    """One request under way: its deadline, whether a byte of it went out, and the socket that the watchdog shuts."""

    def __init__(self, *, deadline: float, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.sent = False  # from the first byte on, a write may have been applied
        self.expired = False  # the watchdog has shut the socket
        self._deadline = deadline
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None

    def __enter__(self) -> Call:
        self._token = _current.set(self)
        self._watchdog = threading.Timer(self.remaining, self._expire)
        self._watchdog.daemon = True
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        with self._lock:
            if self._watched is not None:
                self._watched.close()
                self._watched = None
        _current.reset(self._token)

    @property
    def remaining(self) -> float:
        return max(0.0, self._deadline - self.monotonic())

    def watch(self, connected: socket.socket) -> None:
        """Let the watchdog hold this socket, at once if it is late already."""
        with self._lock:
            if self._watched is None:
                self._watched = socket.socket(fileno=os.dup(connected.fileno()))
            if self.expired:
                self._shut()

    def about_to_send(self) -> None:
        """The last check before the first byte; after it a write may have been applied. Nothing more goes out late:
        the watchdog's timer stands still while the machine is suspended, between a head and its body too.
        """
        late = self.remaining <= 0.0 or self.expired
        if late and not self.sent:
            raise deadline_passed()
        if late:
            self._expire()
        self.sent = True

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._shut()

    def _shut(self) -> None:
        if self._watched is not None:
            with suppress(OSError):  # the other side was quicker
                self._watched.shutdown(socket.SHUT_RDWR)


def deadline_passed() -> Transient:
    return Transient("deadline_passed", "The deadline passed before the request was sent; nothing was sent.")


class ProxyAsks(ProxyError):
    """The proxy asks for credentials, or for other ones."""


class _Timed(HTTPConnection):
    """The hooks of a call, for both kinds of connection."""

    _rested_since: float | None = None
    _tunnelling = False

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        _current.get().watch(connected)  # here, not in connect(): a TLS handshake can be dripped as well
        return connected

    def _tunnel(self) -> None:
        """Ask a proxy for the way to ServiceNow: nothing of the request is sent by that."""
        self._tunnelling = True
        try:
            super()._tunnel()
        except OSError as error:
            asked = f"failed: {HTTPStatus.PROXY_AUTHENTICATION_REQUIRED.value}" in str(error)  # http.client's own words
            raise (ProxyAsks if asked else ProxyError)("the proxy gave no way to the instance", error) from error
        finally:
            self._tunnelling = False

    def send(self, data: Any) -> None:
        if self._tunnelling:
            super().send(data)
            return
        call = _current.get()
        if self.sock is None:
            self.connect()
        call.watch(self.sock)
        call.about_to_send()
        super().send(data)

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._rested_since = _current.get().monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        """False makes the pool close it and connect anew; the pool asks just before it uses a connection again."""
        rested = 0.0 if self._rested_since is None else _current.get().monotonic() - self._rested_since
        return rested <= IDLE_SECONDS_MAX and super().is_connected


class _TimedTls(_Timed, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTls


POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    """No retries (requests' default): the store decides when to try again."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        if proxy not in self.proxy_manager:
            self.proxy_manager.clear()  # those of the URL before, with their connections
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager


class _NoCookies(RequestsCookieJar):
    def set_cookie(self, cookie: Any, *args: Any, **kwargs: Any) -> None:
        """A session of ServiceNow's would tie us to a node and to its time-out: none is kept, so none is sent."""


class Session(requests.Session):
    """A session that keeps no cookies, follows no redirects and asks nothing of the environment.

    Certificates and keys are read from their files for each new connection: they may be renewed in place.
    Raises KeyError, OSError or ValueError when the secret of the proxy cannot be used.
    """

    def __init__(self, *, connections: int, transport: Transport) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies = _NoCookies()
        if transport.ca is not None:
            self.verify = str(transport.ca)
        if transport.client_cert is not None:
            key = transport.client_key or transport.client_cert
            self.cert = (str(transport.client_cert), str(key))
        self.proxy = Proxy(transport.proxy) if transport.proxy is not None else None
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(pool_connections=1, pool_maxsize=connections))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """By the proxy as its secret is now: a new password needs no restart."""
        if self.proxy is not None:
            url = self.proxy.url()
            kwargs["proxies"] = {"http": url, "https": url}
        return super().send(request, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never one. Only not following would still read the whole body of the redirect, however large."""
