"""The simulator's Import Set API: staging tables, transform maps, and what each map says of a row."""

from __future__ import annotations

from typing import Any

import pytest
from simulated import World, refusal

from bridge.simulator.seed import fixed_id
from bridge.simulator.switches import Unchanged
from bridge.simulator.transform import ELASTIC_ITSM, ELASTIC_SIR

ELASTIC = f"/api/now/import/{ELASTIC_ITSM.name}"
SIR = "/api/now/import/sn_si_incident_import"
OWN = "/api/now/import/u_alerts"


@pytest.fixture
def world() -> World:
    return World()


def imported(world: World, path: str, **row: Any) -> list[dict[str, Any]]:
    answer = world.call("POST", path, row)
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    results: list[dict[str, Any]] = answer.json["result"]
    return results


def own_map(**changes: Any) -> dict[str, Any]:
    return {"name": "Alerts", "target": "incident"} | changes


def test_an_import_answers_as_documented(world: World) -> None:
    answer = world.call("POST", ELASTIC, {"u_short_description": "x", "u_correlation_id": "a"})
    row = world.simulator.records("incident")[0]
    assert answer.json == {
        "import_set": "ISET0010001",
        "staging_table": ELASTIC_ITSM.name,
        "result": [
            {
                "transform_map": "Elastic Incident",
                "table": "incident",
                "display_name": "number",
                "display_value": "INC0010001",
                "record_link": f"http://localhost/api/now/table/incident/{row['sys_id']}",
                "status": "inserted",
                "sys_id": row["sys_id"],
            }
        ],
    }
    assert row["short_description"] == "x"


def test_what_an_import_answered_can_be_read_again(world: World) -> None:
    answer = world.call("POST", ELASTIC, {"u_short_description": "x"})
    staged = world.simulator.records(ELASTIC_ITSM.name)[0]["sys_id"]
    assert world.call("GET", f"{ELASTIC}/{staged}").json == answer.json


def test_the_correlation_id_decides_between_insert_and_update(world: World) -> None:
    (first,) = imported(world, ELASTIC, u_correlation_id="a", u_short_description="x")
    (second,) = imported(world, ELASTIC, u_correlation_id="a", u_short_description="y")
    assert (second["status"], second["sys_id"]) == ("updated", first["sys_id"])


def test_elastic_incident_id_names_the_record_to_update(world: World) -> None:
    (first,) = imported(world, ELASTIC, u_correlation_id="a")
    (second,) = imported(world, ELASTIC, elastic_incident_id=first["sys_id"], u_work_notes="again")
    assert (second["status"], second["sys_id"]) == ("updated", first["sys_id"])
    assert [entry["value"] for entry in world.simulator.journal(first["sys_id"])] == ["again"]


def test_nulls_are_taken_and_change_nothing(world: World) -> None:
    path = f"/api/now/import/{ELASTIC_SIR.name}"
    (first,) = imported(world, path, u_correlation_id="a", u_dest_ip=None, u_priority="1", u_source_ip="1.1.1.1")
    imported(world, path, u_correlation_id="a", u_source_ip=None, u_short_description="x")
    row = world.simulator.record("sn_si_incident", first["sys_id"])
    assert row is not None
    assert (row["dest_ip"], row["source_ip"], row["priority"]) == ("", "1.1.1.1", "1")
    assert world.violations() == []


def test_a_misspelt_column_is_dropped_and_noted_so_that_a_twin_arises(world: World) -> None:
    for _ in range(2):
        imported(world, ELASTIC, u_colleration_id="a")
    assert len(world.simulator.records("incident")) == 2
    assert set(world.violations()) == {("unknown_column", "u_colleration_id")}


def test_users_are_found_by_user_name(world: World) -> None:
    (result,) = imported(world, ELASTIC, u_caller_id="fred")
    row = world.simulator.record("incident", result["sys_id"])
    assert row is not None
    assert row["caller_id"] == fixed_id("sys_user", "fred")


@pytest.mark.parametrize("value", ["web-01", "web-01.example.com", "192.0.2.11", fixed_id("cmdb_ci_server", "web-01")])
def test_the_sir_import_finds_a_configuration_item(world: World, value: str) -> None:
    (result,) = imported(world, SIR, short_description="x", cmdb_ci=value)
    row = world.simulator.record("sn_si_incident", result["sys_id"])
    assert row is not None
    assert row["cmdb_ci"] == fixed_id("cmdb_ci_server", "web-01")


