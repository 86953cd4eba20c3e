"""What people did to records, and what the bridge may therefore not do any more.

A fact counts against a write only if it was there when the round of that write began: ServiceNow has no way to say
"change it unless somebody else has", so what people do between our read and our write is overwritten by any client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.settings import Target
from bridge.simulator.records import Records
from bridge.sync.reading import ENDED_STATES

Row = Mapping[str, str]
TOLD = frozenset({"sys_updated_on", "sys_updated_by", "sys_mod_count"})


@dataclass(slots=True)
class Facts:
    """Of one record: what people did to it last, and when (true seconds)."""

    ended_at: float | None = None
    taken_at: float | None = None  # assigned, or moved to another state
    fields: dict[str, tuple[str, float]] = field(default_factory=dict)  # what they wrote into fields of ours
    reopened: bool = False
    unseen: bool = False  # opened it after we had closed it, and nobody has read it since
    edited: set[str] = field(default_factory=set)  # every field that a person ever changed


@dataclass(slots=True)
class People:
    target: Target
    installation: str
    of: dict[str, Facts] = field(default_factory=dict)  # by sys_id
    deleted: set[str] = field(default_factory=set)  # sys_ids
    deleted_ids: set[str] = field(default_factory=set)  # correlation IDs of which some record was deleted
    foreign: dict[str, dict[str, str]] = field(default_factory=dict)  # records that are not ours, as they were made

    def facts(self, sys_id: str) -> Facts:
        return self.of.setdefault(sys_id, Facts())

    def read(self, answer: object) -> None:
        """By the bridge: of what stands in an answer it knows what people did."""
        for sys_id, facts in self.of.items():
            if facts.unseen and sys_id in str(answer):
                facts.unseen = False

    def is_ours(self, row: Row) -> bool:
        return row["correlation_display"].endswith(f" · {self.installation}")

    def judge(self, old: Row | None, new: Row, *, began: float, now: float) -> list[str]:
        """What is wrong with this change of a record by the bridge, whose round began at that time."""
        named = f"{new['number']} ({new['correlation_id']})"
        if old is None:
            return [] if self.is_ours(new) else [f"{named} was created without our mark"]
        if not self.is_ours(old):
            return [f"{named} is not ours and was written to"]
        return [f"{named}: {wrong}" for wrong in self._against(old, new, began)]

    def _against(self, old: Row, new: Row, began: float) -> list[str]:
        facts = self.facts(new["sys_id"])
        ended = ENDED_STATES[self.target.table]
        wrongs = []
        closes = new["state"] in ended and old["state"] not in ended
        if facts.ended_at is not None and facts.ended_at < began and old["state"] in ended:
            wrongs.append("a person had ended it, and it was written to")
        if closes and facts.taken_at is not None and facts.taken_at < began:
            wrongs.append("a person was on it, and it was closed")
        if closes and not new["assigned_to"]:
            facts.taken_at = None  # a state is all there was of it, and the close, begun before, was written over that
        for name, (value, at) in facts.fields.items():
            if at < began and old[name] == value and new[name] != value:
                wrongs.append(f"a person had written {name}, and it was overwritten")
        if new["state"] not in ended and old["state"] in ended:
            facts.ended_at = None
        elif any(old[name] != new[name] for name in ("state", "close_code", "close_notes")):
            facts.ended_at = None  # we closed it over the end of a person, who was quicker than our write: it is ours
        return wrongs


def foreign_changed(people: People, records: Records) -> list[str]:
    changed = []
    for sys_id, made in people.foreign.items():
        row = records.get(people.target.table, sys_id)
        if row is None or {k: v for k, v in row.items() if k not in TOLD} != {
            k: v for k, v in made.items() if k not in TOLD
        }:
            changed.append(f"{made['number']} is not ours and has changed")
    return changed
