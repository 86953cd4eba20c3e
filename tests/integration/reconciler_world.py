"""What the tests of the reconciler share: records that a test makes in our name, and what a person does to them."""

from __future__ import annotations

from typing import Any

from sync_world import DISPLAY, World

from bridge.servicenow.table import TableApi

CLOSES = {"state": "7", "close_code": "Solution provided", "close_notes": "fixed"}


class Hiding(TableApi):
    """A rule hides one record from the integration user: lists leave it out, and count it."""

    sys_id = ""

    def page(self, *args: Any, **more: Any) -> Any:
        records, total = super().page(*args, **more)
        return [record for record in records if record.sys_id != self.sys_id], total


def twin(world: World, rule: str = "r1", **fields: str) -> dict[str, str]:
    """A second record of ours, as a create leaves that commits after its window."""
    row = world.simulator.person_creates(
        "incident", world.servicenow.username, correlation_id=rule, correlation_display=DISPLAY
    )
    world.made_for_us.add(row["number"])
    if fields:
        world.simulator.edit_as_person("incident", row["sys_id"], fields, user="analyst")
    return row


def states(world: World) -> list[str]:
    return [record["state"] for record in world.records()]
