"""The analyst's hands are on the incident: the bridge does not fight people."""

from __future__ import annotations

from typing import Any

import pytest
from intake_world import alert, delivery, library_of
from sync_world import PROBE, World, itsm

from bridge.correlation.policy import CloseWhen
from bridge.servicenow.table import TableApi
from bridge.settings import Close
from bridge.simulator.faults import FaultKind
from bridge.simulator.seed import fixed_id
from bridge.store import intake

FRED = fixed_id("sys_user", "fred")
PERSON_CLOSES = {"state": "7", "close_code": "Solution provided", "close_notes": "fixed"}


NOISE = "suppress: [{name: noise, reason: a test, permanent: true, when: {.noisy: true}}]\n"


@pytest.fixture
def opened(world: World) -> World:
    world.fire()
    world.idle()
    return world


def test_an_incident_that_a_person_has_taken_is_told_once_and_not_closed(opened: World) -> None:
    opened.person(assigned_to=FRED)
    for _ in range(3):
        opened.resolve()
        opened.idle()
    assert opened.record()["state"] == "1"
    (note,) = opened.notes()
    assert "left to you to close" in note


def test_an_incident_that_a_person_moved_on_is_not_closed(opened: World) -> None:
    opened.person(state="2")
    opened.resolve()
    opened.idle()
    assert opened.record()["state"] == "2"


def test_a_state_that_a_person_set_stays_theirs_after_our_own_notes(opened: World) -> None:
    opened.person(state="2")
    opened.fire(level="critical")
    opened.idle()
    opened.resolve()
    opened.idle()
    assert opened.record()["state"] == "2"


def test_an_incident_with_an_open_child_is_not_closed(opened: World) -> None:
    opened.simulator.person_creates("incident", parent_incident=opened.record()["sys_id"], short_description="child")
    opened.resolve()
    opened.idle()
    assert opened.records()[0]["state"] == "1"
    assert "left to you to close" in opened.notes()[0]


def test_a_target_that_always_closes_closes_what_people_are_on(opened: World) -> None:
    opened.aim(
        itsm(close=Close(state="6", code="Solution provided", notes="Resolved.", when=CloseWhen.ALWAYS)),
    )
    opened.person(state="2", assigned_to=FRED)
    opened.resolve()
    opened.idle()
    assert opened.record()["state"] == "6"


def test_a_target_without_a_close_code_is_told_once(opened: World) -> None:
    opened.aim(itsm(close=None))
    for _ in range(2):
        opened.resolve()
        opened.idle()
    assert opened.record()["state"] == "1"
    assert len(opened.notes()) == 1


def test_repeats_after_a_person_closed_it_are_quiet(opened: World) -> None:
    opened.person(**PERSON_CLOSES)
    for _ in range(3):
        opened.fire()
        opened.pass_time(minutes=20)
    assert opened.writes() == ["POST"]
    assert opened.row().open is False
    assert opened.decisions()[-1] == "nothing: closed_by_person"
    (ended,) = opened.log("ended_by_person")
    assert (ended["reason"], ended["detail"]["by"]) == ("by_person", "analyst")


@pytest.mark.parametrize(
    "edit",
    [{"state": "8"}, PERSON_CLOSES, {**PERSON_CLOSES, "state": "6"}],
    ids=["cancelled", "closed", "resolved"],
)
def test_resolved_and_back_after_a_person_ended_it_is_a_new_linked_incident(
    opened: World, edit: dict[str, str]
) -> None:
    opened.person(**edit)
    opened.resolve()
    opened.idle()
    opened.fire()
    opened.idle()
    old, new = opened.records()
    assert (old["state"], new["state"]) == (edit["state"], "1")
    assert f"Follows {old['number']}" in opened.notes(1)[0]


def test_a_rise_after_a_person_closed_it_is_a_new_incident(opened: World) -> None:
    opened.person(**PERSON_CLOSES)
    opened.fire(level="critical")
    opened.idle()
    assert [record["state"] for record in opened.records()] == ["7", "1"]


def test_a_problem_that_still_fires_a_day_after_a_person_closed_it_is_a_new_incident(opened: World) -> None:
    opened.person(**PERSON_CLOSES)
    opened.fire()
    opened.pass_time(minutes=20)
    opened.pass_time(hours=25, step=3600)
    opened.fire()
    opened.idle()
    assert len(opened.records()) == 2


def test_a_deleted_record_is_noticed_and_what_rises_is_a_new_incident(opened: World) -> None:
    opened.simulator.person_deletes("incident", opened.record()["sys_id"])
    opened.fire(level="critical")
    opened.idle()
    assert opened.record()["impact"] == "1"
    (gone,) = opened.log("record_gone")
    assert (gone["reason"], "detail" in gone, opened.log("ended_by_person")) == ("deleted", False, [])


