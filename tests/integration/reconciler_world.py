"""What the tests of the reconciler share: records that a test makes in our name, and what a person does to them."""

from __future__ import annotations

from sync_world import DISPLAY, World

CLOSES = {"state": "7", "close_code": "Solution provided", "close_notes": "fixed"}


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
