"""The Table API: read, find, create and update records, and the look-ups around them.

ServiceNow ignores the part of a query that it does not understand and returns other rows, so every row is held against
what was asked for before anything is concluded from it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from urllib.parse import quote

from bridge.alert import Json, key_of
from bridge.errors import BridgeError, Permanent, Transient
from bridge.mapping.rendered import Find
from bridge.servicenow import outcome
from bridge.servicenow.client import Client
from bridge.servicenow.lookup import LookUps
from bridge.servicenow.outcome import Answer
from bridge.servicenow.ownership import display_of, is_ours
from bridge.servicenow.record import Record

__all__ = ["RECORD_FIELDS", "TableApi", "display_of", "is_ours"]

RECORD_FIELDS: tuple[str, ...] = (
    "sys_id",
    "number",
    "state",
    "active",
    "correlation_id",
    "correlation_display",
    "assigned_to",
    "assignment_group",
    "priority",
    "impact",
    "urgency",
    "severity",
    "short_description",
    "close_code",
    "close_notes",
    "closed_at",
    "closed_by",
    "closed_by.user_name",  # a reference by itself is a sys_id
    "resolved_at",
    "resolved_by",
    "resolved_by.user_name",
    "sys_created_on",
    "sys_created_by",
    "sys_updated_on",
    "sys_updated_by",
    "sys_mod_count",
)
FOUND_ROWS_MAX = 1000  # of one correlation ID; more cannot be told apart safely
PARENT_FIELD = {"incident": "parent_incident", "sn_si_incident": "parent_security_incident"}
SYS_ID = re.compile(r"[0-9A-Za-z_-]{1,32}")


class TableApi:
    """`deadline` is a reading of the client's monotonic clock: the whole call ends by then."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._look_ups = LookUps(self.rows)

    def read(self, table: str, sys_id: str, *, fields: Iterable[str] = (), deadline: float) -> Record | None:
        """RECORD_FIELDS and `fields` of one record; None when it is gone, or hidden by an ACL."""
        answer = self.client.read(table, _path(table, sys_id), _columns(fields), deadline=deadline)
        if answer is None:
            return None
        record = _record(answer.result)
        if record is None:
            raise Transient("unreadable_answer", "The record came back without its sys_id.")
        if record.sys_id.lower() != sys_id.lower():
            raise _unusable("another record came back than the one that was asked for")
        return record

    def find(self, table: str, correlation_id: str, *, field: str = "correlation_id", deadline: float) -> list[Record]:
        """All records with this correlation ID (compared as ServiceNow does, without case), oldest first.

        `field`: another column that tells our records apart.
        """
        if "^" in correlation_id or correlation_id.strip().lower().startswith("javascript:") or not correlation_id:
            raise _unusable("the correlation ID cannot stand in a query")
        query = f"{field}={correlation_id}^ORDERBYsys_created_on^ORDERBYsys_id"
        rows, total = self._listed(table, query, _columns((field,)), FOUND_ROWS_MAX, deadline=deadline)
        records = [_record(row) for row in rows]
        found = [record for record in records if record is not None]
        if len(found) < len(rows) or any(key_of(r.text(field)) != key_of(correlation_id) for r in found):
            raise _unusable(f"rows came back that were not asked for: let the integration user query {field}")
        if total is not None and total > len(found):
            raise _unusable(
                f"{total} records match and {len(found)} may be read: let the integration user read them all"
            )
        if len(found) >= FOUND_ROWS_MAX:
            raise _unusable(f"{FOUND_ROWS_MAX} records or more carry this correlation ID")
        return sorted(found, key=lambda record: (record.text("sys_created_on"), record.sys_id))

    def create(self, table: str, fields: Mapping[str, str], *, also: Iterable[str] = (), deadline: float) -> Record:
        """Insert one record, and return it with `fields` and `also` as it has them now."""
        columns = _columns((*fields, *also))
        return _written(self.client.write("POST", table, _path(table), columns, fields, deadline=deadline))

    def update(self, table: str, sys_id: str, fields: Mapping[str, str], *, deadline: float) -> Record:
        """Change `fields` of one record. A record that is gone is Permanent("record_gone")."""
        answer = self.client.write("PATCH", table, _path(table, sys_id), _columns(fields), fields, deadline=deadline)
        record = _written(answer)
        if record.sys_id.lower() != sys_id.lower():
            raise _unsure("foreign_answer", "The answer shows another record than was changed.", answer)
        return record

    def insert(self, table: str, fields: Mapping[str, str], *, deadline: float) -> str:
        """Insert a row that is no incident's. Returns its sys_id."""
        columns = {"sysparm_fields": "sys_id", "sysparm_exclude_reference_link": "true"}
        return _written(self.client.write("POST", table, _path(table), columns, fields, deadline=deadline)).sys_id

    def look_up(self, find: Find, *, deadline: float) -> str | None:
        """The sys_id of the one record that `find` names, else its `otherwise`'s, else None."""
        return self._look_ups.look_up(find, now=self.client.monotonic(), deadline=deadline)

    def has_open_children(self, table: str, sys_id: str, *, ended: Collection[str], deadline: float) -> bool:
        """`ended`: states in which a record is over. One that is resolved is active for days."""
        parent = PARENT_FIELD[table]
        query = f"{parent}={sys_id}^active=true^stateNOT IN{','.join(sorted(ended))}"
        for row in self.rows(table, query, ("sys_id", parent, "active", "state"), 1, deadline):
            others = row.get(parent, "").lower() != sys_id.lower() or row.get("active") != "true"
            if others or row.get("state") in ended:
                raise _unusable(
                    f"rows came back that were not asked for: let the integration user query {parent} and state"
                )
            return True
        return False

    def has_note(self, table: str, sys_id: str, ref: str, *, deadline: float) -> bool | None:
        """Whether a work note carries `ref`; None when the notes may not be read, or are longer than is read."""
        query = {"sysparm_fields": "sys_id,work_notes", "sysparm_display_value": "true"}
        try:
            answer = self.client.read(table, _path(table, sys_id), query, deadline=deadline)
        except Permanent:
            return None
        except Transient as error:
            if error.code == "answer_too_large":
                return None
            raise
        row = answer.result if answer is not None else None
        if not isinstance(row, dict) or "work_notes" not in row:
            return None
        return ref in _text(row["work_notes"])

    def record_url(self, table: str, sys_id: str) -> str:
        """Where a person opens it. Encoded, so that a browser takes the inner query as part of `uri`."""
        return f"{self.client.url}/nav_to.do?uri=" + quote(f"{table}.do?sys_id={sys_id}", safe="")

    def rows(self, table: str, query: str, fields: Iterable[str], limit: int, deadline: float) -> list[dict[str, str]]:
        """Rows of any table as text. ServiceNow ignores what it does not understand: hold each against the query."""
        columns = {"sysparm_fields": ",".join(fields), "sysparm_exclude_reference_link": "true"}
        rows, _total = self._listed(table, query, columns, limit, deadline=deadline)
        return _as_texts(rows)

    def all_rows(
        self, table: str, query: str, fields: Iterable[str], limit: int, deadline: float
    ) -> list[dict[str, str]]:
        """As `rows`. Raises Permanent("partly_hidden") where some of those that match are not shown to this user."""
        columns = {"sysparm_fields": ",".join(fields), "sysparm_exclude_reference_link": "true"}
        rows, total = self._listed(table, query, columns, limit, deadline=deadline)
        if total is not None and 0 < len(rows) < min(total, limit):
            shown = f"{len(rows)} {'is' if len(rows) == 1 else 'are'} shown"
            raise Permanent("partly_hidden", f"Of {total} rows of {table} {shown} to the integration user.")
        return _as_texts(rows)

    def page(
        self, table: str, query: str, fields: Iterable[str], limit: int, *, deadline: float
    ) -> tuple[list[Record], int | None]:
        """Records in the query's order, and how many match in all where ServiceNow says so: hidden ones count too."""
        columns = {"sysparm_fields": ",".join(fields), "sysparm_exclude_reference_link": "true"}
        rows, total = self._listed(table, query, columns, limit, deadline=deadline)
        records = [_record(row) for row in rows]
        return [record for record in records if record is not None], total

    def _listed(
        self, table: str, query: str, columns: Mapping[str, str], limit: int, *, deadline: float
    ) -> tuple[list[Json], int | None]:
        asked = {"sysparm_query": query, "sysparm_limit": str(limit), **columns}
        answer = self.client.read(table, _path(table), asked, deadline=deadline)
        if answer is None:  # only version 1 of the API answers an empty list so
            return [], 0
        if not isinstance(answer.result, list):
            raise Transient("unreadable_answer", "A list was asked for and something else came back.")
        return answer.result, answer.total


