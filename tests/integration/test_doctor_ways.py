"""The doctor and the ways of writing: the probe goes the way that the target goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doctor_world import ITSM, Patient, first_cause

from bridge.simulator.access import User
from bridge.simulator.acl import Needs
from bridge.simulator.server import SimulatorServer
from bridge.simulator.transform import PRESETS, TransformMap
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
    assert (found["step"], "Install it from the ServiceNow Store" in found["causes"][0]["do"]) == (
        f"import set {STAGING}",
        True,
    )


@pytest.mark.parametrize(
    ("targets", "roles", "remedy"),
    [
        (IMPORT, ("sn_si.basic",), "import_set_loader"),
        (ELASTIC, ("sn_incident_write", "x_elas2_inc_int.integration_user"), "import_set_loader"),
        (IMPORT, ("import_set_loader", "import_transformer", "sn_si.read"), "sn_si.basic"),
    ],
)
def test_the_role_that_an_import_lacks_is_named(
    patient: Patient, servicenow: SimulatorServer, targets: str, roles: tuple[str, ...], remedy: str
) -> None:
    servicenow.simulator.needs["sn_si_incident"] = Needs(
        read=frozenset({"sn_si.read", "sn_si.basic"}), write=frozenset({"sn_si.basic"})
    )
    servicenow.simulator.add_user(User(name="bridge", password="bridge", roles=frozenset(roles)))
    patient.is_at(servicenow.url, targets=targets)
    found = {one["step"]: one for one in patient.findings("--write-probe", status=1).values()}
    (write,) = [one for step, one in found.items() if step.startswith("write ")]
    assert remedy in write["causes"][0]["do"]


def test_a_staging_table_without_a_map_is_told_as_one(patient: Patient, servicenow: SimulatorServer) -> None:
    columns = ("u_correlation_id", "u_correlation_display")
    servicenow.simulator.add_staging(replace(PRESETS[STAGING], name="u_nowhere", maps=(), columns=columns))
    patient.is_at(servicenow.url, targets=NOWHERE)
    assert first_cause(patient.wrong("--write-probe")) == "The staging table has no transform map that is active."


def test_an_app_whose_role_is_lacking_is_told_from_one_that_is_not_there(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    roles = frozenset({"sn_incident_write", "import_set_loader", "import_transformer"})
    servicenow.simulator.add_user(User(name="bridge", password="bridge", roles=roles))
    patient.is_at(servicenow.url, targets=ELASTIC)
    found = patient.findings("--write-probe", status=1)
    for step in (f"import set {STAGING}", "write itsm"):
        assert first_cause(found[step]) == "The integration user lacks the role of Elastic's app."
        assert found[step]["causes"][0]["do"].startswith("Give it `x_elas2_inc_int.integration_user`")


def test_a_staging_table_that_is_mistyped_is_wrong(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=NOWHERE)
    assert first_cause(patient.wrong()).startswith("The table u_nowhere is not there")


def test_an_index_that_cannot_be_seen_is_not_tested(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=UNIQUE)
    found = patient.findings("--write-probe", status=0)["unique index itsm"]
    assert (found["outcome"], "Database Indexes" in found["causes"][0]["do"]) == ("not_tested", True)


def test_a_key_field_that_is_no_column_is_wrong(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=UNIQUE.replace("correlation_id", "u_bridge_key"))
    found = patient.wrong()
    assert (found["step"], "no column u_bridge_key" in first_cause(found)) == ("target itsm", True)


def test_what_was_made_without_its_key_is_cancelled_all_the_same(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, targets=UNIQUE.replace("correlation_id", "u_bridge_key"))
    found = patient.findings("--write-probe", status=1)["write itsm"]
    (record,) = servicenow.simulator.records("incident")
    assert (found["outcome"], record["number"] in found["said"], record["state"]) == ("wrong", True, "8")
    assert f"{record['number']} was made all the same, and is cancelled." in patient.error


def test_what_another_map_makes_of_the_probes_rows_is_told(patient: Patient, servicenow: SimulatorServer) -> None:
    staging = PRESETS[STAGING]
    beside = TransformMap(name="Beside", target="sn_si_incident", prefix="u_")
    servicenow.simulator.add_staging(replace(staging, maps=(beside, *staging.maps)))
    patient.is_at(servicenow.url, targets=ELASTIC)
    found = patient.wrong("--write-probe")
    told = [cause["what"] for cause in found["causes"]]
    made = [record["number"] for record in servicenow.simulator.records("sn_si_incident")]
    assert told == [f"The transform map Beside inserted {number} in sn_si_incident." for number in made]
    assert "It is not all that the rows have made" in found["said"]


def test_a_rule_that_drops_the_id_is_found_by_the_probe(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = servicenow.simulator.rows.insert

    def dropping(table: str, fields: dict[str, str], **more: Any) -> dict[str, str]:
        return insert(table, {name: fields[name] for name in fields if name != "correlation_id"}, **more)

    monkeypatch.setattr(servicenow.simulator.rows, "insert", dropping)
    patient.is_at(servicenow.url, targets=ITSM)
    found = patient.wrong("--write-probe")
    assert found["said"].startswith("INC0010001 was made, and correlation_id came back as something else")
    assert first_cause(found).startswith("A business rule changes the field")


def test_a_map_that_does_not_coalesce_is_found_by_the_probe(patient: Patient, servicenow: SimulatorServer) -> None:
    staging = PRESETS[STAGING]
    maps = tuple(replace(each, coalesce=()) for each in staging.maps)
    servicenow.simulator.add_staging(replace(staging, maps=maps))
    patient.is_at(servicenow.url, targets=ELASTIC)
    found = patient.wrong("--write-probe")
    assert (found["step"], "transform map" in first_cause(found)) == ("write itsm", True)


def test_a_staging_table_without_a_column_for_the_id_is_wrong(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.add_staging(replace(PRESETS[STAGING], name="u_nowhere", maps=()))
    patient.is_at(servicenow.url, targets=NOWHERE)
    found = patient.wrong()
    assert (found["step"], "u_nowhere has no column u_correlation_id" in first_cause(found)) == ("target itsm", True)


def test_a_key_field_that_is_too_short_is_wrong(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.add_columns("incident", ("u_bridge_key",))
    rows = servicenow.simulator.rows
    rows.load(
        "sys_dictionary",
        [row | {"max_length": "40"} for row in rows.rows("sys_dictionary") if row["element"] == "u_bridge_key"],
    )
    patient.is_at(servicenow.url, targets=UNIQUE.replace("correlation_id", "u_bridge_key"))
    found = patient.wrong()
    assert (found["step"], "takes 40 characters" in first_cause(found)) == ("target itsm", True)
    assert "110 characters long" in found["causes"][0]["do"]
