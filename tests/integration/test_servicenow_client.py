"""The client over real sockets, against a server that misbehaves byte by byte."""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted_server import (
    ScriptedServer,
    Step,
    answer,
    drip,
    endless,
    raw,
    reset,
    silence,
)
from urllib3.connection import HTTPConnection

from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow.client import ANSWER_BYTES_MAX, Client
from bridge.servicenow.connection import IDLE_SECONDS_MAX
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Limits, Secret

SYS_ID = "0123456789abcdef0123456789abcdef"
ONE = b'{"result": {"sys_id": "%s", "number": "INC1", "state": "1"}}' % SYS_ID.encode()
SECONDS = 10.0
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
PASSWORD = "BRIDGE_TEST_PASSWORD"


class Clock:
    """Monotonic time plus what a test adds."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "canary-1")
    monkeypatch.setattr(Secret, "read", _read)


def _read(secret: Secret) -> bytes:
    import os

    return os.environ[secret.name].encode()


def instance(url: str, limits: Limits | None = None) -> Instance:
    auth = InstanceAuth(scheme=AuthScheme.BASIC, username="bridge", password=Secret(kind="env", name=PASSWORD))
    return Instance(name="test", url=url, auth=auth, limits=limits or Limits())


@contextmanager
def table_api(url: str, clock: Clock | None = None, counted: list[str] | None = None) -> Iterator[TableApi]:
    words = counted if counted is not None else []
    client = Client(
        instance(url), clock=lambda: NOW, monotonic=clock or Clock(), on_call=lambda word, _seconds: words.append(word)
    )
    try:
        yield TableApi(client)
    finally:
        client.close()


def create(api: TableApi, seconds: float = SECONDS) -> str:
    return api.create("incident", {"short_description": "x"}, deadline=time.monotonic() + seconds).sys_id


def read(api: TableApi, seconds: float = SECONDS) -> object:
    return api.read("incident", SYS_ID, deadline=time.monotonic() + seconds)


FAULTS: list[tuple[str, Step, str]] = [
    ("a reset after the request", reset, "connection_lost"),
    ("an end without an answer", raw(b""), "connection_lost"),
    ("half a header", raw(b"HTTP/1.1 201 Created\r\nContent-Le"), "unreadable_answer"),
    ("no HTTP at all", raw(b"SSH-2.0-OpenSSH_9\r\n"), "connection_lost"),
    ("a body cut short", raw(b"HTTP/1.1 201 X\r\nContent-Length: 900\r\n\r\n" + ONE), "connection_lost"),
    ("a chunk cut short", raw(b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"), "connection_lost"),
    ("JSON cut short", raw(b"HTTP/1.1 201 X\r\n\r\n" + ONE[:-9]), "unreadable_answer"),
    ("an endless body", endless, "answer_too_large"),
    ("a redirect to an endless body", raw(b"HTTP/1.1 302 X\r\nLocation: /x\r\n\r\n"), "redirected"),
    ("a broken compression", answer(201, b"not gzip", "Content-Encoding: gzip"), "connection_lost"),
    (
        "a compression bomb",
        answer(201, gzip.compress(b" " * (ANSWER_BYTES_MAX + 1)), "Content-Encoding: gzip"),
        "answer_too_large",
    ),
    ("an answer without a sys_id", answer(201, b'{"result": {"number": "INC1"}}'), "no_sys_id"),
]


@pytest.mark.parametrize(("fault", "step", "code"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_write_without_a_clear_answer_is_ambiguous(fault: str, step: Step, code: str) -> None:
    with ScriptedServer(step) as server, table_api(server.url) as api:
        with pytest.raises(Ambiguous) as caught:
            create(api)
        assert (caught.value.code, len(server.requests)) == (code, 1)


@pytest.mark.parametrize(("fault", "step", "code"), FAULTS[:-1], ids=[row[0] for row in FAULTS[:-1]])
def test_a_read_without_a_clear_answer_is_tried_again(fault: str, step: Step, code: str) -> None:
    with ScriptedServer(step) as server, table_api(server.url) as api:
        with pytest.raises(Transient) as caught:
            read(api)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "step",
    [
        silence,
        drip(b"HTTP/1.1 201 Created\r\n" + b"X-Slow: y\r\n" * 99, every=0.1),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 99, every=0.05),
        drip(b"H", every=60),
    ],
    ids=["silence", "dripped headers", "dripped continues", "one byte"],
)
def test_a_total_deadline_bounds_what_phase_time_outs_do_not(step: Step) -> None:
    with ScriptedServer(step) as server, table_api(server.url) as api:
        begin = time.monotonic()
        with pytest.raises(Ambiguous) as caught:
            create(api, seconds=0.5)
        assert caught.value.code == "timed_out"
        assert time.monotonic() - begin < 1.5


def test_a_header_byte_a_second_is_cut_off_at_the_deadline() -> None:
    step = drip(b"HTTP/1.1 201 Created\r\nX: " + b"y" * 99, every=1.0)
    with ScriptedServer(step) as server, table_api(server.url) as api:
        begin = time.monotonic()
        with pytest.raises(Ambiguous, match="did not answer in time"):
            create(api, seconds=1.5)
        assert 1.0 < time.monotonic() - begin < 2.5


def test_a_dripped_body_is_cut_off_even_when_the_connection_closes_after_it() -> None:
    head = b"HTTP/1.1 201 X\r\nConnection: close\r\nContent-Length: 99\r\n\r\n"

    def step(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(head)
        drip(b" " * 99, every=0.1)(connection, stop)

    with ScriptedServer(step) as server, table_api(server.url) as api:
        with pytest.raises(Ambiguous) as caught:
            create(api, seconds=0.5)
        assert caught.value.code == "timed_out"


def test_a_refused_connection_is_not_applied() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with table_api(f"http://127.0.0.1:{port}") as api, pytest.raises(Transient) as caught:
        create(api)
    assert caught.value.code == "connect_failed"
    assert f"ServiceNow at 127.0.0.1:{port} was not reached." in caught.value.message


def test_a_name_that_cannot_be_resolved_is_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with table_api("https://instance.invalid") as api, pytest.raises(Transient) as caught:
        create(api)
    assert caught.value.code == "dns_failed"


def test_a_failed_tls_handshake_is_not_applied() -> None:
    with ScriptedServer(raw(b"HTTP/1.1 400 Plain\r\n\r\n"), read_request=False) as server:
        url = server.url.replace("http:", "https:")
        with table_api(url) as api, pytest.raises(Transient) as caught:
            create(api)
    assert caught.value.code == "tls_failed"


def test_a_silent_tls_handshake_ends_at_the_deadline_and_nothing_was_sent() -> None:
    with ScriptedServer(silence, read_request=False) as server:
        url = server.url.replace("http:", "https:")
        with table_api(url) as api, pytest.raises(Transient):
            create(api, seconds=0.4)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.fromtimestamp(time.time(), UTC) - timedelta(days=1)  # noqa: TID251 (TLS looks at the real date)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=9), [])
    signed = built.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_it_speaks_tls(tls: ssl.SSLContext) -> None:
    with ScriptedServer(answer(201, ONE), tls=tls) as server, table_api(server.url) as api:
        assert create(api) == SYS_ID


def test_a_certificate_that_is_not_trusted_is_not_applied(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        ScriptedServer(answer(201, ONE), tls=context) as server,
        table_api(server.url) as api,
        pytest.raises(Transient) as caught,
    ):
        create(api)
    assert caught.value.code == "tls_failed"


def test_the_watchdog_reaches_through_tls(tls: ssl.SSLContext) -> None:
    step = drip(b"HTTP/1.1 201 Created\r\n" + b"X-Slow: y\r\n" * 99, every=0.1)
    with ScriptedServer(step, tls=tls) as server, table_api(server.url) as api, pytest.raises(Ambiguous) as caught:
        create(api, seconds=0.5)
    assert caught.value.code == "timed_out"


def test_the_deadline_is_checked_again_after_tls_and_nothing_is_sent(tls: ssl.SSLContext) -> None:
    clock = Clock()

    def jump() -> None:  # before the handshake, so after the client's first look at the clock
        clock.ahead = 2 * SECONDS

    with ScriptedServer(answer(201, ONE), tls=tls, on_accept=jump) as server, table_api(server.url, clock) as api:
        with pytest.raises(Transient) as caught:
            create(api)
        assert (caught.value.code, server.requests) == ("deadline_passed", [])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_of_a_write_whose_deadline_passes_after_its_head_no_body_is_sent(
    scheme: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine was suspended there, and with it the watchdog's timer."""
    clock = Clock()
    send = HTTPConnection.send

    def then_suspended(self: HTTPConnection, data: bytes) -> None:
        send(self, data)
        clock.ahead = 600.0

    monkeypatch.setattr(HTTPConnection, "send", then_suspended)
    with ScriptedServer(answer(201, ONE), tls=tls if scheme == "https" else None) as server:
        with table_api(server.url, clock) as api, pytest.raises(Ambiguous) as caught:
            create(api)
        assert (caught.value.code, server.requests) == ("timed_out", [])


