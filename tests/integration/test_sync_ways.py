"""Every way of writing keeps one problem one incident: created, updated, closed, whatever goes wrong on the road."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import pytest
from crashing import at
from intake_world import library_of, rows
from reconciler_world import CLOSES
from sync_world import DISPLAY, PROBE, World
from ways_world import KEY, STAGING, TARGETS, aim, simulated, sir, staged, unique

from bridge.settings import Staging, Target, Write
from bridge.simulator import listing
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator
from bridge.simulator.table import Table
from bridge.simulator.transform import Rejection, TransformMap
from bridge.simulator.transform import Staging as Simulated
from bridge.store.tables import additions, incidents, intents

TEXTS = ("correlation_id", "correlation_display", "short_description", "impact", "assignment_group")
OTHERS = {name: target for name, target in TARGETS.items() if target.write is not Write.TABLE}
WAYS = pytest.mark.parametrize("target", OTHERS.values(), ids=OTHERS)
IMPORTS = pytest.mark.parametrize("target", [staged(), staged(key_field=KEY)], ids=["by the ID", "by a key"])
APPLIED = (FaultKind.RESET_AFTER_COMMIT, FaultKind.LATE_COMMIT, FaultKind.TRUNCATED, FaultKind.CANCELLED)
NOT_APPLIED = (
    *(FaultKind.RATE_LIMIT, FaultKind.UNAUTHENTICATED, FaultKind.SERVER_ERROR, FaultKind.HIBERNATING),
    *(FaultKind.LOGIN, FaultKind.LOGIN_PAGE, FaultKind.CLOSED, FaultKind.RESET_BEFORE_COMMIT, FaultKind.DROPPED),
)
FAULTS = pytest.mark.parametrize("kind", [*APPLIED, *NOT_APPLIED], ids=str)


def step(world: World) -> None:
    world.pass_time(minutes=12, step=30)


# --- every way


@WAYS
@FAULTS
def test_a_create_that_went_wrong_becomes_one_incident(world: World, target: Target, kind: FaultKind) -> None:
    aim(world, target)
    path = "/import/" if target.write is Write.IMPORT_SET else "/table/"
    world.fail(kind, "POST", seconds=90, path=path)
    world.fire()
    world.idle()
    step(world)
    assert world.record()["correlation_id"] == "r1"
    assert (world.row().open, world.row().failure) == (True, None)


@WAYS
@FAULTS
def test_an_update_that_went_wrong_is_there_once(world: World, target: Target, kind: FaultKind) -> None:
    aim(world, target)
    world.fire()
    world.idle()
    world.simulator.faults.add(Fault(kind=kind, methods=frozenset({"POST", "PATCH"}), seconds=90))
    world.fire(level="critical")
    world.idle()
    step(world)
    assert world.record()["impact"] == "1"
    assert len(world.notes()) == 1


@WAYS
def test_what_a_person_took_up_before_its_create_was_read_back_is_theirs(world: World, target: Target) -> None:
    aim(world, target)
    world.fire()
    with at("write:answered", lambda: world.person(state="2")):
        world.idle()
    world.resolve()
    step(world)
    assert world.record()["state"] == "2"


@pytest.mark.parametrize("target", [staged(key_field=KEY), unique()], ids=["import_set", "unique"])
def test_a_way_works_on_either_database(anywhere: World, target: Target) -> None:
    aim(anywhere, target)
    for level in ("low", "critical"):
        anywhere.fire(level=level)
        anywhere.idle()
    anywhere.resolve()
    anywhere.idle()
    assert (anywhere.record()["impact"], anywhere.record()["state"]) == ("1", "6")


def test_the_key_is_never_a_mappings_to_change(world: World) -> None:
    world.library = library_of(world.store, PROBE.replace("  update:\n", f"  update:\n    {KEY}: other\n"))
    aim(world, unique())
    world.fire(level="low")
    world.idle()
    world.fire(level="critical")
    world.idle()
    assert (world.record()[KEY], world.record()["impact"]) == ("r1#1", "1")


# --- a record for each episode, or one for all


@pytest.mark.parametrize("target", [staged(key_field=KEY), unique()], ids=["import_set", "unique"])
def test_with_a_key_field_each_episode_is_a_record_of_its_own(world: World, target: Target) -> None:
    aim(world, target)
    for _ in range(2):
        world.fire()
        world.idle()
        world.resolve()
        world.idle()
        world.pass_time(days=8, step=86_400)
    assert [record[KEY] for record in world.records()] == ["r1#1", "r1#2"]


@pytest.mark.parametrize("target", [staged(), unique("correlation_id")], ids=["import_set", "unique"])
def test_without_one_a_return_reopens_however_late(world: World, target: Target) -> None:
    aim(world, target)
    world.fire()
    world.idle()
    world.resolve()
    world.idle()
    world.pass_time(days=30, step=86_400)
    world.fire()
    world.idle()
    assert world.record()["state"] == "1"
    assert world.row().failure is None


@pytest.mark.parametrize("target", [staged(), unique("correlation_id")], ids=["import_set", "unique"])
def test_without_one_what_a_person_ended_is_not_written_to_and_a_person_is_told(world: World, target: Target) -> None:
    aim(world, target)
    world.fire()
    world.idle()
    world.person(state="8")
    world.resolve()
    world.idle()
    before = world.record()
    world.fire()
    world.idle()
    assert world.record() == before
    assert (world.row().failure, world.row().waits_for_person) == ("id_taken", True)
    assert "key_field" in world.row().failure_text


@IMPORTS
def test_a_foreign_record_with_the_key_is_not_written_to(world: World, target: Target) -> None:
    aim(world, target)
    key = {target.key_field: "r1" if target.key_field == "correlation_id" else "r1#1"}
    foreign = world.simulator.person_creates("incident", **({"correlation_id": "r1"} | key))
    world.fire()
    world.idle()
    assert world.row().failure == "id_in_use"
    assert world.simulator.record("incident", foreign["sys_id"]) == foreign


def test_a_foreign_record_with_the_unique_key_is_not_written_to(world: World) -> None:
    aim(world, unique())
    foreign = world.simulator.person_creates("incident", **{KEY: "r1#1"})
    world.fire()
    world.idle()
    assert world.row().failure == "id_in_use"
    assert world.simulator.record("incident", foreign["sys_id"]) == foreign


def test_a_second_insert_fails_and_the_first_record_is_taken(world: World) -> None:
    """Both tries of a create arrive, as when a request commits after its window."""
    aim(world, unique())
    world.fail(FaultKind.LATE_COMMIT, "POST", seconds=400)
    world.fire()
    world.idle()
    world.pass_time(seconds=330, step=10)
    assert world.record()[KEY] == "r1#1"
    world.pass_time(seconds=200, step=10)
    assert world.record()[KEY] == "r1#1"
    assert world.row().open is True


# --- what a transform map may answer


def test_an_update_that_the_map_left_is_not_taken_for_done(world: World) -> None:
    aim(world, staged())
    world.fire(level="low")
    world.idle()
    aim(world, staged(), simulated("correlation_id", reject=(Rejection(status="ignored"),)))
    world.fire(level="critical")
    world.idle()
    assert (world.row().failure, world.record()["impact"]) == ("import_left", "3")


def test_a_close_that_the_map_refuses_is_told_in_the_incident(world: World) -> None:
    aim(world, staged())
    world.fire()
    world.idle()
    refused = Rejection(status="error", when={"u_state": "6"}, error_message="Not this way")
    aim(world, staged(), simulated("correlation_id", reject=(refused,)))
    world.resolve()
    world.idle()
    assert world.record()["state"] == "1"
    assert "refused to close" in world.notes()[-1]
    assert world.row().failure is None


def test_a_map_that_does_not_carry_the_state_does_not_close_and_that_is_told(world: World) -> None:
    aim(world, staged())
    world.fire()
    world.idle()
    aim(world, staged(), simulated("correlation_id", fields={"u_state": "u_dropped"}))
    world.resolve()
    world.idle()
    assert world.record()["state"] == "1"
    assert "refused to close" in world.notes()[-1]
    assert [row.outcome_code for row in rows(world.store, intents)][1] == "state_not_carried"


def test_a_map_that_does_not_coalesce_is_found_out_at_the_first_update(world: World) -> None:
    aim(world, staged(), simulated())
    world.fire(level="low")
    world.idle()
    world.fire(level="critical")
    world.idle()
    assert (world.row().failure, world.row().waits_for_person) == ("not_coalesced", True)
    assert "let it coalesce on correlation_id" in world.row().failure_text


def test_then_no_further_update_makes_a_record(world: World) -> None:
    aim(world, staged(), simulated())
    for rule in ("r1", "r2"):
        world.fire(rule, level="low")
    world.idle()
    for rule in ("r1", "r2"):
        world.fire(rule, level="critical")
    world.idle()
    assert (world.row("r1").failure, world.row("r2").failure) == ("not_coalesced", "not_coalesced")
    assert len(world.records()) == 3


def test_not_even_after_a_restart_and_that_nothing_was_sent_is_told(world: World) -> None:
    aim(world, staged(), simulated())
    for rule in ("r1", "r2"):
        world.fire(rule, level="low")
    world.idle()
    world.fire("r1", level="critical")
    world.idle()
    aim(world, staged(), simulated())  # as after a restart
    world.fire("r2", level="critical")
    world.pass_time(minutes=12, step=60)
    assert (world.row("r2").failure, len(world.records())) == ("not_coalesced", 3)
    assert world.row("r2").failure_text.startswith("Nothing was sent")
    assert world.records()[2]["number"] in world.row("r2").failure_text


def test_once_the_map_is_mended_a_person_asks_and_all_goes_on(world: World) -> None:
    aim(world, staged(), simulated())
    for rule in ("r1", "r2"):
        world.fire(rule, level="low")
    world.idle()
    for rule in ("r1", "r2"):
        world.fire(rule, level="critical")
    world.idle()
    twin = world.records()[2]["sys_id"]
    aim(world, staged(), simulated("correlation_id"))
    world.simulator.person_deletes("incident", twin)
    world.clock.advance(seconds=1)
    for rule in ("r1", "r2"):
        world.ask_sync(rule)
        world.idle()
    assert (world.row("r1").failure, world.row("r2").failure) == (None, None)
    assert [record["impact"] for record in world.records()] == ["1", "1"]


def test_one_that_asks_before_the_map_is_mended_is_told_again_and_makes_one_more(world: World) -> None:
    aim(world, staged(), simulated())
    for rule in ("r1", "r2"):
        world.fire(rule, level="low")
    world.idle()
    world.fire("r1", level="critical")
    world.fire("r2", level="critical")
    world.idle()
    world.clock.advance(seconds=1)
    world.ask_sync("r1")
    world.ask_sync("r2")
    world.idle()
    assert (world.row("r1").failure, world.row("r2").failure) == ("not_coalesced", "not_coalesced")
    assert len(world.records()) == 4


def test_where_updates_have_coalesced_one_that_did_not_is_two_imports_that_met(world: World) -> None:
    aim(world, staged())
    for rule in ("r1", "r2"):
        world.fire(rule, level="low")
    world.idle()
    world.fire("r1", level="high")
    world.idle()
    world.fail(FaultKind.IMPORT_RACE, "POST", path="/import/")
    world.fire("r1", level="critical")
    world.idle()
    assert world.row("r1").failure == "not_coalesced"
    assert "Where it does coalesce, two imports have met" in world.row("r1").failure_text
    world.fire("r2", level="critical")
    world.idle()
    assert (world.row("r2").failure, len(world.records())) == (None, 3)


def test_a_map_that_does_not_carry_our_mark_is_told_with_the_record_it_made(world: World) -> None:
    aim(world, staged(), simulated("correlation_id", fields={"u_correlation_display": "u_dropped"}))
    world.fire()
    world.idle()
    assert world.row().failure == "id_not_carried"
    assert world.records()[0]["number"] in world.row().failure_text


def test_two_maps_to_one_table_are_told(world: World) -> None:
    each = simulated().maps[0]
    aim(world, staged(), Simulated(name=STAGING, maps=(each, replace(each, name="Again"))))
    world.fire()
    world.idle()
    assert world.row().failure == "several_records"
    (told,) = world.log("failed")
    assert told["outcome"] == "waits for the look for twins, or a person"
    world.simulator.person_deletes("incident", world.records()[1]["sys_id"])  # as the message says


def test_of_two_records_of_one_problem_none_is_forgotten(world: World) -> None:
    each = simulated().maps[0]
    aim(world, staged(), Simulated(name=STAGING, maps=(each, replace(each, name="Again"))))
    world.turn()
    world.fire()
    world.idle()
    world.watch(minutes=10)
    (made,) = rows(world.store, incidents)
    one, other = sorted(world.records(), key=lambda record: record["number"] != made.number)
    assert (world.row().failure, one["state"], other["state"]) == (None, "1", "6")
    assert (other["parent_incident"], made.number in other["close_notes"]) == (one["sys_id"], True)


def test_what_another_map_made_or_failed_at_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    elsewhere = TransformMap(name="Beside", target="sn_si_incident", prefix="u_")
    fails = replace(elsewhere, name="Fails", reject=(Rejection(status="error", error_message="B says no"),))
    aim(world, staged(), Simulated(name=STAGING, maps=(elsewhere, fails, simulated("correlation_id").maps[0])))
    world.fire()
    world.idle()
    (made,) = world.simulator.records("sn_si_incident")
    said = [
        f"the transform map Beside inserted {made['number']} in sn_si_incident",
        "the transform map Fails to sn_si_incident failed: B says no: Row transform ignored by onBefore script",
    ]
    (written,) = world.log("written")
    assert written["detail"]["beside"] == [said[0], "the transform map Fails to sn_si_incident failed"]
    assert written["said"] == said[1]
    assert [one for one in said if one in caplog.text] == said
    assert world.row().failure is None


def test_a_map_that_writes_another_table_only_is_told_with_what_it_made(world: World) -> None:
    elsewhere = TransformMap(name="Elsewhere", target="sn_si_incident", prefix="u_")
    aim(world, staged(), Simulated(name=STAGING, maps=(elsewhere,), columns=(f"u_{KEY}", KEY)))
    world.fire()
    world.idle()
    (made,) = world.simulator.records("sn_si_incident")
    assert world.row().failure == "import_error"
    assert world.row().failure_text == (
        f"No transform map of {STAGING} writes incident: make one that does. Close {made['number']} of sn_si_incident, "
        "which another map made of the same row."
    )


def test_a_map_to_another_table_beside_ours_is_none_of_our_business(world: World) -> None:
    beside = TransformMap(name="Beside", target="sn_si_incident", prefix="u_", reject=(Rejection(status="error"),))
    aim(world, staged(), Simulated(name=STAGING, maps=(beside, simulated("correlation_id").maps[0])))
    world.fire()
    world.idle()
    assert (world.row().open, world.row().failure) == (True, None)


def test_an_import_whose_record_cannot_be_read_back_is_looked_up(world: World) -> None:
    aim(world, staged())
    world.fail(FaultKind.SERVER_ERROR, "GET", path="/table/incident/")
    world.fire()
    world.idle()
    step(world)
    assert world.writes() == ["POST"]
    assert (world.row().open, world.row().failure) == (True, None)


def hide(world: World, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A rule keeps incidents from the integration user: no list has them, and none is counted."""
    world.fail(FaultKind.REFUSED, "GET", path="/table/incident/", times=None, status=status, message="No Record found")
    asked_for = listing.rows_asked_for

    def shown(simulator: Simulator, request: ApiRequest, table: Table, parameters: Set[str]) -> list[dict[str, str]]:
        return [] if table.name == "incident" else asked_for(simulator, request, table, parameters)

    monkeypatch.setattr(listing, "rows_asked_for", shown)


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("coalesces", [True, False])
def test_an_import_whose_record_is_hidden_is_never_sent_again_and_a_person_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, *, coalesces: bool
) -> None:
    staging = simulated("correlation_id") if coalesces else simulated()
    aim(world, staged(staging=Staging(table=STAGING, coalesces=coalesces)), staging)
    with monkeypatch.context() as hidden:
        hide(world, hidden, status)
        world.fire()
        step(world)
        world.fire(level="critical")
        world.ask_sync()
        step(world)
        assert (world.writes(), world.row().failure, world.row().waits_for_person) == (["POST"], "unverified", True)
        told = world.row().failure_text
        assert f"has made {world.record()['number']}" in told
        assert "Let the integration user read" in told
        calls = len(world.simulator.calls)
        step(world)
        assert len(world.simulator.calls) == calls
    world.simulator.faults.clear()
    world.ask_sync()
    step(world)
    assert (world.record()["impact"], world.row().open, world.row().failure) == ("1", True, None)


