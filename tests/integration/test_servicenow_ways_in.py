"""Tokens over real sockets: when they are asked for, under whose deadline, and what their refusal means for a write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scripted_server import ScriptedServer, Step, answer, drip, reset, silence

from bridge.errors import BridgeError, Transient
from bridge.servicenow.breaker import FAILURES_MAX
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SYS_ID = "0123456789abcdef0123456789abcdef"
ONE = b'{"result": {"sys_id": "%s", "number": "INC1", "state": "1"}}' % SYS_ID.encode()
CREATED = answer(201, ONE)
UNAUTHENTICATED = answer(
    401, b'{"error":{"message":"User Not Authenticated","detail":"Required to provide Auth information"}}'
)
REFUSED = answer(401, b'{"error_description":"access_denied","error":"server_error"}')
SECONDS = 10.0


def token(value: str, *, life: int = 1799) -> Step:
    document = {"access_token": value, "scope": "useraccount", "token_type": "Bearer", "expires_in": life}
    return answer(200, msgspec.json.encode(document))


class Way:
    """One server, one client, and what went over."""

    def __init__(self, server: ScriptedServer, auth: InstanceAuth) -> None:
        self.counted: list[str] = []
        self.ahead = 0.0
        self._server = server
        self.client = Client(
            Instance(name="test", url=server.url, auth=auth),
            clock=lambda: NOW,
            monotonic=self.monotonic,
            on_call=lambda word, _seconds: self.counted.append(word),
        )
        self.api = TableApi(self.client)

    def create(self, seconds: float = SECONDS) -> str:
        return self.api.create("incident", {"short_description": "x"}, deadline=self.monotonic() + seconds).sys_id

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    @property
    def connections(self) -> int:
        return self._server.accepted

    @property
    def methods(self) -> list[str]:
        return [request.partition(b" ")[0].decode() for request in self._server.requests]

    @property
    def went(self) -> list[str]:
        """Of each request: its path, and for the API the value of its Authorization."""
        return [_line(request) for request in self._server.requests]

    def form(self, number: int) -> dict[str, str]:
        body = self._server.requests[number].partition(b"\r\n\r\n")[2].decode()
        return {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}


def _line(request: bytes) -> str:
    head = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    path = head[0].split(" ")[1].partition("?")[0]
    if path == "/oauth_token.do":
        assert "Content-Type: application/x-www-form-urlencoded" in head
        return "token"
    return next(line.partition(": ")[2] for line in head if line.startswith("Authorization: "))


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("canary-1\n")
    return file


@pytest.fixture
def app(secret_file: Path) -> InstanceAuth:
    secret = Secret(kind="file", name=str(secret_file))
    return InstanceAuth(scheme=AuthScheme.OAUTH_CLIENT_CREDENTIALS, client_id="c", client_secret=secret)


@contextmanager
def way(auth: InstanceAuth, *steps: Step) -> Iterator[Way]:
    with ScriptedServer(*steps) as server:
        made = Way(server, auth)
        try:
            yield made
        finally:
            made.client.close()


def test_a_token_is_had_first_and_serves_every_call(app: InstanceAuth) -> None:
    with way(app, token("t1"), CREATED, CREATED) as there:
        assert (there.create(), there.create()) == (SYS_ID, SYS_ID)
        assert there.went == ["token", "Bearer t1", "Bearer t1"]
        assert there.form(0) == {"grant_type": "client_credentials", "client_id": "c", "client_secret": "canary-1"}
        assert there.counted == ["token", "applied", "applied"]


def test_a_401_gets_a_new_token_and_the_same_write_goes_out_once_more(app: InstanceAuth) -> None:
    with way(app, token("t1"), UNAUTHENTICATED, token("t2"), CREATED) as there:
        assert there.create() == SYS_ID
        assert there.went == ["token", "Bearer t1", "token", "Bearer t2"]
        assert there.counted == ["token", "not_applied", "token", "applied"]


def test_a_second_401_is_the_end_of_it(app: InstanceAuth) -> None:
    with way(app, token("t1"), UNAUTHENTICATED, token("t2"), UNAUTHENTICATED, CREATED) as there:
        with pytest.raises(Transient) as caught:
            there.create()
        assert caught.value.code == "unauthenticated"
        assert there.went == ["token", "Bearer t1", "token", "Bearer t2"]


def test_the_same_token_again_is_not_sent_again(app: InstanceAuth) -> None:
    with way(app, token("t1"), UNAUTHENTICATED, token("t1"), CREATED) as there:
        with pytest.raises(Transient):
            there.create()
        assert there.went == ["token", "Bearer t1", "token"]


def test_a_refused_token_is_not_applied_and_not_asked_for_again_at_once(app: InstanceAuth) -> None:
    with way(app, REFUSED, token("t1"), CREATED) as there:
        for _ in range(2):
            with pytest.raises(Transient) as caught:
                there.create()
            assert caught.value.code == "token_refused"
        assert there.went == ["token"]
        assert there.counted == ["not_applied"]


def test_a_secret_that_is_corrected_works_without_a_restart(app: InstanceAuth, secret_file: Path) -> None:
    with way(app, REFUSED, token("t1"), CREATED) as there:
        with pytest.raises(Transient):
            there.create()
        secret_file.write_text("canary-2\n")
        assert there.create() == SYS_ID
        assert there.form(1)["client_secret"] == "canary-2"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (reset, "connection_lost"),
        (silence, "timed_out"),
        (drip(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 99, every=0.1), "timed_out"),
        (answer(503, b""), "server_error"),
        (answer(200, b"<html><title>Instance Hibernating page", content_type="text/html"), "hibernating"),
        (answer(302, b"", "Location: /login.do"), "redirected"),
    ],
    ids=["reset", "silence", "dripped headers", "503", "hibernating", "moved"],
)
def test_without_a_clear_answer_about_the_token_the_write_is_not_sent(app: InstanceAuth, step: Step, code: str) -> None:
    with way(app, step, CREATED) as there:
        begin = time.monotonic()
        with pytest.raises(Transient) as caught:
            there.create(seconds=1.0)
        assert time.monotonic() - begin < 2.0
        assert (caught.value.code, there.went) == (code, ["token"])


def test_token_and_write_share_one_deadline(app: InstanceAuth) -> None:
    slow = drip(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 99, every=0.02)
    with way(app, slow, CREATED) as there:
        with pytest.raises(Transient):
            there.create(seconds=0.3)
        assert there.went == ["token"]


def test_a_key_that_signs_gets_a_token(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "secret").write_text("s")
    auth = InstanceAuth(
        scheme=AuthScheme.OAUTH_JWT_BEARER,
        client_id="c",
        client_secret=Secret(kind="file", name=str(tmp_path / "secret")),
        key_id="k1",
        private_key=Secret(kind="file", name=str(tmp_path / "key.pem")),
        user="svc@corp.example",
    )
    with way(auth, token("t1"), CREATED) as there:
        there.create()
        form = there.form(0)
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = jwt.decode(
            form["assertion"],
            key.public_key(),
            algorithms=["ES256"],
            audience="c",
            options={"verify_exp": False, "verify_iat": False},
        )
        assert claims["sub"] == "svc@corp.example"


def test_a_password_grant_is_renewed_by_its_refresh_token(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    secret = Secret(kind="file", name=str(tmp_path / "secret"))
    auth = InstanceAuth(
        scheme=AuthScheme.OAUTH_PASSWORD, client_id="c", client_secret=secret, username="u", password=secret
    )
    first = answer(200, b'{"access_token":"t1","token_type":"Bearer","expires_in":1799,"refresh_token":"r1"}')
    with way(auth, first, UNAUTHENTICATED, REFUSED, token("t2"), CREATED) as there:
        assert there.create() == SYS_ID
        assert there.went == ["token", "Bearer t1", "token", "token", "Bearer t2"]
        assert [there.form(number)["grant_type"] for number in (0, 2, 3)] == ["password", "refresh_token", "password"]


def test_an_api_key_travels_in_its_header(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("now_1\n")
    auth = InstanceAuth(scheme=AuthScheme.API_KEY, key=Secret(kind="file", name=str(tmp_path / "key")))
    with ScriptedServer(CREATED) as server:
        there = Way(server, auth)
        there.create()
        there.client.close()
        assert b"\r\nx-sn-apikey: now_1\r\n" in server.requests[0]
        assert b"Authorization" not in server.requests[0]


def test_multi_factor_authentication_is_told_as_such(app: InstanceAuth) -> None:
    asked = answer(401, b"{}", "X-MFA_TOKEN: invalid")
    with way(app, token("t1"), asked, token("t1")) as there, pytest.raises(Transient, match="Multi-factor"):
        there.create()


def test_no_secret_and_no_token_stands_in_an_error(app: InstanceAuth) -> None:
    with way(app, token("canary-t"), UNAUTHENTICATED, REFUSED) as there, pytest.raises(BridgeError) as caught:
        there.create()
    assert "canary" not in str(caught.value)


GIVE_UP = [answer(503, b"")] * FAILURES_MAX


@pytest.fixture
def key(secret_file: Path) -> InstanceAuth:
    return InstanceAuth(scheme=AuthScheme.API_KEY, key=Secret(kind="file", name=str(secret_file)))


def fail(there: Way, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BridgeError):
            there.create()


def test_an_instance_that_fails_again_and_again_is_asked_no_more(key: InstanceAuth) -> None:
    with way(key, *GIVE_UP, CREATED) as there:
        fail(there, FAILURES_MAX)
        with pytest.raises(Transient) as caught:
            there.create()
        assert caught.value.code == "instance_held"
        assert "ServiceNow, or what stands before it, failed" in caught.value.message
        assert (there.client.held, there.connections) == (True, FAILURES_MAX)


def test_a_read_tries_it_again_before_a_write_goes_out(key: InstanceAuth) -> None:
    with way(key, *GIVE_UP, answer(200, b'{"result": []}'), CREATED) as there:
        fail(there, FAILURES_MAX)
        there.ahead += 1.5
        assert there.create() == SYS_ID
        probe, write = there.methods[-2:]
        assert (probe, write) == ("GET", "POST")
        assert (there.client.held, there.counted[-2:]) == (False, ["read", "applied"])


def test_a_probe_that_fails_keeps_the_write_here(key: InstanceAuth) -> None:
    with way(key, *GIVE_UP, answer(503, b""), CREATED) as there:
        fail(there, FAILURES_MAX)
        there.ahead += 1.5
        with pytest.raises(Transient) as caught:
            there.create()
        assert (caught.value.code, there.methods[-1], there.client.held) == ("server_error", "GET", True)


def test_a_probe_that_is_forbidden_is_an_answer(key: InstanceAuth) -> None:
    with way(key, *GIVE_UP, answer(403, b"{}"), CREATED) as there:
        fail(there, FAILURES_MAX)
        there.ahead += 1.5
        assert there.create() == SYS_ID


def test_a_corrected_key_ends_it_at_once(key: InstanceAuth, secret_file: Path) -> None:
    with way(key, UNAUTHENTICATED, UNAUTHENTICATED, CREATED) as there:
        fail(there, 2)
        assert there.client.held
        secret_file.write_text("canary-2\n")
        assert not there.client.held
        assert there.create() == SYS_ID


def test_a_429_keeps_the_next_call_here_until_its_time_is_over(key: InstanceAuth) -> None:
    with way(key, answer(429, b"{}", "Retry-After: 30"), CREATED) as there:
        fail(there, 1)
        with pytest.raises(Transient) as caught:
            there.create()
        assert caught.value.code == "rate_limited"
        assert there.connections == 1
        there.ahead += 31
        assert there.create() == SYS_ID


def test_the_limit_that_an_answer_names_is_kept(key: InstanceAuth) -> None:
    named = answer(201, ONE, "X-RateLimit-Limit: 1", "X-RateLimit-Rule: abc")
    with way(key, named, CREATED) as there:
        there.create()
        with pytest.raises(Transient, match="ServiceNow allows 1 calls an hour"):
            there.create()
        assert there.connections == 1
