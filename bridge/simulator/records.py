"""The rows of every table, and the three ways to change one. Not locked: its owner is.

Every value is text and "" is empty [OFFICIAL]. Nothing makes `correlation_id` unique [OFFICIAL: a plain column]: two
inserts with one ID are two records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from bridge.simulator.answers import data_policy, no_record, not_unique
from bridge.simulator.rules import apply_rules
from bridge.simulator.switches import Switches
from bridge.simulator.table import JOURNALS, LENGTHS, Table, label_of
from bridge.simulator.tables import TABLES

Row = dict[str, str]

SYS_ID = re.compile(r"[0-9a-f]{32}")
FIRST_NUMBER = 10001


def stamp(moment: datetime) -> str:
    """UTC, as ServiceNow writes it [OFFICIAL]."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class Records:
    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self.mandatory: dict[str, tuple[str, ...]] = {}  # table -> columns that a data policy demands of every write
        self.unique: dict[str, tuple[str, ...]] = {}  # table -> columns with a unique index; an empty value is free
        self.tables = dict(TABLES)
        self._rows: dict[str, dict[str, Row]] = {self._root(name): {} for name in TABLES}
        self._journal: dict[str, list[Row]] = {}  # by the record's sys_id, oldest first
        self._next_number = dict.fromkeys(TABLES, FIRST_NUMBER)

    def add_table(self, table: Table) -> None:
        """A staging table. One that is there already keeps its rows and gets the new columns."""
        self.tables[table.name] = table
        self._rows.setdefault(table.name, {})
        self._next_number.setdefault(table.name, FIRST_NUMBER)

    def add_columns(self, table: str, names: Iterable[str]) -> None:
        """Columns of an administrator's own; rows that are there get them empty."""
        added = frozenset(names)
        self.tables[table] = replace(self.tables[table], columns=self.tables[table].columns | added)
        for row in self.rows(table):
            row.update({name: row.get(name, "") for name in added})

    def load(self, table: str, rows: Iterable[Row]) -> None:
        """Take in whole rows as they are, sys_id and all."""
        self._rows[self._root(table)] |= {row["sys_id"]: dict(row) for row in rows}

    def clear(self, table: str) -> None:
        """Take out all rows of `table` and of the tables that extend it."""
        self._rows[self._root(table)].clear()

    def describe(self, table: str, rows: Iterable[Row]) -> None:
        """What sys_dictionary says of a table, in place of what it said."""
        said = self._rows[self._root("sys_dictionary")]
        for sys_id in [sys_id for sys_id, row in said.items() if row["name"] == table]:
            del said[sys_id]
        self.load("sys_dictionary", rows)

    def rows(self, table: str) -> Iterator[Row]:
        """Rows of `table` and of the tables that extend it, oldest first."""
        for row in self._rows[self._root(table)].values():
            if self._is_a(row["sys_class_name"], table):
                yield row

    def get(self, table: str, sys_id: str) -> Row | None:
        row = self._rows[self._root(table)].get(sys_id)
        return row if row is not None and self._is_a(row["sys_class_name"], table) else None

    def journal(self, sys_id: str) -> list[Row]:
        return self._journal.get(sys_id, [])

    def insert(self, table: str, fields: Row, *, user: str, now: datetime) -> Row:
        definition = self.tables[table]
        at = stamp(now)
        row = dict.fromkeys(definition.columns, "")
        row |= definition.defaults
        row |= self._stored(definition, fields)
        row |= {"sys_class_name": table, "sys_created_on": at, "sys_created_by": user}
        row |= {"sys_updated_on": at, "sys_updated_by": user, "sys_mod_count": "0"}
        row["sys_id"] = self._sys_id(table, fields)
        user_id = self.user_id(user)
        if definition.is_task:
            row["opened_at"] = row["opened_at"] or at
            row["opened_by"] = row["opened_by"] or user_id
        apply_rules(definition, {}, row, now=at, user_id=user_id, order=self._switches.state_order)
        self._require_mandatory(table, row)
        self._require_unique(table, row)
        if definition.is_task:
            row["number"] = row["task_effective_number"] = self._number(definition)
        self._rows[self._root(table)][row["sys_id"]] = row
        self._append_journal(row, fields, user=user, at=at)
        return row

    def update(self, table: str, sys_id: str, fields: Row, *, user: str, now: datetime) -> Row:
        row = self.get(table, sys_id)
        if row is None:
            raise no_record()
        definition = self.tables[row["sys_class_name"]]
        after = row | self._stored(definition, fields)
        order = self._switches.state_order
        apply_rules(definition, row, after, now=stamp(now), user_id=self.user_id(user), order=order)
        self._require_mandatory(table, after)
        self._require_unique(table, after)
        noted = self._append_journal(row, fields, user=user, at=stamp(now))
        if after != row or noted:  # an update that changes nothing leaves no trace [UNVERIFIED]
            after["sys_mod_count"] = str(int(row["sys_mod_count"]) + 1)
            after["sys_updated_on"], after["sys_updated_by"] = stamp(now), user
            row.update(after)
        return row

    def delete(self, table: str, sys_id: str) -> None:
        if self.get(table, sys_id) is None:
            raise no_record()
        del self._rows[self._root(table)][sys_id]
        for entry in self._journal.pop(sys_id, []):
            del self._rows["sys_journal_field"][entry["sys_id"]]

    def user_id(self, user_name: str) -> str:
        return next((row["sys_id"] for row in self.rows("sys_user") if row["user_name"] == user_name), "")

    def display_name(self, user_name: str) -> str:
        return next((row["name"] for row in self.rows("sys_user") if row["user_name"] == user_name), user_name)

    def replace_roles(self, user_name: str, roles: Iterable[str], *, now: datetime) -> None:
        """Its rows of sys_user_has_role: those that it had are gone."""
        user = self.user_id(user_name)
        for row in [row for row in self.rows("sys_user_has_role") if row["user"] == user]:
            self.delete("sys_user_has_role", row["sys_id"])
        known = {row["name"]: row["sys_id"] for row in self.rows("sys_user_role")}
        for role in sorted(roles):
            if role not in known:
                known[role] = self.insert("sys_user_role", {"name": role}, user="system", now=now)["sys_id"]
            self.insert("sys_user_has_role", {"user": user, "role": known[role]}, user="system", now=now)

    def _stored(self, definition: Table, fields: Row) -> Row:
        """What of a write is kept: known columns, not the system's own, cut to length, references as sys_id."""
        if definition.plain:
            return {column: value for column, value in fields.items() if is_writable(definition, column)}
        return {
            column: self._reference(target, value) if (target := definition.reference(column)) else cut(column, value)
            for column, value in fields.items()
            if is_writable(definition, column) and column not in JOURNALS
        }

    def _reference(self, target: str, value: str) -> str:
        """A sys_id is kept as it is; anything else is looked up by display value and kept when exactly one row has it.

        That is how sysparm_input_display_value and import sets resolve a name [UNVERIFIED for a plain write].
        """
        if value == "" or SYS_ID.fullmatch(value):
            return value
        wanted = value.casefold()
        display = TABLES[target].display
        found = [row["sys_id"] for row in self.rows(target) if row[display].casefold() == wanted]
        return found[0] if len(found) == 1 else ""

    def _require_mandatory(self, table: str, row: Row) -> None:
        missing = [label_of(column) for column in self.mandatory.get(table, ()) if not row[column]]
        if missing:
            raise data_policy(missing)

    def _require_unique(self, table: str, row: Row) -> None:
        for column in self.unique.get(table, ()):
            value = row[column]
            if value and any(r[column] == value and r["sys_id"] != row["sys_id"] for r in self.rows(table)):
                raise not_unique(value, column)

    def _root(self, table: str) -> str:
        """The table at the top of `table`'s family: its rows are kept together."""
        parent = self.tables[table].parent
        return table if parent is None else self._root(parent)

    def _is_a(self, table: str, ancestor: str) -> bool:
        if table == ancestor:
            return True
        parent = self.tables[table].parent
        return parent is not None and self._is_a(parent, ancestor)

    def _sys_id(self, table: str, fields: Row) -> str:
        """An insert may choose its sys_id [CLIENT PySNC's live test]; one that is taken is not used [UNVERIFIED]."""
        chosen = fields.get("sys_id", "")
        return chosen if SYS_ID.fullmatch(chosen) and chosen not in self._rows[self._root(table)] else uuid4().hex

    def _number(self, definition: Table) -> str:
        number = self._next_number[definition.name]
        self._next_number[definition.name] = number + 1
        return f"{definition.number_prefix}{number:07d}"

    def _append_journal(self, row: Row, fields: Row, *, user: str, at: str) -> bool:
        """Journal writes append and never edit, so a repeated write repeats the entry [OFFICIAL]."""
        plain = self.tables[row["sys_class_name"]].plain
        written = [] if plain else [column for column in JOURNALS if column in row and fields.get(column)]
        for column in written:
            entry = dict.fromkeys(TABLES["sys_journal_field"].columns, "")
            entry |= {
                "sys_id": uuid4().hex,
                "name": row["sys_class_name"],
                "element": column,
                "element_id": row["sys_id"],
            }
            entry |= {"value": fields[column], "sys_created_on": at, "sys_created_by": user}
            entry |= {"sys_updated_on": at, "sys_updated_by": user, "sys_mod_count": "0"}
            entry["sys_class_name"] = "sys_journal_field"
            self._rows["sys_journal_field"][entry["sys_id"]] = entry
            self._journal.setdefault(row["sys_id"], []).append(entry)
        return bool(written)


def is_writable(definition: Table, column: str) -> bool:
    """`sys_*` is the system's own [OFFICIAL, but for sys_id on an insert], the number too [UNVERIFIED]."""
    return column in definition.columns and not column.startswith("sys_") and column != "number"


def cut(column: str, value: str) -> str:
    return value[: LENGTHS[column]] if column in LENGTHS else value
