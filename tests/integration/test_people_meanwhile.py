"""People win, at every point of a round, while alerts keep coming: what they did stands, and is soon seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
from intake_world import library_of
from people_world import DEEDS, FALSE, FRED
from reconciler_world import CLOSES
from sync_world import PROBE, World, itsm

from bridge.servicenow import table
from bridge.servicenow.record import Record
from bridge.servicenow.table import TableApi
from bridge.settings import Close, Target

TARGET = itsm(false_positive_codes=(FALSE,))


def before_the_round(world: World, deed: Callable[[], None], _patch: pytest.MonkeyPatch) -> None:
    deed()


def during(method: str, *, after: bool = False) -> Callable[[World, Callable[[], None], pytest.MonkeyPatch], None]:
    """Once, at a call of the next round."""

    def arrange(_world: World, deed: Callable[[], None], patch: pytest.MonkeyPatch) -> None:
        real = getattr(TableApi, method)

        def meanwhile(*args: Any, **more: Any) -> Any:
            patch.setattr(TableApi, method, real)
            if not after:
                deed()
            result = real(*args, **more)
            if after:
                deed()
            return result

        patch.setattr(TableApi, method, meanwhile)

    return arrange


POINTS = {
    "before the round": before_the_round,
    "before its read": during("read"),
    "between read and write": during("update"),
    "after the write": during("update", after=True),
}


# ServiceNow takes the last of two writes: a field that we are about to send is ours again, and nobody can tell.
LOST = {("edits what we wrote", "between read and write"), ("reprioritises", "between read and write")}


@pytest.mark.parametrize(("name", "point"), [pair for pair in product(DEEDS, POINTS) if pair not in LOST])
def test_what_a_person_does_stands(world: World, name: str, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deed = DEEDS[name]
    world.aim(TARGET)
    world.fire(level="low")
    world.idle()
    world.fire(level="medium")  # the description is ours, too
    world.idle()
    world.watch(minutes=1)
    POINTS[point](world, lambda: world.person(**deed.fields), monkeypatch)
    world.fire(level="high")
    world.idle()
    world.watch(minutes=1)
    seen = world.log(deed.seen_as)
    assert seen
    assert deed.why in ("", seen[-1].get("reason"))
    for _ in range(6):  # it goes on firing, no worse than it was
        world.fire(level="high")
        world.watch(minutes=20)
    record = world.records()[0]
    assert {field: record[field] for field in deed.fields} == deed.fields
    assert len(world.records()) <= 2, "at most one more: when it got worse after a person had closed it"


@pytest.mark.parametrize("point", POINTS)
def test_a_deletion_stands(world: World, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fire(level="low")
    world.idle()
    sys_id = world.record()["sys_id"]
    POINTS[point](world, lambda: world.simulator.person_deletes("incident", sys_id), monkeypatch)
    world.fire(level="high")
    world.idle()
    world.watch(minutes=70)
    assert world.log("record_gone")
    for _ in range(3):
        world.fire(level="high")
        world.watch(minutes=20)
    assert sys_id not in [record["sys_id"] for record in world.records()]
    assert len(world.records()) <= 1


@pytest.mark.parametrize("point", POINTS)
def test_a_reopening_stands(world: World, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what we closed, while it fires and is resolved again. ServiceNow takes the last of two writes: a state that a
    person sets between our read and our own reopening is lost, and what else they did is not.
    """
    world.fire()
    world.idle()
    world.resolve()
    world.idle()
    POINTS[point](world, lambda: world.person(state="2", assigned_to=FRED), monkeypatch)
    world.fire()
    world.idle()
    world.watch(minutes=1)
    for _ in range(3):
        world.resolve()
        world.watch(minutes=5)
        world.fire()
        world.watch(minutes=20)
    assert world.record()["assigned_to"] == FRED
    assert world.record()["state"] == ("1" if point == "between read and write" else "2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person says of a record that we had resolved, and what comes of the problem's return."""

    fields: dict[str, str]
    why: str
    records: int  # once the problem has returned


VERDICTS = {
    "closes": Verdict(fields={"state": "7"}, why="by_person", records=2),
    "duplicate": Verdict(fields={**CLOSES, "close_code": "Duplicate"}, why="by_person", records=2),
    "coded anew": Verdict(fields={"close_code": "Duplicate"}, why="by_person", records=2),
    "cancels": Verdict(fields={"state": "8"}, why="by_person", records=2),
    "false positive": Verdict(fields={"close_code": FALSE}, why="false_positive", records=1),
    "closes as a false positive": Verdict(fields={**CLOSES, "close_code": FALSE}, why="false_positive", records=1),
}
SIR = Target(
    name="itsm",
    instance="test",
    table="sn_si_incident",
    close=Close(state="3", code="102", notes="The source reports this resolved."),
    false_positive_codes=("-100",),
)


def resolved(world: World, target: Target = TARGET) -> None:
    world.aim(target)
    world.fire(level="low")
    world.idle()
    world.resolve()
    world.idle()
    world.watch(minutes=1)


@pytest.mark.parametrize("name", VERDICTS)
def test_what_a_person_says_of_what_we_resolved_is_told_once(anywhere: World, name: str) -> None:
    resolved(anywhere)
    anywhere.turn()
    anywhere.person(**VERDICTS[name].fields)
    anywhere.turn()
    anywhere.turn()
    (told,) = anywhere.log("ended_by_person")
    assert (told["reason"], told["detail"]["by"]) == (VERDICTS[name].why, "analyst")
    assert told["detail"]["close_code"] == anywhere.record()["close_code"]


@pytest.mark.parametrize("point", ["before the round", "before its read"])
@pytest.mark.parametrize("name", VERDICTS)
def test_what_a_person_says_of_what_we_resolved_stands(
    world: World, name: str, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A false positive stays quiet; the return of anything else is that of a resolved problem: a new incident."""
    resolved(world)
    POINTS[point](world, lambda: world.person(**VERDICTS[name].fields), monkeypatch)
    before = {"state": "6", "close_code": "Solution provided"}
    for _ in range(3):
        world.fire(level="low")
        world.watch(minutes=20)
    record = world.records()[0]
    assert {field: record[field] for field in before} == {
        field: VERDICTS[name].fields.get(field, value) for field, value in before.items()
    }
    assert len(world.records()) == VERDICTS[name].records


@pytest.mark.parametrize(("code", "records"), [("-100", 1), ("103", 2)], ids=["false positive", "another code"])
def test_another_code_of_a_security_incident_that_we_closed_stands(world: World, code: str, records: int) -> None:
    resolved(world, SIR)
    world.person(close_code=code)
    world.watch(minutes=1)
    assert len(world.log("ended_by_person")) == 1
    world.fire(level="low")
    world.watch(minutes=20)
    record = world.records()[0]
    assert (record["state"], record["close_code"], len(world.records())) == ("3", code, records)


LEFT = PROBE.replace("  close_when", "  reopen: {within: 1h, else: nothing}\n  close_when")


def returns_for_nothing(world: World) -> None:
    """Too late to be reopened, by a mapping that opens nothing then."""
    world.library = library_of(world.store, LEFT)
    resolved(world)
    world.clock.advance(hours=2)
    world.fire(level="low")
    world.idle()


def test_a_return_that_opened_nothing_opens_nothing_when_a_person_closes_what_was_resolved_before(world: World) -> None:
    returns_for_nothing(world)
    assert world.row().last_decision == "nothing: not_reopened"
    world.person(state="7")
    world.watch(minutes=5)
    assert len(world.log("ended_by_person")) == 1
    world.watch(hours=2, step=300)
    assert len(world.records()) == 1
    world.fire(level="low")
    world.idle()
    assert len(world.records()) == 2


def test_a_return_that_opened_nothing_opens_nothing_then_after_an_older_alert_came_late_either(world: World) -> None:
    returns_for_nothing(world)
    world.fire(level="low", at="2026-03-10T11:59:00Z")  # before the resolve
    world.idle()
    world.person(state="7")
    world.watch(minutes=5)
    assert len(world.log("ended_by_person")) == 1
    assert len(world.records()) == 1


def test_a_return_that_the_brake_holds_is_made_though_a_person_closes_what_was_resolved_before(world: World) -> None:
    resolved(world, replace(TARGET, max_creates_per_hour=1))
    world.clock.advance(days=40)
    world.fire("r2", level="low")
    world.idle()
    world.fire(level="low")
    world.idle()
    assert world.row("r1").last_decision == "nothing: brake"
    world.person(state="7")
    world.watch(minutes=5)
    assert len(world.log("ended_by_person")) == 1
    world.watch(hours=2, step=300)
    assert [record["correlation_id"] for record in world.records()] == ["r1", "r2", "r1"]


def test_a_false_positive_that_we_had_resolved_stays_quiet_for_its_time(world: World) -> None:
    resolved(world)
    world.watch(hours=20, step=3600)
    world.person(close_code=FALSE)
    world.watch(minutes=1)
    world.clock.advance(days=29, hours=23)
    world.fire(level="low")
    world.idle()
    assert world.decisions()[-1] == "nothing: closed_by_person"
    world.clock.advance(hours=2)
    world.fire(level="low")
    world.idle()
    assert world.decisions()[-1] == "create: new_episode"


def test_a_false_positive_that_returns_after_another_resolve_is_a_new_incident(world: World) -> None:
    resolved(world)
    world.resolve()  # before a person has said so, which is later than this
    world.idle()
    world.person(close_code=FALSE)
    world.watch(minutes=1)
    world.fire(level="low")
    world.idle()
    assert len(world.records()) == 1
    world.resolve()
    world.idle()
    world.fire(level="low")
    world.idle()
    assert len(world.records()) == 2


def test_what_servicenow_closes_by_itself_is_opened_again_as_ever(world: World) -> None:
    resolved(world)
    reads = world.story().count("read")
    world.simulator.edit_as_person("incident", world.record()["sys_id"], {"state": "7"}, user="system")
    world.watch(minutes=5)
    assert (world.story().count("read"), world.log("ended_by_person")) == (reads, [])
    world.fire(level="low")
    world.idle()
    assert world.record()["state"] == "1"


def test_nor_is_it_a_persons_end_where_somebody_has_written_a_comment_since(world: World) -> None:
    """ServiceNow closes in the name of who resolved it."""
    resolved(world)
    sys_id, ours = world.record()["sys_id"], world.servicenow.username
    world.simulator.edit_as_person("incident", sys_id, {"state": "7"}, user=ours)
    world.watch(minutes=5)
    world.person(comments="Thanks.")
    world.watch(minutes=5)
    assert world.log("ended_by_person") == []
    world.fire(level="low")
    world.idle()
    assert world.record()["state"] == "1"


def test_a_comment_on_what_we_resolved_costs_no_call(world: World) -> None:
    resolved(world)
    reads = world.story().count("read")
    world.person(comments="Thanks.")
    world.watch(minutes=5)
    assert world.story().count("read") == reads


def test_a_code_that_may_not_be_read_is_no_persons_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(world)
    monkeypatch.setattr(table, "_record", without_code(table._record))
    world.person(comments="Thanks.")
    world.watch(minutes=1)
    world.fire(level="low")
    world.watch(minutes=5)
    assert world.log("ended_by_person") == []
    assert world.record()["state"] == "1"  # one record, opened again


def without_code(real: Callable[[Any], Record]) -> Callable[[Any], Record]:
    """As a field's ACL hides it: ServiceNow leaves it out."""
    return lambda row: real({name: value for name, value in row.items() if name != "close_code"})
