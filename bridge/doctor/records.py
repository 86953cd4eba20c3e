"""The instance's own records, read by an administrator: why it refuses what it refuses.

Basic over the Table API, reads only. The password is kept for this run, in memory, and is told nowhere.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.errors import BridgeError, Permanent
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi

Row = dict[str, str]

ROWS_MAX = 1000
NOT_ALLOWED = frozenset({"acl", "query_rights", "forbidden", "partly_hidden", "record_gone"})


class Unreadable(Exception):
    """The records do not tell. `absent`: the table itself is not there, as without its plugin."""

    def __init__(self, why: str, *, absent: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.absent = absent


class Records:
    """Each table is asked for the same thing once. After a refusal of the administrator nothing more is asked."""

    def __init__(self, client: Client, name: str, *, deadline: Callable[[], float]) -> None:
        self.client = client
        self.name = name
        self._table = TableApi(client)
        self._deadline = deadline
        self._known: dict[tuple[str, ...], list[Row] | Unreadable] = {}
        self._shut: Unreadable | None = None

    def rows(self, table: str, fields: str, *, where: tuple[str, str] | None = None) -> list[Row]:
        """Those of a table with these columns, parted by blanks; `where`: a column and the value that it must have.

        Raises Unreadable where the table, or one of the columns, is not shown.
        """
        key = (table, fields, *(where or ()))
        if key not in self._known:
            try:
                self._known[key] = self._read(table, ["sys_id", *fields.split()], where)
            except Unreadable as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, Unreadable):
            raise found
        return found

    def _read(self, table: str, fields: list[str], where: tuple[str, str] | None) -> list[Row]:
        if self._shut is not None:
            raise self._shut
        column, value = where or ("", "")
        if "^" in value or value.strip().lower().startswith("javascript:"):
            raise Unreadable(f"{value!r} cannot stand in a query")
        query = f"{column}={value}" if column else ""
        try:
            records, total = self._table.page(table, query, fields, ROWS_MAX, deadline=self._deadline())
        except BridgeError as error:
            raise self._unreadable(table, error) from error
        rows = [dict(record.fields) for record in records]
        if total is not None and len(rows) < min(total, ROWS_MAX):
            raise Unreadable(f"of {total} rows of {table} {len(rows)} are shown to {self.name}")
        if len(rows) >= ROWS_MAX:
            raise Unreadable(f"{table} has {ROWS_MAX} rows or more")
        if rows and (lacking := [name for name in fields if any(name not in row for row in rows)]):
            raise Unreadable(f"{table} shows no column {lacking[0]}")
        # ServiceNow ignores a condition that it does not understand, and sends every row.
        return [row for row in rows if not column or row[column].casefold() == value.casefold()]

    def _unreadable(self, table: str, error: BridgeError) -> Unreadable:
        if error.code == "unauthenticated":
            self._shut = Unreadable(f"the instance does not take {self.name} and this password by Basic")
            return self._shut
        if error.code == "invalid_table":
            return Unreadable(f"the instance has no table {table}", absent=True)
        if error.code in NOT_ALLOWED:
            return Unreadable(f"{table} may not be read by {self.name}")
        if not isinstance(error, Permanent):
            self._shut = Unreadable(f"the records were not reached: {error.code}")
            return self._shut
        return Unreadable(f"{table} was not read: {error.code}")
