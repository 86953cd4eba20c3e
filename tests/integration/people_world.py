"""What people do to an incident, as the tests of the sync half have it."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler_world import CLOSES

from bridge.simulator.seed import fixed_id

FRED = fixed_id("sys_user", "fred")
FALSE = "Known error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a person does, and what the log calls it."""

    fields: dict[str, str]
    seen_as: str = "edited"
    why: str = ""
    holds: dict[str, str] = field(default_factory=dict)  # what must be so in the end besides


def ends(why: str = "by_person", **fields: str) -> Deed:
    return Deed(fields=fields, seen_as="ended_by_person", why=why)


DEEDS = {
    "resolves": ends(**CLOSES | {"state": "6"}),
    "closes": ends(**CLOSES),
    "false positive": ends("false_positive", **CLOSES | {"close_code": FALSE}),
    "cancels": ends(state="8"),
    "duplicate": ends(**CLOSES | {"close_code": "Duplicate"}),
    "takes": Deed(fields={"assigned_to": FRED}),
    "moves on": Deed(fields={"state": "2"}),
    "reassigns": Deed(fields={"assignment_group": fixed_id("sys_user_group", "SOC L2")}),
    "reprioritises": Deed(fields={"impact": "1", "urgency": "1"}),
    "makes it urgent": Deed(fields={"urgency": "1"}),
    "edits what we wrote": Deed(fields={"description": "what I found"}),
}
