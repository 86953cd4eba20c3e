"""What Elastic's apps add to the simulated instance: the health check and observables."""

from __future__ import annotations

from typing import Any

import pytest
from simulated import SECURITY, World, refusal, result

HEALTH = "/api/x_elas2_inc_int/elastic_api/health"
HASH = {"value": "abc", "type": "SHA256"}
ADDRESS = {"value": "1.1.1.1", "type": "ipv4-addr"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def path(world: World) -> str:
    sys_id = world.call.created(SECURITY)["sys_id"]
    return f"/api/x_elas2_sir_int/elastic_api/incident/{sys_id}/observables"


def test_the_health_check_tells_the_apps_name_and_version(world: World) -> None:
    told = {"name": "Elastic", "scope": "x_elas2_inc_int", "version": "1.0.0"}
    assert world.call("GET", HEALTH).json == {"result": told}


def test_an_app_that_is_not_installed_is_an_unknown_path(world: World) -> None:
    world.apply(missing=["x_elas2_inc_int"])
    assert refusal(world.call("GET", HEALTH)) == (400, "Requested URI does not represent any resource", None)
    assert world.call("GET", HEALTH.replace("inc_int", "sir_int")).status_code == 200


def test_the_health_check_needs_credentials_and_the_apps_role(world: World) -> None:
    assert world.call("GET", HEALTH, auth=None).status_code == 401
    world.apply(access={"users": {"kib": {"password": "x", "roles": ["itil"]}}})
    assert world.call("GET", HEALTH, auth=("kib", "x")).status_code == 403
    world.apply(access={"users": {"kib": {"password": "x", "roles": ["x_elas2_inc_int.integration_user"]}}})
    assert world.call("GET", HEALTH, auth=("kib", "x")).status_code == 200


def test_an_observable_is_made_and_linked(world: World, path: str) -> None:
    answer = result(world.call("POST", path, HASH))
    (observable,) = world.simulator.records("sn_ti_observable")
    (link,) = world.simulator.records("sn_ti_m2m_task_observable")
    assert answer == {"value": "abc", "observable_sys_id": observable["sys_id"]}
    assert (link["observable"], link["task"]) == (observable["sys_id"], path.split("/")[-2])


def test_bulk_answers_each_in_order(world: World, path: str) -> None:
    answer = result(world.call("POST", f"{path}/bulk", [HASH, ADDRESS]))
    assert [item["value"] for item in answer] == ["abc", "1.1.1.1"]


def test_the_same_observable_is_attached_once(world: World, path: str) -> None:
    for _ in range(2):
        world.call("POST", f"{path}/bulk", [HASH, HASH])
    assert len(world.simulator.records("sn_ti_observable")) == 1
    assert len(world.simulator.records("sn_ti_m2m_task_observable")) == 1


@pytest.mark.parametrize(
    ("suffix", "body"),
    [("", [HASH]), ("/bulk", HASH), ("", {"value": "x"}), ("/bulk", [1]), ("", {"value": "", "type": "URL"})],
)
def test_another_shape_is_refused_and_noted(world: World, path: str, suffix: str, body: Any) -> None:
    assert world.call("POST", path + suffix, body).status_code == 400
    assert [code for code, _ in world.violations()] == ["observables_shape"]


def test_an_unknown_type_attaches_nothing(world: World, path: str) -> None:
    assert world.call("POST", f"{path}/bulk", [HASH, {"value": "x", "type": "nope"}]).status_code == 400
    assert world.simulator.records("sn_ti_observable") == []


def test_observables_of_an_incident_that_is_not_there_are_404(world: World) -> None:
    path = f"/api/x_elas2_sir_int/elastic_api/incident/{'0' * 32}/observables"
    assert world.call("POST", path, HASH).status_code == 404


def test_observables_are_found_by_the_value_of_their_type(world: World, path: str) -> None:
    world.call("POST", f"{path}/bulk", [HASH, ADDRESS])
    query = "observable.type.value=ipv4-addr&sysparm_fields=observable.value"
    rows = result(world.call("GET", f"/api/now/table/sn_ti_m2m_task_observable?sysparm_query={query}"))
    assert rows == [{"observable.value": "1.1.1.1"}]
