"""Every scheme: what it takes, one refusal for each header that is wrong, and that hostile input is only ever a 401."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from bridge.errors import Misconfigured, Rejected
from bridge.settings import SourceAuth
from bridge.sources.auth import UnknownSource, Verifier, verifier_for

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OLD, NEW = b"the old secret", b"the new secret"

BEARER = SourceAuth(scheme="bearer")
HEADER = SourceAuth(scheme="header", header="X-Token")
GITHUB = SourceAuth(scheme="hmac", preset="github")
STANDARD = SourceAuth(scheme="standard_webhooks")
NONE = SourceAuth(scheme="none")


def whsec(secret: bytes) -> bytes:
    return b"whsec_" + base64.b64encode(secret)


def accepts(
    verifier: Verifier, headers: dict[str, str], body: bytes = b"", *, remote: str = "192.0.2.1", now: datetime = NOW
) -> bool:
    try:
        verifier.verify(Headers(headers), body, remote=remote, now=now)  # type: ignore[arg-type]
    except Rejected:
        return False
    return True


def test_githubs_published_vector() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    verifier = verifier_for("s", GITHUB, (b"It's a Secret to Everybody",))
    assert accepts(verifier, {"X-Hub-Signature-256": signature}, b"Hello, World!")


def test_standard_webhooks_published_vector() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    verifier = verifier_for("s", STANDARD, (b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))
    then = datetime.fromtimestamp(1614265330, UTC)
    body = b'{"test": 2432232314}'
    assert accepts(verifier, headers, body, now=then + timedelta(seconds=300))
    assert accepts(verifier, headers, body, now=then - timedelta(seconds=300))
    assert not accepts(verifier, headers, body, now=then + timedelta(seconds=301))
    assert not accepts(verifier, headers, body, now=then - timedelta(seconds=301))


def signed(secret: bytes, body: bytes, *, sent: str = str(int(NOW.timestamp())), mark: str = "m1") -> str:
    content = f"{mark}.{sent}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def standard(**changes: str) -> dict[str, str]:
    right = {
        "webhook-id": "m1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": signed(NEW, b"body"),
    }
    return {name: value for name, value in (right | changes).items() if value != "absent"}


@pytest.mark.parametrize(
    ("rule", "changes", "right"),
    [
        ("as it should be", {}, True),
        ("signed with the secret that is being rotated out", {"webhook-signature": signed(OLD, b"body")}, True),
        ("one of several signatures", {"webhook-signature": f"v1,AAAA v1a,xx {signed(NEW, b'body')}"}, True),
        ("another secret", {"webhook-signature": signed(b"other", b"body")}, False),
        ("another version", {"webhook-signature": signed(NEW, b"body").replace("v1,", "v1a,")}, False),
        ("no version", {"webhook-signature": signed(NEW, b"body")[3:]}, False),
        ("another id", {"webhook-id": "m2"}, False),
        ("no id", {"webhook-id": "absent"}, False),
        ("no signature", {"webhook-signature": "absent"}, False),
        ("no time", {"webhook-timestamp": "absent"}, False),
        ("another time", {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, False),
        (
            "a signed time that is no number",
            {"webhook-timestamp": "soon", "webhook-signature": signed(NEW, b"body", sent="soon")},
            False,
        ),
        ("a signed empty id", {"webhook-id": "", "webhook-signature": signed(NEW, b"body", mark="")}, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_standard_webhooks(rule: str, changes: dict[str, str], right: bool) -> None:
    verifier = verifier_for("s", STANDARD, (whsec(NEW), whsec(OLD)))
    assert accepts(verifier, standard(**changes), b"body") is right


@pytest.mark.parametrize(
    ("rule", "auth", "headers", "right"),
    [
        ("bearer", BEARER, {"Authorization": "Bearer the new secret"}, True),
        ("bearer in any case", BEARER, {"authorization": "bearer the new secret"}, True),
        ("bearer, the other of two", BEARER, {"Authorization": "Bearer the old secret"}, True),
        ("bearer, wrong", BEARER, {"Authorization": "Bearer the secret"}, False),
        ("bearer, absent", BEARER, {}, False),
        ("bearer, empty", BEARER, {"Authorization": "Bearer "}, False),
        ("bearer, another scheme", BEARER, {"Authorization": "Digest the new secret"}, False),
        ("bearer, no scheme", BEARER, {"Authorization": "the new secret"}, False),
        ("header", HEADER, {"x-token": "the new secret"}, True),
        ("header, wrong", HEADER, {"X-Token": "the new secre"}, False),
        ("header, absent", HEADER, {"Authorization": "the new secret"}, False),
        ("github, absent", GITHUB, {}, False),
        ("github, no prefix", GITHUB, {"X-Hub-Signature-256": hmac.new(NEW, b"body", "sha256").hexdigest()}, False),
        ("github, sha1", GITHUB, {"X-Hub-Signature": "sha1=" + hmac.new(NEW, b"body", "sha1").hexdigest()}, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_schemes_with_a_secret(rule: str, auth: SourceAuth, headers: dict[str, str], right: bool) -> None:
    assert accepts(verifier_for("s", auth, (NEW, OLD)), headers, b"body") is right


def test_a_changed_body_is_not_what_was_signed() -> None:
    headers = {"X-Hub-Signature-256": "sha256=" + hmac.new(NEW, b"body", "sha256").hexdigest()}
    verifier = verifier_for("s", GITHUB, (NEW,))
    assert accepts(verifier, headers, b"body")
    assert not accepts(verifier, headers, b"bodY")


@pytest.mark.parametrize(
    ("remote", "headers", "right"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("192.0.2.1", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False),
        ("127.0.0.1", {"x-forwarded-proto": "https"}, False),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"CF-Connecting-IP": "192.0.2.1"}, False),
        ("127.0.0.1", {"True-Client-IP": "192.0.2.1"}, False),
        ("127.0.0.1", {"X-Cluster-Client-Ip": "192.0.2.1"}, False),
        ("127.0.0.1", {"Origin": "https://evil.example"}, False),
        ("127.0.0.1", {"Origin": "null"}, False),
        ("127.0.0.1", {"Sec-Fetch-Site": "cross-site"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1"}, True),
        ("127.0.0.1", {"Host": "[::1]:8080"}, True),
        ("127.0.0.1", {"Host": "[::1]"}, True),
        ("127.0.0.1", {"Host": "bridge.localhost:80"}, True),
        ("127.0.0.1", {"Host": "evil.example:8080"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1.evil.example"}, False),
        ("127.0.0.1", {"Host": ""}, False),
    ],
)
def test_without_authentication_only_this_machine_itself_is_heard(
    remote: str, headers: dict[str, str], right: bool
) -> None:
    assert accepts(verifier_for("s", NONE, ()), {"Host": "localhost:8080"} | headers, remote=remote) is right


@pytest.mark.parametrize(
    ("auth", "secrets", "needed"), [(NONE, (), False), (BEARER, (NEW,), False), (GITHUB, (NEW,), True)]
)
def test_only_a_signature_needs_the_body(auth: SourceAuth, secrets: tuple[bytes, ...], needed: bool) -> None:
    assert verifier_for("s", auth, secrets).needs_body is needed


@pytest.mark.parametrize(
    ("auth", "secrets"),
    [
        (SourceAuth(scheme="nothing"), (NEW,)),
        (SourceAuth(scheme="hmac", preset="gitlab"), (NEW,)),
        (SourceAuth(scheme="hmac"), (NEW,)),
        (SourceAuth(scheme="header"), (NEW,)),
        (BEARER, ()),
        (BEARER, (NEW, b"")),
        (STANDARD, (b"whsec_not base64",)),
        (STANDARD, (b"whsec_",)),
    ],
)
def test_what_cannot_serve_is_refused_at_start(auth: SourceAuth, secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(Misconfigured, match=r"sources\.s\.auth"):
        verifier_for("s", auth, secrets)


VERIFIERS = [
    UnknownSource(),
    *(verifier_for("s", auth, (NEW,)) for auth in (NONE, BEARER, HEADER, GITHUB)),
    verifier_for("s", STANDARD, (whsec(NEW),)),
]
NAMES = [
    "authorization",
    "x-token",
    "x-hub-signature-256",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
]


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), st.text() | st.text("v1,=.0123456789 ")),
    body=st.binary(),
    remote=st.text() | st.just("192.0.2.1"),
)
def test_hostile_input_is_a_401_and_nothing_else(headers: dict[str, str], body: bytes, remote: str) -> None:
    for verifier in VERIFIERS:
        with pytest.raises(Rejected) as caught:
            verifier.verify(headers, body, remote=remote, now=NOW)
        assert (caught.value.status, caught.value.code) == (401, "not_authenticated")
