"""What is sent beside a new incident: an event, enrichment; once it is there, again after failures, and told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from crashing import Crash
from intake_world import library_of, rows
from sync_world import OBSERVE, PROBE, World, itsm

from bridge.mapping.outputs import MARK
from bridge.servicenow import outputs
from bridge.simulator.enrichment_maps import DataMap, Enrichment
from bridge.simulator.faults import Fault, FaultKind
from bridge.store.additions import of_incidents
from bridge.store.tables import additions, incidents
from bridge.sync.outputs import TRIES_MAX

EVENT = """
outputs:
  alarm:
    event:
      node: .host
      description: "{{ rule }}, see {{ incident_number }}"
      additional_info: {level: "{{ level }}", record: "{{ incident_sys_id }}"}
"""
FIELDS = {
    "ci_enrichment": "{cmdb_ci: c1, source_engine: Probe}",
    "observable_enrichment": "{observable: o1}",
    "threat_lookup": "{observable: o1, source_engine: Probe, finding: '{{ rule }}'}",
}
EACH = pytest.mark.parametrize("kind", ["event", *FIELDS])
LOST = [FaultKind.RESET_AFTER_COMMIT, FaultKind.LATE_COMMIT, FaultKind.TRUNCATED, FaultKind.CANCELLED]
UNDONE = [FaultKind.RESET_BEFORE_COMMIT, FaultKind.RATE_LIMIT, FaultKind.SERVER_ERROR, FaultKind.UNAUTHENTICATED]
PATHS = {"event": "/em/jsonv2"} | {kind: f"/{kind}" for kind in FIELDS}
DATA_MAP = "0123456789abcdef0123456789abcdef"


def asks(world: World, kind: str, more: str = "") -> None:
    """The mapping has one output of this kind."""
    output = EVENT if kind == "event" else f"outputs: {{out: {{{kind}: {{fields: {FIELDS[kind]}{more}}}}}}}\n"
    maps(world, output)


def maps(world: World, output: str) -> None:
    world.library = library_of(world.store, PROBE + output)
    world.aim(itsm())


def sent(world: World, kind: str) -> list[dict[str, str]]:
    return world.simulator.records("em_event" if kind == "event" else outputs.TABLES[kind])


def outcomes(world: World) -> list[tuple[str | None, str | None]]:
    return [(row.outcome, row.outcome_code) for row in rows(world.store, additions)]


def fault(world: World, fault_kind: FaultKind, kind: str, times: int | None = 1) -> None:
    methods = frozenset({"POST"})
    world.simulator.faults.add(Fault(kind=fault_kind, path=PATHS[kind], methods=methods, seconds=90, times=times))


def tries(world: World, kind: str) -> int:
    return len([path for path in world.other_writes() if PATHS[kind] in path])


# --- sent


def test_an_event_is_sent_once_the_incident_is_there_and_names_it(anywhere: World) -> None:
    asks(anywhere, "event")
    anywhere.fire(level="high", at="2026-03-10T11:58:30Z")
    anywhere.idle()
    incident = anywhere.record()
    (event,) = sent(anywhere, "event")
    assert json.loads(event.pop("additional_info")) == {
        "level": "high",
        "record": incident["sys_id"],
        MARK: f"{incident['sys_id']}:alarm",
    }
    said = {name: value for name, value in event.items() if value and not name.startswith("sys_")}
    assert said == {
        "source": "Probe",
        "severity": "2",
        "message_key": "r1",
        "time_of_event": "2026-03-10 11:58:30",
        "node": ".host",
        "description": f"r1, see {incident['number']}",
        "state": "Ready",
    }


@EACH
def test_each_is_sent_once_however_often_the_problem_is_told(anywhere: World, kind: str) -> None:
    asks(anywhere, kind)
    for level in ("low", "high", "critical"):
        anywhere.fire(level=level)
        anywhere.idle()
    anywhere.resolve()
    anywhere.idle()
    assert len(sent(anywhere, kind)) == 1
    assert outcomes(anywhere) == [("added", None)]


def test_the_log_has_names_and_numbers_of_it_and_no_values(world: World) -> None:
    asks(world, "threat_lookup")
    world.fire()
    world.idle()
    (row,) = sent(world, "threat_lookup")
    (added,) = world.log("added")
    assert (added["outcome"], added["number"]) == ("output:out", world.record()["number"])
    fields = ["finding", "observable", "source_engine"]
    assert added["detail"] == {"sent": "threat_lookup", "fields": fields, "record": row["sys_id"]}


def test_a_record_is_named_by_its_columns_and_one_that_is_not_there_is_left_out_and_told(world: World) -> None:
    groups = world.simulator.records("sys_user_group")
    find = "{find: sys_user_group, by: {name: %s}, else: none}"
    fields = f"observable: {find % groups[0]['name']}, finding: {find % 'nobody'}"
    maps(world, f"outputs: {{out: {{observable_enrichment: {{fields: {{{fields}}}}}}}}}\n")
    world.fire()
    world.idle()
    (row,) = sent(world, "observable_enrichment")
    assert row["observable"] == groups[0]["sys_id"]
    assert world.log("added")[0]["detail"]["not_found"] == ["finding"]


def test_a_data_map_is_given_the_whole_alert(world: World) -> None:
    world.simulator.enrichment = Enrichment(
        maps={DATA_MAP: DataMap(destination="sn_ti_lookup_result", fields={"rule": "finding"})}
    )
    maps(world, f"outputs: {{out: {{threat_lookup: {{enrichment_mapping_id: '{DATA_MAP}'}}}}}}\n")
    world.fire()
    world.idle()
    (row,) = sent(world, "threat_lookup")
    assert row["finding"] == "r1"


@pytest.mark.parametrize(
    "flags", ["", ", include_wrap: true", ", simple_response: true", ", include_wrap: true, simple_response: true"]
)
def test_the_answer_is_understood_however_it_is_asked_for(world: World, flags: str) -> None:
    asks(world, "threat_lookup", flags)
    world.fire()
    world.idle()
    assert outcomes(world) == [("added", None)]
    assert ("record" in world.log("added")[0]["detail"]) == ("simple_response" not in flags)


def test_mandatory_fields_are_ignored_when_the_mapping_says_so(world: World) -> None:
    maps(world, "outputs: {out: {threat_lookup: {fields: {finding: bad}, ignore_mandatory_fields: true}}}\n")
    world.fire()
    world.idle()
    assert [row["finding"] for row in sent(world, "threat_lookup")] == ["bad"]


def test_it_is_worded_by_the_mapping_and_the_facts_that_planned_it(anywhere: World) -> None:
    asks(anywhere, "event")
    anywhere.fire(level="high", at="2026-03-10T11:58:30Z")
    anywhere.worker.work()
    maps(anywhere, EVENT.replace("node: .host", "node: another"))
    anywhere.fire(level="low", at="2026-03-10T11:59:30Z")
    anywhere.idle()
    (event,) = sent(anywhere, "event")
    assert (event["node"], event["severity"], event["time_of_event"]) == (".host", "2", "2026-03-10 11:58:30")


# --- not sent


@EACH
def test_a_target_that_is_only_observed_is_sent_nothing(world: World, kind: str) -> None:
    asks(world, kind)
    world.aim(itsm(mode=OBSERVE))
    world.fire()
    world.idle()
    assert outcomes(world) == []


def test_nothing_is_sent_when_the_incident_is_not_created(world: World) -> None:
    asks(world, "event")
    world.fail(FaultKind.ACL, "POST", times=None)
    world.fire()
    world.idle()
    world.pass_time(minutes=12)
    assert world.records() == []
    assert sent(world, "event") == []
    assert outcomes(world) == [(None, None)]


def test_a_condition_that_does_not_hold_sends_nothing(world: World) -> None:
    maps(world, EVENT.replace("alarm:\n", "alarm:\n    when: {severity|at_least: high}\n"))
    world.fire("r1", level="low")
    world.fire("r2", level="high")
    world.idle()
    assert [row["message_key"] for row in sent(world, "event")] == ["r2"]


# --- what goes wrong


@EACH
@pytest.mark.parametrize("undone", UNDONE, ids=str)
def test_what_was_not_done_is_done_by_the_next_try(world: World, kind: str, undone: FaultKind) -> None:
    asks(world, kind)
    fault(world, undone, kind)
    world.fire()
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert len(sent(world, kind)) == 1
    assert outcomes(world) == [("added", None)]


@pytest.mark.parametrize("lost", LOST, ids=str)
def test_an_event_whose_answer_was_lost_is_looked_up_and_not_sent_again(world: World, lost: FaultKind) -> None:
    asks(world, "event")
    fault(world, lost, "event")
    world.fire()
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert len(sent(world, "event")) == 1
    assert world.log("added")[0]["detail"] == {"looked_up": True}


def test_an_older_event_with_the_same_key_is_not_taken_for_it(world: World) -> None:
    asks(world, "event")
    world.fire()
    world.idle()
    world.resolve()
    world.idle()
    world.pass_time(days=8, step=86_400)
    fault(world, FaultKind.RESET_BEFORE_COMMIT, "event")
    world.fire()
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert [row["message_key"] for row in sent(world, "event")] == ["r1", "r1"]
    assert len(world.records()) == 2


def test_an_event_that_nobody_may_look_up_is_sent_again_when_its_window_is_over(world: World) -> None:
    asks(world, "event")
    world.simulator.faults.add(
        Fault(kind=FaultKind.ACL, path="/table/em_event", methods=frozenset({"GET"}), times=None)
    )
    fault(world, FaultKind.RESET_AFTER_COMMIT, "event")
    world.fire()
    world.idle()
    world.pass_time(minutes=5, step=30)
    assert len(sent(world, "event")) == 1
    world.pass_time(minutes=7, step=30)
    assert len(sent(world, "event")) == 2


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("lost", LOST, ids=str)
def test_enrichment_whose_answer_was_lost_is_sent_again_when_its_window_is_over(
    world: World, kind: str, lost: FaultKind
) -> None:
    asks(world, kind)
    fault(world, lost, kind)
    world.fire()
    world.idle()
    world.pass_time(minutes=5, step=30)
    assert tries(world, kind) == 1
    world.pass_time(minutes=7, step=30)
    assert tries(world, kind) == 2
    assert outcomes(world) == [("added", None)]


@EACH
@pytest.mark.parametrize("after", [False, True], ids=["before it is sent", "after it is sent"])
def test_a_process_that_dies_between_the_mark_and_the_outcome_does_not_lose_it(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    asks(world, kind)
    name = "send_event" if kind == "event" else "send_enrichment"
    real = getattr(outputs, name)

    def dies(*args: Any, **more: Any) -> None:
        if after:
            real(*args, **more)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(outputs, name, dies)
        world.fire()
        with pytest.raises(Crash):
            world.idle()
    world.idle()  # the lease is still held
    world.pass_time(minutes=12, step=30)
    assert len(sent(world, kind)) == (2 if after and kind != "event" else 1)
    assert outcomes(world) == [("added", None)]


# code -> (what the service says to everything, the value of a field, what a person is told)
REFUSALS = {
    "insufficient_access": ("Insufficient access", "x", "sn_sec_cmn.api_write"),
    "invalid_post_body": ("Invalid post body", "x", "Compare the output's `fields`"),
    "no_fields": ("No fields supplied", "x", "correct their names"),
    "mandatory_missing": ("", "x", "observable,source_engine"),
    "nothing_to_send": ("", "{{ .nothing }}", "empty for this alert"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_is_given_up_at_once_with_its_cause_and_the_incident_goes_on(world: World, code: str) -> None:
    says, value, told = REFUSALS[code]
    maps(world, f'outputs: {{out: {{threat_lookup: {{fields: {{finding: "{value}"}}}}}}}}\n')
    world.simulator.enrichment = Enrichment(fails_with=says)
    world.fire(level="low")
    world.idle()
    assert outcomes(world) == [("given_up", code)]
    (failed,) = world.log("failed")
    assert (failed["outcome"], failed["reason"], failed["detail"]["addition"]) == ("given up", code, "output:out")
    assert told in failed["said"]
    world.fire(level="critical")
    world.idle()
    assert world.record()["impact"] == "1"
    assert world.row().failure is None
    assert tries(world, "threat_lookup") == (0 if code == "nothing_to_send" else 1)


@pytest.mark.parametrize(
    ("message", "code"), [("Unable to persist record", "not_persisted"), ("Unknown error", "unknown_error")]
)
def test_what_the_service_itself_fails_at_is_tried_a_few_times_and_then_given_up(
    world: World, message: str, code: str
) -> None:
    asks(world, "threat_lookup")
    world.simulator.enrichment = Enrichment(fails_with=message)
    world.fire()
    world.idle()
    world.pass_time(minutes=12, step=10)
    assert outcomes(world) == [("given_up", code)]
    assert tries(world, "threat_lookup") == TRIES_MAX
    assert not world._client.breaker.held
    world.simulator.enrichment = Enrichment()
    world.ask_sync()
    world.idle()
    assert outcomes(world) == [("added", None)]


@pytest.mark.parametrize("kind", FIELDS)
def test_without_a_path_it_is_given_up_and_the_reason_says_whom_to_ask(world: World, kind: str) -> None:
    asks(world, kind)
    world.reconnect(replace(world.instance, enrichment_paths=()))
    world.fire()
    world.idle()
    assert outcomes(world) == [("given_up", "no_enrichment_path")]
    assert "Scripted REST APIs" in world.log("failed")[0]["said"]
    assert world.other_writes() == []


def test_a_path_that_leads_nowhere_is_given_up(world: World) -> None:
    asks(world, "threat_lookup")
    world.reconnect(replace(world.instance, enrichment_paths=(("threat_lookup", "/api/x/y"),)))
    world.fire()
    world.idle()
    assert outcomes(world) == [("given_up", "wrong_path")]
    assert "/api/x/y" in world.log("failed")[0]["said"]


def test_without_event_management_the_event_is_given_up(world: World) -> None:
    asks(world, "event")
    world.simulator.missing = frozenset({"em"})
    world.fire()
    world.idle()
    assert outcomes(world) == [("given_up", "wrong_path")]
    assert "Event Management" in world.log("failed")[0]["said"]


def test_an_output_does_not_hold_up_another(world: World) -> None:
    maps(world, EVENT + "  lookup: {threat_lookup: {fields: {finding: x}}}\n")
    world.fire()
    world.idle()
    with world.store.reading() as tx:
        shown = of_incidents(tx, [row.id for row in rows(world.store, incidents)])
    assert [(one.kind, one.outcome, one.code) for one in shown] == [
        ("output:alarm", "added", None),
        ("output:lookup", "given_up", "mandatory_missing"),
    ]


def test_outputs_are_one_kind_to_the_metrics(world: World) -> None:
    maps(world, EVENT + "  lookup: {threat_lookup: {fields: {finding: x}}}\n")
    world.fire()
    world.idle()
    lines = world.worker._additions._metrics.text().decode().splitlines()
    assert sorted(line for line in lines if line.startswith("bridge_additions_total{")) == [
        'bridge_additions_total{kind="output",outcome="added"} 1.0',
        'bridge_additions_total{kind="output",outcome="given_up"} 1.0',
    ]
