"""Tokens of an identity provider: whose, for whom, of whom, when; the keys they are signed with; and hostile ones."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from signing import GOOGLE, GOOGLE_KEYS, KEY, NOW, OTHER_KEY, Stub, jwks, token
from werkzeug.datastructures import Headers

from bridge.errors import Rejected
from bridge.settings import SourceAuth, TokenIssuer
from bridge.sources.auth import verifier_for

SUBJECT = "push@project.iam.gserviceaccount.com"
TENANT = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"


def auth(**changes: Any) -> SourceAuth:
    trusted = {
        "issuer": GOOGLE,
        "keys_url": GOOGLE_KEYS,
        "audience": "https://bridge.example/hooks/scc",
        "subjects": (SUBJECT,),
        "subject_claims": ("email", "sub"),
    }
    return SourceAuth(scheme="oidc", token=TokenIssuer(**(trusted | changes)))


PUBSUB = auth()


def accepts(value: str, outside: Stub | None = None, *, now: datetime = NOW, auth: SourceAuth = PUBSUB) -> bool:
    verifier = verifier_for("s", auth, (), outside or Stub({GOOGLE_KEYS: jwks(k1=KEY)}))
    headers = Headers({"Authorization": value})
    try:
        verifier.verify(headers, b"", remote="192.0.2.1", query="", now=now)  # type: ignore[arg-type]
    except Rejected as error:
        return error.status != 401
    return True


@pytest.mark.parametrize(
    ("rule", "changes", "right"),
    [
        ("as it should be", {}, True),
        ("one of several audiences", {"aud": ["x", "https://bridge.example/hooks/scc"]}, True),
        ("another issuer", {"iss": "https://accounts.google.com.evil.example"}, False),
        ("no issuer", {"iss": None}, False),
        ("another audience", {"aud": "https://bridge.example/hooks/other"}, False),
        ("no audience", {"aud": None}, False),
        ("another account", {"email": "push@other.iam.gserviceaccount.com"}, False),
        ("an address that is not verified", {"email_verified": False}, False),
        ("an address that is verified in words", {"email_verified": "true"}, False),
        ("no address", {"email": None}, False),
        ("no end", {"exp": None}, False),
        ("an end that is no number", {"exp": "tomorrow"}, False),
        ("an end that is true", {"exp": True}, False),
        ("over for longer than the tolerance", {"exp": int(NOW.timestamp()) - 301}, False),
        ("over within the tolerance", {"exp": int(NOW.timestamp()) - 299}, True),
        ("not valid yet", {"nbf": int(NOW.timestamp()) + 301}, False),
        ("made in the future", {"iat": int(NOW.timestamp()) + 301}, False),
        ("without end", {"exp": 10**400}, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tokens_claims(rule: str, changes: dict[str, Any], right: bool) -> None:
    assert accepts(f"Bearer {token(**changes)}") is right


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", f"Basic {token()}", token(), f"Bearer {token()} x"])
def test_what_is_no_bearer_token_is_refused(header: str) -> None:
    assert not accepts(header)


def test_another_key_of_the_same_name_does_not_verify() -> None:
    assert not accepts(f"Bearer {token(OTHER_KEY)}")


def test_a_public_key_is_no_shared_secret() -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (
            {"alg": "HS256", "kid": "k1", "typ": "JWT"},
            jwt.decode(token(), options={"verify_signature": False}),
        )
    )
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(mac.sign(f"{head}.{claims}".encode(), pem)).rstrip(b"=").decode()
    assert not accepts(f"Bearer {head}.{claims}.{signature}")


def test_a_token_that_is_not_signed_is_refused() -> None:
    assert not accepts(f"Bearer {token(None, algorithm='none')}")


def test_without_the_name_of_a_key_nothing_is_asked_for() -> None:
    outside = Stub({GOOGLE_KEYS: jwks(k1=KEY)})
    assert not accepts(f"Bearer {token(kid=None)}", outside)
    assert outside.asked == []


def test_a_key_that_is_not_known_is_asked_for_once_more() -> None:
    outside = Stub({GOOGLE_KEYS: jwks(k1=KEY)})
    assert not accepts(f"Bearer {token(kid='k2')}", outside)
    assert outside.asked == [(GOOGLE_KEYS, False), (GOOGLE_KEYS, True)]


def test_one_strange_key_takes_no_other_with_it() -> None:
    strange = [{"kty": "RSA", "kid": "k0", "n": "!", "e": "AQAB"}, {"kid": 7}, {"kty": "oct", "kid": "k3", "k": "AAAA"}]
    document = json.loads(jwks(k1=KEY))
    document["keys"] = strange + document["keys"]
    assert accepts(f"Bearer {token()}", Stub({GOOGLE_KEYS: json.dumps(document).encode()}))


@pytest.mark.parametrize("document", [b"", b"[]", b'{"keys": 1}', b"<html>", b"[" * 9000])
def test_what_is_no_key_set_has_no_keys(document: bytes) -> None:
    assert not accepts(f"Bearer {token()}", Stub({GOOGLE_KEYS: document}))


def test_microsofts_tokens_name_the_application() -> None:
    application = "461e8683-5575-4561-ac7f-907cc907d62a"
    entra = auth(issuer=TENANT, keys_url="https://keys.example", subjects=(application,), subject_claims=("azp", "sub"))
    outside = Stub({"https://keys.example": jwks(k1=KEY)})
    assert accepts(f"Bearer {token(iss=TENANT, azp=application)}", outside, auth=entra)
    assert not accepts(f"Bearer {token(iss=TENANT, azp='other')}", outside, auth=entra)
    assert not accepts(f"Bearer {token(iss=TENANT, email=application)}", outside, auth=entra)


def test_a_token_holds_until_it_is_over() -> None:
    value = f"Bearer {token()}"
    assert accepts(value, now=NOW + timedelta(minutes=64))
    assert not accepts(value, now=NOW + timedelta(minutes=66))


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


heads = st.binary() | st.sampled_from(
    [b'{"alg":"RS256","kid":"k1"}', b'{"alg":"RS256","kid":"k1","crit":["b64"]}', b"[" * 9000]
)
tokens = st.builds(lambda *parts: ".".join(map(part, parts)), heads, st.binary() | st.just(b"[" * 9000), st.binary())


@given(value=st.text() | tokens.map(lambda one: f"Bearer {one}") | st.text().map(lambda one: f"Bearer {one}"))
def test_hostile_input_is_a_401_and_nothing_else(value: str) -> None:
    verifier = verifier_for("s", auth(), (), Stub({GOOGLE_KEYS: jwks(k1=KEY)}))
    with pytest.raises(Rejected) as caught:
        verifier.verify({"authorization": value}, b"", remote="", query="", now=NOW)
    assert (caught.value.status, caught.value.code) == (401, "not_authenticated")