def test_a_problem_that_returns_after_its_closed_record_was_deleted_is_a_new_incident(opened: World) -> None:
    opened.resolve()
    opened.idle()
    opened.simulator.person_deletes("incident", opened.record()["sys_id"])
    opened.fire()
    opened.idle()
    assert opened.record()["state"] == "1"


def test_a_reopen_that_servicenow_refuses_becomes_a_new_linked_incident(opened: World) -> None:
    opened.resolve()
    opened.idle()
    opened.fail(FaultKind.ACL, "PATCH")
    opened.fire()
    opened.idle()
    old, new = opened.records()
    assert (old["state"], new["state"]) == ("6", "1")
    assert f"Follows {old['number']}" in opened.notes(1)[0]
    assert "create: reopen_refused" in opened.decisions()


def test_a_close_that_servicenow_refuses_is_told_once(opened: World) -> None:
    opened.fail(FaultKind.ACL, "PATCH")
    for _ in range(3):
        opened.resolve()
        opened.idle()
    assert opened.record()["state"] == "1"
    (note,) = opened.notes()
    assert "refused to close" in note


def test_a_refused_close_is_tried_again_when_a_person_asks(opened: World) -> None:
    opened.fail(FaultKind.ACL, "PATCH")
    opened.resolve()
    opened.idle()
    opened.ask_sync()
    opened.idle()
    assert opened.record()["state"] == "6"
    assert opened.row().sync_asked_at is None


def test_a_close_that_is_refused_again_after_a_person_asked_is_not_told_twice(opened: World) -> None:
    opened.fail(FaultKind.ACL, "PATCH")
    opened.resolve()
    opened.idle()
    opened.fail(FaultKind.ACL, "PATCH")
    opened.ask_sync()
    opened.idle()
    assert opened.record()["state"] == "1"
    assert len(opened.notes()) == 1


def test_a_close_is_tried_again_when_it_fired_and_was_resolved_since_between_two_rounds(opened: World) -> None:
    opened.fail(FaultKind.ACL, "PATCH")
    opened.resolve()
    opened.idle()
    opened.clock.advance(minutes=5)
    opened.fire()
    opened.resolve()
    opened.idle()
    assert opened.record()["state"] == "6"


def test_a_refused_reopen_is_tried_again_when_a_person_asks(opened: World) -> None:
    opened.aim(itsm(max_creates_per_hour=1))  # one was made: the next must wait
    opened.resolve()
    opened.idle()
    opened.fail(FaultKind.ACL, "PATCH")
    opened.fire()
    opened.idle()
    assert opened.record()["state"] == "6"
    opened.ask_sync()
    opened.idle()
    assert opened.record()["state"] != "6"


def test_what_was_told_resolved_and_fires_again_is_told(opened: World) -> None:
    opened.person(assigned_to=FRED)
    opened.resolve()
    opened.idle()
    opened.fire()
    opened.idle()
    assert "fires again" in opened.notes()[-1]


def test_an_incident_that_a_person_opened_again_is_theirs(opened: World) -> None:
    opened.resolve()
    opened.idle()
    opened.person(state="2")
    opened.fire()
    opened.idle()
    opened.resolve()
    opened.idle()
    assert opened.record()["state"] == "2"
    (reopened,) = opened.log("reopened")
    assert (reopened["reason"], reopened["detail"]["state"]) == ("reopened_by_person", "2")
    assert (reopened["detail"]["by"], "closed_by" in reopened["detail"]) == ("analyst", False)


def test_a_field_that_a_person_edited_is_left_and_named(opened: World) -> None:
    opened.fire(level="high")  # the first update of the description: it is ours
    opened.idle()
    opened.person(description="what I found")
    opened.fire(level="critical")
    opened.idle()
    assert opened.record()["description"] == "what I found"
    assert opened.log("decided")[-1]["detail"]["left_to_person"] == ["description"]


def test_a_field_that_a_person_wrote_before_our_first_update_is_left(opened: World) -> None:
    opened.person(description="What the analyst knows.")
    opened.fire(level="critical")
    opened.idle()
    assert opened.record()["description"] == "What the analyst knows."
    assert opened.log("decided")[-1]["detail"] == {"left_to_person": ["description"]}


def test_what_a_business_rule_filled_in_when_the_record_was_made_is_written_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = world.simulator.rows.insert

    def filled(table: str, fields: dict[str, str], **more: Any) -> dict[str, str]:
        return insert(table, {"description": "Filled in by a rule."} | fields, **more)

    monkeypatch.setattr(world.simulator.rows, "insert", filled)
    world.fire()
    world.idle()
    world.fire(level="critical")
    world.idle()
    assert world.record()["description"] == "Last level: critical"


