"""A syslog collector as an anchor: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, octets counted) or TLS (RFC 5425).

Syslog has no answer: no collector says that it has kept a message. What can be known is done: each checkpoint goes over
a connection of its own, so that none goes into one that died long ago, and the collector's end of it is awaited.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bridge.canonical import at_text
from bridge.errors import Transient
from bridge.log.anchors import line_of
from bridge.settings import AnchorSyslog

SECONDS_MAX = 5.0  # to connect, and then to be taken
REFUSED_WITHIN_SECONDS = 0.5  # the machine of a UDP port where nobody listens may say so
MESSAGE_BYTES_MAX = 2048  # what every receiver should take: RFC 5424, 6.1
HOSTNAME_MAX = 255  # RFC 5424, 6
PRIORITY = 13 * 8 + 5  # facility log audit, severity notice: RFC 5424, 6.2.1
APP_NAME = "incident-bridge"


@dataclass(frozen=True, slots=True)
class Syslog:
    setting: AnchorSyslog

    @property
    def name(self) -> str:
        return self.setting.name

    def send(self, note: str, at: datetime) -> None:
        message = message_of(note, at, hostname=socket.gethostname(), process=os.getpid())
        try:
            SENDERS[self.setting.transport](self.setting, message)
        except OSError as error:
            raise Transient("anchor_syslog", why(error, self.setting)) from error


def message_of(note: str, at: datetime, *, hostname: str, process: int) -> bytes:
    """One message of RFC 5424. It is ASCII: a text of UTF-8 would need a mark that not every collector takes."""
    host = "".join(sign for sign in hostname if "!" <= sign <= "~")[:HOSTNAME_MAX] or "-"
    header = f"<{PRIORITY}>1 {at_text(at)} {host} {APP_NAME} {process} checkpoint"
    return f'{header} [origin software="{APP_NAME}"] '.encode("ascii") + line_of(note, at)


def framed(message: bytes) -> bytes:
    """With its length before it: RFC 6587, 3.4.1; RFC 5425, 4.3."""
    return b"%d %s" % (len(message), message)


def _send_udp(setting: AnchorSyslog, message: bytes) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(setting.host, setting.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.settimeout(REFUSED_WITHIN_SECONDS)
        sock.connect(address)
        sock.send(message)
        try:
            sock.recv(1)
        except TimeoutError:
            return  # no news: all that UDP can say


def _send_tcp(setting: AnchorSyslog, message: bytes) -> None:
    with _connected(setting) as sock:
        sock.sendall(framed(message))
        sock.shutdown(socket.SHUT_WR)
        for _ in _until_it_ends(sock):
            pass


def _send_tls(setting: AnchorSyslog, message: bytes) -> None:
    """With the bytes in our hands: OpenSSL takes a refusal that comes while it says good-bye for an answer to that."""
    context = ssl.create_default_context(cafile=setting.ca)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=setting.host)
    with _connected(setting) as sock:
        _shake_hands(sock, tls, incoming, outgoing)
        tls.write(framed(message))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()  # good-bye, as RFC 5425, 4.4 asks
        sock.sendall(outgoing.read())
        sock.shutdown(socket.SHUT_WR)
        for received in _until_it_ends(sock):
            incoming.write(received)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while tls.read():  # raises what the collector refuses us with
                    pass


SENDERS = {"udp": _send_udp, "tcp": _send_tcp, "tls": _send_tls}


def _connected(setting: AnchorSyslog) -> socket.socket:
    return socket.create_connection((setting.host, setting.port), timeout=SECONDS_MAX)


def _shake_hands(sock: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    until = time.monotonic() + SECONDS_MAX
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            if received := _received(sock, until):
                incoming.write(received)
            else:
                incoming.write_eof()
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                sock.sendall(outgoing.read())  # the collector's log has the reason, too
            raise
        else:
            return


def _until_it_ends(sock: socket.socket) -> Iterator[bytes]:
    """What the collector says until it ends the connection, as one does that has read all. One that died resets it, or
    its machine acknowledges nothing; one that keeps it open has the message at least in its machine's memory.
    """
    until = time.monotonic() + SECONDS_MAX
    try:
        while received := _received(sock, until):
            yield received
    except TimeoutError:
        if struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]:  # not acknowledged
            raise


def _received(sock: socket.socket, until: float) -> bytes:
    sock.settimeout(max(0.001, until - time.monotonic()))
    return sock.recv(16_384)


def why(error: OSError, setting: AnchorSyslog) -> str:
    """The sentence for whoever operates the bridge."""
    place = setting.name.removeprefix("syslog:")
    if isinstance(error, socket.gaierror):
        return f"no address is known of {setting.host}: correct the name, or look at this machine's resolver"
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "the collector's certificate must be for this name, and its authority be known: `ca` names another"
        return f"{place} shows a certificate that is not taken, {error.verify_message.rstrip('.')}; {remedy}"
    if isinstance(error, ssl.SSLError):
        remedy = "look at the collector's log: it may speak no TLS at this port, or ask for a client's certificate"
        return f"{place} and the bridge found no common TLS, {error.reason or error}; {remedy}"
    if isinstance(error, TimeoutError):
        return f"{place} does not answer within {SECONDS_MAX:.0f} s: look at the collector, and the firewalls between"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {place}: start the collector, or correct the port"
    if isinstance(error, ConnectionResetError | BrokenPipeError) or error.errno == errno.ENOTCONN:
        other = "ask for a client's certificate" if setting.transport == "tls" else "speak TLS at this port"
        remedy = f"look at the collector's log: it may have stopped, or {other}"
        return f"{place} ended the connection before it had taken the checkpoint; {remedy}"
    return f"{place} cannot be reached: {error.strerror or error}; look at the network"
