from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow.outcome import SAID_CHARACTERS_MAX, Answer, Raw, meaning_of

HTML = b"<html><body>Please log in</body></html>"


def came(status: int, body: bytes = b"", **headers: str) -> Raw:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Raw(status=status, headers=CaseInsensitiveDict(named), body=body)


def said(message: str, detail: str | None = None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "detail": detail}, "status": "failure"})


TABLE = [
    ("a wrong password may be rotated", came(401, said("User Not Authenticated")), Transient, "unauthenticated"),
    ("a 401 in HTML is still a 401", came(401, HTML), Transient, "unauthenticated"),
    ("a rate limit did nothing", came(429, said("Rate limit exceeded")), Transient, "rate_limited"),
    ("a table that is not there", came(400, said("Invalid table x")), Permanent, "invalid_table"),
    (
        "an address without an API",
        came(400, said("Requested URI does not represent any resource")),
        Permanent,
        "wrong_url",
    ),
    ("a 404 that is not about a record", came(404, said("Requested URI does not …")), Permanent, "wrong_url"),
    ("a record that is gone", came(404, said("No Record found", "Record doesn't exist")), Permanent, "record_gone"),
    ("a 404 page says nothing of a record", came(404, HTML), Ambiguous, "html_answer"),
    ("an ACL", came(403, said("Operation Failed", "ACL Exception Insert Failed due to …")), Permanent, "acl"),
    (
        "a data policy",
        came(403, said("Operation Failed", "Data Policy Exception: \n\tfields")),
        Permanent,
        "data_policy",
    ),
    (
        "a rule",
        came(403, said("Operation Failed", "Operation … was aborted by Business Rule 'X'")),
        Permanent,
        "business_rule",
    ),
    ("query rights", came(403, said("Insufficient rights to query records", "Field(s) …")), Permanent, "query_rights"),
    (
        "a refusal in which a word is our password",
        replace(came(403, said("Insufficient rights to query records")), hidden=frozenset({"rights"})),
        Permanent,
        "query_rights",
    ),
    ("a 403 without words", came(403), Permanent, "forbidden"),
    (
        "a large payload",
        came(400, said("Exception …", "Rejected large REST payload with …")),
        Permanent,
        "payload_too_large",
    ),
    ("a large payload at a gateway", came(413, HTML), Permanent, "payload_too_large"),
    ("a method that is not let through", came(405), Permanent, "method_refused"),
    ("any other 4xx", came(418, b"tea"), Permanent, "refused"),
    ("a request time-out", came(408), Ambiguous, "timed_out"),
    ("a redirect", came(302, HTML, Location="https://elsewhere.example"), Ambiguous, "redirected"),
    ("202", came(202, b'{"result": {"sys_id": "1"}}'), Ambiguous, "accepted_only"),
    ("a cancelled transaction", came(500, said("Transaction cancelled: maximum …")), Ambiguous, "server_error"),
    ("a bad gateway", came(502, HTML), Ambiguous, "server_error"),
    ("a login page", came(200, HTML, Content_Type="text/html"), Ambiguous, "html_answer"),
    ("a page without a content type", came(200, b"\n <!doctype html>"), Ambiguous, "html_answer"),
    ("hibernation", came(200, b"<title>Instance Hibernating page</title>"), Ambiguous, "hibernating"),
    ("truncated JSON", came(201, b'{"result": {"sys_id": "'), Ambiguous, "unreadable_answer"),
    ("JSON without a result", came(200, b'{"ok": true}'), Ambiguous, "unreadable_answer"),
    ("bytes that are no text", came(200, b'{"result": "\xff\xfe"}'), Ambiguous, "unreadable_answer"),
    ("a refusal that is no text", came(403, b'{"error": "\xff"}'), Permanent, "forbidden"),
    ("nothing at all", came(200), Ambiguous, "unreadable_answer"),
    ("JSON nested beyond sense", came(200, b"[" * 100_000), Ambiguous, "unreadable_answer"),
    ("more than is read", Raw(status=201, headers={}, body=None), Ambiguous, "answer_too_large"),
]


@pytest.mark.parametrize(("rule", "raw", "kind", "code"), TABLE, ids=[row[0] for row in TABLE])
def test_an_answer_to_a_write_has_one_outcome(rule: str, raw: Raw, kind: type[BridgeError], code: str) -> None:
    with pytest.raises(BridgeError) as caught:
        meaning_of(raw, table="incident", writes=True)
    assert (type(caught.value), caught.value.code) == (kind, code)


@pytest.mark.parametrize(("rule", "raw", "kind", "code"), TABLE, ids=[row[0] for row in TABLE])
def test_a_read_is_never_ambiguous(rule: str, raw: Raw, kind: type[BridgeError], code: str) -> None:
    with pytest.raises(BridgeError) as caught:
        meaning_of(raw, table="incident", writes=False)
    assert (type(caught.value), caught.value.code) == (Transient if kind is Ambiguous else kind, code)


def test_a_2xx_with_a_result_is_an_answer() -> None:
    answer = meaning_of(came(201, b'{"result": {"sys_id": "1"}}', X_Total_Count="3"), table="incident", writes=True)
    assert answer == Answer(result={"sys_id": "1"}, total=3)


def test_a_missing_sir_table_names_the_plugin() -> None:
    with pytest.raises(Permanent, match="SIR is not installed"):
        meaning_of(came(400, said("Invalid table sn_si_incident")), table="sn_si_incident", writes=True)


def test_servicenows_own_words_are_passed_on_in_one_bounded_line() -> None:
    with pytest.raises(Permanent) as caught:
        meaning_of(came(403, said("Operation\x1b[2J\r\nFailed", "x" * 2000)), table="incident", writes=True)
    assert "Operation [2J Failed: xxx" in caught.value.message
    assert "x" * SAID_CHARACTERS_MAX not in caught.value.message


def test_nothing_of_another_body_is_passed_on() -> None:
    with pytest.raises(Permanent) as caught:
        meaning_of(came(403, b"canary of a body"), table="incident", writes=True)
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": "999999"}, 3600.0),
        ({"Retry-After": "Tue, 03 Mar 2026 10:02:00 GMT", "Date": "Tue, 03 Mar 2026 10:00:00 GMT"}, 120.0),
        ({"Retry-After": "Tue, 03 Mar 2026 10:02:00 GMT"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_without_a_clock(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(Transient) as caught:
        meaning_of(Raw(status=429, headers=CaseInsensitiveDict(headers), body=b""), table="incident", writes=True)
    assert caught.value.retry_after == seconds


@given(status=st.integers(100, 599), body=st.binary(max_size=300), date=st.text(max_size=40), writes=st.booleans())
def test_whatever_comes_is_an_answer_or_an_outcome(status: int, body: bytes, date: str, writes: bool) -> None:
    headers = CaseInsensitiveDict({"Retry-After": date, "Date": date, "X-Total-Count": date})
    came_of_it: object
    try:
        came_of_it = meaning_of(Raw(status=status, headers=headers, body=body), table="incident", writes=writes)
    except BridgeError as error:
        came_of_it = error
    assert writes or not isinstance(came_of_it, Ambiguous)
