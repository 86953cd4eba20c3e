"""The anchor that is a syslog collector, over real sockets: what it is sent, and what each of its failures tells."""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.errors import Transient
from bridge.log import syslog
from bridge.log.anchors import anchor_for
from bridge.log.note import Checkpoint, Signer, sign
from bridge.settings import AnchorSyslog
from bridge.simulator.tls import Authority, ClientCertificates

NOW = datetime(2026, 3, 10, 12, 0, 0, 1500, tzinfo=UTC)
ORIGIN = "incident-bridge/0a1b2c3d"
NOTE = sign(Checkpoint(ORIGIN, 4711, b"\x07" * 32), [Signer(ORIGIN, Ed25519PrivateKey.generate())])

# RFC 5424, 6: <PRI>VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG
MESSAGE = re.compile(
    rb"<109>1 2026-03-10T12:00:00\.001500Z ([!-~]{1,255}) incident-bridge ([0-9]+) checkpoint "
    rb'\[origin software="incident-bridge"\] (\{.*\})'
)


class Collector:
    """Takes one connection after the other, and does with each what it is told to."""

    def __init__(self, behave: Callable[[socket.socket], bytes], tls: ssl.SSLContext | None, host: str) -> None:
        self.listener = socket.create_server((host, 0))
        self.port: int = self.listener.getsockname()[1]
        self.taken: list[bytes] = []
        self._behave, self._tls = behave, tls
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            connection, _ = self.listener.accept()
            with connection:
                if self._tls is None:
                    self.taken.append(self._behave(connection))
                    return
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self.taken.append(self._behave(secured))
        except OSError:
            return  # what the other side sees is what the test is about

    def stop(self) -> list[bytes]:
        self._thread.join(20)
        self.listener.close()
        return self.taken


def reads_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