def test_the_sir_import_always_inserts(world: World) -> None:
    results = [imported(world, SIR, correlation_id="a")[0] for _ in range(2)]
    assert [result["status"] for result in results] == ["inserted", "inserted"]
    assert [result["transform_map"] for result in results] == ["Security Incident Transform"] * 2


def test_a_row_is_staged_by_the_table_api_without_being_transformed(world: World) -> None:
    row = world.call.created("/api/now/table/sn_si_incident_import", short_description="x", cmdb_ci="web-01")
    assert (row["short_description"], row["cmdb_ci"]) == ("x", "web-01")
    assert world.simulator.records("sn_si_incident") == []


@pytest.mark.parametrize(
    ("coalesce", "second", "statuses"),
    [
        ([], {"u_correlation_id": "a"}, ["inserted", "inserted"]),
        (["correlation_id"], {"u_correlation_id": "a", "u_description": "y"}, ["inserted", "updated"]),
        (["correlation_id"], {"u_correlation_id": "b"}, ["inserted", "inserted"]),
        (["correlation_id"], {"u_description": "y"}, ["inserted", "inserted"]),
        (
            ["correlation_id", "category"],
            {"u_correlation_id": "a", "u_category": "software", "u_description": "y"},
            ["inserted", "updated"],
        ),
        (
            ["correlation_id", "category"],
            {"u_correlation_id": "a", "u_category": "network"},
            ["inserted", "inserted"],
        ),
    ],
)
def test_coalesce_columns_must_all_match(
    world: World, coalesce: list[str], second: dict[str, str], statuses: list[str]
) -> None:
    world.apply(import_sets={"u_alerts": {"maps": [own_map(coalesce=coalesce)]}})
    rows = [{"u_correlation_id": "a", "u_category": "software"}, second]
    assert [imported(world, OWN, **row)[0]["status"] for row in rows] == statuses


def test_of_several_matches_the_first_is_updated(world: World) -> None:
    oldest = world.call.created(correlation_id="a")
    world.call.created(correlation_id="a")
    world.apply(import_sets={"u_alerts": {"maps": [own_map(coalesce=["correlation_id"])]}})
    (result,) = imported(world, OWN, u_correlation_id="a", u_description="y")
    assert result["sys_id"] == oldest["sys_id"]


@pytest.mark.parametrize("switch", Unchanged)
def test_a_row_that_changes_nothing_is_ignored_or_updated_as_the_switch_says(world: World, switch: Unchanged) -> None:
    world.simulator.switches.import_unchanged = switch
    results = [imported(world, ELASTIC, u_correlation_id="a")[0] for _ in range(2)]
    assert [result["status"] for result in results] == ["inserted", switch]


def test_each_map_says_its_own(world: World) -> None:
    reject = [{"when": {"u_category": ""}, "status": "error", "error_message": "no category"}]
    maps = [own_map(), own_map(name="Security", target="sn_si_incident", reject=reject)]
    world.apply(import_sets={"u_alerts": {"maps": maps}})
    results = imported(world, OWN, u_short_description="x")
    assert [(result["transform_map"], result["status"]) for result in results] == [
        ("Alerts", "inserted"),
        ("Security", "error"),
    ]


@pytest.mark.parametrize("status", ["error", "ignored", "skipped"])
def test_a_map_may_turn_a_row_away(world: World, status: str) -> None:
    reject = [{"status": status, "error_message": "Target record not found"}]
    world.apply(import_sets={"u_alerts": {"maps": [own_map(reject=reject)]}})
    assert imported(world, OWN, u_short_description="x") == [
        {
            "transform_map": "Alerts",
            "table": "incident",
            "status": status,
            "error_message": "Target record not found",
            "status_message": "Row transform ignored by onBefore script",
        }
    ]
    assert world.simulator.records("incident") == []


def test_a_policy_of_the_target_is_the_maps_error(world: World) -> None:
    (first,) = imported(world, ELASTIC, u_correlation_id="a")
    (result,) = imported(world, ELASTIC, elastic_incident_id=first["sys_id"], u_state="7")
    assert (result["status"], result["status_message"]) == ("error", "failure")
    assert "Resolution code, Close notes" in result["error_message"]