def test_a_deadline_that_has_passed_opens_no_connection() -> None:
    with ScriptedServer(answer(201, ONE)) as server, table_api(server.url) as api:
        with pytest.raises(Transient) as caught:
            create(api, seconds=-1)
        assert (caught.value.code, server.accepted) == ("deadline_passed", 0)


def test_a_rested_connection_is_not_used_again() -> None:
    clock = Clock()
    steps = answer(201, ONE, keep=True), answer(201, ONE, keep=True), answer(201, ONE)
    with ScriptedServer(*steps) as server, table_api(server.url, clock) as api:
        create(api)
        create(api)
        assert server.accepted == 1
        clock.ahead = IDLE_SECONDS_MAX + 1
        create(api)
        assert server.accepted == 2


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    closed = threading.Event()

    def step(connection: socket.socket, _stop: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 201 X\r\nContent-Length: %d\r\n\r\n" % len(ONE) + ONE)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with ScriptedServer(step, answer(201, ONE)) as server, table_api(server.url) as api:
        create(api)
        assert closed.wait(SECONDS)
        assert create(api) == SYS_ID


def test_no_cookie_is_sent_back() -> None:
    steps = answer(200, ONE, "Set-Cookie: JSESSIONID=1; Path=/"), answer(200, ONE)
    with ScriptedServer(*steps) as server, table_api(server.url) as api:
        read(api)
        read(api)
        assert all(b"cookie" not in request.lower() for request in server.requests)


def test_a_redirect_is_not_followed() -> None:
    with ScriptedServer(answer(200, ONE)) as other:
        moved = answer(302, b"", f"Location: {other.url}/x")
        with ScriptedServer(moved) as server, table_api(server.url) as api, pytest.raises(Transient):
            read(api)
        assert other.accepted == 0


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with ScriptedServer(answer(201, ONE)) as server, table_api(server.url) as api:
        assert create(api) == SYS_ID


def test_a_changed_password_is_used_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(answer(201, ONE), answer(201, ONE)) as server, table_api(server.url) as api:
        create(api)
        monkeypatch.setenv(PASSWORD, "canary-2")
        create(api)
        first, second = (request.split(b"Authorization: ")[1].split(b"\r\n")[0] for request in server.requests)
        assert first != second


def test_a_401_with_the_password_that_is_still_the_one_is_not_tried_again() -> None:
    with ScriptedServer(answer(401, b"{}"), answer(201, ONE)) as server, table_api(server.url) as api:
        with pytest.raises(Transient) as caught:
            create(api)
        assert (caught.value.code, len(server.requests)) == ("unauthenticated", 1)


def test_a_password_that_changed_during_a_401_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(connection: socket.socket, stop: threading.Event) -> None:
        monkeypatch.setenv(PASSWORD, "canary-2")
        answer(401, b"{}")(connection, stop)

    with ScriptedServer(step, answer(201, ONE)) as server, table_api(server.url) as api:
        assert create(api) == SYS_ID
        assert len(server.requests) == 2


def test_no_secret_stands_in_an_error() -> None:
    with ScriptedServer(answer(401, b'{"error": {"message": "no"}}')) as server, table_api(server.url) as api:
        with pytest.raises(BridgeError) as caught:
            create(api)
        assert "canary" not in str(caught.value)
        assert "no" in caught.value.message


def test_every_call_is_counted_by_its_outcome() -> None:
    gone = b'{"error": {"message": "No Record found", "detail": null}}'
    steps = (
        answer(200, ONE),
        answer(404, gone),
        answer(201, ONE),
        answer(403, b"{}"),
        answer(503, b""),
        answer(429, b""),
    )
    counted: list[str] = []
    with ScriptedServer(*steps) as server, table_api(server.url, counted=counted) as api:
        read(api)
        assert read(api) is None
        create(api)
        for kind in (Permanent, Ambiguous, Transient):
            with pytest.raises(kind):
                create(api)
    assert counted == ["read", "read", "applied", "permanent", "ambiguous", "not_applied"]


def test_no_thread_and_no_socket_is_left_behind() -> None:
    with ScriptedServer(answer(201, ONE), silence) as server:
        before = set(threading.enumerate())
        with table_api(server.url) as api:
            create(api)
            with pytest.raises(Ambiguous):
                create(api, seconds=0.2)
        for thread in set(threading.enumerate()) - before:
            thread.join(SECONDS)
        assert set(threading.enumerate()) <= before