def resets(connection: socket.socket) -> bytes:
    """As a process does that dies with something unread."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return b""


@pytest.fixture
def collector() -> Iterator[Callable[..., Collector]]:
    made: list[Collector] = []

    def make(
        behave: Callable[[socket.socket], bytes], tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> Collector:
        made.append(Collector(behave, tls, host))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def to(port: int, transport: str, *, host: str = "127.0.0.1", ca: Path | None = None) -> AnchorSyslog:
    return AnchorSyslog(name=f"syslog:{host}:{port}", host=host, port=port, transport=transport, ca=ca)


def send(setting: AnchorSyslog) -> None:
    anchor_for(setting).send(NOTE, NOW)


def told(setting: AnchorSyslog) -> str:
    with pytest.raises(Transient) as caught:
        send(setting)
    return caught.value.message


def unframed(stream: bytes) -> bytes:
    """RFC 6587, 3.4.1: MSG-LEN SP SYSLOG-MSG, and nothing else."""
    length, _, message = stream.partition(b" ")
    assert int(length) == len(message)
    return message


def checkpoint_in(message: bytes) -> str:
    found = MESSAGE.fullmatch(message)
    assert found is not None, message
    return str(json.loads(found[3])["checkpoint"])


@pytest.fixture
def server_side(authority: Authority) -> ssl.SSLContext:
    pair = authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


# --- what is sent


def test_a_datagram_is_one_message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        send(to(receiver.getsockname()[1], "udp"))
        assert checkpoint_in(receiver.recv(65_535)) == NOTE


def test_over_tcp_its_length_goes_before_it(collector: Callable[..., Collector]) -> None:
    there = collector(reads_all)
    send(to(there.port, "tcp"))
    assert [checkpoint_in(unframed(one)) for one in there.stop()] == [NOTE]


def test_over_tls_it_goes_in_the_same_frame_to_one_that_closes_without_a_word(
    collector: Callable[..., Collector], authority: Authority, server_side: ssl.SSLContext
) -> None:
    there = collector(reads_all, server_side)
    send(to(there.port, "tls", ca=authority.certificate_file))
    assert [checkpoint_in(unframed(one)) for one in there.stop()] == [NOTE]


def test_a_message_of_two_signatures_fits_what_every_receiver_takes() -> None:
    signers = [Signer(ORIGIN, Ed25519PrivateKey.generate()) for _ in range(2)]
    note = sign(Checkpoint(ORIGIN, 2**62, b"\xff" * 32), signers)
    message = syslog.message_of(note, NOW, hostname="h" * 300, process=2**22)
    assert len(message) < syslog.MESSAGE_BYTES_MAX
    assert checkpoint_in(message) == note


@pytest.mark.parametrize(
    ("hostname", "written"), [("", b"-"), ("löwe 1", b"lwe1"), ("x" * 300, b"x" * 255), ("a.b", b"a.b")]
)
def test_a_hostname_is_what_the_format_can_carry(hostname: str, written: bytes) -> None:
    found = MESSAGE.fullmatch(syslog.message_of(NOTE, NOW, hostname=hostname, process=1))
    assert found is not None
    assert found[1] == written


# --- who takes it without saying much


def test_a_collector_that_keeps_the_connection_open_has_taken_it(
    collector: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "SECONDS_MAX", 0.2)
    done = threading.Event()
    there = collector(lambda connection: reads_all(connection) if done.wait(20) else b"")
    send(to(there.port, "tcp"))
    done.set()
    assert [checkpoint_in(unframed(one)) for one in there.stop()] == [NOTE]


def test_a_collector_that_ends_tls_in_due_form_has_taken_it(
    collector: Callable[..., Collector], authority: Authority, server_side: ssl.SSLContext
) -> None:
    def ends(connection: socket.socket) -> bytes:
        assert isinstance(connection, ssl.SSLSocket)
        read = reads_all(connection)
        connection.unwrap().close()
        return read

    there = collector(ends, server_side)
    send(to(there.port, "tls", ca=authority.certificate_file))
    assert [checkpoint_in(unframed(one)) for one in there.stop()] == [NOTE]


# --- each failure


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_port_where_nobody_listens(transport: str) -> None:
    port = free_port()
    expected = f"nobody listens at 127.0.0.1:{port}: start the collector, or correct the port"
    assert told(to(port, transport)) == expected


def test_a_collector_that_dies_with_the_message_unread(collector: Callable[..., Collector]) -> None:
    expected = "ended the connection before it had taken the checkpoint; look at the collector's log"
    assert expected in told(to(collector(resets).port, "tcp"))


def test_a_collector_that_dies_with_the_message_unread_over_tls(
    collector: Callable[..., Collector], authority: Authority, server_side: ssl.SSLContext
) -> None:
    there = collector(resets, server_side)
    assert "ended the connection before" in told(to(there.port, "tls", ca=authority.certificate_file))


def test_a_machine_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "SECONDS_MAX", 0.2)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))):  # the one that it has room for
            assert "does not answer within 0 s: look at the collector, and the firewalls" in told(to(port, "tcp"))


def test_a_collector_whose_machine_has_not_taken_the_message(
    collector: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "SECONDS_MAX", 0.2)
    done = threading.Event()
    there = collector(lambda _: bytes(done.wait(20)))
    there.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with pytest.raises(Transient, match="does not answer within 0 s"):
        anchor_for(to(there.port, "tcp")).send("x" * 200_000, NOW)
    done.set()


def test_a_certificate_for_another_name(
    collector: Callable[..., Collector], authority: Authority, server_side: ssl.SSLContext
) -> None:
    there = collector(reads_all, server_side, host="127.0.0.2")
    text = told(to(there.port, "tls", host="127.0.0.2", ca=authority.certificate_file))
    assert (
        "shows a certificate that is not taken, IP address mismatch, certificate is not valid for '127.0.0.2'" in text
    )
    assert "the collector's certificate must be for this name, and its authority be known: `ca` names another" in text
    assert there.stop() == []


def test_a_certificate_of_an_unknown_authority(
    collector: Callable[..., Collector], server_side: ssl.SSLContext
) -> None:
    there = collector(reads_all, server_side)
    assert "unable to get local issuer certificate; the collector's" in told(to(there.port, "tls"))
    assert there.stop() == []


def test_a_collector_that_does_not_speak_tls(collector: Callable[..., Collector], authority: Authority) -> None:
    def answers(connection: socket.socket) -> bytes:
        connection.sendall(b"what is this\n")
        return reads_all(connection)

    text = told(to(collector(answers).port, "tls", ca=authority.certificate_file))
    assert "found no common TLS, WRONG_VERSION_NUMBER; look at the collector's log: it may speak no TLS" in text


def test_a_collector_that_asks_for_a_clients_certificate(
    collector: Callable[..., Collector], authority: Authority
) -> None:
    there = collector(reads_all, authority.context(ClientCertificates.REQUIRED))
    text = told(to(there.port, "tls", ca=authority.certificate_file))
    assert "ask for a client's certificate" in text  # OpenSSL's own word is lost where the reset overtakes it
    assert there.stop() == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "no address is known of h: correct the name, or look at"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "h:514 cannot be reached: Network is unreachable; look"),
    ],
)
def test_what_cannot_be_had_here_is_told_too(error: OSError, expected: str) -> None:
    assert expected in syslog.why(error, to(514, "udp", host="h"))
