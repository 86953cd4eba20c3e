"""The doctor's write probe: one marked record, told before it is made, and never left open unsaid."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_world import ITSM, SIR, Patient

from bridge.servicenow.table import TableApi
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.wiring import utc_now


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Patient:
    return Patient(tmp_path, capsys)


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        yield server


@pytest.fixture
def prod(patient: Patient, servicenow: SimulatorServer) -> Patient:
    patient.is_at(servicenow.url)
    return patient


def writes(servicenow: SimulatorServer) -> list[str]:
    return [method for method, _path, _status in servicenow.simulator.calls if method not in ("GET", "HEAD")]


def fail(servicenow: SimulatorServer, kind: FaultKind, *methods: str, **more: Any) -> None:
    servicenow.simulator.faults.add(Fault(kind=kind, methods=frozenset(methods), times=None, **more))


def test_the_write_probe_leaves_one_cancelled_record(prod: Patient, servicenow: SimulatorServer) -> None:
    found = prod.findings("--write-probe", status=0)["write itsm"]
    (record,) = servicenow.simulator.records("incident")
    assert found["said"] == f"{record['number']} was created, changed and cancelled. It is left as it is."
    assert (record["state"], record["priority"], record["assignment_group"]) == ("8", "5", "")
    assert "DELETE" not in writes(servicenow)


def test_the_write_probe_writes_to_each_table_that_targets_name(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=ITSM + SIR)
    patient.findings("--write-probe", status=None)
    assert [len(servicenow.simulator.records(table)) for table in ("incident", "sn_si_incident")] == [1, 1]


def test_the_probes_record_is_marked_and_not_ours(prod: Patient, servicenow: SimulatorServer) -> None:
    prod.findings("--write-probe", status=0)
    (record,) = servicenow.simulator.records("incident")
    assert record["correlation_id"].startswith("incident-bridge-doctor:")
    assert record["correlation_display"] == "incident bridge · doctor"


def test_a_production_instance_is_written_to_once_its_name_is_typed(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.is_at(servicenow.url, environment="production")
    monkeypatch.setattr("click.prompt", lambda *_, **__: "prod")
    patient.findings("--write-probe", status=0)
    assert len(servicenow.simulator.records("incident")) == 1


def test_without_its_name_a_production_instance_is_asked_nothing(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.is_at(servicenow.url, environment="production")
    monkeypatch.setattr("click.prompt", lambda *_, **__: "yes")
    patient.doctor("--write-probe", status=2)
    assert servicenow.simulator.calls == []


def test_where_nobody_can_type_its_name_that_is_said(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.is_at(servicenow.url, environment="production")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    patient.doctor("--write-probe", status=2)
    assert ("write `environment: test`" in patient.error, servicenow.simulator.calls) == (True, [])


def test_a_refused_write_names_the_role(prod: Patient, servicenow: SimulatorServer) -> None:
    fail(servicenow, FaultKind.ACL, "POST")
    assert "sn_incident_write" in prod.wrong("--write-probe")["causes"][0]["do"]


def test_a_record_that_could_not_be_cancelled_is_named(prod: Patient, servicenow: SimulatorServer) -> None:
    fail(servicenow, FaultKind.ACL, "PATCH", after=1)
    last = prod.wrong("--write-probe")["causes"][-1]
    assert last["do"] == "Cancel INC0010001 by hand."


def test_a_lost_answer_creates_no_second_record(prod: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.faults.add(Fault(kind=FaultKind.RESET_AFTER_COMMIT, methods=frozenset({"POST"})))
    prod.findings("--write-probe", status=0)
    (record,) = servicenow.simulator.records("incident")
    assert record["state"] == "8"


def test_what_the_probe_makes_is_told_before_and_as_soon_as_it_is_there(
    prod: Patient, servicenow: SimulatorServer
) -> None:
    prod.doctor("--write-probe", status=0)
    (record,) = servicenow.simulator.records("incident")
    made, number = prod.error.splitlines()
    assert f"One record of incident is made now, with the correlation ID {record['correlation_id']}." in made
    assert f"It is {record['number']}." in number


def test_a_create_that_may_still_be_carried_out_is_told_with_its_id(prod: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.faults.add(Fault(kind=FaultKind.DROPPED, methods=frozenset({"POST"})))
    last = prod.wrong("--write-probe")["causes"][-1]
    assert last["what"].startswith("A record of incident with the correlation ID incident-bridge-doctor:")
    assert "may still appear" in last["what"]


def test_a_cancel_whose_answer_was_lost_is_read_back(prod: Patient, servicenow: SimulatorServer) -> None:
    lost = Fault(kind=FaultKind.RESET_AFTER_COMMIT, methods=frozenset({"PATCH"}), times=None)
    servicenow.simulator.faults.add(lost)
    found = prod.findings("--write-probe", status=0)["write itsm"]
    assert found["said"].endswith("was created, changed and cancelled. It is left as it is.")


def test_a_record_that_could_not_be_changed_is_cancelled_all_the_same(
    prod: Patient, servicenow: SimulatorServer
) -> None:
    servicenow.simulator.faults.add(Fault(kind=FaultKind.BUSINESS_RULE, methods=frozenset({"PATCH"})))
    found = prod.wrong("--write-probe")
    assert "was created. It was not changed: " in found["said"]
    assert not [cause for cause in found["causes"] if "still open" in cause["what"]]
    assert servicenow.simulator.records("incident")[0]["state"] == "8"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("method", ["create", "update"])
def test_a_probe_that_is_interrupted_cancels_what_it_has_made(
    prod: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, method: str
) -> None:
    _interrupts(monkeypatch, method, number)
    prod.doctor("--write-probe", status=130)
    (record,) = servicenow.simulator.records("incident")
    assert record["state"] == "8"
    assert f"{record['number']} is cancelled." in prod.error


def test_an_interrupted_probe_that_cannot_cancel_says_what_is_open(
    prod: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupts(monkeypatch, "create", signal.SIGINT)
    fail(servicenow, FaultKind.ACL, "PATCH")
    prod.doctor("--write-probe", status=130)
    assert prod.error.rstrip().endswith("Cancel INC0010001 by hand.")


def test_an_interrupted_create_that_is_not_there_yet_is_told_with_its_id(
    prod: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TableApi, "create", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    prod.doctor("--write-probe", status=130)
    assert "Look for incident-bridge-doctor:" in prod.error


def _interrupts(monkeypatch: pytest.MonkeyPatch, method: str, number: signal.Signals) -> None:
    """The first time that it has done its work, and before it has told of it."""
    real, done = getattr(TableApi, method), []

    def interrupted(*given: Any, **more: Any) -> Any:
        answer = real(*given, **more)
        if not done:
            done.append(answer)
            os.kill(os.getpid(), number)
        return answer

    monkeypatch.setattr(TableApi, method, interrupted)