def test_while_its_window_lasts_it_is_looked_up_and_what_it_made_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    aim(world, staged())
    with monkeypatch.context() as hidden:
        hide(world, hidden, 404)
        world.fire()
        world.pass_time(minutes=2)
        assert (world.row().failure, world.row().waits_for_person) == ("outcome_unknown", False)
        told = world.row().failure_text
        assert f"It made {world.record()['number']}" in told
        assert "sent again" not in told
    world.simulator.faults.clear()
    world.person(**CLOSES)
    world.watch(minutes=10)
    assert (world.writes(), world.row().last_decision) == (["POST"], "nothing: closed_by_person")


def test_where_what_an_import_made_was_deleted_one_that_a_person_makes_is_taken(world: World) -> None:
    aim(world, staged())
    world.fail(FaultKind.SERVER_ERROR, "GET", path="/table/incident/")
    world.fire()
    world.idle()
    world.simulator.person_deletes("incident", world.record()["sys_id"])
    step(world)
    assert (world.row().failure, world.row().waits_for_person) == ("unverified", True)
    world.simulator.person_creates("incident", correlation_id="r1", correlation_display=DISPLAY)
    world.ask_sync()
    step(world)
    assert (world.writes()[:1], world.row().open, world.row().failure) == (["POST"], True, None)
    assert len(world.records()) == 1


