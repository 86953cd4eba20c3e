"""The doctor and the ways of writing: the probe goes the way that the target goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_world import ITSM, Patient, first_cause

from bridge.simulator.server import SimulatorServer
from bridge.simulator.transform import PRESETS
from bridge.wiring import utc_now

ELASTIC = "  itsm: {instance: prod, table: incident, write: import_set, preset: elastic}\n"
ELASTIC_SIR = "  sir: {instance: prod, table: sn_si_incident, write: import_set, preset: elastic}\n"
IMPORT = "  sir: {instance: prod, table: sn_si_incident, write: import_set, preset: sir_import}\n"
UNIQUE = "  itsm: {instance: prod, table: incident, write: unique, key_field: correlation_id}\n"
NOWHERE = "  itsm: {instance: prod, table: incident, write: import_set, staging_table: u_nowhere}\n"
STAGING = "x_elas2_inc_int_elastic_incident"


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        yield server


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Patient:
    return Patient(tmp_path, capsys)


@pytest.mark.parametrize("targets", [ITSM, ELASTIC, ELASTIC_SIR, IMPORT, UNIQUE])
def test_each_way_of_writing_leaves_one_cancelled_record(
    patient: Patient, servicenow: SimulatorServer, targets: str
) -> None:
    patient.is_at(servicenow.url, targets=targets)
    patient.findings("--write-probe", status=0)
    made = [*servicenow.simulator.records("incident"), *servicenow.simulator.records("sn_si_incident")]
    assert [record["state"] for record in made] in (["8"], ["7"])


def test_two_targets_of_one_way_are_probed_once(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=ITSM + ITSM.replace("itsm", "again"))
    found = patient.findings("--write-probe", status=0)
    assert ([step for step in found if step.startswith("write")], len(servicenow.simulator.records("incident"))) == (
        ["write itsm"],
        1,
    )


def test_a_staging_table_that_is_there_is_told(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=ELASTIC)
    found = patient.findings(status=0)[f"import set {STAGING}"]
    assert found["said"] == f"Elastic's app x_elas2_inc_int answers, and {STAGING} is there."


def test_an_app_that_is_not_installed_is_wrong(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.missing = frozenset({"x_elas2_inc_int"})
    patient.is_at(servicenow.url, targets=ELASTIC)
    found = patient.wrong()
    assert (found["step"], "Install Elastic's app" in found["causes"][0]["do"]) == (f"import set {STAGING}", True)


def test_a_staging_table_that_is_mistyped_is_wrong(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=NOWHERE)
    assert first_cause(patient.wrong()).startswith("The table u_nowhere is not there")


def test_a_map_that_does_not_coalesce_is_found_by_the_probe(patient: Patient, servicenow: SimulatorServer) -> None:
    staging = PRESETS[STAGING]
    maps = tuple(replace(each, coalesce=()) for each in staging.maps)
    servicenow.simulator.add_staging(replace(staging, maps=maps))
    patient.is_at(servicenow.url, targets=ELASTIC)
    found = patient.wrong("--write-probe")
    assert (found["step"], "transform map" in first_cause(found)) == ("write itsm", True)
