"""A ServiceNow record as the bridge reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOBODY = frozenset({"system", ""})  # who ServiceNow says it is when it changes a record by itself


@dataclass(frozen=True, slots=True)
class Beside:
    """What a write did beside the record, in a few words."""

    told: str  # names and numbers
    said: str = ""  # ServiceNow's own words, which may quote values

    def __str__(self) -> str:
        return f"{self.told}: {self.said}" if self.said else self.told


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of `incident` or `sn_si_incident`, raw values (references as sys_id), times as ServiceNow writes them."""

    sys_id: str
    number: str
    state: str
    fields: Mapping[str, str]  # every field that was asked for, as text; absent ones are missing
    # --- of the write that returned it
    beside: tuple[Beside, ...] = ()  # what it did beside it
    http_status: int | None = None  # None: it was only read

    def text(self, field: str) -> str:
        return self.fields.get(field, "")


def changed_by_another(record: Record) -> bool:
    """Somebody who did not make it was the last to change it."""
    return is_another(record, record.text("sys_updated_by"))


def is_another(record: Record, user: str) -> bool:
    return user not in NOBODY | {record.text("sys_created_by")}


def changed_after_ours(before: Record, after: Record) -> bool:
    """Whether somebody has changed it after a write of ours that was sent once `before` was read: it was saved more
    than once since, and last by another than made it. False where it may not be read how often it was saved.

    A write of ours that saves twice, by a rule of ServiceNow's, seems somebody else's in a record that another made.
    """
    counts = [record.text("sys_mod_count") for record in (before, after)]
    return changed_by_another(after) and all(map(str.isdecimal, counts)) and int(counts[1]) > int(counts[0]) + 1


@dataclass(frozen=True, slots=True)
class Created:
    """What a create came to."""

    record: Record
    there: bool = False  # it was there already: what else it says, and who has changed it, is not known
    sent: bool = True  # it has what the create says
