"""One problem, one incident, kept in step: the sync half against the simulator, nothing going wrong."""

from __future__ import annotations

from dataclasses import replace

from intake_world import alert, delivery
from sync_world import DISPLAY, World

from bridge.store.intake import commit


def test_five_alerts_of_one_problem_are_one_incident(anywhere: World) -> None:
    for _ in range(5):
        anywhere.fire(level="high")
    anywhere.idle()
    record = anywhere.record()
    assert (record["correlation_id"], record["correlation_display"], record["impact"]) == ("r1", DISPLAY, "2")
    assert anywhere.writes() == ["POST"]
    assert anywhere.reads() == 1  # the assignment group: a first attempt at a new ID is not looked up


def test_an_incident_tells_of_what_came_out_of_the_envelope(anywhere: World) -> None:
    one = delivery(anywhere.library, alert(level="high"), sender_id="1")
    with anywhere.store.transaction() as tx:
        commit(tx, [replace(one, body=b"\x1f\x8b", content=one.body)], anywhere.store.now(tx))
    anywhere.idle()
    assert (anywhere.record()["correlation_id"], anywhere.record()["impact"]) == ("r1", "2")


def test_different_problems_are_different_incidents(anywhere: World) -> None:
    for rule in ("r1", "r2", "r3"):
        anywhere.fire(rule)
    anywhere.idle()
    assert sorted(record["correlation_id"] for record in anywhere.records()) == ["r1", "r2", "r3"]


def test_a_severity_rise_is_told_at_once_by_one_update(anywhere: World) -> None:
    anywhere.fire(level="low")
    anywhere.idle()
    anywhere.fire(level="critical")
    anywhere.idle()
    assert anywhere.writes() == ["POST", "PATCH"]
    assert anywhere.record()["impact"] == "1"
    assert "The severity rose to Critical." in anywhere.notes()[0]


def test_an_unassigned_incident_is_closed_when_its_source_resolves(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    anywhere.resolve()
    anywhere.idle()
    record = anywhere.record()
    assert (record["state"], record["close_code"]) == ("6", "Solution provided")
    assert record["close_notes"] == "The source reports this resolved."
    assert anywhere.row().open is False


def test_a_resolve_without_an_incident_opens_none(anywhere: World) -> None:
    anywhere.resolve()
    anywhere.idle()
    assert anywhere.records() == []
    assert anywhere.decisions() == ["nothing: resolved_before_incident"]


def test_fired_and_resolved_between_two_rounds_opens_none(anywhere: World) -> None:
    anywhere.fire()
    anywhere.resolve()
    anywhere.idle()
    assert anywhere.records() == []


def test_a_return_within_its_time_reopens_the_same_incident(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    anywhere.resolve()
    anywhere.idle()
    anywhere.fire()
    anywhere.idle()
    assert anywhere.record()["state"] == "1"
    assert anywhere.row().open is True
    assert "Reopened" in anywhere.notes()[-1]


def test_a_reopened_incident_is_closed_again(anywhere: World) -> None:
    for _ in range(3):
        anywhere.fire()
        anywhere.idle()
        anywhere.resolve()
        anywhere.idle()
    assert anywhere.record()["state"] == "6"
    assert anywhere.writes().count("POST") == 1


def test_repeats_are_told_when_their_time_has_come_with_the_count(world: World) -> None:
    world.fire()
    world.idle()
    for _ in range(4):
        world.fire()
        world.idle()
    assert world.writes() == ["POST"]
    world.pass_time(minutes=15)
    assert world.writes() == ["POST", "PATCH"]
    assert world.notes()[0].startswith("Alerts so far: 5.")


def test_the_time_between_two_notes_of_repeats_widens(world: World) -> None:
    for _ in range(6):
        world.fire()
        world.pass_time(minutes=15)
    assert world.writes() == ["POST", "PATCH", "PATCH"]  # at 15 minutes, then an hour later


def test_a_quiet_incident_is_asked_nothing(world: World) -> None:
    world.fire()
    world.idle()
    calls = len(world.simulator.calls)
    world.pass_time(hours=2, step=600)
    assert len(world.simulator.calls) == calls


def test_a_return_after_its_time_is_a_new_incident_linked_to_the_old(world: World) -> None:
    world.fire()
    world.idle()
    world.resolve()
    world.idle()
    world.pass_time(days=8, step=86_400)
    world.fire()
    world.idle()
    old, new = world.records()
    assert (old["state"], new["state"]) == ("6", "1")
    assert f"Follows {old['number']}" in world.notes(1)[0]


def test_a_group_that_is_not_there_is_left_out_and_told(anywhere: World) -> None:
    anywhere.fire(team="No such team")
    anywhere.idle()
    assert anywhere.record()["assignment_group"] == ""
    (decided,) = anywhere.log("decided")
    assert decided["detail"]["not_found"] == ["assignment_group"]


def test_a_group_that_is_there_is_assigned(anywhere: World) -> None:
    anywhere.fire(team="SOC L1")
    anywhere.idle()
    assert len(anywhere.record()["assignment_group"]) == 32


def test_a_worse_alert_that_comes_late_raises_what_was_never_resolved(world: World) -> None:
    world.fire(level="low", at="2026-03-10T11:59:00Z")
    world.idle()
    world.fire(level="critical", at="2026-03-10T11:58:00Z")
    world.idle()
    assert world.record()["impact"] == "1"


def test_a_worse_alert_of_before_the_resolve_raises_nothing_afterwards(world: World) -> None:
    for level, state, at in (("low", "", "11:50"), ("low", "resolved", "11:55"), ("low", "", "11:58")):
        world.fire(level=level, state=state, at=f"2026-03-10T{at}:00Z")
        world.idle()
    world.fire(level="critical", at="2026-03-10T11:52:00Z")
    world.idle()
    assert world.record()["impact"] == "3"


def test_a_time_of_next_year_does_not_keep_the_resolve_after_it_from_counting(world: World) -> None:
    world.fire(at="2027-01-01T00:00:00Z")
    world.idle()
    world.clock.advance(seconds=30)
    world.resolve()
    world.idle()
    assert world.record()["state"] == "6"
