"""What an instance has told of its tables holds for what is sent to it, and the log names what did not fit."""

from __future__ import annotations

from sync_world import World, itsm

from bridge.dictionary.reading import Reading
from bridge.dictionary.schema import Column
from bridge.settings import Close

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
    assert told(world)["no_choice"] == {"category": "weather"}


def test_with_a_close_code_that_the_instance_lacks_nothing_is_closed(world: World) -> None:
    world.reading = Reading(choices={"incident": {"close_code": frozenset({"Solution provided"})}})
    world.aim(itsm(close=Close(state="6", code="Solved", notes="x")))
    world.fire()
    world.idle()
    world.resolve()
    world.pass_time(minutes=30)
    assert world.record()["state"] == "1"
    assert "update: close_off" in world.decisions()
