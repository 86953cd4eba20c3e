"""Private authorities, client certificates and proxies, over real sockets."""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted_server import ScriptedServer, Step, answer, drip, reset, silence

from bridge.errors import Ambiguous, Transient
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret, Transport

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SYS_ID = "0123456789abcdef0123456789abcdef"
CREATED = answer(201, b'{"result": {"sys_id": "%s", "number": "INC1", "state": "1"}}' % SYS_ID.encode())


class Authority:
    """A certificate authority of our own, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.file = folder / "ca.pem"
        made = self._build(self._name, self._key.public_key()).add_extension(x509.BasicConstraints(True, None), True)
        self.file.write_bytes(self._sign(made))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(self._sign(self._build(subject, key.public_key()).add_extension(here, False)))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def server(self, *, asks_for_a_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server"))
        if asks_for_a_certificate:
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the refusal is part of the handshake
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context

    def _build(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        begin = datetime.fromtimestamp(time.time(), UTC) - timedelta(days=1)  # noqa: TID251 (TLS looks at the real date)
        return x509.CertificateBuilder(
            self._name, subject, key, x509.random_serial_number(), begin, begin + timedelta(days=9), []
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@contextmanager
def table_api(url: str, transport: Transport) -> Iterator[TableApi]:
    auth = InstanceAuth(scheme=AuthScheme.BASIC, username="u", password=Secret(kind="env", name="TRANSPORT_TEST"))
    client = Client(
        Instance(name="test", url=url, auth=auth, transport=transport), clock=lambda: NOW, monotonic=time.monotonic
    )
    try:
        yield TableApi(client)
    finally:
        client.close()


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPORT_TEST", "p")


def create(api: TableApi, seconds: float = 10.0) -> str:
    return api.create("incident", {"short_description": "x"}, deadline=time.monotonic() + seconds).sys_id


def refused(api: TableApi, seconds: float = 10.0) -> str:
    with pytest.raises(Transient) as caught:
        create(api, seconds)
    return caught.value.code


def test_a_private_authority_is_trusted_when_it_is_named(authority: Authority) -> None:
    with (
        ScriptedServer(CREATED, tls=authority.server()) as server,
        table_api(server.url, Transport(ca=authority.file)) as api,
    ):
        assert create(api) == SYS_ID


def test_without_its_name_it_is_not(authority: Authority) -> None:
    with ScriptedServer(CREATED, tls=authority.server()) as server, table_api(server.url, Transport()) as api:
        assert refused(api) == "tls_failed"


def test_a_client_certificate_is_shown(authority: Authority) -> None:
    certificate, key = authority.issue("client")
    transport = Transport(ca=authority.file, client_cert=certificate, client_key=key)
    with (
        ScriptedServer(CREATED, tls=authority.server(asks_for_a_certificate=True)) as server,
        table_api(server.url, transport) as api,
    ):
        assert create(api) == SYS_ID


def test_a_certificate_and_its_key_may_be_one_file(authority: Authority) -> None:
    certificate, key = authority.issue("both")
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    with (
        ScriptedServer(CREATED, tls=authority.server(asks_for_a_certificate=True)) as server,
        table_api(server.url, Transport(ca=authority.file, client_cert=certificate)) as api,
    ):
        assert create(api) == SYS_ID


def test_a_server_that_asks_for_a_certificate_in_vain_has_got_nothing(authority: Authority) -> None:
    with (
        ScriptedServer(CREATED, tls=authority.server(asks_for_a_certificate=True)) as server,
        table_api(server.url, Transport(ca=authority.file)) as api,
    ):
        assert refused(api) == "tls_failed"
        assert server.requests == []


def tunnel(connection: socket.socket, stop: threading.Event) -> None:
    """What a proxy does: a way to the port that was asked for."""
    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    with socket.create_connection(("127.0.0.1", tunnel_port[0])) as onward:
        ends = {connection: onward, onward: connection}
        while not stop.is_set():
            for end in select.select(list(ends), [], [], 0.05)[0]:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)


tunnel_port: list[int] = []


def through(proxy: ScriptedServer, server: ScriptedServer) -> None:
    tunnel_port[:] = [int(server.url.rpartition(":")[2])]
    assert proxy.requests == []


def test_a_proxy_is_asked_for_a_way_and_sees_nothing_else(authority: Authority) -> None:
    with ScriptedServer(CREATED, tls=authority.server()) as server, ScriptedServer(tunnel) as proxy:
        through(proxy, server)
        with table_api(server.url, Transport(ca=authority.file, proxy=proxy.url)) as api:
            assert create(api) == SYS_ID
        host = server.url.removeprefix("https://").encode()
        assert proxy.requests[0].startswith(b"CONNECT " + host + b" HTTP/1.")
        assert b"Authorization: Basic" not in proxy.requests[0].replace(b"Proxy-Authorization", b"")
        assert len(server.requests) == 1


def test_a_proxys_password_comes_from_a_secret(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(CREATED, tls=authority.server()) as server, ScriptedServer(tunnel) as proxy:
        through(proxy, server)
        monkeypatch.setenv("TRANSPORT_TEST_PROXY", proxy.url.replace("//", "//me:canary@"))
        transport = Transport(ca=authority.file, proxy=Secret(kind="env", name="TRANSPORT_TEST_PROXY"))
        with table_api(server.url, transport) as api:
            assert create(api) == SYS_ID
        assert b"Proxy-Authorization: Basic bWU6Y2FuYXJ5" in proxy.requests[0]


def test_a_proxys_new_password_is_used_by_the_next_call(authority: Authority, tmp_path: Path) -> None:
    secret = tmp_path / "proxy"
    refusal = answer(407, b"", "Proxy-Authenticate: Basic")
    with ScriptedServer(CREATED, tls=authority.server()) as server, ScriptedServer(refusal, tunnel) as proxy:
        through(proxy, server)
        secret.write_text(proxy.url.replace("//", "//me:old@"))
        with table_api(server.url, Transport(ca=authority.file, proxy=Secret(kind="file", name=str(secret)))) as api:
            assert refused(api) == "proxy_unauthenticated"
            secret.write_text(proxy.url.replace("//", "//me:canary@"))
            assert create(api) == SYS_ID
        assert b"Proxy-Authorization: Basic bWU6Y2FuYXJ5" in proxy.requests[1]


@pytest.mark.parametrize("now", ["", "not a proxy", None], ids=["empty", "no URL", "gone"])
def test_a_proxys_secret_that_cannot_be_used_leaves_the_last_one(
    authority: Authority, tmp_path: Path, now: str | None
) -> None:
    secret = tmp_path / "proxy"
    with ScriptedServer(CREATED, tls=authority.server()) as server, ScriptedServer(tunnel) as proxy:
        through(proxy, server)
        secret.write_text(proxy.url)
        with table_api(server.url, Transport(ca=authority.file, proxy=Secret(kind="file", name=str(secret)))) as api:
            secret.unlink() if now is None else secret.write_text(now)
            assert create(api) == SYS_ID


def test_an_instance_that_is_left_alone_for_its_proxy_is_tried_once_the_secret_changes(tmp_path: Path) -> None:
    secret = tmp_path / "proxy"
    with ScriptedServer(*[answer(407, b"")] * 2) as proxy:
        secret.write_text(proxy.url.replace("//", "//me:old@"))
        with table_api("https://127.0.0.1:9", Transport(proxy=Secret(kind="file", name=str(secret)))) as api:
            assert [refused(api) for _ in range(2)] == ["proxy_unauthenticated"] * 2
            held = api.client.held
            secret.write_text(proxy.url.replace("//", "//me:new@"))
            assert (held, api.client.held) == (True, False)


def test_what_was_turned_away_for_a_proxy_is_due_once_its_secret_changes(tmp_path: Path) -> None:
    """Also where the proxy did not answer at all: the address stands in the secret, too."""
    secret = tmp_path / "proxy"
    secret.write_text("http://me:pw@127.0.0.1:9")
    with table_api("https://127.0.0.1:9", Transport(proxy=Secret(kind="file", name=str(secret)))) as api:
        before = api.client.mended
        assert refused(api) == "proxy_failed"
        secret.write_text("http://me:pw@127.0.0.1:10")
        assert api.client.mended == before + 1


@pytest.mark.parametrize(
    ("step", "code"),
    [(reset, "connection_lost"), (drip(b"HTTP/1.1 201 Created\r\n" + b"X-Slow: y\r\n" * 99, every=0.1), "timed_out")],
    ids=["reset", "dripped headers"],
)
def test_what_was_sent_through_a_proxy_and_not_answered_is_ambiguous(
    authority: Authority, step: Step, code: str
) -> None:
    with ScriptedServer(step, tls=authority.server()) as server, ScriptedServer(tunnel) as proxy:
        through(proxy, server)
        with table_api(server.url, Transport(ca=authority.file, proxy=proxy.url)) as api:
            begin = time.monotonic()
            with pytest.raises(Ambiguous) as caught:
                create(api, seconds=1.0)
            assert (caught.value.code, time.monotonic() - begin < 2.0) == (code, True)


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (answer(407, b""), "proxy_unauthenticated"),
        (answer(403, b""), "proxy_failed"),
        (answer(502, b""), "proxy_failed"),
    ],
    ids=["wants a password", "forbids it", "does not get there"],
)
def test_a_proxy_that_gives_no_way_is_named_and_nothing_was_sent(authority: Authority, step: Step, code: str) -> None:
    with (
        ScriptedServer(step) as proxy,
        table_api("https://127.0.0.1:9", Transport(ca=authority.file, proxy=proxy.url)) as api,
    ):
        assert refused(api) == code


def test_a_name_that_only_the_proxy_can_resolve_is_the_proxys(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a start nor a call asks this machine's DNS for it."""
    asked: list[object] = []
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        asked.append(host)
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with (
        ScriptedServer(answer(502, b"")) as proxy,
        table_api("https://nowhere.invalid", Transport(ca=authority.file, proxy=proxy.url)) as api,
    ):
        assert refused(api) == "proxy_failed"
        assert (proxy.requests[0].startswith(b"CONNECT nowhere.invalid:443 "), set(asked)) == (True, {"127.0.0.1"})


def test_a_proxy_that_is_not_there_is_named(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    transport = Transport(ca=authority.file, proxy=f"http://127.0.0.1:{port}")
    with table_api("https://127.0.0.1:9", transport) as api:
        assert refused(api) == "proxy_failed"


def test_the_deadline_holds_for_a_proxy_that_says_nothing_and_nothing_was_sent(authority: Authority) -> None:
    with (
        ScriptedServer(silence) as proxy,
        table_api("https://127.0.0.1:9", Transport(ca=authority.file, proxy=proxy.url)) as api,
    ):
        begin = time.monotonic()
        assert refused(api, seconds=0.5) in ("proxy_failed", "deadline_passed")
        assert time.monotonic() - begin < 1.5
