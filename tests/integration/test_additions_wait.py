"""What goes beside incidents and cannot go now: it waits by itself, says why, and holds up nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from intake_world import library_of, rows
from schemes_world import auth_of
from sync_world import OBSERVE, PROBE, World, itsm

from bridge.cli.incidents import waits
from bridge.simulator.enrichment_maps import Enrichment
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.scenario import parse_body
from bridge.store import queries
from bridge.store.tables import additions
from bridge.sync.outputs import TRIES_MAX

EVENT = "outputs: {alarm: {event: {node: x}}}\n"
LOOKUP = "outputs: {out: {threat_lookup: {fields: {finding: x, observable: o, source_engine: Probe}}}}\n"
ATTACH = "attach: true\n"
PATHS = {EVENT: "/em/jsonv2", LOOKUP: "/threat_lookup", ATTACH: "/attachment"}
EACH = pytest.mark.parametrize("beside", PATHS, ids=["event", "enrichment", "attachment"])
# One API fails so, while the others answer; and the code that the wait has.
ONE_FAILS = {
    FaultKind.UNAUTHENTICATED: "unauthenticated",
    FaultKind.LOGIN: "redirected",
    FaultKind.SERVER_ERROR: "server_error",
    FaultKind.HIBERNATING: "hibernating",
}
RULES = [f"r{number}" for number in range(8)]


def maps(world: World, beside: str) -> None:
    world.library = library_of(world.store, PROBE + beside)
    world.aim(itsm())


def fails(world: World, kind: FaultKind, path: str, *methods: str, times: int | None = None) -> None:
    world.simulator.faults.add(Fault(kind=kind, path=path, methods=frozenset(methods), times=times))


def fire_each(world: World) -> None:
    """The last comes when what goes beside the others has been tried."""
    for rule in RULES[:-1]:
        world.fire(rule)
    world.idle()
    world.fire(RULES[-1])
    world.idle()


def created(world: World) -> list[str]:
    return [record["correlation_id"] for record in world.records()]


def waiting(world: World) -> set[str | None]:
    return {row.outcome_code for row in rows(world.store, additions) if row.outcome is None}


def tables_only(worlds: Callable[..., World], secrets: Path) -> World:
    """The instance takes our key for its Table API alone."""
    key = {"k-1": {"user": "siem", "apis": ["table"]}}
    access = {"users": {"siem": {"password": "s3cret"}}, "api_keys": key}
    return worlds(auth=auth_of("api_key", secrets), scenario=parse_body({"access": access}))


# --- one API that takes no calls of ours


@EACH
@pytest.mark.parametrize("kind", ONE_FAILS, ids=str)
def test_an_api_that_fails_holds_up_no_incident(world: World, beside: str, kind: FaultKind) -> None:
    maps(world, beside)
    fails(world, kind, PATHS[beside])
    fire_each(world)
    assert created(world) == RULES
    assert not world._client.held


@EACH
def test_an_api_that_does_not_take_our_key_holds_up_no_incident(
    worlds: Callable[..., World], secrets: Path, beside: str
) -> None:
    world = tables_only(worlds, secrets)
    maps(world, beside)
    fire_each(world)
    assert created(world) == RULES
    assert not world._client.held


def test_an_api_that_fails_holds_up_no_other(world: World) -> None:
    maps(world, ATTACH + EVENT)
    fails(world, FaultKind.UNAUTHENTICATED, PATHS[ATTACH])
    fire_each(world)
    assert len(world.simulator.records("em_event")) == len(RULES)


def test_a_table_beside_incidents_that_fails_holds_up_none(world: World) -> None:
    maps(world, LOOKUP.replace("observable: o", "observable: {find: sys_user, by: {user_name: x}, else: none}"))
    fails(world, FaultKind.SERVER_ERROR, "/table/sys_user?")
    fire_each(world)
    assert created(world) == RULES


def test_an_api_that_does_not_take_our_key_is_left_alone_after_the_second_refusal(
    worlds: Callable[..., World], secrets: Path
) -> None:
    world = tables_only(worlds, secrets)
    maps(world, EVENT)
    fire_each(world)
    assert len([path for path in world.other_writes() if PATHS[EVENT] in path]) == 2
    assert "/api/global/em" in world._client.problem
    assert "the Table API takes the same credentials" in world._client.problem


def test_credentials_that_nothing_takes_are_tried_no_more_for_what_goes_beside(world: World) -> None:
    maps(world, ATTACH + EVENT)
    world.fire("r1")
    world.worker.work()
    fails(world, FaultKind.UNAUTHENTICATED, "")
    before = len(world.simulator.calls)
    world.idle()
    assert [status for *_, status in world.simulator.calls[before:]] == [401, 401]
    assert world._client.held


def test_an_instance_that_is_back_is_noticed_by_what_goes_beside(world: World) -> None:
    maps(world, EVENT)
    world.fire("r1")
    world.worker.work()
    fails(world, FaultKind.UNAUTHENTICATED, "", times=2)
    world.idle()
    assert world._client.held
    world.pass_time(minutes=2, step=30)
    assert not world._client.held
    assert len(world.simulator.records("em_event")) == 1


@EACH
def test_what_waited_for_one_api_goes_out_once_it_takes_calls(world: World, beside: str) -> None:
    maps(world, beside)
    fails(world, FaultKind.UNAUTHENTICATED, PATHS[beside])
    fire_each(world)
    world.simulator.faults.clear()
    world.pass_time(minutes=6, step=30)
    assert {row.outcome for row in rows(world.store, additions)} == {"added"}
    assert world._client.problem == ""


# --- a target that nothing is written to


@EACH
def test_what_waits_when_a_target_becomes_observed_is_not_sent_until_it_is_written_to_again(
    anywhere: World, beside: str
) -> None:
    maps(anywhere, beside)
    anywhere.fire()
    anywhere.worker.work()
    anywhere.aim(itsm(mode=OBSERVE))
    anywhere.idle()
    assert anywhere.other_writes() == []
    anywhere.aim(itsm())
    anywhere.idle()
    assert {row.outcome for row in rows(anywhere.store, additions)} == {"added"}


# --- what is told meanwhile


def told(world: World) -> list[tuple[str | None, str | None, int]]:
    return [(row.outcome_code, row.outcome_text, row.tries) for row in rows(world.store, additions)]


def test_why_it_waits_is_kept_with_it_and_told_once_in_the_log(
    worlds: Callable[..., World], secrets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = tables_only(worlds, secrets)
    maps(world, EVENT)
    fire_each(world)
    reasons = {text for _, text, _ in told(world)}
    assert all("the Table API takes the same credentials" in (text or "") for text in reasons)
    said = [record.getMessage() for record in caplog.records if "does not have its output:alarm" in record.getMessage()]
    assert len(said) == 1
    assert "the Table API takes the same credentials" in said[0]


def test_what_was_not_sent_counts_as_no_try(worlds: Callable[..., World], secrets: Path) -> None:
    world = tables_only(worlds, secrets)
    maps(world, LOOKUP)
    world.fire()
    world.idle()
    world.pass_time(hours=1, step=30)
    assert [tries for _, _, tries in told(world)] == [0]


def test_to_wait_for_a_lost_answer_counts_as_no_try_and_says_why(world: World) -> None:
    maps(world, LOOKUP)
    fails(world, FaultKind.RESET_AFTER_COMMIT, PATHS[LOOKUP], "POST", times=1)
    world.fire()
    world.idle()
    world.pass_time(minutes=5, step=30)
    assert [(code, tries) for code, _, tries in told(world)] == [("connection_lost", 1)]


def test_after_a_lost_answer_the_service_may_still_fail_five_times(world: World) -> None:
    maps(world, LOOKUP)
    fails(world, FaultKind.RESET_BEFORE_COMMIT, PATHS[LOOKUP], "POST", times=1)
    world.fire()
    world.idle()
    world.simulator.enrichment = Enrichment(fails_with="Unknown error")
    world.pass_time(minutes=20, step=10)
    assert len([path for path in world.other_writes() if PATHS[LOOKUP] in path]) == TRIES_MAX


@pytest.mark.parametrize("beside", [EVENT, LOOKUP], ids=["event", "enrichment"])
def test_what_is_never_clear_is_sent_a_few_times_and_then_given_up_and_what_is_not_known_is_said(
    world: World, beside: str
) -> None:
    maps(world, beside)
    fails(world, FaultKind.ACL, "/table/em_event", "GET")
    fails(world, FaultKind.DROPPED, PATHS[beside], "POST")
    world.fire()
    world.idle()
    world.pass_time(hours=3, step=30)
    assert len([path for path in world.other_writes() if PATHS[beside] in path]) == TRIES_MAX
    ((code, text, _),) = told(world)
    assert code == "accepted_only"
    assert f"It was sent {TRIES_MAX} times and may be there more than once." in (text or "")


def test_an_incident_that_goes_without_something_is_among_what_sync_all_asks_for_and_is_listed(world: World) -> None:
    maps(world, LOOKUP)
    world.simulator.enrichment = Enrichment(fails_with="Insufficient access")
    world.fire("r1")
    world.idle()
    maps(world, "")
    world.fire("r2")
    world.idle()
    with world.store.reading() as tx:
        (stuck,) = queries.list_correlations(tx, limit=9, stuck_only=True)
        listed = {row.correlation_id: waits(row, world.clock.now, {}) for row in queries.list_correlations(tx, limit=9)}
    assert stuck.correlation_id == "r1"
    assert listed["r1"].startswith("goes without 1 addition: ")
    assert listed["r2"] == ""


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (FaultKind.ACL, "`cmdb_ci` was left out, for cmdb_ci_computer could not be asked (query_rights)"),
        (None, "`cmdb_ci` was left out, for no such record is in cmdb_ci_computer."),
    ],
    ids=["may not be read", "is not there"],
)
def test_a_refusal_for_want_of_a_column_says_why_what_its_find_names_was_left_out(
    world: World, kind: FaultKind | None, says: str
) -> None:
    find = "{find: cmdb_ci_computer, by: {name: nobody}, else: none}"
    maps(world, f"outputs: {{out: {{ci_enrichment: {{fields: {{cmdb_ci: {find}, source_engine: Probe}}}}}}}}\n")
    if kind is not None:
        fails(world, kind, "/table/cmdb_ci_computer", "GET")
    world.fire()
    world.idle()
    ((code, text, _),) = told(world)
    assert code == "mandatory_missing"
    assert says in (text or "")


def test_a_look_that_fails_when_the_window_is_over_is_not_tried_again_at_once(world: World) -> None:
    maps(world, ATTACH)
    fails(world, FaultKind.DROPPED, PATHS[ATTACH], "POST", times=1)
    world.fire()
    world.idle()
    world.clock.advance(minutes=20)
    fails(world, FaultKind.SERVER_ERROR, PATHS[ATTACH], "GET")
    before = len(world.simulator.calls)
    for _ in range(5):
        world.worker.work()
    assert len(world.simulator.calls) - before == 1