def _path(table: str, sys_id: str = "") -> str:
    """Version 2, named: it answers an empty list with 200 where version 1 says 404."""
    return f"/api/now/v2/table/{quote(table, safe='')}" + (f"/{quote(sys_id, safe='')}" if sys_id else "")


def _columns(more: Iterable[str]) -> dict[str, str]:
    fields = dict.fromkeys((*RECORD_FIELDS, *more))
    return {"sysparm_fields": ",".join(fields), "sysparm_exclude_reference_link": "true"}


def _written(answer: Answer) -> Record:
    record = _record(answer.result)
    if record is None:
        raise _unsure("no_sys_id", "ServiceNow took it, but its answer names no record.", answer)
    return replace(record, http_status=answer.status)


def _unsure(code: str, message: str, answer: Answer) -> BridgeError:
    error = outcome.unsure(code, message, writes=True)
    error.http_status = answer.status
    return error


def _record(row: Json) -> Record | None:
    """None when the row is none, or its sys_id is missing."""
    if not isinstance(row, dict):
        return None
    fields = {name: _text(value) for name, value in row.items()}
    sys_id = fields.get("sys_id", "")
    if not SYS_ID.fullmatch(sys_id):
        return None
    return Record(sys_id=sys_id, number=fields.get("number", ""), state=fields.get("state", ""), fields=fields)


def _as_texts(rows: list[Json]) -> list[dict[str, str]]:
    return [{name: _text(value) for name, value in row.items()} for row in rows if isinstance(row, dict)]


def _text(value: Json) -> str:
    """A field as text: a reference comes as {link, value} where its link was not left out."""
    if isinstance(value, dict):
        value = value.get("value", value.get("display_value"))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _unusable(why: str) -> Permanent:
    return Permanent("lookup_unusable", f"The look-up cannot be trusted: {why}.")
