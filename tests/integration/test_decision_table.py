"""What each answer of ServiceNow means: a row of the protocol's decision table is a test here, in the table's order.

Every row is lived through: an alert comes in, the worker goes its rounds over a socket, and in the end there is one
incident; before a second create stands a look-up by the correlation ID; where only a person can help, the person is
told what to do, does it, and that is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from decision_world import (
    FIRST_LOOK,
    OPERATION_FAILED,
    SAID,
    bad_field,
    called,
    comes_again_by_itself,
    fires,
    found_and_taken,
    helped,
    is_user,
    may_write_only,
    one_incident,
    security_incidents_come,
    sent_again_after_its_window,
    transforms,
    waits_for_a_person,
    with_tokens,
)
from schemes_world import auth_of, given_access
from sync_world import PASSWORD_VARIABLE, World, itsm
from ways_world import STAGING, TARGETS, aim, staged

from bridge.settings import Secret, Target
from bridge.simulator.access import User
from bridge.simulator.answers import no_record
from bridge.simulator.faults import FaultKind
from bridge.simulator.scenario import parse_body
from bridge.simulator.switches import Hibernation
from bridge.simulator.transform import Rejection
from bridge.simulator.transform import Staging as Simulated
from bridge.sync import worker

# --- 2xx + JSON with non-null `result`: ok


@pytest.mark.parametrize(
    ("target", "story"),
    [(itsm(), ["create"]), (staged(), ["look-up", "create", "read"])],
    ids=["201 of a table", "201 of an import"],
)
def test_2xx_and_json_with_a_result_is_ok(world: World, target: Target, story: list[str]) -> None:
    aim(world, target)
    fires(world)
    world.pass_time(minutes=10)
    one_incident(world)
    assert world.story() == story


# --- 2xx + html / no `result`: hibernating, login page, proxy. Retry: yes, slow; never treat as created

NO_ANSWER_OF_SERVICENOWS = {
    "hibernating": (FaultKind.HIBERNATING, Hibernation.PAGE, "hibernating", "wake it at developer.servicenow.com"),
    "hibernating, 302": (
        FaultKind.HIBERNATING,
        Hibernation.REDIRECT,
        "hibernating",
        "wake it at developer.servicenow.com",
    ),
    "login page": (FaultKind.LOGIN_PAGE, Hibernation.PAGE, "html_answer", "a login page, or a gateway"),
    "login page, 302": (FaultKind.LOGIN, Hibernation.PAGE, "redirected", "give the instance's final url"),
    "proxy page": (FaultKind.PROXY_PAGE, Hibernation.PAGE, "html_answer", "a login page, or a gateway"),
    "no result": (FaultKind.NO_RESULT, Hibernation.PAGE, "unreadable_answer", "not the Table API's"),
    "202, and never done": (FaultKind.DROPPED, Hibernation.PAGE, "accepted_only", "not yet done"),
}


@pytest.mark.parametrize(
    ("kind", "hibernation", "code", "said"), NO_ANSWER_OF_SERVICENOWS.values(), ids=NO_ANSWER_OF_SERVICENOWS
)
def test_2xx_with_html_or_no_result_is_tried_again_slowly_and_never_taken_for_created(
    world: World, kind: FaultKind, hibernation: Hibernation, code: str, said: str
) -> None:
    world.simulator.switches.hibernation = hibernation
    world.fail(kind, "POST")
    fires(world)
    comes_again_by_itself(world, code, said)
    assert world.row().open is False
    sent_again_after_its_window(world)


# --- 2xx import + result[0].status in {error, ignored, skipped} or result empty: transform refusal. Retry: no


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        ("error", "import_error", "refused the row: No caller: Refused by onBefore"),
        ("ignored", "import_left", "It said: No caller: Refused by onBefore"),
        ("skipped", "import_left", "It said: No caller: Refused by onBefore"),
        ("result empty", "import_error", "has made anything of the row: make one to incident"),
        ("no map", "import_error", "No transform entry or scripts are defined"),
    ],
)
def test_an_import_that_the_transform_map_refused_waits_for_a_person(
    world: World, status: str, code: str, said: str
) -> None:
    target, staging = staged(), transforms(Rejection(status=status, **SAID))
    if status == "no map":
        staging = Simulated(
            name=STAGING, maps=(), columns=tuple(transforms().table(world.simulator.rows.tables).columns)
        )
    if status == "result empty":
        staging = transforms()
        world.fail(FaultKind.NO_RESULT, "POST", path="/import/")
    aim(world, target, staging)
    fires(world)
    waits_for_a_person(world, code, said)
    helped(world, lambda world: aim(world, target, transforms()))
    assert world.story()[-3:] == ["look-up", "create", "read"]
    one_incident(world)


# --- 201 with unparsable body: record probably created. Look up by correlation before retry


@pytest.mark.parametrize("target", [itsm(), staged()], ids=["of a table", "of an import"])
def test_201_with_a_body_that_cannot_be_parsed_is_looked_up_by_its_correlation_id(world: World, target: Target) -> None:
    aim(world, target)
    world.fail(FaultKind.TRUNCATED, "POST", path="")
    fires(world)
    comes_again_by_itself(world, "unreadable_answer", "ServiceNow answered 201.")
    found_and_taken(world)


# --- 401 REST: token/creds. Refresh once, then stop


def test_401_of_an_expired_token_is_refreshed_once_and_the_write_goes_out(
    worlds: Callable[..., World], secrets: Path
) -> None:
    world = with_tokens(worlds, secrets)
    fires(world)
    world.simulator.access.tokens.forget("", refresh=False)
    world.fire("r2")
    world.idle()
    assert world.story() == ["token", "create", "create", "token", "create"]
    assert [record["correlation_id"] for record in world.records()] == ["r1", "r2"]
    assert world.row("r2").failure is None


def test_401_of_the_refreshed_token_too_is_the_end_of_it_until_the_next_round(
    worlds: Callable[..., World], secrets: Path
) -> None:
    world = with_tokens(worlds, secrets)
    fires(world)
    world.simulator.access.tokens.forget("", refresh=False)
    world.fail(FaultKind.UNAUTHENTICATED, "POST", after=1)  # the first is the expired token's own
    world.fire("r2")
    world.idle()
    assert world.story() == ["token", "create", "create", "token", "create"]
    assert (world.row("r2").failure, world.row("r2").due_at) == ("unauthenticated", world.clock.now + FIRST_LOOK)
    assert "Correct the credentials of the instance's auth" in world.row("r2").failure_text
    world.pass_time(seconds=2, step=0.5)
    assert [record["correlation_id"] for record in world.records()] == ["r1", "r2"]
    assert world.row("r2").failure is None


@pytest.mark.parametrize(
    ("second_factor", "said"),
    [(False, "Correct the credentials of the instance's auth"), (True, "Multi-factor authentication is asked")],
    ids=["wrong password", "multi-factor authentication"],
)
def test_401_of_a_password_stops_after_two_tries_and_goes_on_when_it_is_corrected(
    world: World, monkeypatch: pytest.MonkeyPatch, second_factor: bool, said: str
) -> None:
    world.simulator.add_user(User(name="bridge", password="another", mfa=second_factor))
    if second_factor:
        monkeypatch.setenv(PASSWORD_VARIABLE, "another")
    fires(world)
    comes_again_by_itself(world, "unauthenticated", said)
    world.pass_time(seconds=50, step=0.5)
    assert [status for _, _, status in world.simulator.calls] == [401, 401]  # a third might lock the user
    if second_factor:
        world.simulator.add_user(User(name="bridge", password="another"))
        world.pass_time(minutes=1, step=0.5)
    else:
        monkeypatch.setenv(PASSWORD_VARIABLE, "another")
        world.wake()
        world.idle()
    one_incident(world)


# --- 401 token endpoint `server_error/access_denied`: configuration. Retry: no


def test_401_of_the_token_endpoint_is_not_repeated_and_goes_on_when_the_secret_is_corrected(
    worlds: Callable[..., World], secrets: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("nope")
    auth = auth_of("oauth_client_credentials", secrets)
    auth = replace(auth, client_secret=Secret(kind="file", name=str(secret)))
    world = worlds(auth=auth, scenario=parse_body(given_access()))
    world.meant = "no_token"
    fires(world)
    called(world, "token_refused", "Check in this order: client_secret")
    assert "It said: server_error: access_denied" in world.row().failure_text
    world.pass_time(seconds=299)
    assert world.story() == ["token"]  # nothing was sent to the API at all
    secret.write_text("c-secret")
    world.wake()
    world.idle()
    assert world.story() == ["token", "token", "create"]
    one_incident(world)


# --- 403 `Operation Failed` + ACL / Data Policy / Business Rule: permanent. Retry: no


@pytest.mark.parametrize(("arm", "code", "said", "remedy"), OPERATION_FAILED.values(), ids=OPERATION_FAILED)
def test_403_operation_failed_waits_for_a_person(
    world: World,
    arm: Callable[[World], None],
    code: str,
    said: tuple[str, str],
    remedy: Callable[[World], None],
) -> None:
    arm(world)
    fires(world)
    for words in said:
        waits_for_a_person(world, code, words)
    assert world.story() == ["create"]
    helped(world, remedy)
    assert world.story() == ["create", "look-up", "create"]
    one_incident(world)


# --- 403 `Insufficient rights to query records`: role or bad field. Retry: no


@pytest.mark.parametrize(
    ("arm", "remedy"),
    [
        (may_write_only, lambda world: is_user(world, "itil", "reader")),
        (bad_field, lambda world: world.simulator.faults.clear()),
    ],
    ids=["role", "bad field"],
)
def test_403_insufficient_rights_on_a_look_up_is_never_not_found_and_waits_for_a_person(
    world: World, arm: Callable[[World], None], remedy: Callable[[World], None]
) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    arm(world)
    fires(world)
    world.pass_time(seconds=1, step=0.5)
    waits_for_a_person(world, "query_rights", "Let the integration user read incident and every field of the query.")
    helped(world, remedy)
    assert world.story() == ["create", "look-up", "read"]
    one_incident(world)


# --- 404 `No Record found`: gone or hidden by ACL. Retry: no; re-look-up


def test_404_of_a_record_that_no_look_up_shows_either_is_its_deletion(world: World) -> None:
    fires(world)
    world.simulator.person_deletes("incident", world.record()["sys_id"])
    world.pass_time(minutes=16)
    fires(world)
    assert world.story() == ["create", "read", "look-up"]
    assert (world.records(), world.row().open, world.row().failure) == ([], False, None)
    assert [entry["reason"] for entry in world.log("record_gone")] == ["deleted"]


def test_404_of_a_record_that_a_look_up_shows_is_read_again(world: World) -> None:
    fires(world)
    world.fail(FaultKind.ACL, "GET")
    world.fire(level="critical")
    world.idle()
    comes_again_by_itself(world, "record_hidden", "lists it: it is read again")
    world.pass_time(minutes=5)
    assert world.story() == ["create", "read", "look-up", "read", "update"]
    one_incident(world)


def test_404_of_a_record_that_an_acl_hides_is_not_its_deletion(world: World) -> None:
    fires(world)
    may_write_only(world)
    world.fire(level="critical")
    world.idle()
    waits_for_a_person(world, "query_rights", "Let the integration user read incident")
    assert (len(world.records()), world.row().open) == (1, True)
    helped(world, lambda world: is_user(world, "itil", "reader"))
    assert world.record()["impact"] == "1"
    one_incident(world)


def test_404_of_a_write_is_read_again_before_anything_is_concluded(world: World) -> None:
    fires(world)
    gone = no_record()
    world.fail(FaultKind.REFUSED, "PATCH", status=gone.status, message=gone.message, detail=gone.detail)
    world.fire(level="critical")
    world.worker.work()
    comes_again_by_itself(world, "record_gone", "The record was deleted, or an ACL hides it")
    world.pass_time(minutes=5)
    assert world.story() == ["create", "read", "update", "read", "update"]
    one_incident(world)


# --- 400 `Invalid table`: plugin not installed (e.g. SIR). Retry: no


@pytest.mark.parametrize("name", ["table, SIR", "sir_import"])
def test_400_invalid_table_names_the_plugin_and_what_to_use_without_it(world: World, name: str) -> None:
    aim(world, TARGETS[name])
    world.simulator.security_incidents = False
    fires(world)
    waits_for_a_person(world, "invalid_table", "SIR is not installed: use itsm")
    helped(world, security_incidents_come)
    one_incident(world)


def test_400_invalid_table_of_a_staging_table_names_it(world: World) -> None:
    world.aim(staged())
    fires(world)
    waits_for_a_person(world, "invalid_table", f"The table {STAGING} does not exist on this instance")
    helped(world, lambda world: aim(world, staged()))
    one_incident(world)


# --- 429: limit. Retry: after Retry-After


def test_429_is_tried_again_after_its_retry_after_and_nothing_else_is_asked_meanwhile(world: World) -> None:
    world.fail(FaultKind.RATE_LIMIT, "POST", seconds=120)
    fires(world)
    called(world, "rate_limited", "Its rate limit is reached. It said: Rate limit exceeded")
    assert world.row().due_at == world.clock.now + timedelta(seconds=120)
    world.fire("r2")
    world.pass_time(seconds=100, step=1)
    assert world.story() == ["create"]
    world.pass_time(seconds=40, step=1)
    assert sorted(record["correlation_id"] for record in world.records()) == ["r1", "r2"]
    assert world.row().failure is None


# --- 500 transaction cancelled, 502, 503, timeout, reset: write may have happened. Look up by correlation, then retry

FAILED = "ServiceNow, or what stands before it, failed."
BROKE = "The connection broke before the whole answer was read."
MAY_HAVE_HAPPENED = {
    "500 transaction cancelled": (FaultKind.CANCELLED, 500, "server_error", "Transaction cancelled: maximum"),
    "500": (FaultKind.SERVER_ERROR, 500, "server_error", FAILED),
    "502": (FaultKind.SERVER_ERROR, 502, "server_error", FAILED),
    "503": (FaultKind.SERVER_ERROR, 503, "server_error", FAILED),
    "timeout": (FaultKind.NO_ANSWER, 503, "timed_out", "did not answer in time"),
    "closed": (FaultKind.CLOSED, 503, "connection_lost", BROKE),
}
HAPPENED = pytest.mark.parametrize("happened", [True, False], ids=["it happened", "it did not"])


@HAPPENED
@pytest.mark.parametrize(("kind", "status", "code", "said"), MAY_HAVE_HAPPENED.values(), ids=MAY_HAVE_HAPPENED)
def test_a_write_that_may_have_happened_is_looked_up_and_only_then_tried_again(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    kind: FaultKind,
    status: int,
    code: str,
    said: str,
    happened: bool,
) -> None:
    seconds = 2.0 if kind is FaultKind.NO_ANSWER else worker.CALL_SECONDS_MAX
    world.fail(kind, "POST", status=status, applied=happened)
    with monkeypatch.context() as patched:
        patched.setattr(worker, "CALL_SECONDS_MAX", seconds)
        fires(world)
    comes_again_by_itself(world, code, said)
    if happened:
        found_and_taken(world)
    else:
        sent_again_after_its_window(world, seconds)


@pytest.mark.parametrize(
    ("kind", "finish"),
    [
        (FaultKind.RESET_AFTER_COMMIT, found_and_taken),
        (FaultKind.RESET_BEFORE_COMMIT, sent_again_after_its_window),
    ],
    ids=["it happened", "it did not"],
)
def test_a_create_that_was_reset_is_looked_up_and_only_then_tried_again(
    world: World, kind: FaultKind, finish: Callable[[World], None]
) -> None:
    world.fail(kind, "POST")
    fires(world)
    comes_again_by_itself(world, "connection_lost", BROKE)
    finish(world)