# --- the apps


def test_without_elastics_app_it_is_named(world: World) -> None:
    aim(world, TARGETS["elastic"])
    world.simulator.missing = frozenset({"x_elas2_inc_int"})
    world.fire()
    world.idle()
    assert (world.row().failure, world.writes()) == ("app_not_installed", [])
    assert "say `write: table`" in world.row().failure_text


def test_elastics_app_is_asked_for_its_health_once_in_a_while(world: World) -> None:
    aim(world, TARGETS["elastic"])
    for rule in ("r1", "r2"):
        world.fire(rule)
    world.idle()
    assert len([path for _, path, _ in world.simulator.calls if path.startswith("/api/x_elas2_inc_int")]) == 1


def test_through_elastics_app_observables_are_linked_by_it_at_once(world: World) -> None:
    world.library = library_of(world.store, PROBE + "observables: {ip: '.ips[]', mutex: .mutex}\n")
    aim(world, sir("elastic"))
    world.fire(ips=["192.0.2.1", "192.0.2.2"], mutex="x")
    world.idle()
    assert [row["value"] for row in world.simulator.records("sn_ti_observable")] == ["192.0.2.1", "192.0.2.2"]
    assert len(world.simulator.records("sn_ti_m2m_task_observable")) == 2
    assert len(world.other_writes()) == 1
    assert [row.outcome for row in rows(world.store, additions)] == ["added"]
    assert world.log("added")[0]["detail"] == {"wanted": 3, "left_out": ["mutex: no such type"]}


