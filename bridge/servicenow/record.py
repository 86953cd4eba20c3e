"""A ServiceNow record as the bridge reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of `incident` or `sn_si_incident`, raw values (references as sys_id), times as ServiceNow writes them."""

    sys_id: str
    number: str
    state: str
    fields: Mapping[str, str]  # every field that was asked for, as text; absent ones are missing
    beside: tuple[str, ...] = ()  # what the write that returned it did beside it, each in a few words

    def text(self, field: str) -> str:
        return self.fields.get(field, "")
