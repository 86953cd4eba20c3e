"""What the answers of Event Management and of the enrichment service mean: every documented error, in any envelope."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from bridge.alert import Json
from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow.outcome import Answer, Raw
from bridge.servicenow.outputs import enrichment_meaning, event_meaning

DOCUMENTED = {
    "Insufficient access": (Permanent, "insufficient_access", "sn_sec_cmn.api_write"),
    "Invalid post body": (Permanent, "invalid_post_body", "`fields`"),
    "No fields supplied": (Permanent, "no_fields", "correct their names"),
    "Mandatory fields missing: cmdb_ci,source": (Permanent, "mandatory_missing", "cmdb_ci,source"),
    "Unable to persist record": (Transient, "not_persisted", "not inserted"),
    "Unknown error": (Transient, "unknown_error", "data map"),
}
ENVELOPES = {
    "the platform's": lambda text: {"error": {"message": text, "detail": None}, "status": "failure"},
    "the platform's, in detail": lambda text: {"error": {"message": "Failed", "detail": text}, "status": "failure"},
    "the platform's, wrapped": lambda text: {"result": {"error": {"message": text}}},
    "an error that is a text": lambda text: {"error": text},
    "a message beside success": lambda text: {"success": False, "message": text},
    "a message, wrapped": lambda text: {"result": {"success": "false", "message": text}},
    "a text alone": lambda text: text,
    "a text, wrapped": lambda text: {"result": text},
    "a message beside no record": lambda text: {"result": {"record": None, "errorMessage": text}},
    "a list of errors": lambda text: {"success": False, "errors": [text]},
    "a list of errors, each an object": lambda text: {"result": {"errors": [{"message": text}]}},
}


def came(status: int, document: Json = None, body: bytes | None = None, **headers: str) -> Raw:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if body is not None else msgspec.json.encode(document)
    return Raw(status=status, headers=CaseInsensitiveDict(named), body=content)


def meaning(raw: Raw) -> Answer:
    return enrichment_meaning(raw, table="sn_ti_lookup_result", writes=True, path="/api/x/threat_lookup")


@pytest.mark.parametrize("message", DOCUMENTED)
@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 422, 500, 503])
def test_a_documented_error_is_known_by_its_words(message: str, envelope: str, status: int) -> None:
    kind, code, remedy = DOCUMENTED[message]
    with pytest.raises(kind) as caught:
        meaning(came(status, ENVELOPES[envelope](message)))
    assert caught.value.code == code
    assert f"answered {status}: {message}. " in caught.value.message
    assert remedy in caught.value.message


@pytest.mark.parametrize("message", DOCUMENTED)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_documented_error_is_known_without_json(message: str, status: int) -> None:
    kind, code, _ = DOCUMENTED[message]
    with pytest.raises(kind) as caught:
        meaning(came(status, body=message.encode(), Content_Type="text/plain"))
    assert caught.value.code == code


def test_a_word_without_json_means_what_it_means_as_json() -> None:
    assert meaning(came(200, body=b"success", Content_Type="text/plain")).result == "success"


def test_case_and_blanks_do_not_hide_an_error() -> None:
    with pytest.raises(Permanent, match="a,b"):
        meaning(came(500, {"error": {"message": "MANDATORY  fields missing:\n a,b"}}))


RECORD = {"sys_id": "ab" * 16, "finding": "Unknown error", "message_of_it": "Insufficient access"}
WORKED: list[Json] = [
    {"success": True, "record": RECORD},
    {"result": {"success": True, "record": RECORD}},
    {"success": True},
    {"result": {"success": True}},
    {"result": "success"},
    RECORD,
    True,
    "success",
]


@pytest.mark.parametrize("document", WORKED, ids=str)
@pytest.mark.parametrize("status", [200, 201])
def test_what_worked_is_known_with_the_wrap_and_without(document: Json, status: int) -> None:
    answer = meaning(came(status, document))
    assert answer.result == (document["result"] if isinstance(document, dict) and "result" in document else document)


OTHERS = [
    ("nobody knows us", came(401, {"error": {"message": "User Not Authenticated"}}), Transient, "unauthenticated"),
    ("too much", came(429, {"error": {"message": "Rate limit exceeded"}}), Transient, "rate_limited"),
    ("nothing there", came(404, {"error": {"message": "Requested URI does not …"}}), Permanent, "wrong_path"),
    (
        "nothing there, by 400",
        came(400, {"error": {"message": "Requested URI does not represent any resource"}}),
        Permanent,
        "wrong_path",
    ),
    ("no POST", came(405, {"error": {"message": "Method not supported"}}), Permanent, "wrong_path"),
    ("an ACL of the service", came(403, {"error": {"message": "User Not Authorized"}}), Permanent, "forbidden"),
    ("a failure in other words", came(200, {"success": False, "message": "Oh"}), Transient, "unknown_error"),
    ("a failure without words", came(201, {"result": False}), Transient, "unknown_error"),
    ("a failure that is an error", came(200, {"error": {"message": "Oh"}}), Transient, "unknown_error"),
    ("a login page", came(200, body=b"<html>Log in</html>"), Ambiguous, "html_answer"),
    ("an answer that breaks off", came(201, body=b'{"succ'), Ambiguous, "unreadable_answer"),
    ("nothing said", came(200, body=b""), Ambiguous, "unreadable_answer"),
    ("taken, not done", came(202, body=b""), Ambiguous, "accepted_only"),
    ("a gateway's failure", came(502, body=b"<html>Bad gateway</html>"), Ambiguous, "server_error"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "kind", "code"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_every_other_answer_means_what_it_means_elsewhere(raw: Raw, kind: type[BridgeError], code: str) -> None:
    with pytest.raises(kind) as caught:
        meaning(raw)
    assert caught.value.code == code


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_wrong_path_is_named_with_whom_to_ask(status: int) -> None:
    message = "Method not supported" if status == 405 else "Requested URI does not represent any resource"
    with pytest.raises(Permanent, match=r"/api/x/threat_lookup.*Scripted REST APIs"):
        meaning(came(status, {"error": {"message": message}}))


@given(status=st.sampled_from([200, 201, 202, 301, 400, 401, 403, 404, 429, 500, 503]), body=st.binary(max_size=60))
def test_no_answer_breaks_it(status: int, body: bytes) -> None:
    with contextlib.suppress(BridgeError):  # one of the outcomes is an answer; nothing else is let through
        meaning(came(status, body=body))


JSON = st.recursive(st.none() | st.booleans() | st.text(max_size=8), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["result", "error", "message", "success", "record", "sys_id"]), inner), max_leaves=8)  # fmt: skip


@given(document=JSON)
def test_no_document_breaks_it(document: Json) -> None:
    with contextlib.suppress(BridgeError):
        meaning(came(200, document))


# --- events


def event(raw: Raw) -> Answer:
    return event_meaning(raw, table="em_event", writes=True)


def test_an_event_that_was_inserted() -> None:
    assert event(came(200, {"result": {"Default Bulk Endpoint": "1 events were inserted"}})).result


EVENTS = [
    (
        "none was inserted",
        came(200, {"result": {"Default Bulk Endpoint": "0 events were inserted"}}),
        "event_not_taken",
    ),
    ("no plugin", came(400, {"error": {"message": "Requested URI does not represent any resource"}}), "wrong_path"),
    ("no right", came(403, {"error": {"message": "User Not Authorized"}}), "forbidden"),
]


@pytest.mark.parametrize(("raw", "code"), [row[1:] for row in EVENTS], ids=[row[0] for row in EVENTS])
def test_an_event_that_is_refused(raw: Raw, code: str) -> None:
    with pytest.raises(Permanent) as caught:
        event(raw)
    assert caught.value.code == code
