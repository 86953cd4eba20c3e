"""The doctor with users of different rights, and what it keeps of what the instance tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor_world import ITSM, SIR, Patient, first_cause

from bridge.schema_file import load
from bridge.simulator.access import User
from bridge.simulator.acl import Needs
from bridge.simulator.dictionary import override
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.wiring import utc_now

ENOUGH = ("sn_incident_write", "sn_si.basic")
OPTIONAL = ("personalize_dictionary", "personalize_choices")
BOTH = ITSM + SIR


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        yield server


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str], servicenow: SimulatorServer) -> Patient:
    patient = Patient(tmp_path, capsys)
    patient.is_at(servicenow.url, targets=BOTH)
    return patient


def has_roles(servicenow: SimulatorServer, *roles: str, mfa: bool = False, active: bool = True) -> None:
    user = User(name="bridge", password="bridge", roles=frozenset(roles), mfa=mfa, active=active)
    servicenow.simulator.add_user(user)


def test_the_roles_that_the_documentation_names_are_enough(patient: Patient, servicenow: SimulatorServer) -> None:
    has_roles(servicenow, *ENOUGH)
    patient.findings("--write-probe", status=0)


@pytest.mark.parametrize(
    ("roles", "step", "remedy"),
    [
        (("sn_si.basic",), "read incident", "sn_incident_write"),
        (("sn_incident_write",), "read sn_si_incident", "sn_si.basic"),
        (("sn_incident_write",), "observables", "sn_ti.observable.write"),
    ],
)
def test_a_missing_role_is_named(
    patient: Patient, servicenow: SimulatorServer, roles: tuple[str, ...], step: str, remedy: str
) -> None:
    has_roles(servicenow, *roles)
    assert remedy in patient.findings(status=1)[step]["causes"][0]["do"]


def test_who_may_only_read_is_told_by_the_probe(patient: Patient, servicenow: SimulatorServer) -> None:
    has_roles(servicenow, "sn_incident_read", "sn_si.basic")
    found = patient.wrong("--write-probe")
    assert (found["step"], "sn_incident_write" in found["causes"][0]["do"]) == ("write itsm", True)


def test_a_second_factor_is_told_from_a_wrong_password(patient: Patient, servicenow: SimulatorServer) -> None:
    has_roles(servicenow, *ENOUGH, mfa=True)
    assert first_cause(patient.wrong()) == "The user's password is right, and a second factor is asked of it."


def test_a_business_rule_is_named(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.faults.add(Fault(kind=FaultKind.BUSINESS_RULE, table="incident", times=None))
    told = "A business rule refuses the write: Refuse what integrations write."
    assert first_cause(patient.wrong("--write-probe")) == told


def test_what_a_data_policy_demands_is_named(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.rows.mandatory["incident"] = ("caller_id", "location")
    told = "A data policy makes fields mandatory: Caller id, Location."
    assert first_cause(patient.wrong("--write-probe")) == told


# --- the roles that it has


def may_see_its_roles(servicenow: SimulatorServer, *roles: str) -> None:
    has_roles(servicenow, *roles, "x_sees_roles")
    servicenow.simulator.needs["sys_user_has_role"] = Needs(read=frozenset({"x_sees_roles"}))


def test_a_user_that_may_not_see_its_roles_is_told_nothing_of_them(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    has_roles(servicenow, *ENOUGH)
    found = patient.findings(status=0)["roles"]
    assert (found["outcome"], found["said"].startswith("The user may not read its own roles")) == ("not_tested", True)


def test_a_user_that_may_see_its_roles_is_told_them(patient: Patient, servicenow: SimulatorServer) -> None:
    may_see_its_roles(servicenow, *ENOUGH)
    found = patient.findings(status=0)["roles"]
    assert (found["outcome"], found["said"]) == ("ok", "bridge has sn_incident_write, sn_si.basic, x_sees_roles.")


def test_roles_that_were_taken_away_are_not_told(patient: Patient, servicenow: SimulatorServer) -> None:
    may_see_its_roles(servicenow, *ENOUGH, "itil_admin")
    may_see_its_roles(servicenow, *ENOUGH)
    assert patient.findings(status=0)["roles"]["outcome"] == "ok"


@pytest.mark.parametrize("role", ["admin", "itil_admin", "security_admin", "sn_si.admin", "user_admin"])
def test_a_role_that_opens_too_much_is_wrong(patient: Patient, servicenow: SimulatorServer, role: str) -> None:
    may_see_its_roles(servicenow, *ENOUGH, role)
    found = patient.wrong()
    assert (found["step"], role in found["said"], "Take " in found["causes"][0]["do"]) == ("roles", True, True)


@pytest.mark.parametrize(
    ("roles", "names"),
    [
        (("sn_si.basic",), "give it `sn_incident_write`; `itil` will do as well"),
        (("sn_incident_write",), "give it `sn_si.basic`; "),
    ],
)
def test_a_usual_role_that_is_lacking_is_named(
    patient: Patient, servicenow: SimulatorServer, roles: tuple[str, ...], names: str
) -> None:
    may_see_its_roles(servicenow, *roles)
    (cause,) = patient.findings(status=1)["roles"]["causes"]
    assert names in cause["do"]


def test_the_roles_of_an_import_are_named(patient: Patient, servicenow: SimulatorServer) -> None:
    elastic = "  itsm: {instance: prod, table: incident, write: import_set, preset: elastic}\n"
    patient.is_at(servicenow.url, targets=elastic)
    may_see_its_roles(servicenow, *ENOUGH)
    told = [cause["do"] for cause in patient.findings(status=None)["roles"]["causes"]]
    named = ("import_set_loader", "import_transformer", "x_elas2_inc_int.integration_user")
    assert [role in do for role, do in zip(named, told, strict=True)] == [True] * 3


# --- the schema


@pytest.mark.parametrize(
    ("step", "without"),
    [
        ("schema sys_dictionary", "fields that the table lacks are not noticed"),
        ("schema sys_dictionary_override", "Without sys_dictionary there is nothing"),
        ("schema sys_choice", "values that are no choice are not noticed"),
    ],
)
def test_a_right_that_is_optional_is_not_wrong_to_lack(
    patient: Patient, servicenow: SimulatorServer, step: str, without: str
) -> None:
    has_roles(servicenow, *ENOUGH)
    found = patient.findings(status=0)[step]
    assert (found["outcome"], without in found["said"]) == ("not_tested", True)


def test_refresh_keeps_what_the_instance_tells(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.add_columns("incident", ("u_team",))
    patient.findings("--refresh", status=0)
    reading = load(patient.folder / "var" / "schema-prod.json")
    assert reading is not None
    assert reading.length_of("incident", "short_description") == 160
    assert not reading.takes("incident", "close_code", "weather")
    assert reading.groups is not None
    assert "SOC L1" in reading.groups


def test_refresh_keeps_the_part_that_may_be_read(patient: Patient, servicenow: SimulatorServer) -> None:
    has_roles(servicenow, *ENOUGH, "personalize_choices")
    patient.findings("--refresh", status=0)
    reading = load(patient.folder / "var" / "schema-prod.json")
    assert reading is not None
    assert (reading.columns is None, reading.choices is None) == (True, False)


def test_without_refresh_nothing_is_kept(patient: Patient) -> None:
    patient.findings(status=0)
    assert not list(patient.folder.glob("var/schema-*"))


def test_refresh_in_vain_keeps_the_old_file(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.findings("--refresh", status=0)
    servicenow.down()
    patient.findings("--refresh", status=1)
    assert load(patient.folder / "var" / "schema-prod.json") is not None


def test_what_a_table_says_otherwise_than_task_is_kept(patient: Patient, servicenow: SimulatorServer) -> None:
    servicenow.simulator.rows.load(
        "sys_dictionary_override", [override("sn_si_incident", "location", mandatory="true")]
    )
    found = patient.findings("--refresh", status=0)["schema sys_dictionary_override"]
    reading = load(patient.folder / "var" / "schema-prod.json")
    assert reading is not None
    assert reading.columns is not None
    assert found["said"].startswith("incident overrides ")
    assert [reading.columns[table]["location"].mandatory for table in ("incident", "sn_si_incident")] == [False, True]


def test_overrides_that_may_not_be_read_leave_the_columns_as_task_has_them(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    servicenow.simulator.needs["sys_dictionary_override"] = Needs(read=frozenset({"nobody_has_it"}))
    has_roles(servicenow, *ENOUGH, *OPTIONAL)
    found = patient.findings("--refresh", status=0)
    overrides = found["schema sys_dictionary_override"]
    assert (overrides["outcome"], "IB508 go by task" in overrides["said"]) == ("not_tested", True)
    assert found["schema sys_dictionary"]["outcome"] == "ok"


def test_no_override_at_all_is_told_as_what_it_looks_like(patient: Patient, servicenow: SimulatorServer) -> None:
    for row in servicenow.simulator.records("sys_dictionary_override"):
        servicenow.simulator.person_deletes("sys_dictionary_override", row["sys_id"])
    found = patient.findings(status=0)["schema sys_dictionary_override"]
    assert (found["outcome"], "shows no row" in found["said"]) == ("not_tested", True)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ('{instance: prod, table: incident, close: {code: "Solved"}}', "'Solved' is no choice of close_code"),
        ("{instance: prod, table: incident, defaults: {u_nowhere: x}}", "incident has no column u_nowhere"),
        ("{instance: prod, table: incident, defaults: {category: weather}}", "'weather' is no choice of category"),
        ('{instance: prod, table: incident, reopen_state: "77"}', "'77' is no choice of state"),
    ],
)
def test_what_bridge_yaml_says_of_a_target_is_held_against_the_instance(
    patient: Patient, servicenow: SimulatorServer, target: str, said: str
) -> None:
    patient.is_at(servicenow.url, targets=f"  itsm: {target}\n")
    found = patient.wrong()
    assert (found["step"], said in first_cause(found)) == ("target itsm", True)


@pytest.mark.parametrize("shown", [[], ["state", "correlation_id"]], ids=["none of task", "some of task"])
def test_a_dictionary_that_is_shown_in_part_is_not_used(
    patient: Patient, servicenow: SimulatorServer, shown: list[str]
) -> None:
    rows = servicenow.simulator.rows
    rows.describe(
        "task", [row for row in rows.rows("sys_dictionary") if row["name"] == "task" and row["element"] in shown]
    )
    patient.is_at(servicenow.url)
    found = patient.findings("--refresh", status=0)["schema sys_dictionary"]
    assert found["outcome"] == "not_tested"
    assert "A part is not used: fields that the table lacks are not noticed" in found["said"]
    assert "personalize_dictionary" in found["causes"][0]["do"]
    reading = load(patient.folder / "var" / "schema-prod.json")
    assert reading is not None
    assert (reading.columns, reading.choices is None) == (None, False)


# --- what mappings look up

MAPPING = """
mapping: m
version: 1
owner: o@example.com
correlation: {id: "{{ .rule }}"}
route: [{to: itsm}]
fields:
  create:
    short_description: x
    cmdb_ci: {find: cmdb_ci_computer, by: {name: .host}, else: {find: cmdb_ci, by: {name: .host}}}
