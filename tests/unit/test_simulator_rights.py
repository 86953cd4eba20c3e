"""What the simulated instance refuses to users whose roles are too few."""

from __future__ import annotations

from typing import Any

import pytest
from simulated import INCIDENT, SECURITY, World, refusal, result

POOR = ("poor", "x")


@pytest.fixture
def world() -> World:
    world = World()
    world.apply(access={"users": {"poor": {"password": "x", "roles": ["nothing"]}}})
    return world


def give(world: World, *roles: str) -> None:
    world.apply(access={"users": {"poor": {"password": "x", "roles": list(roles)}}})


@pytest.mark.parametrize("role", ["itil", "sn_incident_write", "admin"])
def test_an_incident_is_written_with_a_role(world: World, role: str) -> None:
    give(world, role)
    assert world.call("POST", INCIDENT, {}, auth=POOR).status_code == 201


def test_an_insert_without_a_role_is_the_acls_refusal(world: World) -> None:
    answer = world.call("POST", INCIDENT, {}, auth=POOR)
    assert refusal(answer) == (403, "Operation Failed", "ACL Exception Insert Failed due to security constraints")


def test_an_update_of_a_row_that_may_only_be_read_is_403(world: World) -> None:
    give(world, "sn_incident_read")
    path = f"{INCIDENT}/{world.call.created()['sys_id']}"
    answer = world.call("PATCH", path, {"state": "2"}, auth=POOR)
    assert refusal(answer) == (403, "Operation Failed", "ACL Exception Update Failed due to security constraints")


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"state": "2"}), ("DELETE", None)])
def test_a_hidden_row_is_not_found(world: World, method: str, body: Any) -> None:
    path = f"{INCIDENT}/{world.call.created()['sys_id']}"
    assert refusal(world.call(method, path, body, auth=POOR))[:2] == (404, "No Record found")


def test_a_list_without_rights_is_short_but_counts(world: World) -> None:
    world.call.created()
    answer = world.call("GET", INCIDENT, auth=POOR)
    assert (result(answer), answer.headers["X-Total-Count"]) == ([], "1")


def test_a_query_of_what_may_not_be_read_is_403(world: World) -> None:
    answer = world.call("GET", f"{SECURITY}?sysparm_query=number=SIR1", auth=POOR)
    assert refusal(answer)[:2] == (403, "Insufficient rights to query records")


def test_the_journal_has_a_refusal_of_its_own(world: World) -> None:
    answer = world.call("GET", "/api/now/table/sys_journal_field", auth=POOR)
    assert refusal(answer) == (403, "Insufficient rights", "Insufficient rights to query records")


def test_an_import_needs_the_loaders_role_and_no_role_of_the_target(world: World) -> None:
    path = "/api/now/import/sn_si_incident_import"
    assert world.call("POST", path, {}, auth=POOR).status_code == 403
    give(world, "import_set_loader")
    assert world.call("POST", path, {}, auth=POOR).status_code == 201


def test_a_scenario_may_ask_for_other_roles(world: World) -> None:
    world.apply(access={"acl": {"incident": {"read": ["x_reader"], "write": ["x_writer"]}}})
    give(world, "itil")
    assert world.call("POST", INCIDENT, {}, auth=POOR).status_code == 403
    give(world, "x_writer")
    assert world.call("POST", INCIDENT, {}, auth=POOR).status_code == 201


def test_wrong_access_is_refused_by_name(world: World) -> None:
    access = {
        "users": {"a": {"pasword": "x"}},
        "clients": {"c": {"grants": ["nope"], "keys": {"k": "no key"}}},
        "certificates": {"cn": 1},
        "acl": {"incident": {"delete": []}},
    }
    answer = world.call("POST", "/simulator/scenario", {"access": access})
    assert answer.status_code == 400
    for words in ("pasword", "unknown grant 'nope'", "no public key", "cn must be text", "'delete'"):
        assert words in answer.text
