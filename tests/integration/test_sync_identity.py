"""A record that does not come back as what it was to be known by: told at once, and never made again by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sync_world import World, itsm
from ways_world import KEY, aim, unique

from bridge.simulator.faults import FaultKind

Fields = dict[str, str]
Rule = Callable[[Callable[[Fields], Fields]], None]


@pytest.fixture
def rule(world: World, monkeypatch: pytest.MonkeyPatch) -> Rule:
    """A business rule before the insert of an incident, or an ACL that drops a field."""
    insert = world.simulator.rows.insert

    def applies(change: Callable[[Fields], Fields]) -> None:
        def changed(table: str, fields: Fields, **more: object) -> Fields:
            return insert(table, change(fields) if table == "incident" else fields, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(world.simulator.rows, "insert", changed)

    return applies


def without(name: str) -> Callable[[Fields], Fields]:
    return lambda fields: {column: value for column, value in fields.items() if column != name}


RULES = {
    "another ID": lambda fields: fields | {"correlation_id": f"X-{fields['correlation_id']}"},
    "another case": lambda fields: fields | {"correlation_id": fields["correlation_id"].upper()},
    "no ID": without("correlation_id"),
    "no display": without("correlation_display"),
    "another display": lambda fields: fields | {"correlation_display": "Ours now"},
}
EACH = pytest.mark.parametrize("change", RULES.values(), ids=RULES)


@EACH
def test_it_is_told_at_once_with_its_number(world: World, rule: Rule, change: Callable[[Fields], Fields]) -> None:
    rule(change)
    world.fire()
    world.idle()
    assert (world.row().failure, world.row().waits_for_person) == ("id_not_carried", True)
    assert world.row().failure_text.startswith(f"{world.record()['number']} was made, and correlation_")


@EACH
def test_no_alert_and_no_request_makes_another_while_it_is_open(
    world: World, rule: Rule, change: Callable[[Fields], Fields]
) -> None:
    rule(change)
    world.fire()
    world.idle()
    world.fire(level="critical")
    world.pass_time(minutes=20, step=60)
    world.ask_sync()
    world.idle()
    assert (world.row().failure, world.writes()) == ("id_not_carried", ["POST"])
    assert f"{world.record()['number']} was made for this problem" in world.row().failure_text


@EACH
def test_once_it_is_closed_and_the_rule_mended_the_incident_is_made(
    world: World, rule: Rule, change: Callable[[Fields], Fields]
) -> None:
    rule(change)
    world.fire()
    world.idle()
    world.person(state="8")
    rule(dict)
    world.ask_sync()
    world.idle()
    assert (world.row().failure, world.row().open) == (None, True)
    assert [record["state"] for record in world.records()] == ["8", "1"]


def test_one_that_a_person_has_given_what_was_sent_is_taken(world: World, rule: Rule) -> None:
    rule(RULES["another ID"])
    world.fire()
    world.idle()
    world.person(correlation_id="r1")
    world.ask_sync()
    world.idle()
    assert (world.row().failure, world.row().open, world.writes()) == (None, True, ["POST"])


def test_such_records_count_against_the_limit_of_creates(world: World, rule: Rule) -> None:
    world.aim(itsm(max_creates_per_hour=2))
    rule(RULES["another ID"])
    for number in "123":
        world.fire(f"r{number}")
    world.idle()
    assert len(world.records()) == 2


def test_a_unique_key_whose_column_is_not_there_is_told_with_the_record(world: World) -> None:
    world.meant = "unknown_column"
    world.aim(unique())
    world.fire()
    world.idle()
    assert world.row().failure == "id_not_carried"
    assert f"{world.record()['number']} was made, and {KEY} came back as something else" in world.row().failure_text


def test_a_refusal_is_told_though_who_has_the_key_cannot_be_seen(world: World) -> None:
    aim(world, unique())
    world.fail(FaultKind.ACL, "POST")
    world.fail(FaultKind.ACL, "GET")
    world.fire()
    world.idle()
    assert world.row().failure == "acl"
    assert f"Whether {KEY} is taken cannot be seen" in world.row().failure_text