outputs:
  seen: {ci_enrichment: {fields: {cmdb_ci: {find: cmdb_ci_server, by: {name: .host}}}}}
tests: []
"""


@pytest.fixture
def finding(patient: Patient, servicenow: SimulatorServer) -> Patient:
    (patient.folder / "mappings").mkdir()
    (patient.folder / "mappings" / "m.yaml").write_text(MAPPING)
    sources = "{s: {mapping: m, auth: {scheme: none}}}"
    patient.is_at(servicenow.url, sources=sources, more="enrichment_path: /api/sn_sec_cmn/integration_capabilities")
    return patient


@pytest.mark.parametrize("table", ["cmdb_ci", "cmdb_ci_computer", "cmdb_ci_server"])
def test_a_table_that_a_find_names_and_that_may_not_be_read_is_wrong_with_its_role(
    finding: Patient, servicenow: SimulatorServer, table: str
) -> None:
    has_roles(servicenow, "sn_incident_write")
    found = finding.findings(status=1)[f"find {table}"]
    assert (found["outcome"], f"what mappings look up in {table} is left out" in found["said"]) == ("wrong", True)
    assert found["causes"][0]["do"] == "Give it `cmdb_read` (or `itil`)."


def test_a_table_that_a_find_names_and_that_is_not_there_is_to_be_mended_in_the_mapping(
    finding: Patient, servicenow: SimulatorServer
) -> None:
    text = finding.folder / "mappings" / "m.yaml"
    text.write_text(text.read_text().replace("find: cmdb_ci_computer", "find: cmdb_ci_nowhere"))
    found = finding.findings(status=1)["find cmdb_ci_nowhere"]
    assert found["said"].startswith("There is no table cmdb_ci_nowhere on this instance: what mappings look up in")
    assert found["causes"][0]["do"] == "Install the app that brings it, or correct `find` in the mapping."


def test_what_a_find_names_may_be_read_with_the_role_that_is_told(
    finding: Patient, servicenow: SimulatorServer
) -> None:
    has_roles(servicenow, "sn_incident_write", "cmdb_read")
    found = finding.findings(status=0)
    tables = ("cmdb_ci", "cmdb_ci_computer", "cmdb_ci_server")
    assert {found[f"find {table}"]["outcome"] for table in tables} == {"ok"}


def test_the_usual_role_to_look_up_is_named_where_roles_are_seen(finding: Patient, servicenow: SimulatorServer) -> None:
    may_see_its_roles(servicenow, "sn_incident_write")
    told = [cause["do"] for cause in finding.findings(status=1)["roles"]["causes"]]
    assert len(told) == 1
    assert "give it `cmdb_read`" in told[0]
