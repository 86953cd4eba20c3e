"""Every error body that ServiceNow is known to send, in its own words: each has a name, and says what to do."""

from __future__ import annotations

import pytest
from decision_world import called, fires, one_incident
from sync_world import World

from bridge.simulator.faults import FaultKind

NO_RIGHTS = "Insufficient rights to query records"
NO_RESOURCE = "Requested URI does not represent any resource"
FAILED = "Operation Failed"
TOO_LARGE = "Rejected large REST payload with content-length = 15105102 bytes. Max allowed: 10485760 bytes."
CANCELLED = "Transaction cancelled: maximum execution time exceeded"
MANDATORY = "Data Policy Exception: \n\tThe following fields are mandatory: Resolution code, Close notes"
ABORTED = "Operation against file 'T' was aborted by Business Rule 'NAME^0a0b'. Business Rule Stack:NAME"
HINT = " Check logs for error trace or enable glide.rest.debug property to verify REST request processing"

# To a create: status, message, detail; the code, and what a person is told to do.
REFUSED_FOR_GOOD = [
    (403, FAILED, "ACL Exception Insert Failed due to security constraints", "acl", "Give the integration user the"),
    (403, FAILED, MANDATORY, "data_policy", "Give the fields it names in the mapping"),
    (403, FAILED, ABORTED, "business_rule", "Change the rule it names"),
    (403, FAILED, None, "forbidden", "Ask the administrator which rule, ACL or gateway"),
    (
        404,
        "No Record found",
        "Record doesn't exist or ACL restricts the record retrieval",
        "record_gone",
        "was deleted",
    ),
    (400, "Invalid table foo", None, "invalid_table", "The table incident does not exist on this instance"),
    (400, NO_RESOURCE, None, "wrong_url", "correct the instance's url"),
    (404, NO_RESOURCE, None, "wrong_url", "correct the instance's url"),
    (413, "Exception while reading request", TOO_LARGE, "payload_too_large", "Shorten the mapping's texts"),
    (400, "Exception while reading request", TOO_LARGE, "payload_too_large", "Shorten the mapping's texts"),
]
# To a create: it comes again by itself.
TRIED_AGAIN = [
    (
        401,
        "User Not Authenticated",
        "Required to provide Auth information",
        "unauthenticated",
        "Correct the credentials",
    ),
    (401, "User is not authenticated", None, "unauthenticated", "Correct the credentials"),
    (429, "Rate limit exceeded", "Rate limit of 100 requests per hour for Table API exceeded", "rate_limited", "limit"),
    (500, CANCELLED, CANCELLED + HINT, "server_error", "or what stands before it, failed"),
]
# To the look-up after a create whose answer was lost.
LOOK_UP_REFUSED = [
    (403, NO_RIGHTS, "Field(s) present in the query do not have permission to be read", "query_rights", "Let the"),
    (403, NO_RIGHTS, "No permission to read table 'kb_knowledge'", "query_rights", "Let the integration user read"),
]

Body = tuple[int, str, str | None, str, str]


def id_of(body: Body) -> str:
    return f"{body[0]} {body[1]}: {' '.join((body[2] or 'null').split()[:3])}"


def refuses(world: World, body: Body, method: str) -> None:
    status, message, detail, _code, _said = body
    world.fail(FaultKind.REFUSED, method, status=status, message=message, detail=detail)


def said_of(world: World, body: Body) -> None:
    """Its name, the remedy, and ServiceNow's own words in one line."""
    _status, message, detail, code, said = body
    called(world, code, said)
    words = ": ".join(part for part in (message, detail) if part)
    assert f"It said: {' '.join(words.split())}" in world.row().failure_text


@pytest.mark.parametrize("body", REFUSED_FOR_GOOD, ids=id_of)
def test_a_refusal_for_good_is_named_and_nothing_more_is_sent(world: World, body: Body) -> None:
    refuses(world, body, "POST")
    fires(world)
    said_of(world, body)
    world.pass_time(minutes=30)
    assert (world.story(), world.records()) == (["create"], [])


@pytest.mark.parametrize("body", TRIED_AGAIN, ids=id_of)
def test_a_refusal_for_now_is_named_and_tried_again(world: World, body: Body) -> None:
    refuses(world, body, "POST")
    fires(world)
    said_of(world, body)
    world.pass_time(minutes=10, step=10)
    one_incident(world)


@pytest.mark.parametrize("body", LOOK_UP_REFUSED, ids=id_of)
def test_a_look_up_that_is_refused_is_named_and_never_not_found(world: World, body: Body) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    refuses(world, body, "GET")
    fires(world)
    world.pass_time(minutes=10, step=10)
    said_of(world, body)
    assert world.story() == ["create", "look-up"]


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.HIBERNATING,
        FaultKind.LOGIN,
        FaultKind.LOGIN_PAGE,
        FaultKind.PROXY_PAGE,
        FaultKind.NO_RESULT,
        FaultKind.SERVER_ERROR,
        FaultKind.TRUNCATED,
    ],
    ids=str,
)
def test_a_look_up_that_servicenow_did_not_answer_is_never_not_found(world: World, kind: FaultKind) -> None:
    """Not even when the create's window is long over."""
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fail(kind, "GET", times=None)
    fires(world)
    world.pass_time(minutes=15, step=10)
    assert world.story() == ["create", "look-up"]
    world.simulator.faults.clear()
    world.pass_time(minutes=6, step=10)
    assert world.story() == ["create", "look-up", "read"]
    one_incident(world)


def test_an_update_that_an_acl_refuses_is_named(world: World) -> None:
    detail = "ACL Exception Update Failed due to security constraints"
    body = (403, FAILED, detail, "acl", "Give the integration user the role to write incident.")
    fires(world)
    refuses(world, body, "PATCH")
    world.fire(level="critical")
    world.idle()
    said_of(world, body)
    assert world.row().waits_for_person


def test_a_close_that_the_data_policy_refuses_is_told_in_the_incident(world: World) -> None:
    fires(world)
    refuses(world, (403, FAILED, MANDATORY, "", ""), "PATCH")
    world.resolve()
    world.idle()
    assert world.record()["state"] == "1"
    assert "refused to close" in world.notes()[-1]
    refused = [entry for entry in world.log("failed") if entry["outcome"] == "refused"]
    assert [entry["reason"] for entry in refused] == ["data_policy"]
    assert "Resolution code, Close notes" in refused[0]["said"]
