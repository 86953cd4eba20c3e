"""An instance's schema as it tells it: columns and their lengths, choices, and the names of its groups.

Every row is held against the query: ServiceNow ignores the part of one that it does not understand.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.dictionary.schema import Column
from bridge.errors import Permanent
from bridge.servicenow.lookup import Rows

DICTIONARY, CHOICES, GROUPS = "sys_dictionary", "sys_choice", "sys_user_group"
PARENT = "task"  # `incident` and `sn_si_incident` extend it: most of their columns and choices are its own
ROWS_MAX = 10_000
SUGGESTION = "2"  # sys_dictionary.choice: the list helps whoever writes by hand, and binds nobody
# Types whose length counts characters that a write may exceed. A journal takes more than its dictionary entry says.
TEXT_TYPES = frozenset({"string", "email", "url", "html", "translated_text", "string_full_utf8", "phone_number_e164"})


def columns(rows: Rows, tables: Iterable[str], *, deadline: float) -> dict[str, dict[str, Column]]:
    """table -> column -> what it is; a table that is not installed is left out. Raises Permanent without the right."""
    wanted = tuple(dict.fromkeys(tables))
    fields = ("name", "element", "internal_type", "max_length", "choice", "active")
    query = f"nameIN{','.join((PARENT, *wanted))}^elementISNOTEMPTY^ORDERBYsys_id"
    found = _asked(rows(DICTIONARY, query, fields, ROWS_MAX, deadline), DICTIONARY, {PARENT, *wanted})
    by_table: dict[str, dict[str, Column]] = {}
    for row in found:
        if row.get("element") and row.get("active") != "false":
            by_table.setdefault(row["name"], {})[row["element"]] = _column(row)
    return {table: by_table.get(PARENT, {}) | by_table[table] for table in wanted if table in by_table}


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
    return Column(type=kind or "string", max_length=most or None, suggests=row.get("choice") == SUGGESTION)
