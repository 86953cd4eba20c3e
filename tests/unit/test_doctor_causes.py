"""From what was seen to its causes: nothing that can go wrong is without one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from requests.structures import CaseInsensitiveDict

from bridge.doctor.causes import CAUSES, Row, Seen, causes_of
from bridge.doctor.detection import DETECTORS
from bridge.servicenow.outcome import NOT_SENT, OPEN_4XX, PERMANENT, Raw

REST_ERROR = b'{"error":{"message":"x","detail":null},"status":"failure"}'
# What is told by its own sentence alone.
SELF_EXPLAINED = {
    "payload_too_large",
    "method_refused",
    "url_too_long",
    "refused",
}


def raw(status: int = 200, body: bytes = b"", **headers: str) -> Raw:
    return Raw(status=status, headers=CaseInsensitiveDict(headers), body=body)


def seen(code: str, answer: Raw | None = None, *, scheme: str = "basic", table: str = "incident") -> Seen:
    return Seen(code=code, host="acme.service-now.com", scheme=scheme, table=table, message="m", raw=answer)


CODES = sorted(
    {code for _, _, code, _ in PERMANENT}
    | set(OPEN_4XX.values())
    | {code for _, code, _ in NOT_SENT}
    | {
        "unauthenticated",
        "rate_limited",
        "call_budget",
        "hibernating",
        "redirected",
        "server_error",
        "html_answer",
        "connection_lost",
    }
)


@pytest.mark.parametrize("code", [code for code in CODES if code not in SELF_EXPLAINED])
def test_every_failure_of_the_error_map_has_a_cause(code: str) -> None:
    assert causes_of(seen(code, raw(body=REST_ERROR)))


@pytest.mark.parametrize(
    "scheme", ["basic", "api_key", "oauth_password", "oauth_client_credentials", "oauth_jwt_bearer"]
)
def test_a_401_is_explained_for_every_scheme(scheme: str) -> None:
    assert causes_of(seen("unauthenticated", raw(401, REST_ERROR), scheme=scheme))


def test_a_key_is_told_as_revoked_or_expired_and_a_password_as_wrong() -> None:
    first = {
        scheme: causes_of(seen("unauthenticated", raw(401, REST_ERROR), scheme=scheme))[0].what
        for scheme in ("api_key", "basic")
    }
    assert "revoked, has expired" in first["api_key"]
    assert "password is wrong" in first["basic"]


@pytest.mark.parametrize(
    "scheme", ["basic", "api_key", "oauth_password", "oauth_client_credentials", "oauth_jwt_bearer"]
)
def test_credentials_that_were_taken_a_moment_ago_are_not_told_as_wrong(scheme: str) -> None:
    refused = replace(raw(401, REST_ERROR), path="/api/global/em/jsonv2")
    (only,) = causes_of(replace(seen("unauthenticated", refused, scheme=scheme), taken=True, padded="key"))
    assert "the REST API access policy of the API at /api/global/em/jsonv2 does not take them" in only.what


@pytest.mark.parametrize(
    ("scheme", "code", "words"),
    [
        ("oauth_client_credentials", "token_refused", ["client secret", "grant is switched off", "names no user"]),
        ("oauth_client_credentials", "invalid_client", ["client secret"]),
        ("oauth_client_credentials", "unauthorized_client", ["grant is switched off"]),
        ("oauth_password", "invalid_grant", ["password is wrong"]),
        ("oauth_jwt_bearer", "invalid_grant", ["verifier map", "User Field", "clock"]),
        ("oauth_jwt_bearer", "key_unusable", ["private key"]),
    ],
)
def test_a_token_that_is_refused_is_explained_as_far_as_the_answer_tells(
    scheme: str, code: str, words: list[str]
) -> None:
    told = [cause.what for cause in causes_of(seen(code, raw(401), scheme=scheme))]
    assert [any(word in what for what in told) for word in words] == [True] * len(words)
    assert len(told) == len(words)


def test_a_second_factor_is_the_only_cause_where_it_is_named() -> None:
    (only,) = causes_of(seen("unauthenticated", raw(401, REST_ERROR, **{"X-MFA_TOKEN": "invalid"})))
    assert "second factor" in only.what


@pytest.mark.parametrize("code", ["data_policy", "business_rule"])
def test_what_is_not_found_in_a_refusal_is_told_as_servicenow_said_it_and_no_more(code: str) -> None:
    message = "ServiceNow answered 403. Give the fields it names. It said: Operation Failed: rule 7."
    (only,) = causes_of(replace(seen(code, raw(403, REST_ERROR)), message=message))
    assert only.what.endswith(": Operation Failed: rule 7.")
    assert "answered 403" not in only.what


def test_a_developer_instance_that_redirects_is_told_once() -> None:
    asleep = seen("hibernating", raw(302, Location="https://developer.servicenow.com/wake"))
    assert [cause.what for cause in causes_of(asleep)] == ["The developer instance sleeps, or was taken away."]


def test_an_endpoint_that_answers_without_a_token_is_still_an_instance() -> None:
    causes = causes_of(seen("no_token", raw(200, b"{}"), scheme="oauth_client_credentials"))
    assert causes
    assert not [cause for cause in causes if "is not an instance" in cause.what]


def test_a_redirect_to_the_instance_itself_is_no_proxys() -> None:
    (only,) = causes_of(seen("redirected", raw(302, Location="https://acme.service-now.com/login.do")))
    assert "its own log-in page" in only.what


@pytest.mark.parametrize(
    ("host", "is_the_companys"),
    [
        ("servicenow.com", True),
        ("acme.servicenow.com", True),
        ("acme.service-now.com", False),
        ("myservicenow.com", False),
    ],
)
def test_the_companys_own_site_is_told_from_an_instance(host: str, is_the_companys: bool) -> None:
    first = causes_of(Seen(code="dns_failed", host=host, scheme="basic"))[0].what
    assert ("company's own site" in first) == is_the_companys


@pytest.mark.parametrize("table", ["incident", "sn_si_incident", "sn_ti_observable", "u_other"])
def test_a_role_that_is_lacking_is_named_where_it_is_known(table: str) -> None:
    told = " ".join(cause.do for cause in causes_of(seen("acl", table=table)))
    assert ("Give it `sn_" in told) == (table != "u_other")


def test_what_an_instance_says_cannot_break_a_sentence() -> None:
    (first, *_) = causes_of(
        Seen(code="business_rule", host="h", scheme="basic", table="incident", message="aborted by {rule} {0}")
    )
    assert "aborted by {rule} {0}" in first.what


def test_every_detector_is_named_by_a_cause_and_every_name_is_a_detector() -> None:
    assert {row.by for row in CAUSES if row.by} == set(DETECTORS)


@pytest.mark.parametrize("row", CAUSES, ids=lambda row: row.what[:40])
def test_every_cause_is_a_sentence_with_something_to_do(row: Row) -> None:
    what, do = row.what, row.do
    assert what[-1] in ".}"
    assert do.endswith(".")
