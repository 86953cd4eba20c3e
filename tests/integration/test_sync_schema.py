"""What an instance has told of its tables holds for what is sent to it, and the log names what did not fit."""

from __future__ import annotations

import pytest
from sync_world import World, itsm
from ways_world import KEY, aim, simulated, staged, unique

from bridge.dictionary.reading import Reading
from bridge.dictionary.schema import Column
from bridge.settings import Close, Target
from bridge.simulator.faults import FaultKind

SHORT = {"short_description": Column(type="string", max_length=10), "impact": Column(type="integer")}
KNOWN = {name: Column(type="string") for name in ("assignment_group", "correlation_id", "correlation_display")}


def told(world: World) -> dict[str, object]:
    detail = world.log("decided")[0]["detail"]
    assert isinstance(detail, dict)
    return detail


def test_a_text_is_cut_at_the_instances_own_length(world: World) -> None:
    world.reading = Reading(columns={"incident": SHORT | KNOWN})
    world.fire("a rule with a long name")
    world.idle()
    assert world.record()["short_description"] == "a rule wi…"
    assert told(world)["cut"] == ["short_description"]


def test_a_column_that_the_table_lacks_is_left_out_and_told(world: World) -> None:
    world.reading = Reading(columns={"incident": SHORT | KNOWN})
    world.aim(itsm(defaults=(("u_nowhere", "x"),)))
    world.fire()
    world.idle()
    assert world.record()["short_description"] == "r1"
    assert told(world)["unknown_column"] == ["u_nowhere"]


def test_a_value_that_is_no_choice_is_left_out_and_told(world: World) -> None:
    world.reading = Reading(choices={"incident": {"category": frozenset({"inquiry", "network"})}})
    world.aim(itsm(defaults=(("category", "weather"),)))
    world.fire()
    world.idle()
    assert world.record()["category"] == "inquiry"
    assert told(world)["no_choice"] == ["category"]
    assert world.log("decided")[0]["said"] == "no choice: category weather"


def test_with_a_close_code_that_the_instance_lacks_nothing_is_closed(world: World) -> None:
    world.reading = Reading(choices={"incident": {"close_code": frozenset({"Solution provided"})}})
    world.aim(itsm(close=Close(state="6", code="Solved", notes="x")))
    world.fire()
    world.idle()
    world.resolve()
    world.pass_time(minutes=30)
    assert world.record()["state"] == "1"
    assert "update: close_off" in world.decisions()


def shown(**lengths: int) -> Reading:
    known = {name: Column(type="string", max_length=most) for name, most in lengths.items()}
    return Reading(columns={"incident": SHORT | KNOWN | known})


LONG = "a-very-long-rule-of-a-very-long-product-number-"


@pytest.mark.parametrize("target", [unique(), staged(key_field=KEY)], ids=["unique", "import_set"])
def test_problems_that_a_short_key_would_make_alike_are_told_and_nothing_is_sent(world: World, target: Target) -> None:
    aim(world, target)
    world.reading = shown(**{KEY: 40})
    for number in "12":
        world.fire(LONG + number)
    world.idle()
    for number in "12":
        row = world.row(LONG + number)
        assert (row.failure, row.waits_for_person) == ("identity_does_not_fit", True)
        assert f"incident.{KEY} takes 40 characters, and up to 110 are written" in row.failure_text
    assert world.writes() == []


def test_a_correlation_id_is_sent_whole_or_not_at_all(world: World) -> None:
    world.reading = shown(correlation_id=40)
    world.fire(LONG)
    world.fire("short")
    world.idle()
    assert world.record()["correlation_id"] == "short"
    assert "incident.correlation_id takes 40 characters" in world.row(LONG).failure_text


def test_once_the_column_is_long_enough_the_incident_is_made(world: World) -> None:
    world.reading = shown(correlation_id=40)
    world.fire(LONG)
    world.idle()
    world.reading = shown(correlation_id=100)
    world.ask_sync(LONG)
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST")
    world.idle()
    world.pass_time(minutes=6)
    assert world.record()["correlation_id"] == LONG


def test_a_column_that_the_staging_table_lacks_is_told(world: World) -> None:
    aim(world, staged(defaults=(("u_nowhere", "x"),)), simulated("correlation_id"))
    names = ("u_correlation_id", "u_correlation_display", "u_short_description", "u_impact")
    own = {name: Column(type="string", max_length=255) for name in names}
    world.reading = Reading(columns={"incident": SHORT | KNOWN, "u_bridge_incident": own})
    world.fire()
    world.idle()
    assert world.record()["short_description"] == "r1"
    assert told(world)["unknown_column"] == ["u_nowhere", "assignment_group"]


WEATHER = (("category", "weather"), ("u_nowhere", "x"))


def test_what_the_target_table_does_not_take_is_left_to_the_transform_map_and_told(world: World) -> None:
    aim(world, staged(defaults=WEATHER), simulated("correlation_id"))
    world.meant = "unknown_column"
    columns = SHORT | KNOWN | {"category": Column(type="string")}
    world.reading = Reading(columns={"incident": columns}, choices={"incident": {"category": frozenset({"inquiry"})}})
    world.fire()
    world.idle()
    assert world.record()["category"] == "weather"
    assert told(world)["no_choice_sent"] == ["category"]
    assert told(world)["unknown_column_sent"] == ["u_nowhere"]
