"""References are looked up and never guessed; some fields are written on a condition, and some are people's."""

from __future__ import annotations

import pytest
from intake_world import library_of
from sync_world import PROBE, World, itsm

from bridge.simulator.faults import FaultKind

CREATE = "fields:\n  create:\n"
CI = PROBE.replace(CREATE, CREATE + "    cmdb_ci: {find: cmdb_ci, by: {name: '{{ .host }}'}}\n")


def test_a_record_that_two_match_is_never_guessed(world: World) -> None:
    for _ in range(2):
        world.simulator.person_creates("cmdb_ci", name="twin")
    world.library = library_of(world.store, CI)
    world.aim(itsm())
    world.fire(host="twin")
    world.idle()
    assert world.record()["cmdb_ci"] == ""
    assert world.log("decided")[0]["detail"]["found_several"] == ["cmdb_ci"]


def test_a_look_up_that_is_refused_leaves_its_field_out_and_the_incident_is_there(world: World) -> None:
    world.library = library_of(world.store, CI)
    world.aim(itsm())
    world.fail(FaultKind.ACL, "GET", path="/table/cmdb_ci", times=None)
    world.fire(host="web-01")
    world.idle()
    assert world.record()["cmdb_ci"] == ""
    assert world.log("decided")[0]["detail"]["not_looked_up"] == {"cmdb_ci": "query_rights"}
    assert world.row().failure is None


def test_what_was_looked_up_is_remembered_for_a_while(world: World) -> None:
    world.library = library_of(world.store, CI)
    world.aim(itsm())
    for rule in ("r1", "r2", "r3"):
        world.fire(rule, host="web-01")
    world.idle()
    assert len([path for _, path, _ in world.simulator.calls if "/table/cmdb_ci" in path]) == 1
    assert {len(record["cmdb_ci"]) for record in world.records()} == {32}


@pytest.mark.parametrize(("override", "score"), [(False, ""), (True, "90")])
def test_a_risk_score_is_written_only_with_its_override(world: World, *, override: bool, score: str) -> None:
    told = "    risk_score: 90\n" + ("    risk_score_override: true\n" if override else "")
    world.library = library_of(world.store, PROBE.replace(CREATE, CREATE + told))
    world.aim(itsm(table="sn_si_incident"))
    world.fire()
    world.idle()
    assert world.record()["risk_score"] == score
    assert ("left_out" in world.log("decided")[0].get("detail", {})) is not override
