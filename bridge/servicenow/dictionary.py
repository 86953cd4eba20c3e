"""An instance's schema as it tells it: columns and their lengths, choices, and the names of its groups.

Every row is held against the query: ServiceNow ignores the part of one that it does not understand. What is shown in
part is not used: a column that is hidden would be taken for one that is not there, and left out of every record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bridge.dictionary.schema import Column
from bridge.dictionary.standard import OF_EVERY_TASK
from bridge.errors import Permanent
from bridge.servicenow.lookup import Rows

DICTIONARY, OVERRIDES = "sys_dictionary", "sys_dictionary_override"
CHOICES, GROUPS = "sys_choice", "sys_user_group"
PARENT = "task"  # `incident` and `sn_si_incident` extend it: most of their columns and choices are its own
ROWS_MAX = 10_000
SUGGESTION = "2"  # sys_dictionary.choice: the list helps whoever writes by hand, and binds nobody
# What an override may change, by our name for it, that the bridge looks at: its own column is `<column>_override`. The
# form's labels are documented, these names are not [UNVERIFIED]; attributes, qualifiers and the like are not asked for.
FLAGS = {"mandatory": "mandatory", "read_only": "read_only", "has_default": "default_value"}
# Types whose length counts characters that a write may exceed. A journal takes more than its dictionary entry says.
TEXT_TYPES = frozenset({"string", "email", "url", "html", "translated_text", "string_full_utf8", "phone_number_e164"})


def columns(
    rows: Rows, tables: Iterable[str], *, staging: Iterable[str] = (), deadline: float
) -> dict[str, dict[str, Column]]:
    """table -> column -> what it is; a table that is not installed is left out. Raises Permanent without the right.

    `staging`: tables that are no kind of task, and have their own columns only.
    """
    tasks, plain = tuple(dict.fromkeys(tables)), tuple(dict.fromkeys(staging))
    wanted = (*tasks, *plain)
    fields = ("name", "element", "internal_type", "max_length", "choice", "active", *FLAGS.values())
    query = f"nameIN{','.join((PARENT, *wanted))}^elementISNOTEMPTY^ORDERBYsys_id"
    found = _asked(rows(DICTIONARY, query, fields, ROWS_MAX, deadline), DICTIONARY, {PARENT, *wanted})
    by_table: dict[str, dict[str, Column]] = {}
    for row in found:
        if row.get("element") and row.get("active") != "false":
            by_table.setdefault(row["name"], {})[row["element"]] = _column(row)
    if hidden := sorted(OF_EVERY_TASK - by_table.get(PARENT, {}).keys()):
        raise Permanent("partly_hidden", f"{DICTIONARY} does not show all: {PARENT} has {', '.join(hidden)} as well.")
    own = {table: by_table[table] for table in plain if table in by_table}
    return {table: by_table[PARENT] | by_table[table] for table in tasks if table in by_table} | own


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """How a table differs from its parent in one column that it inherits. None: it does not."""

    mandatory: bool | None = None
    read_only: bool | None = None
    has_default: bool | None = None


Overrides = Mapping[str, Mapping[str, Override]]  # table -> column -> how it differs


def overrides(rows: Rows, tables: Iterable[str], *, deadline: float) -> Overrides:
    """Raises Permanent without the right, and where no row is shown: there may be none, or none that may be seen."""
    wanted = tuple(dict.fromkeys(tables))
    fields = ("name", "element", *(name for flag in FLAGS.values() for name in (f"{flag}_override", flag)))
    query = f"nameIN{','.join(wanted)}^elementISNOTEMPTY^ORDERBYsys_id"
    found: dict[str, dict[str, Override]] = {}
    for row in _asked(rows(OVERRIDES, query, fields, ROWS_MAX, deadline), OVERRIDES, set(wanted)):
        if row.get("element"):
            found.setdefault(row["name"], {})[row["element"]] = _override(row)
    return {table: found.get(table, {}) for table in wanted}


def overridden(columns: Mapping[str, Mapping[str, Column]], by: Overrides) -> dict[str, dict[str, Column]]:
    """The same columns as each table has them. An override of a column that is not known changes nothing."""
    return {
        table: {name: _as_told(column, by.get(table, {}).get(name)) for name, column in known.items()}
        for table, known in columns.items()
    }


def choices(rows: Rows, tables: Iterable[str], *, deadline: float) -> dict[str, dict[str, frozenset[str]]]:
    """table -> column -> values. A table's own choices for a column replace those of its parent."""
    wanted = tuple(dict.fromkeys(tables))
    fields = ("name", "element", "value", "inactive")
    query = f"nameIN{','.join((PARENT, *wanted))}^inactive=false^ORDERBYsys_id"
    found = _asked(rows(CHOICES, query, fields, ROWS_MAX, deadline), CHOICES, {PARENT, *wanted})
    by_table: dict[str, dict[str, set[str]]] = {}
    for row in found:
        if row.get("inactive") != "true" and row.get("value"):
            by_table.setdefault(row["name"], {}).setdefault(row.get("element", ""), set()).add(row["value"])
    frozen = {
        table: {element: frozenset(values) for element, values in elements.items()}
        for table, elements in by_table.items()
    }
    return {table: frozen.get(PARENT, {}) | frozen.get(table, {}) for table in wanted}


def groups(rows: Rows, *, deadline: float) -> frozenset[str]:
    """Names of the active groups."""
    found = rows(GROUPS, "active=true^ORDERBYsys_id", ("name", "active"), ROWS_MAX, deadline)
    named = [row for row in found if row.get("name")]
    _refuse_unusable(GROUPS, len(found), named)
    return frozenset(row["name"] for row in named if row.get("active", "true") == "true")


def _asked(found: list[dict[str, str]], table: str, names: set[str]) -> list[dict[str, str]]:
    named = [row for row in found if row.get("name") in names]
    _refuse_unusable(table, len(found), named)
    return named


def _refuse_unusable(table: str, count: int, named: list[dict[str, str]]) -> None:
    if count >= ROWS_MAX:
        raise Permanent("schema_too_large", f"{table} has {ROWS_MAX} rows or more: it is not read.")
    if not named:
        raise Permanent("rows_hidden", f"{table} shows no row to the integration user.")
    if len(named) < count:
        raise Permanent("lookup_unusable", f"{table} gives rows that were not asked for: its columns may not be read.")


def _column(row: dict[str, str]) -> Column:
    kind, length = row.get("internal_type", ""), row.get("max_length", "")
    most = int(length) if kind in TEXT_TYPES and length.isdigit() and len(length) < 10 else 0
    return Column(
        type=kind or "string",
        max_length=most or None,
        suggests=row.get("choice") == SUGGESTION,
        mandatory=row.get("mandatory") == "true",
        read_only=row.get("read_only") == "true",
        has_default=bool(row.get("default_value")),
    )


def _override(row: dict[str, str]) -> Override:
    def told(flag: str) -> str | None:
        return row.get(flag, "") if row.get(f"{flag}_override") == "true" else None

    mandatory, read_only, default = (told(flag) for flag in FLAGS.values())
    return Override(
        mandatory=None if mandatory is None else mandatory == "true",
        read_only=None if read_only is None else read_only == "true",
        has_default=None if default is None else bool(default),
    )


def _as_told(column: Column, by: Override | None) -> Column:
    if by is None:
        return column
    return replace(
        column,
        mandatory=column.mandatory if by.mandatory is None else by.mandatory,
        read_only=column.read_only if by.read_only is None else by.read_only,
        has_default=column.has_default if by.has_default is None else by.has_default,
    )
