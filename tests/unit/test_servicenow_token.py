"""The token endpoint: what it is asked, and what each of its answers means. No sockets: `post` is a function."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.errors import Transient
from bridge.servicenow.auth import ClientCredentials, Grant, JwtBearer, Password
from bridge.servicenow.outcome import Raw
from bridge.servicenow.token import REFUSED, REFUSED_SECONDS, Token, fetch

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SENT_AT = 1000.0
GIVEN = {"access_token": "t0k", "scope": "useraccount", "token_type": "Bearer", "expires_in": 1799}
APP = ClientCredentials(client_id="c", client_secret="canary s")
USER = Password(client_id="c", client_secret="canary s", username="u", password="canary päss&=%")
CATCH_ALL = {"error_description": "access_denied", "error": "server_error"}


KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signed(client_secret: str | None) -> JwtBearer:
    return JwtBearer(
        client_id="c", client_secret=client_secret, key_id="k", private_key=KEY, private_key_password=None, user="u"
    )


def raw(document: object, status: int = 200, content_type: str = "application/json", **headers: str) -> Raw:
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return Raw(status=status, headers={"Content-Type": content_type} | headers, body=body)


def asked(grant: Grant, answer: Raw, refresh: str | None = None) -> tuple[Token, dict[str, str]]:
    forms: list[Mapping[str, str]] = []

    def post(form: Mapping[str, str]) -> Raw:
        forms.append(form)
        return answer

    token = fetch(grant, refresh, post=post, now=NOW, sent_at=SENT_AT)
    (form,) = forms
    return token, dict(form)


def refused(answer: Raw, grant: Grant = APP) -> Transient:
    with pytest.raises(Transient) as caught:
        asked(grant, answer)
    return caught.value


FORMS: list[tuple[str, Grant, str | None, dict[str, str]]] = [
    (
        "client credentials",
        APP,
        None,
        {"grant_type": "client_credentials", "client_id": "c", "client_secret": "canary s"},
    ),
    (
        "password",
        USER,
        None,
        {
            "grant_type": "password",
            "client_id": "c",
            "client_secret": "canary s",
            "username": "u",
            "password": "canary päss&=%",
        },
    ),
    (
        "refresh",
        USER,
        "r3f",
        {"grant_type": "refresh_token", "client_id": "c", "client_secret": "canary s", "refresh_token": "r3f"},
    ),
]


@pytest.mark.parametrize(("what", "grant", "refresh", "form"), FORMS, ids=[row[0] for row in FORMS])
def test_a_grant_asks_for_exactly_this(what: str, grant: Grant, refresh: str | None, form: dict[str, str]) -> None:
    assert asked(grant, raw(GIVEN), refresh)[1] == form


def test_a_token_is_renewed_before_it_expires_counted_from_before_the_request() -> None:
    token, _form = asked(APP, raw(GIVEN))
    assert (token.headers(), token.expires_at) == ({"Authorization": "Bearer t0k"}, SENT_AT + 1799)
    assert token.renew_at == SENT_AT + 1799 - 60


@pytest.mark.parametrize(
    ("life", "renew", "expire"),
    [
        (100, 50, 100),
        ("100", 50, 100),
        (10, 5, 10),
        (1, 1, 1),
        (0, float("inf"), float("inf")),
        (-5, 1, 1),
        (10**400, 86_340, 86_400),
    ],
)
def test_the_end_of_a_token_is_taken_as_it_is_told(life: object, renew: float, expire: float) -> None:
    token, _form = asked(APP, raw(GIVEN | {"expires_in": life}))
    assert (token.renew_at - SENT_AT, token.expires_at - SENT_AT) == (renew, expire)


def test_a_token_without_an_end_serves_until_it_is_refused() -> None:
    token, _form = asked(APP, raw({"access_token": "t", "token_type": "Bearer"}))
    assert token.expires_at == float("inf")


def test_a_refresh_token_is_kept_when_the_answer_brings_no_new_one() -> None:
    assert asked(USER, raw(GIVEN), "r3f")[0].refresh == "r3f"
    assert asked(USER, raw(GIVEN | {"refresh_token": "new"}), "r3f")[0].refresh == "new"
    assert asked(USER, raw(GIVEN))[0].refresh is None


REFUSALS: list[tuple[str, Raw, Grant, str, str]] = [
    ("the catch-all", raw(CATCH_ALL, 401), USER, "token_refused", "user name and password"),
    ("of an application", raw(CATCH_ALL, 401), APP, "token_refused", "grant_type.enabled"),
    ("of an assertion", raw(CATCH_ALL, 401), signed("s"), "token_refused", "JWT verifier map"),
    ("client", raw({"error": "invalid_client"}, 401), APP, "invalid_client", "Correct client_id and client_secret"),
    ("grant", raw({"error": "invalid_grant", "error_description": "Not found"}, 400), USER, "invalid_grant", "Not"),
    ("kind of grant", raw({"error": "unsupported_grant_type"}, 400), APP, "token_refused", "another scheme"),
    ("with a 200", raw({"error": "invalid_client"}), APP, "invalid_client", "Correct client_id"),
    ("a word of its own", raw({"error": "nope"}, 403), APP, "token_refused", "nope"),
    ("an error of the API", raw({"error": {"message": "Not here", "detail": None}}, 401), APP, "token_refused", "Not"),
    ("no JSON", raw(b"no", 400, "text/plain"), APP, "token_refused", "OAuth endpoint"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "answer", "grant", "code", "told"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_refused_token_was_not_applied(what: str, answer: Raw, grant: Grant, code: str, told: str) -> None:
    error = refused(answer, grant)
    assert error.code == code
    assert code in REFUSED
    assert told in error.message
    assert "canary" not in error.message


def test_a_refused_token_is_a_thing_for_a_person_and_not_asked_for_at_once_again() -> None:
    assert refused(raw(CATCH_ALL, 401)).retry_after == REFUSED_SECONDS


OPEN: list[tuple[str, Raw, str]] = [
    ("limited", raw({}, 429, **{"Retry-After": "7"}), "rate_limited"),
    ("hibernating", raw(b"<html><title>Instance Hibernating page</title>", 200, "text/html"), "hibernating"),
    ("a login page", raw(b"<html>", 200, "text/html"), "html_answer"),
    ("a gateway's 401", raw(b"<html>", 401, "text/html"), "html_answer"),
    ("broken", raw({"error": "server_error"}, 500), "server_error"),
    ("moved", raw(CATCH_ALL, 302), "redirected"),
    ("too long", Raw(status=200, headers={}, body=None), "answer_too_large"),
    ("a list", raw([GIVEN]), "no_token"),
    ("no UTF-8", raw(b'{"access_token": "\xff"}', 200), "no_token"),
    ("nothing in it", raw({}), "no_token"),
    ("no text", raw(GIVEN | {"access_token": 5}), "no_token"),
    ("a token of two lines", raw(GIVEN | {"access_token": "a\nb"}), "no_token"),
    ("an end that is none", raw(GIVEN | {"expires_in": "soon"}), "no_token"),
    ("an end that is a list", raw(GIVEN | {"expires_in": []}), "no_token"),
    ("a scope that is none", raw(GIVEN | {"scope": 5}), "no_token"),
    ("deep", raw(b'{"a":' + b"[" * 9999, 200), "no_token"),
]


@pytest.mark.parametrize(("what", "answer", "code"), OPEN, ids=[row[0] for row in OPEN])
def test_any_other_answer_is_tried_again(what: str, answer: Raw, code: str) -> None:
    error = refused(answer)
    assert error.code == code
    assert code not in REFUSED


@pytest.mark.parametrize(
    ("client_secret", "client"), [("s", {"client_id": "c", "client_secret": "s"}), (None, {})], ids=["known", "public"]
)
def test_an_assertion_goes_with_the_client_and_of_a_public_one_alone(
    client_secret: str | None, client: dict[str, str]
) -> None:
    _token, form = asked(signed(client_secret), raw(GIVEN))
    assert form.pop("assertion").count(".") == 2
    assert form == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"} | client


def test_a_key_that_no_longer_signs_is_told() -> None:
    grant = JwtBearer(
        client_id="c", client_secret="s", key_id="k", private_key=b"x", private_key_password=None, user="u"
    )
    error = refused(raw(GIVEN), grant)
    assert (error.code, error.message) == ("key_unusable", "The private key is not a private key in PEM.")


def test_no_secret_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        token, _form = asked(USER, raw(GIVEN | {"refresh_token": "canary r"}), "canary r")
        refused(raw(CATCH_ALL, 401), USER)
    assert not [text for text in caplog.messages if "canary" in text or "t0k" in text]
    assert "t0k" not in repr(token)
    assert "canary" not in repr(token)
