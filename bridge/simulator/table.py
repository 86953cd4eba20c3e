"""What a table is: its columns, references, choices, lengths, and what an insert fills in."""

from __future__ import annotations

from dataclasses import dataclass, field

SYSTEM = "sys_id sys_created_on sys_created_by sys_updated_on sys_updated_by sys_mod_count sys_tags"

JOURNALS = {"comments": "Additional comments", "work_notes": "Work notes"}

REFERENCES = {
    "affected_user": "sys_user",
    "assigned_to": "sys_user",
    "assignment_group": "sys_user_group",
    "business_service": "cmdb_ci",
    "caller": "sys_user",
    "caller_id": "sys_user",
    "closed_by": "sys_user",
    "cmdb_ci": "cmdb_ci",
    "incident": "incident",
    "manager": "sys_user",
    "opened_by": "sys_user",
    "opened_for": "sys_user",
    "owned_by": "sys_user",
    "parent_incident": "incident",
    "parent_security_incident": "sn_si_incident",
    "reopened_by": "sys_user",
    "resolved_by": "sys_user",
    "support_group": "sys_user_group",
}

# [KIBANA] sys_dictionary samples; 100 for the correlation columns is documented. Longer values are cut [UNVERIFIED].
LENGTHS = {
    "short_description": 160,
    "description": 4000,
    "close_notes": 4000,
    "correlation_id": 100,
    "correlation_display": 100,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    name: str
    label: str
    columns: frozenset[str]
    display: str  # the column that names a row: shown for a reference to it
    parent: str | None = None  # rows of this table are rows of the parent too
    number_prefix: str = ""
    choices: dict[str, dict[str, str]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    ended_states: frozenset[str] = frozenset()  # `active` is false in these
    close_policy_states: frozenset[str] = frozenset()  # close code and notes are mandatory in these
    references: dict[str, str] = field(default_factory=dict)  # beside those that a column's name tells everywhere
    plain: bool = False  # a staging table: every column is text as it came, whatever its name

    @property
    def is_task(self) -> bool:
        return bool(self.number_prefix)

    def reference(self, column: str) -> str | None:
        if self.plain or column not in self.columns:
            return None
        return self.references.get(column, REFERENCES.get(column))


def label_of(column: str) -> str:
    """What a form calls a column, where nothing better is known."""
    return column.removeprefix("sys_").replace("_", " ").capitalize()


def columns(*groups: str) -> frozenset[str]:
    return frozenset(column for group in (SYSTEM, *groups) for column in group.split())