def test_a_target_that_is_not_installed_is_the_maps_error(world: World) -> None:
    world.apply(missing=["sn_si"])
    path = f"/api/now/import/{ELASTIC_SIR.name}"
    (result,) = imported(world, path, u_short_description="x")
    assert (result["status"], result["error_message"]) == ("error", "Invalid table sn_si_incident")


def test_a_staging_table_without_maps_says_so(world: World) -> None:
    world.apply(import_sets={"u_alerts": {"columns": ["u_x"]}})
    assert imported(world, OWN, u_x="x") == [
        {
            "transform_map": "",
            "status": "error",
            "error_message": "No transform entry or scripts are defined; Target record not found",
        }
    ]


def test_unprefixed_columns_go_where_the_map_sends_them(world: World) -> None:
    world.apply(import_sets={"u_alerts": {"maps": [own_map(fields={"asset": "cmdb_ci"})]}})
    (result,) = imported(world, OWN, asset="web-01")
    row = world.simulator.record("incident", result["sys_id"])
    assert row is not None
    assert row["cmdb_ci"] == fixed_id("cmdb_ci_server", "web-01")


def test_nested_values_are_mangled_and_noted(world: World) -> None:
    (result,) = imported(world, ELASTIC, u_description={"a": 1})
    row = world.simulator.record("incident", result["sys_id"])
    assert row is not None
    assert row["description"] == '{"a"=1}'
    assert world.violations() == [("not_text", "u_description")]


def test_many_rows_are_taken_at_once(world: World) -> None:
    records = [{"u_correlation_id": "a"}, {"u_correlation_id": "b"}]
    answer = world.call("POST", f"{ELASTIC}/insertMultiple", {"records": records})
    assert answer.status_code == 201
    assert set(answer.json or {}) == {"import_set_id", "multi_import_set_id"}
    assert len(world.simulator.records("incident")) == 2


@pytest.mark.parametrize("table", ["nope", "incident"])
def test_another_table_is_no_staging_table(world: World, table: str) -> None:
    assert refusal(world.call("POST", f"/api/now/import/{table}", {})) == (400, f"Invalid table {table}", None)


def test_a_staging_table_of_an_app_that_is_not_installed_is_400(world: World) -> None:
    world.apply(missing=["x_elas2_inc_int"])
    assert refusal(world.call("POST", ELASTIC, {}))[1] == f"Invalid table {ELASTIC_ITSM.name}"


def test_the_contract_holds_for_imports_too(world: World) -> None:
    assert world.call("POST", ELASTIC, {}, headers={"Accept": None}).status_code == 400
    assert world.call("POST", ELASTIC, data=b"[]").status_code == 400
    assert world.call("PATCH", ELASTIC, {}).status_code == 405
    assert world.call("GET", f"{ELASTIC}/{'0' * 32}").status_code == 404


def test_import_sets_are_given_by_route_too(world: World) -> None:
    body = {"import_sets": {"u_alerts": {"maps": [own_map(coalesce=["correlation_id"])]}}}
    assert world.call("POST", "/simulator/scenario", body).status_code == 204
    assert imported(world, OWN, u_correlation_id="a")[0]["status"] == "inserted"


def test_a_wrong_import_set_is_refused_by_name(world: World) -> None:
    maps = [
        {"target": "nope"},
        own_map(coalesce=["nope"]),
        own_map(fields={"a": "nope"}),
        own_map(reject=[{"status": "x"}]),
    ]
    answer = world.call("POST", "/simulator/scenario", {"import_sets": {"u_a": {"maps": maps}, "incident": {}}})
    assert answer.status_code == 400
    for words in ("no table 'nope'", "no column 'nope'", "error, ignored, skipped", "incident is a table"):
        assert words in answer.text


def test_values_are_policed_by_the_column_they_go_to(world: World) -> None:
    imported(world, ELASTIC, u_correlation_id="x" * 101, u_work_notes="[code]<b>")
    assert world.violations() == [("too_long", "u_correlation_id"), ("code_in_journal", "u_work_notes")]


def test_a_race_makes_a_twin(world: World) -> None:
    world.apply(faults=[{"kind": "import_race", "after": 1}])
    results = [imported(world, ELASTIC, u_correlation_id="a", u_description=str(at))[0] for at in range(3)]
    assert [result["status"] for result in results] == ["inserted", "inserted", "updated"]