def test_of_a_create_that_was_only_looked_up_nobody_knows_what_a_person_wrote_since(world: World) -> None:
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.fire()
    world.idle()
    world.person(description="What the analyst knows.")
    world.pass_time(minutes=10, step=10)
    world.fire(level="critical")
    world.idle()
    assert world.record()["description"] == "What the analyst knows."


def test_an_impact_that_a_person_changed_is_left_when_the_severity_rises(opened: World) -> None:
    opened.person(impact="2")
    opened.fire(level="critical")
    opened.idle()
    assert opened.record()["impact"] == "2"
    assert "The severity rose to Critical." in opened.notes()[0]


def test_a_record_that_lost_our_mark_is_not_written_to(opened: World) -> None:
    opened.person(correlation_display="somebody else's")
    opened.fire(level="critical")
    opened.idle()
    assert opened.writes() == ["POST"]
    assert (opened.row().failure, opened.row().waits_for_person) == ("id_in_use", True)
    opened.person(correlation_display="Probe · 0a1b2c3d")
    opened.ask_sync()
    opened.idle()
    assert opened.record()["impact"] == "1"


def test_a_record_that_is_deleted_between_our_read_and_our_write_is_noticed(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TableApi.update

    def too_late(*args: object, **more: object) -> object:
        opened.simulator.person_deletes("incident", opened.record()["sys_id"])
        return real(*args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(TableApi, "update", too_late)
        opened.fire(level="critical")
        opened.idle()
    opened.pass_time(minutes=1)
    assert opened.record()["impact"] == "1"


def test_what_another_tool_opened_is_taken_over_where_the_target_says_so(world: World) -> None:
    theirs = world.simulator.person_creates("incident", correlation_id="r1", short_description="An older tool's")
    world.aim(itsm(adopt_any=True))
    world.fire()
    world.idle()
    assert world.record()["sys_id"] == theirs["sys_id"]
    assert world.row().open
    world.resolve()
    world.idle()
    assert world.record()["state"] == "6"


def test_what_another_tool_closed_is_not_taken_over(world: World) -> None:
    world.simulator.person_creates(
        "incident", correlation_id="r1", state="7", close_code="Solution provided", close_notes="x"
    )
    world.aim(itsm(adopt_any=True))
    world.fire()
    world.idle()
    assert [record["state"] for record in world.records()] == ["7", "1"]


def test_a_return_that_is_worse_raises_the_incident_as_it_reopens_it(world: World) -> None:
    world.fire(level="low")
    world.idle()
    world.resolve()
    world.idle()
    world.fire(level="critical")
    world.idle()
    assert (world.record()["state"], world.record()["impact"]) == ("1", "1")


def test_after_a_milder_return_a_suppressed_alert_must_exceed_what_the_incident_shows(world: World) -> None:
    world.library = library_of(world.store, PROBE.replace("route:", NOISE + "route:"))
    world.aim(itsm())
    world.fire(level="critical")
    world.idle()
    world.resolve()
    world.idle()
    world.fire(level="low")
    world.idle()
    with world.store.transaction() as tx:
        noisy = delivery(world.library, alert("r1", level="high", noisy=True), sender_id="noisy")
        (answer,) = intake.commit(tx, [noisy], world.store.now(tx))
    assert answer.alerts[0].outcome == "suppressed"


def test_once_the_next_incident_is_planned_a_refused_reopen_is_not_tried_again(opened: World) -> None:
    opened.resolve()
    opened.idle()
    opened.fail(FaultKind.ACL, "PATCH")
    opened.fail(FaultKind.ACL, "POST")
    opened.fire()
    opened.idle()
    assert opened.row().waits_for_person
    opened.ask_sync()
    opened.idle()
    assert [record["state"] for record in opened.records()] == ["6", "1"]


def test_a_person_may_ask_for_what_was_only_suppressed(anywhere: World) -> None:
    noisy = delivery(library_of(anywhere.store), alert("r1", kind="noisy"))
    with anywhere.store.transaction() as tx:
        intake.commit(tx, [noisy], anywhere.store.now(tx))
    anywhere.ask_sync()
    anywhere.idle()
    assert anywhere.row().last_decision == "nothing: in_step"
    assert anywhere.writes() == []


def test_alerts_of_one_tenant_are_never_written_to_anothers_target(world: World) -> None:
    world.aim(itsm(tenant="another"))
    world.fire()
    world.idle()
    assert (world.records(), world.row().failure) == ([], "other_tenant")
