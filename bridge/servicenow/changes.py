"""Lists of our records: those that changed since a time, in pages of a stable order, and those of given sys_ids.

Times are ServiceNow's own, asked for as it wrote them, in UTC. Where the user's time zone is not GMT a query may mean
others [UNVERIFIED], and then too little comes back, or too much: both are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.errors import Permanent
from bridge.servicenow.ownership import has_mark
from bridge.servicenow.record import Record
from bridge.servicenow.table import TableApi

PAGE_ROWS = 500
SYS_IDS_MAX = 100  # of one query: more would make its URL too long
LISTED_FIELDS = (
    *("sys_id", "number", "state", "close_code", "correlation_id", "correlation_display"),
    *("sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    records: list[Record]  # by (sys_updated_on, sys_id)
    more: bool  # there are others after these


def changed(
    api: TableApi, table: str, installation: str, *, since: str, after: tuple[str, str] | None, deadline: float
) -> Page:
    """Records with our mark, changed at `since` or later ("": ever), after the (sys_updated_on, sys_id) in `after`.

    A row that changes between two pages moves behind all others and is seen there: none is missed.
    """
    begin = after[0] if after is not None else since
    conditions = [f"correlation_displayENDSWITH{installation}"]
    conditions += [f"sys_updated_on>={begin}"] if begin else []
    conditions += [f"sys_updated_on>{after[0]}", f"ORsys_id>{after[1]}"] if after is not None else []
    query = "^".join((*conditions, "ORDERBYsys_updated_on", "ORDERBYsys_id"))
    records, total = api.page(table, query, LISTED_FIELDS, PAGE_ROWS, deadline=deadline)
    if any(not record.text("correlation_display").endswith(installation) for record in records):
        raise _unusable("let the integration user query correlation_display")
    if any(record.text("sys_updated_on") < begin for record in records):
        raise other_times()
    if after is not None and any(_place(record) <= after for record in records):
        raise _unusable("let the integration user query sys_updated_on and sys_id")
    more = total > PAGE_ROWS if total is not None else len(records) >= PAGE_ROWS
    if more and not records:
        raise Permanent("rows_hidden", f"{table} has records with our mark that the integration user may not read.")
    return Page(records=[record for record in records if has_mark(record, installation)], more=more)


def newest(api: TableApi, table: str, installation: str, *, deadline: float) -> str:
    """When a record with our mark was last changed; "" when there is none. Asked without a time."""
    query = f"correlation_displayENDSWITH{installation}^ORDERBYDESCsys_updated_on"
    records, _total = api.page(table, query, LISTED_FIELDS, 1, deadline=deadline)
    return records[0].text("sys_updated_on") if records else ""


def standing(api: TableApi, table: str, sys_ids: Sequence[str], *, deadline: float) -> tuple[list[Record], bool]:
    """Those of at most SYS_IDS_MAX records that are there, and whether some are there that may not be read."""
    query = f"sys_idIN{','.join(sys_ids)}^ORDERBYsys_id"
    records, total = api.page(table, query, LISTED_FIELDS, SYS_IDS_MAX, deadline=deadline)
    if not {record.sys_id for record in records} <= set(sys_ids):
        raise _unusable("let the integration user query sys_id")
    return records, total is not None and total > len(records)


def other_times() -> Permanent:
    return Permanent(
        "lookup_unusable",
        "The times of a query are not understood as UTC: set the integration user's time zone to GMT, and let it query "
        "sys_updated_on.",
    )


def _place(record: Record) -> tuple[str, str]:
    return record.text("sys_updated_on"), record.sys_id


def _unusable(remedy: str) -> Permanent:
    return Permanent("lookup_unusable", f"Rows came back that were not asked for: {remedy}.")
