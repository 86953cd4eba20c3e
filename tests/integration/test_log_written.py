"""The log of what was written to ServiceNow: intents with digests of what they change, calls, and what people did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from intake_world import rows
from log_world import part_of
from reconciler_world import CLOSES, twin
from sync_world import World

from bridge.log.digest import changes
from bridge.simulator.faults import FaultKind
from bridge.store.tables import intents

PLACE = {"instance": "test", "target": "itsm", "table": "incident"}


def opens(world: World) -> None:
    world.fire(level="high")
    world.idle()


def rises(world: World) -> None:
    opens(world)
    world.fire(level="critical")
    world.idle()


def closes(world: World) -> None:
    opens(world)
    world.resolve(level="high")
    world.idle()


def comes_back(world: World) -> None:
    closes(world)
    opens(world)


# --- each write: its intent and its outcome

WRITES: list[tuple[str, Callable[[World], None], str, dict[str, Any]]] = [
    (
        "a create is intended",
        opens,
        "intended",
        {"outcome": "create", "reason": "first_alert", "detail": {"intent": 1, "attempt": 1, "alert": "1-0"}},
    ),
    (
        "and written, with the status of the answer",
        opens,
        "written",
        {"outcome": "create", "number": "INC0010001", "detail": {"intent": 1, "attempt": 1, "status": 201}},
    ),
    (
        "an update",
        rises,
        "written",
        {"outcome": "update", "reason": "severity_rose", "detail": {"intent": 2, "attempt": 1, "status": 200}},
    ),
    ("a close", closes, "closed", {"outcome": "close", "reason": "resolved", "detail": {"status": 200}}),
    ("a return", comes_back, "reopened", {"outcome": "reopen", "reason": "came_back", "detail": {"status": 200}}),
]


@pytest.mark.parametrize(("happens", "action", "expected"), [row[1:] for row in WRITES], ids=[row[0] for row in WRITES])
def test_a_write_is_told_with_where_by_what_and_how_it_went(
    anywhere: World, happens: Callable[[World], None], action: str, expected: dict[str, Any]
) -> None:
    happens(anywhere)
    expected = PLACE | {"actor": "sync", "revision": anywhere.library["probe"].revision} | expected
    assert part_of(anywhere.log(action)[-1], expected) == expected


def test_an_intent_names_the_revision_that_mapped_the_alert_beside_the_one_that_worded_it(anywhere: World) -> None:
    opens(anywhere)
    (entry,) = anywhere.log("intended")
    assert entry["detail"]["mapped_by"] == entry["revision"] == anywhere.library["probe"].revision


def test_the_fields_of_a_write_stand_as_digests_of_what_they_were_and_are(anywhere: World) -> None:
    """Whoever has the values and their salt can see that they are these."""
    rises(anywhere)
    create, update = rows(anywhere.store, intents)
    before, after = msgspec.json.decode(update.before), msgspec.json.decode(update.fields)
    assert (before["impact"], after["impact"]) == ("2", "1")
    assert anywhere.log("intended")[1]["detail"]["fields"] == changes(update.salt, before, after)
    assert anywhere.log("intended")[0]["detail"]["fields"] == changes(
        create.salt, {}, msgspec.json.decode(create.fields)
    )
    assert create.salt != update.salt


def test_what_a_journal_held_before_is_not_asked_for(anywhere: World) -> None:
    rises(anywhere)
    assert set(anywhere.log("intended")[1]["detail"]["fields"]["work_notes"]) == {"after"}


# --- each call that was not simply taken

CALLS: list[tuple[FaultKind, dict[str, Any], dict[str, Any]]] = [
    (FaultKind.RATE_LIMIT, {}, {"outcome": "not_applied", "reason": "rate_limited", "detail": {"status": 429}}),
    (FaultKind.UNAUTHENTICATED, {}, {"outcome": "not_applied", "reason": "unauthenticated", "detail": {"status": 401}}),
    (
        FaultKind.SERVER_ERROR,
        {"status": 503},
        {"outcome": "ambiguous", "reason": "server_error", "detail": {"status": 503}},
    ),
    (FaultKind.DROPPED, {}, {"outcome": "ambiguous", "reason": "accepted_only", "detail": {"status": 202}}),
    (FaultKind.TRUNCATED, {}, {"outcome": "ambiguous", "reason": "unreadable_answer", "detail": {"status": 201}}),
    (
        FaultKind.RESET_AFTER_COMMIT,
        {},
        {"outcome": "ambiguous", "reason": "connection_lost", "detail": {"status": None}},
    ),
    (FaultKind.BUSINESS_RULE, {}, {"outcome": "permanent", "reason": "business_rule", "detail": {"status": 403}}),
]


@pytest.mark.parametrize(("kind", "fault", "expected"), CALLS, ids=[str(row[0]) for row in CALLS])
def test_a_call_that_was_not_taken_is_told_by_its_outcome_and_status(
    world: World, kind: FaultKind, fault: dict[str, Any], expected: dict[str, Any]
) -> None:
    world.fail(kind, "POST", **fault)
    opens(world)
    expected = PLACE | expected | {"detail": {"intent": 1, "operation": "create", "attempt": 1} | expected["detail"]}
    (entry,) = world.log("called")
    assert part_of(entry, expected) == expected


def test_a_try_after_one_that_failed_counts_on_and_one_after_a_write_begins_anew(world: World) -> None:
    world.fail(FaultKind.RATE_LIMIT, "POST", times=2)
    opens(world)
    world.pass_time(hours=1)
    assert [entry["detail"]["attempt"] for entry in world.log("intended")] == [1, 2, 3]
    assert world.log("written")[0]["detail"]["attempt"] == 3
    world.fire(level="critical")
    world.idle()
    assert world.log("written")[1]["detail"]["attempt"] == 1


def test_attempts_are_counted_from_what_was_applied_to_their_own_incident(anywhere: World) -> None:
    anywhere.fail(FaultKind.BUSINESS_RULE, "POST")
    anywhere.fire("r1")
    anywhere.idle()
    anywhere.fire("r2")
    anywhere.idle()
    assert anywhere.log("written")[0]["correlation_id"] == "r2"
    anywhere.ask_sync("r1")
    anywhere.idle()
    own = [entry["detail"]["attempt"] for entry in anywhere.log("intended") if entry["correlation_id"] == "r1"]
    assert own == [1, 2]


def test_a_write_that_was_looked_for_until_its_window_was_over_is_told_not_to_have_happened(world: World) -> None:
    world.fail(FaultKind.DROPPED, "POST")
    opens(world)
    world.pass_time(minutes=10)
    (entry,) = world.log("looked_up")
    assert (entry["outcome"], entry["detail"]) == ("not_applied", {"intent": 1, "operation": "create"})


# --- what people do in ServiceNow


def a_person_closes(world: World) -> None:
    world.person(**CLOSES)


def a_person_resolves(world: World) -> None:
    world.person(**{**CLOSES, "state": "6"})


def a_person_opens_it_again(world: World) -> None:
    world.person(**{**CLOSES, "state": "6"})
    world.watch(minutes=1)
    world.person(state="2")


def a_person_edits(world: World) -> None:
    world.person(short_description="mine")


def it_is_deleted(world: World) -> None:
    world.simulator.person_deletes("incident", world.record()["sys_id"])


PEOPLE: list[tuple[Callable[[World], None], str, str, dict[str, Any], list[str]]] = [
    # what they do, the entry's action and reason, who did it, what else is told
    (
        a_person_closes,
        "ended_by_person",
        "by_person",
        {
            "by": "analyst",
            "updated_by": "analyst",
            "closed_by": "analyst",
            "state": "7",
            "close_code": "Solution provided",
        },
        ["updated_on", "closed_at"],
    ),
    (
        a_person_resolves,
        "ended_by_person",
        "by_person",
        {"by": "analyst", "updated_by": "analyst", "resolved_by": "analyst", "state": "6"},
        ["updated_on", "resolved_at"],
    ),
    (a_person_opens_it_again, "reopened", "reopened_by_person", {"by": "analyst", "state": "2"}, ["updated_on"]),
    (a_person_edits, "edited", "", {"by": "analyst", "fields": ["short_description"]}, ["updated_on"]),
    (it_is_deleted, "record_gone", "deleted", {}, []),
]


@pytest.mark.parametrize(
    ("deed", "action", "reason", "expected", "also"), PEOPLE, ids=[row[0].__name__ for row in PEOPLE]
)
def test_what_people_do_is_told_with_who_and_when(
    world: World, deed: Callable[[World], None], action: str, reason: str, expected: dict[str, Any], also: list[str]
) -> None:
    opens(world)
    world.watch(minutes=1)
    deed(world)
    world.watch(minutes=70, step=300)
    entry = world.log(action)[-1]
    assert entry.get("reason", "") == reason
    assert part_of(entry, PLACE) == PLACE
    assert part_of(entry.get("detail", {}), expected) == expected
    assert [name for name in also if not entry["detail"].get(name)] == []


def test_a_twin_is_told_with_its_other_record_and_what_became_of_it(world: World) -> None:
    opens(world)
    world.clock.advance(minutes=1)
    made = twin(world)
    world.watch(minutes=2)
    (entry,) = world.log("twin")
    expected = {"number": made["number"], "outcome": "closed", "instance": "test", "detail": {"twin_of": "INC0010001"}}
    assert part_of(entry, expected) == expected
    assert entry["detail"]["created_on"]


def test_a_close_of_a_twin_that_is_refused_is_told_as_a_call(world: World) -> None:
    opens(world)
    world.clock.advance(minutes=1)
    twin(world)
    world.fail(FaultKind.BUSINESS_RULE, "PATCH")
    world.watch(minutes=2)
    expected = {"outcome": "permanent", "reason": "business_rule", "detail": {"operation": "close", "status": 403}}
    assert part_of(world.log("called")[0], expected) == expected
