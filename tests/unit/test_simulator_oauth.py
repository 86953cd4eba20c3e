"""Ways into the simulated instance: tokens of each grant, API keys, second factors, certificates, and how they end."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from simulated import INCIDENT, World, refusal

TOKEN = "/oauth_token.do"
FORM = "application/x-www-form-urlencoded"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CATCH_ALL = {"error_description": "access_denied", "error": "server_error"}

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def assertion(world: World, alg: str = "RS256", kid: str = "rsa", key: Any = None, **changes: Any) -> str:
    at = int(world.clock().timestamp())
    claims = {"iss": "app", "aud": "app", "sub": "bridge", "iat": at, "exp": at + 60} | changes
    head = part({"alg": alg, "typ": "JWT", "kid": kid})
    body = part({name: value for name, value in claims.items() if value is not None})
    signed = f"{head}.{body}".encode()
    if alg == "RS256":
        signature = (key or RSA_KEY).sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature((key or EC_KEY).sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32) + s.to_bytes(32)
    return f"{head}.{body}.{part(signature)}"


@pytest.fixture
def world() -> World:
    world = World()
    keys = {"rsa": public(RSA_KEY), "ec": public(EC_KEY)}
    world.apply(access={"clients": {"app": {"secret": "s3", "user": "bridge", "keys": keys}}})
    return world


def ask(world: World, **form: str) -> Any:
    return world.call("POST", TOKEN, auth=None, data=urlencode(form), headers={"Content-Type": FORM})


def ask_as_app(world: World, grant: str, **form: str) -> Any:
    return ask(world, grant_type=grant, client_id="app", client_secret="s3", **form)


def by_password(world: World) -> dict[str, Any]:
    answer = ask_as_app(world, "password", username="bridge", password="secret")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json
    return body


def read_with(world: World, token: str) -> int:
    return world.call("GET", INCIDENT, auth=None, headers={"Authorization": f"Bearer {token}"}).status_code


# Tokens


def test_a_password_gives_both_tokens(world: World) -> None:
    body = by_password(world)
    assert set(body) == {"access_token", "refresh_token", "scope", "token_type", "expires_in"}
    assert (body["scope"], body["token_type"], body["expires_in"]) == ("useraccount", "Bearer", 1799)
    assert read_with(world, body["access_token"]) == 200


@pytest.mark.parametrize(("secret", "status"), [("s3", 200), ("nope", 401)])
def test_a_client_may_show_itself_in_the_header(world: World, secret: str, status: int) -> None:
    form = urlencode({"grant_type": "client_credentials"})
    shown = "Basic " + base64.b64encode(f"app:{secret}".encode()).decode()
    headers = {"Content-Type": FORM, "Authorization": shown}
    assert world.call("POST", TOKEN, auth=None, data=form, headers=headers).status_code == status


def test_the_client_itself_gets_a_token_of_its_user(world: World) -> None:
    body = ask_as_app(world, "client_credentials").json
    assert "refresh_token" not in body
    row = world.call("POST", INCIDENT, {}, auth=None, headers={"Authorization": f"Bearer {body['access_token']}"})
    assert (row.json or {})["result"]["sys_created_by"] == "bridge"


def test_asking_again_gives_the_same_token_with_less_time_left(world: World) -> None:
    first = by_password(world)
    world.clock.advance(600)
    second = by_password(world)
    assert (second["access_token"], second["expires_in"]) == (first["access_token"], 1199)


def test_an_expired_token_is_401_and_the_next_is_another(world: World) -> None:
    first = by_password(world)["access_token"]
    world.clock.advance(1800)
    assert read_with(world, first) == 401
    assert by_password(world)["access_token"] != first


def test_a_refresh_token_gives_an_access_token_alone(world: World) -> None:
    body = by_password(world)
    world.clock.advance(1800)
    again = ask_as_app(world, "refresh_token", refresh_token=body["refresh_token"]).json
    assert "refresh_token" not in again
    assert read_with(world, again["access_token"]) == 200


def test_expiring_leaves_the_refresh_token_and_revoking_does_not(world: World) -> None:
    body = by_password(world)
    assert world.call("POST", "/simulator/tokens", {"expire": "bridge"}).json == {"ended": 1}
    assert read_with(world, body["access_token"]) == 401
    assert ask_as_app(world, "refresh_token", refresh_token=body["refresh_token"]).status_code == 200
    assert world.call("POST", "/simulator/tokens", {"revoke": ""}).json == {"ended": 2}
    assert ask_as_app(world, "refresh_token", refresh_token=body["refresh_token"]).status_code == 401


@pytest.mark.parametrize("body", [{}, {"end": "x"}, {"expire": 1}, {"expire": "", "revoke": ""}])
def test_ending_tokens_takes_one_word(world: World, body: Any) -> None:
    assert world.call("POST", "/simulator/tokens", body).status_code == 400


# Refusals of the token endpoint


@pytest.mark.parametrize(
    "form",
    [
        {
            "grant_type": "password",
            "client_id": "app",
            "client_secret": "x",
            "username": "bridge",
            "password": "secret",
        },
        {
            "grant_type": "password",
            "client_id": "no",
            "client_secret": "s3",
            "username": "bridge",
            "password": "secret",
        },
        {"grant_type": "password", "client_id": "app", "client_secret": "s3", "username": "bridge", "password": "x"},
        {"grant_type": "refresh_token", "client_id": "app", "client_secret": "s3", "refresh_token": "x"},
        {"grant_type": "nope", "client_id": "app", "client_secret": "s3"},
        {"grant_type": JWT, "client_id": "app", "client_secret": "s3", "assertion": "x"},
        {},
    ],
)
def test_whatever_is_wrong_the_refusal_is_one(world: World, form: dict[str, str]) -> None:
    answer = ask(world, **form)
    assert (answer.status_code, answer.json) == (401, CATCH_ALL)
    assert [code for code, _ in world.violations()] == ["no_token"]


def test_the_switch_makes_refusals_specific(world: World) -> None:
    world.apply(oauth_errors="specific")
    assert ask_as_app(world, "nope").json["error"] == "unsupported_grant_type"
    assert ask(world, grant_type="password", client_id="app").json["error"] == "invalid_client"
    body = ask_as_app(world, JWT, assertion=assertion(world, sub="nobody")).json
    assert body == {"error": "invalid_grant", "error_description": "User not found"}


def test_json_is_not_taken(world: World) -> None:
    body = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s3"}
    answer = world.call("POST", TOKEN, body, auth=None)
    assert (answer.status_code, answer.json) == (401, CATCH_ALL)


def test_a_grant_that_is_not_enabled_is_refused(world: World) -> None:
    world.apply(access={"clients": {"app": {"secret": "s3", "user": "bridge", "grants": ["jwt_bearer"]}}})
    assert ask_as_app(world, "client_credentials").status_code == 401


def test_a_client_without_a_user_gets_no_token(world: World) -> None:
    world.apply(access={"clients": {"app": {"secret": "s3"}}})
    assert ask_as_app(world, "client_credentials").status_code == 401


def test_the_token_endpoint_hibernates_too(world: World) -> None:
    world.apply(faults=[{"kind": "hibernating", "path": "oauth_token"}])
    assert "Instance Hibernating page" in ask_as_app(world, "client_credentials").text
    assert ask_as_app(world, "client_credentials").status_code == 200


# JWT assertions


@pytest.mark.parametrize(("alg", "kid"), [("RS256", "rsa"), ("ES256", "ec")])
def test_an_assertion_gives_an_access_token_alone(world: World, alg: str, kid: str) -> None:
    answer = ask_as_app(world, JWT, assertion=assertion(world, alg, kid))
    assert (answer.status_code, "refresh_token" in answer.json) == (200, False)
    assert read_with(world, answer.json["access_token"]) == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kid": "nope"}, "no key is mapped"),
        ({"kid": "ec"}, "not for RS256"),
        ({"alg": "ES256", "kid": "ec", "key": OTHER_KEY}, "not of the key"),
        ({"iss": "x"}, "iss is"),
        ({"aud": "x"}, "aud is"),
        ({"sub": None}, "claims are missing: sub"),
        ({"exp": "soon"}, "exp is no number"),
        ({"sub": "nobody"}, "User not found"),
    ],
)
def test_an_assertion_with_a_wrong_part_is_refused(world: World, changes: dict[str, Any], words: str) -> None:
    assert ask_as_app(world, JWT, assertion=assertion(world, **changes)).json == CATCH_ALL
    ((code, detail),) = world.violations()
    assert code == "no_token"
    assert words in detail


def test_an_unsigned_assertion_is_refused(world: World) -> None:
    head, body, _ = assertion(world).split(".")
    for forged in (f"{part({'alg': 'none', 'kid': 'rsa'})}.{body}.", f"{head}.{body}.", f"{head}.{body}"):
        assert ask_as_app(world, JWT, assertion=forged).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(299, 200), (300, 401)])
def test_clocks_may_differ_by_less_than_300_seconds(world: World, seconds: int, status: int) -> None:
    expired = int(world.clock().timestamp()) - seconds
    assert ask_as_app(world, JWT, assertion=assertion(world, exp=expired)).status_code == status


@pytest.mark.parametrize(
    ("switch", "jti", "statuses"),
    [
        ("once", "a", [200, 401]),
        ("once", None, [200, 200]),
        ("required", None, [401, 401]),
        ("required", "a", [200, 401]),
        ("off", "a", [200, 200]),
    ],
)
def test_a_jti_counts_as_the_switch_says(world: World, switch: str, jti: str | None, statuses: list[int]) -> None:
    world.apply(jti=switch)
    given = [ask_as_app(world, JWT, assertion=assertion(world, jti=jti)).status_code for _ in range(2)]
    assert given == statuses


def test_a_subject_may_be_an_address(world: World) -> None:
    world.apply(
        access={
            "users": {"svc": {"email": "svc@example.com"}},
            "clients": {"app": {"secret": "s3", "keys": {"rsa": public(RSA_KEY)}, "subject": "email"}},
        }
    )
    assert ask_as_app(world, JWT, assertion=assertion(world, sub="svc@example.com")).status_code == 200


def test_a_public_client_sends_no_secret(world: World) -> None:
    world.apply(access={"clients": {"app": {"keys": {"rsa": public(RSA_KEY)}}}})
    form = {"grant_type": JWT, "client_id": "app", "assertion": assertion(world)}
    assert ask(world, **form).status_code == 200
    assert ask(world, **form, client_secret="x").status_code == 401
    assert ask(world, grant_type="client_credentials", client_id="app").status_code == 401


# Other ways in


def test_an_api_key_is_taken_from_the_header_or_the_parameter(world: World) -> None:
    world.apply(access={"api_keys": {"k1": "bridge"}})
    assert world.call("GET", INCIDENT, auth=None, headers={"x-sn-apikey": "k1"}).status_code == 200
    assert world.call("GET", f"{INCIDENT}?x-sn-apikey=k1", auth=None).status_code == 200
    assert world.call("GET", INCIDENT, auth=None, headers={"x-sn-apikey": "k2"}).status_code == 401
    assert world.violations() == []


def test_a_revoked_api_key_is_401(world: World) -> None:
    world.apply(access={"api_keys": {"k1": "bridge"}})
    world.call("POST", "/simulator/scenario", {"access": {"api_keys": {"k2": "bridge"}}})
    answer = world.call("GET", INCIDENT, auth=None, headers={"x-sn-apikey": "k1"})
    assert refusal(answer) == (401, "User Not Authenticated", "Required to provide Auth information")


def test_an_api_key_may_be_for_some_apis_only(world: World) -> None:
    world.apply(access={"api_keys": {"k1": {"user": "bridge", "apis": ["import"]}}})
    assert world.call("GET", INCIDENT, auth=None, headers={"x-sn-apikey": "k1"}).status_code == 401


def test_an_api_key_is_no_bearer_token(world: World) -> None:
    world.apply(access={"api_keys": {"k1": "bridge"}})
    assert read_with(world, "k1") == 401


def test_a_missing_second_factor_is_told_by_a_header(world: World) -> None:
    world.apply(access={"users": {"mfa": {"password": "x", "mfa": True}}})
    answer = world.call("GET", INCIDENT, auth=("mfa", "x"))
    assert (answer.status_code, answer.headers["X-MFA_TOKEN"]) == (401, "invalid")
    assert "X-MFA_TOKEN" not in world.call("GET", INCIDENT, auth=("mfa", "y")).headers


def test_a_locked_user_comes_in_by_no_way(world: World) -> None:
    token = by_password(world)["access_token"]
    world.apply(access={"users": {"bridge": {"password": "secret", "active": False}}, "api_keys": {"k": "bridge"}})
    assert read_with(world, token) == 401
    assert world.call("GET", INCIDENT).status_code == 401
    assert world.call("GET", INCIDENT, auth=None, headers={"x-sn-apikey": "k"}).status_code == 401


def test_a_client_certificate_is_its_users(world: World) -> None:
    world.apply(access={"certificates": {"bridge-client": "bridge"}})
    shown = {"simulator.certificate": "bridge-client"}
    assert world.call("GET", INCIDENT, auth=None, environ_overrides=shown).status_code == 200
    assert world.call("GET", INCIDENT, auth=None, environ_overrides={"simulator.certificate": "x"}).status_code == 401


def test_a_changed_password_counts_at_once(world: World) -> None:
    world.apply(access={"users": {"bridge": {"password": "new"}}})
    assert world.call("GET", INCIDENT).status_code == 401
    assert world.call("GET", INCIDENT, auth=("bridge", "new")).status_code == 200


def test_no_secret_is_shown_by_a_representation(world: World) -> None:
    world.apply(access={"api_keys": {"k1": "bridge"}})
    shown = repr(world.simulator.access)
    for secret in ("secret", "s3", "k1"):
        assert f"'{secret}'" not in shown
