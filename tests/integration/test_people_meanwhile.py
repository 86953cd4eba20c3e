"""People win, at every point of a round, while alerts keep coming: what they did stands, and is soon seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from reconciler_world import CLOSES
from sync_world import World, itsm

from bridge.servicenow.table import TableApi
from bridge.simulator.seed import fixed_id

FRED = fixed_id("sys_user", "fred")
FALSE = "Known error"
TARGET = itsm(false_positive_codes=(FALSE,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a person does, and what the log calls it."""

    fields: dict[str, str]
    seen_as: str
    why: str = ""


DEEDS = {
    "resolves": Deed(fields={**CLOSES, "state": "6"}, seen_as="ended_by_person", why="by_person"),
    "closes": Deed(fields=CLOSES, seen_as="ended_by_person", why="by_person"),
    "false positive": Deed(fields={**CLOSES, "close_code": FALSE}, seen_as="ended_by_person", why="false_positive"),
    "cancels": Deed(fields={"state": "8"}, seen_as="ended_by_person", why="by_person"),
    "duplicate": Deed(fields={**CLOSES, "close_code": "Duplicate"}, seen_as="ended_by_person", why="by_person"),
    "takes": Deed(fields={"assigned_to": FRED}, seen_as="edited"),
    "moves on": Deed(fields={"state": "2"}, seen_as="edited"),
    "reassigns": Deed(fields={"assignment_group": fixed_id("sys_user_group", "SOC L2")}, seen_as="edited"),
    "reprioritises": Deed(fields={"impact": "2", "urgency": "1"}, seen_as="edited"),
    "edits what we wrote": Deed(fields={"description": "what I found"}, seen_as="edited"),
}


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
LOST = ("edits what we wrote", "between read and write")


@pytest.mark.parametrize(("name", "point"), [pair for pair in product(DEEDS, POINTS) if pair != LOST])
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