# --- what has the key of a create already


def has_the_key(world: World) -> None:
    """Somebody's earlier create is carried out only now."""
    user, fields = world.servicenow.username, {"correlation_id": "r1", "correlation_display": DISPLAY, KEY: "r1#1"}
    world.simulator.person_creates("incident", user, impact="3", short_description="r1", **fields)


BY_KEY = pytest.mark.parametrize("target", [staged(key_field=KEY), unique()], ids=["import_set", "unique"])


@BY_KEY
def test_what_an_earlier_create_made_just_before_the_next_says_what_that_one_said(world: World, target: Target) -> None:
    aim(world, target)
    world.fail(FaultKind.DROPPED, "POST", path="/import/" if target.write is Write.IMPORT_SET else "/table/")
    world.fire(level="low")
    world.idle()
    world.fire(level="critical")
    with at("intent:committed", lambda: has_the_key(world)):
        world.pass_time(minutes=10, step=10)
    assert ([one["state"] for one in world.records()], world.record()["impact"]) == (["1"], "1")


@BY_KEY
def test_a_record_that_has_the_key_and_has_ended_is_no_incident_and_a_person_is_told(
    world: World, target: Target
) -> None:
    aim(world, target)
    has_the_key(world)
    world.person(**CLOSES)
    world.clock.advance(hours=48)
    world.fire(level="critical")
    world.watch(minutes=5)
    assert (world.row().waits_for_person, world.row().failure) == (True, "id_taken")
