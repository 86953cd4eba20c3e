"""Every scheme: what it takes, one refusal for each header that is wrong, and that hostile input is only ever a 401."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from bridge.errors import Misconfigured, Rejected
from bridge.settings import SourceAuth
from bridge.settings.signatures import PRESETS
from bridge.sources.auth import UnknownSource, Verifier, verifier_for

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OLD, NEW = b"the old secret", b"the new secret"

BEARER = SourceAuth(scheme="bearer")
HEADER = SourceAuth(scheme="header", header="X-Token")
BARE = SourceAuth(scheme="header", header="Authorization", prefix="Splunk ")
QUERY = SourceAuth(scheme="query", parameter="code")
BASIC = SourceAuth(scheme="basic", username="zoë")
GITHUB = SourceAuth(scheme="hmac", preset="github", signature=PRESETS["github"])
MTLS = SourceAuth(
    scheme="mtls", header="X-Client-DN", trusted_proxies=("10.0.0.0/30", "fd00::1"), subjects=("CN=alerts,O=Acme",)
)
STANDARD = SourceAuth(scheme="standard_webhooks")
NONE = SourceAuth(scheme="none")


KEY = Ed25519PrivateKey.generate()


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def whpk(key: Ed25519PublicKey) -> bytes:
    return b"whpk_" + base64.b64encode(key.public_bytes_raw())


def whsec(secret: bytes) -> bytes:
    return b"whsec_" + base64.b64encode(secret)


def accepts(
    verifier: Verifier,
    headers: dict[str, str],
    body: bytes = b"",
    *,
    remote: str = "192.0.2.1",
    query: str = "",
    now: datetime = NOW,
) -> bool:
    try:
        verifier.verify(Headers(headers), body, remote=remote, query=query, now=now)  # type: ignore[arg-type]
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
        ("header with a prefix", BARE, {"Authorization": "splunk the new secret"}, True),
        ("header without its prefix", BARE, {"Authorization": "the new secret"}, False),
        ("basic", BASIC, {"Authorization": basic("zoë:the new secret")}, True),
        ("basic in any case", BASIC, {"Authorization": basic("zoë:the new secret").replace("Basic", "bASIC")}, True),
        ("basic, the other of two", BASIC, {"Authorization": basic("zoë:the old secret")}, True),
        ("basic, wrong", BASIC, {"Authorization": basic("zoë:the secret")}, False),
        ("basic, another user", BASIC, {"Authorization": basic("zoe:the new secret")}, False),
        ("basic, no user", BASIC, {"Authorization": basic("the new secret")}, False),
        ("basic, not Base64", BASIC, {"Authorization": "Basic zoe:the new secret"}, False),
        (
            "basic, another scheme",
            BASIC,
            {"Authorization": basic("zoë:the new secret").replace("Basic", "Bearer")},
            False,
        ),
        ("basic, absent", BASIC, {}, False),
        ("github, absent", GITHUB, {}, False),
        ("github, no prefix", GITHUB, {"X-Hub-Signature-256": hmac.new(NEW, b"body", "sha256").hexdigest()}, False),
        ("github, sha1", GITHUB, {"X-Hub-Signature": "sha1=" + hmac.new(NEW, b"body", "sha1").hexdigest()}, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_schemes_with_a_secret(rule: str, auth: SourceAuth, headers: dict[str, str], right: bool) -> None:
    assert accepts(verifier_for("s", auth, (NEW, OLD)), headers, b"body") is right


def test_standard_webhooks_signed_with_a_private_key() -> None:
    verifier = verifier_for("s", STANDARD, (whpk(KEY.public_key()), whsec(OLD)))
    sent = str(int(NOW.timestamp()))
    right = "v1a," + base64.b64encode(KEY.sign(f"m1.{sent}.body".encode())).decode()
    assert accepts(verifier, standard(**{"webhook-signature": right}), b"body")
    assert accepts(verifier, standard(**{"webhook-signature": signed(OLD, b"body")}), b"body")
    assert not accepts(verifier, standard(**{"webhook-signature": right}), b"bodY")
    assert not accepts(verifier, standard(**{"webhook-signature": right.replace("v1a", "v1")}), b"body")
    assert not accepts(verifier, standard(**{"webhook-signature": right}), b"body", now=NOW + timedelta(seconds=301))


@pytest.mark.parametrize(
    ("query", "right"),
    [
        ("code=the%20new%20secret", True),
        ("a=b&code=the%20old%20secret&c", True),
        ("c%6Fde=the%20new%20secret", True),
        ("code=the+new+secret", False),
        ("code=the%20secret", False),
        ("code=", False),
        ("", False),
        ("Code=the%20new%20secret", False),
        ("code=the%20new%20secret&code=the%20new%20secret", False),
        ("code=wrong&code=the%20new%20secret", False),
    ],
)
def test_a_secret_in_the_url_stands_there_once(query: str, right: bool) -> None:
    assert accepts(verifier_for("s", QUERY, (NEW, OLD)), {}, query=query) is right


def test_a_token_of_base64_is_taken_as_it_is_and_encoded() -> None:
    verifier = verifier_for("s", QUERY, (b"a+b/c==",))
    assert accepts(verifier, {}, query="code=a+b/c==")
    assert accepts(verifier, {}, query="code=a%2Bb%2Fc%3D%3D")


@pytest.mark.parametrize(
    ("remote", "said", "right"),
    [
        ("10.0.0.1", "CN=alerts,O=Acme", True),
        ("fd00::1", "CN=alerts,O=Acme", True),
        ("::ffff:10.0.0.1", "CN=alerts,O=Acme", True),
        ("10.0.0.4", "CN=alerts,O=Acme", False),
        ("127.0.0.1", "CN=alerts,O=Acme", False),
        ("", "CN=alerts,O=Acme", False),
        ("10.0.0.1", "CN=alerts", False),
        ("10.0.0.1", "", False),
        ("10.0.0.1", "CN=alerts,O=Acme,CN=alerts,O=Acme", False),
    ],
)
def test_a_certificate_is_believed_of_our_own_proxy_only(remote: str, said: str, right: bool) -> None:
    assert accepts(verifier_for("s", MTLS, ()), {"X-Client-DN": said}, remote=remote) is right


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
    ("auth", "secrets", "needed"),
    [(NONE, (), False), (BEARER, (NEW,), False), (GITHUB, (NEW,), True), (QUERY, (NEW,), False), (MTLS, (), False)],
)
def test_only_a_signature_needs_the_body(auth: SourceAuth, secrets: tuple[bytes, ...], needed: bool) -> None:
    assert verifier_for("s", auth, secrets).needs_body is needed


@pytest.mark.parametrize(
    ("auth", "secrets"),
    [
        (SourceAuth(scheme="nothing"), (NEW,)),
        (SourceAuth(scheme="hmac"), (NEW,)),
        (SourceAuth(scheme="header"), (NEW,)),
        (BEARER, ()),
        (BEARER, (NEW, b"")),
        (STANDARD, (b"whsec_not base64",)),
        (STANDARD, (b"whsec_",)),
        (STANDARD, (b"whpk_AAAA",)),
        (SourceAuth(scheme="sns"), ()),
        (SourceAuth(scheme="oidc"), ()),
        (SourceAuth(scheme="mtls", header="X-DN", trusted_proxies=("10.0.0.1",)), ()),
    ],
)
def test_what_cannot_serve_is_refused_at_start(auth: SourceAuth, secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(Misconfigured, match=r"sources\.s\.auth"):
        verifier_for("s", auth, secrets)


VERIFIERS = [
    UnknownSource(),
    *(verifier_for("s", auth, (NEW,)) for auth in (NONE, BEARER, HEADER, BARE, QUERY, BASIC, GITHUB, MTLS)),
    *(verifier_for("s", SourceAuth(scheme="hmac", signature=one), (NEW,)) for one in PRESETS.values()),
    verifier_for("s", STANDARD, (whsec(NEW), whpk(KEY.public_key()))),
]
NAMES = [
    "authorization",
    "x-token",
    "x-hub-signature-256",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    *(header for one in PRESETS.values() for header in (one.header, one.timestamp_header) if header),
    "x-client-dn",
]
HOSTILE = (
    st.text()
    | st.text("v1,=.0123456789 ")
    | st.binary().map(lambda raw: raw.decode("latin-1"))
    | st.sampled_from(["Basic ", "Basic =", "Basic ÿÿ", "Bearer ", "v1a,AAAA", "9" * 40, "0001-01-01T00:00:00+23:59"])
)


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), HOSTILE),
    body=st.binary(),
    remote=st.text() | st.sampled_from(["192.0.2.1", "10.0.0.1", "::ffff:10.0.0.1"]),
    query=st.text() | st.text("code=&%+\udc80ÿ"),
)
def test_hostile_input_is_a_401_and_nothing_else(headers: dict[str, str], body: bytes, remote: str, query: str) -> None:
    for verifier in VERIFIERS:
        with pytest.raises(Rejected) as caught:
            verifier.verify(headers, body, remote=remote, query=query, now=NOW)
        assert (caught.value.status, caught.value.code) == (401, "not_authenticated")
