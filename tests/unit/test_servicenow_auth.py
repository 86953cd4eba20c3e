"""What each scheme sends, and that no secret is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from bridge.assertion_key import load
from bridge.errors import Misconfigured
from bridge.servicenow.auth import ApiKey, Basic, ClientCredentials, Grant, JwtBearer, Password, credentials
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
KEYS = {"RS256": rsa.generate_private_key(65537, 2048), "ES256": ec.generate_private_key(ec.SECP256R1())}
CANARY = "canary-value"


def pem(key: object, encryption: KeySerializationEncryption | None = None) -> bytes:
    made = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())  # type: ignore[attr-defined]
    return bytes(made)


def bearer(key: bytes, password: bytes | None = None) -> JwtBearer:
    return JwtBearer(
        client_id="client",
        client_secret="s",
        key_id="kid-1",
        private_key=key,
        private_key_password=password,
        user="svc@corp.example",
    )


def instance(auth: InstanceAuth) -> Instance:
    return Instance(name="prod", url="https://x.example", auth=auth)


def test_basic_authentication_carries_any_password() -> None:
    headers = Basic(username="bridge", password="pä:ss\n".encode()).headers()
    assert headers == {"Authorization": "Basic YnJpZGdlOnDDpDpzcwo="}


def test_an_api_key_travels_in_its_own_header() -> None:
    assert ApiKey(key="now_123").headers() == {"x-sn-apikey": "now_123"}


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("password", [None, b"open sesame"], ids=["plain", "with a password"])
def test_an_assertion_says_who_for_whom_and_until_when(algorithm: str, password: bytes | None) -> None:
    key = KEYS[algorithm]
    encryption = BestAvailableEncryption(password) if password else None
    token = bearer(pem(key, encryption), password).parameters(NOW)["assertion"]
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": "kid-1"}
    checks = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key.public_key(), algorithms=[algorithm], audience="client", options=checks)
    issued = int(NOW.timestamp())
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "client",
        "sub": "svc@corp.example",
        "aud": "client",
        "iat": issued,
        "exp": issued + 300,
    }


def test_no_two_assertions_are_the_same() -> None:
    grant = bearer(pem(KEYS["ES256"]))
    assert grant.parameters(NOW) != grant.parameters(NOW)


@pytest.mark.parametrize("off", [-300, 300], ids=["late", "early"])
def test_an_assertion_of_a_clock_that_is_off_by_the_skew_is_within_it(off: int) -> None:
    token = bearer(pem(KEYS["RS256"])).parameters(NOW + timedelta(seconds=off))["assertion"]
    claims = jwt.decode(token, options={"verify_signature": False})
    theirs = NOW.timestamp()
    assert claims["iat"] - 300 <= theirs <= claims["exp"] + 300


NO_KEYS = {
    "nonsense": (b"nonsense", None, "is not a private key in PEM"),
    "a password is needed": (pem(KEYS["ES256"], BestAvailableEncryption(b"p")), None, "has a password"),
    "a password too much": (pem(KEYS["ES256"]), b"p", "has no password"),
    "a wrong password": (pem(KEYS["ES256"], BestAvailableEncryption(b"p")), b"q", "or its password is wrong"),
    "too short": (pem(rsa.generate_private_key(65537, 1024)), None, "has 1024 bits"),
    "another curve": (pem(ec.generate_private_key(ec.SECP384R1())), None, "is neither an RSA key nor one on the curve"),
    "another kind": (pem(Ed25519PrivateKey.generate()), None, "is neither an RSA key nor one on the curve"),
}


@pytest.mark.parametrize(("key", "password", "expected"), NO_KEYS.values(), ids=NO_KEYS)
def test_a_key_that_cannot_sign_says_why(key: bytes, password: bytes | None, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        load(key, password)


@pytest.mark.parametrize(
    "shown",
    [
        Basic(username="u", password=CANARY.encode()),
        ApiKey(key=CANARY),
        ClientCredentials(client_id="c", client_secret=CANARY),
        Password(client_id="c", client_secret=CANARY, username="u", password=CANARY),
        JwtBearer(
            client_id="c",
            client_secret=CANARY,
            key_id="k",
            private_key=CANARY.encode(),
            private_key_password=CANARY.encode(),
            user="u",
        ),
    ],
    ids=lambda shown: type(shown).__name__,
)
def test_no_secret_is_printed(shown: object) -> None:
    assert CANARY not in repr(shown)


def secret(folder: Path, name: str, value: str) -> Secret:
    (folder / name).write_text(value + "\n")
    return Secret(kind="file", name=str(folder / name))


def test_each_scheme_reads_what_it_needs(tmp_path: Path) -> None:
    def of(name: str) -> Secret:
        return secret(tmp_path, name, f"the {name}")

    key = secret(tmp_path, "api", "now_1")
    expected: dict[InstanceAuth, object] = {
        InstanceAuth(scheme=AuthScheme.BASIC, username="u", password=of("password")): Basic(
            username="u", password=b"the password"
        ),
        InstanceAuth(scheme=AuthScheme.API_KEY, key=key): ApiKey(key="now_1"),
        InstanceAuth(
            scheme=AuthScheme.OAUTH_PASSWORD,
            client_id=of("client"),
            client_secret=of("secret"),
            username=of("user"),
            password=of("password"),
        ): Password(client_id="the client", client_secret="the secret", username="the user", password="the password"),
        InstanceAuth(
            scheme=AuthScheme.OAUTH_CLIENT_CREDENTIALS, client_id="c", client_secret=of("secret")
        ): ClientCredentials(client_id="c", client_secret="the secret"),
        InstanceAuth(
            scheme=AuthScheme.OAUTH_JWT_BEARER, client_id="c", key_id="k", private_key=of("pem"), user="svc"
        ): JwtBearer(
            client_id="c",
            client_secret=None,
            key_id="k",
            private_key=b"the pem",
            private_key_password=None,
            user="svc",
        ),
    }
    assert {auth: credentials(instance(auth)) for auth in expected} == expected


def test_two_readings_differ_when_a_secret_was_changed(tmp_path: Path) -> None:
    auth = InstanceAuth(
        scheme=AuthScheme.OAUTH_CLIENT_CREDENTIALS, client_id="c", client_secret=secret(tmp_path, "s", "one")
    )
    before = credentials(instance(auth))
    assert isinstance(before, Grant)
    assert credentials(instance(auth)) == before
    secret(tmp_path, "s", "two")
    assert credentials(instance(auth)) != before


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"instances\.prod\.auth: the key cannot be read from file "),
        ("", "is empty"),
        ("two words", "holds what no header can carry"),
        ("two\r\nlines", "holds what no header can carry"),
    ],
)
def test_a_secret_that_cannot_be_used_is_a_misconfiguration(tmp_path: Path, value: str | None, message: str) -> None:
    if value is not None:
        (tmp_path / "k").write_bytes(value.encode())
    auth = InstanceAuth(scheme=AuthScheme.API_KEY, key=Secret(kind="file", name=str(tmp_path / "k")))
    with pytest.raises(Misconfigured, match=message):
        credentials(instance(auth))
