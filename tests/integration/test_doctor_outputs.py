"""The doctor and what mappings send beside incidents: read-only, so it says what it did not try, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doctor_world import ITSM, Patient

from bridge.simulator.access import ApiKey, Policy, User
from bridge.simulator.enrichment_maps import PATH_DEFAULT
from bridge.simulator.server import SimulatorServer
from bridge.wiring import utc_now

MAPPING = """\
mapping: probe
version: 1
owner: tests@corp.example
correlation: {id: "{{ .rule }}"}
route: [{to: itsm}]
fields: {create: {short_description: "{{ .rule }}"}}
"""
EVENT = "outputs: {alarm: {event: {node: x}}}\n"
LOOKUP = "outputs: {verdict: {threat_lookup: {fields: {finding: x}}}}\n"
PATH = f"enrichment_path: {PATH_DEFAULT}"


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        yield server


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Patient:
    (tmp_path / "mappings").mkdir()
    return Patient(tmp_path, capsys)


def told(
    patient: Patient, servicenow: SimulatorServer, outputs: str, *, more: str = "", status: int = 0
) -> dict[str, dict[str, str]]:
    """The findings about outputs, by step."""
    (patient.folder / "mappings/probe.yaml").write_text(MAPPING + outputs)
    sources = "{probe: {mapping: probe, auth: {scheme: none}}}"
    patient.is_at(servicenow.url, more=more, targets=ITSM, sources=sources)
    found = patient.findings(status=status)
    return {step: finding for step, finding in found.items() if step.startswith("output")}


def test_without_outputs_nothing_is_asked(patient: Patient, servicenow: SimulatorServer) -> None:
    assert told(patient, servicenow, "") == {}


def attaching(
    patient: Patient, servicenow: SimulatorServer, *words: str, status: int, apis: frozenset[str] = frozenset()
) -> dict[str, dict[str, Any]]:
    (patient.folder / "mappings/probe.yaml").write_text(MAPPING + "attach: true\n")
    (patient.folder / "var/key").write_text("right\n")
    auth, sources = "{scheme: api_key, key: {file: var/key}}", "{probe: {mapping: probe, auth: {scheme: none}}}"
    servicenow.simulator.access.api_keys["right"] = ApiKey(user="bridge", apis=apis)
    patient.is_at(servicenow.url, targets=ITSM, sources=sources, auth=auth)
    return patient.findings(*words, status=status)


def test_where_a_mapping_attaches_its_api_is_asked_and_nothing_is_attached(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    found = attaching(patient, servicenow, status=0)["attachments"]
    assert found["outcome"] == "not_tested"
    assert found["said"].startswith("The Attachment API answers")
    assert {method for method, _path, _status in servicenow.simulator.calls} == {"GET"}


def test_an_attachment_api_whose_policy_lacks_the_scheme_is_wrong_by_its_name(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    servicenow.simulator.access.policies["Attachment API"] = Policy(api="attachment", profiles=frozenset({"basic"}))
    found = attaching(patient, servicenow, status=1)["attachments"]
    assert "the REST API access policy of the Attachment API does not take them" in found["causes"][0]["what"]


def test_its_policy_is_detected_by_an_administrator(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN", "words")
    servicenow.simulator.add_user(User(name="ada", password="words", roles=frozenset({"admin"})))
    servicenow.simulator.access.policies["Attachment API"] = Policy(api="attachment", profiles=frozenset({"basic"}))
    words = ("--admin", "ada", "--admin-password", "env:ADMIN")
    (cause,) = attaching(patient, servicenow, *words, status=1)["attachments"]["causes"]
    assert (cause["certainty"], "of the Attachment API names an API-key profile" in cause["what"]) == ("detected", True)


def test_where_the_policy_of_an_api_takes_keys_the_scope_of_the_key_is_left(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN", "words")
    servicenow.simulator.add_user(User(name="ada", password="words", roles=frozenset({"admin"})))
    words = ("--admin", "ada", "--admin-password", "env:ADMIN")
    found = attaching(patient, servicenow, *words, status=1, apis=frozenset({"table"}))["attachments"]
    (cause,) = found["causes"]
    assert (cause["certainty"], "whether the key's scope has this API" in cause["what"]) == ("not_detected", True)


def test_a_path_where_something_is_is_told_and_a_post_is_not_tried(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    found = told(patient, servicenow, LOOKUP, more=PATH)["output threat_lookup"]
    assert found["outcome"] == "not_tested"
    assert f"Something is at {PATH_DEFAULT}/threat_lookup (a read is answered 405)" in found["said"]
    assert "only an output can show" in found["said"]
    assert {method for method, _path, _status in servicenow.simulator.calls} == {"GET"}


def test_without_a_path_it_is_wrong_and_says_whom_to_ask(patient: Patient, servicenow: SimulatorServer) -> None:
    found = told(patient, servicenow, LOOKUP, status=1)["output threat_lookup"]
    assert (found["outcome"], "given up" in found["said"]) == ("wrong", True)
    (cause,) = found["causes"]
    assert "does not publish the path" in cause["what"]
    assert "Scripted REST APIs" in cause["what"]
    assert "`enrichment_path`" in cause["do"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_path_where_nothing_answers_may_be_wrong(patient: Patient, servicenow: SimulatorServer, status: int) -> None:
    servicenow.simulator.switches = replace(servicenow.simulator.switches, unknown_uri_status=status)
    found = told(patient, servicenow, LOOKUP, more="enrichment_path: /api/x")["output threat_lookup"]
    assert found["outcome"] == "not_tested"
    assert f"A read of /api/x/threat_lookup is answered {status}, as where nothing is" in found["said"]
    assert "`enrichment_path`" in found["causes"][0]["do"]


def test_event_management_is_told_to_be_there(patient: Patient, servicenow: SimulatorServer) -> None:
    found = told(patient, servicenow, EVENT)["output event"]
    assert "Something is at /api/global/em/jsonv2 (a read is answered 405)" in found["said"]
    assert "em_event" not in found["said"]


def test_events_that_may_not_be_read_are_told(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.missing = frozenset({"em"})
    found = told(patient, servicenow, EVENT)["output event"]
    assert "A read of /api/global/em/jsonv2 is answered 400" in found["said"]
    assert "em_event may not be read: an event whose answer is lost is sent again." in found["said"]
    assert "ITOM Event Management" in found["causes"][0]["do"]


def test_a_mapping_that_is_broken_does_not_stop_the_doctor(patient: Patient, servicenow: SimulatorServer) -> None:
    assert told(patient, servicenow, "outputs: {alarm: {}}\n") == {}


def test_apis_that_refuse_the_key_do_not_keep_the_write_probe_from_its_own(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    servicenow.simulator.access.api_keys["right"] = ApiKey(user="bridge", apis=frozenset({"table"}))
    monkeypatch.setenv("DOCTOR_KEY", "right")
    outputs = "outputs: {alarm: {event: {node: x}}, verdict: {threat_lookup: {fields: {finding: x}}}}\n"
    (patient.folder / "mappings/probe.yaml").write_text(MAPPING + outputs)
    sources = "{probe: {mapping: probe, auth: {scheme: none}}}"
    key = "{scheme: api_key, key: {env: DOCTOR_KEY}}"
    patient.is_at(servicenow.url, more=PATH, targets=ITSM, sources=sources, auth=key)
    found = patient.findings("--write-probe", status=1)
    assert [step for step, finding in found.items() if finding["outcome"] == "wrong"] == [
        "output event",
        "output threat_lookup",
    ]
    assert found["write itsm"]["outcome"] == "ok"
