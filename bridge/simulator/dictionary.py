"""sys_dictionary with its overrides, and sys_choice: what an administrator's tools read of the tables that are here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import md5

from bridge.simulator.table import JOURNALS, LENGTHS, SYSTEM, Table, label_of
from bridge.simulator.tables import INCIDENT_CLOSE_CODES, TABLES, TASK, TASK_CHOICES, TASK_DEFAULTS

Row = dict[str, str]

AT = "2020-01-01 00:00:00"
ADDED_LENGTH = "255"  # of an administrator's own columns, those of staging tables among them; nothing is cut at it
JOURNAL_LENGTH = "4000"  # of a staging column that feeds one [UNVERIFIED]
STRING_LENGTH = "40"  # [KIBANA] of sys_created_by; of other texts without a known length [UNVERIFIED]
BOOLEANS = {"active", "array", "mandatory", "read_only", "knowledge", "made_sla", "inactive", "risk_score_override"}
INTEGERS = {"state", "incident_state", "impact", "urgency", "severity", "priority", "sys_mod_count", "order"}
# Numeric texts [CLIENT rapid7]; their labels are [UNVERIFIED].
SECURITY_CLOSE_CODES = {"-100": "Threat mitigated", "102": "False positive", "103": "No action required"}
CATEGORIES = {"inquiry": "Inquiry / Help", "software": "Software", "hardware": "Hardware", "network": "Network"}


@cache
def dictionary_rows() -> tuple[Row, ...]:
    """A row per column, named by the table that brings it: the columns of every task are of `task`."""
    listed = dict.fromkeys(TASK.split() + SYSTEM.split())
    rows = [_column("task", name, _reference("incident", name), TASK_DEFAULTS.get(name, "")) for name in listed]
    for table in TABLES.values():
        inherited = listed if table.is_task else {}
        own = [name for name in sorted(table.columns) if name not in inherited]
        rows += [_column(table.name, name, table.reference(name) or "", table.defaults.get(name, "")) for name in own]
    return tuple(rows)


def added_rows(table: Table, columns: Iterable[str]) -> tuple[Row, ...]:
    """Columns that an administrator has added to `table`."""
    return tuple(
        _column(table.name, name, table.reference(name) or "", "") | {"max_length": ADDED_LENGTH} for name in columns
    )


def staging_rows(table: Table, columns: Mapping[str, str]) -> tuple[Row, ...]:
    """A staging table: texts all, each as long as the column of the target that it feeds, by `columns`."""
    rows = []
    for name in sorted(table.columns):
        fed = columns.get(name, name)
        length = JOURNAL_LENGTH if fed in JOURNALS else str(LENGTHS.get(fed, ADDED_LENGTH))
        rows.append(_column(table.name, name, "", "") | {"internal_type": "string", "max_length": length})
    return tuple(rows)


@cache
def override_rows() -> tuple[Row, ...]:
    """Where a kind of task has another default than every task, it overrides the column that it inherits."""
    return tuple(
        override(table.name, column, default_value=default)
        for table in TABLES.values()
        if table.is_task
        for column, default in table.defaults.items()
        if column in TASK.split() and TASK_DEFAULTS.get(column) != default
    )


def override(table: str, column: str, **says: str) -> Row:
    """A row of sys_dictionary_override: `says` is what the table has otherwise, `mandatory="true"`, say."""
    fields = {"name": table, "base_table": "task", "element": column, **says}
    fields |= {f"{name}_override": "true" for name in says}
    return _row("sys_dictionary_override", f"{table}.{column}", fields)


@cache
def choice_rows() -> tuple[Row, ...]:
    listed = [
        *_choices("task", "impact", TASK_CHOICES["impact"]),
        *_choices("task", "urgency", TASK_CHOICES["urgency"]),
        *_choices("task", "priority", TASK_CHOICES["priority"]),
        *_choices("incident", "close_code", dict.fromkeys(INCIDENT_CLOSE_CODES)),
        *_choices("incident", "category", CATEGORIES),
        *_choices("sn_si_incident", "close_code", SECURITY_CLOSE_CODES),
    ]
    for table in TABLES.values():
        for element, choices in table.choices.items():
            if table.is_task and element not in TASK_CHOICES:
                listed += _choices(table.name, element, choices)
    return tuple(listed)


def _reference(table: str, column: str) -> str:
    return TABLES[table].reference(column) or ""


@cache  # whoever changes what it says makes a row of its own of it
def _column(table: str, name: str, reference: str, default: str) -> Row:
    return _row(
        "sys_dictionary",
        f"{table}.{name}",
        {
            "name": table,
            "element": name,
            "column_label": label_of(name),
            "internal_type": _type(name, reference),
            "max_length": str(LENGTHS.get(name, "32" if reference or name == "sys_id" else STRING_LENGTH)),
            "mandatory": "false",  # not enforced over REST anyway [OBSERVED]
            "active": "true",
            "array": "false",
            "read_only": "true" if name.startswith("sys_") else "false",
            "reference": reference,
            "default_value": default,
        },
    )


def _type(name: str, reference: str) -> str:
    if reference:
        return "reference"
    if name in JOURNALS:
        return "journal_input"
    if name == "sys_id":
        return "GUID"
    if name in BOOLEANS:
        return "boolean"
    if name in INTEGERS:
        return "integer"
    return "glide_date_time" if name.endswith(("_on", "_at", "_date")) else "string"


def _choices(table: str, element: str, choices: dict[str, str] | dict[str, None]) -> Iterator[Row]:
    for sequence, (value, label) in enumerate(choices.items()):
        fields = {"name": table, "element": element, "value": value, "label": label or value}
        fields |= {"language": "en", "inactive": "false", "sequence": str(sequence)}
        yield _row("sys_choice", f"{table}.{element}.{value}", fields)


def _row(table: str, key: str, fields: Row) -> Row:
    definition: Table = TABLES[table]
    row = dict.fromkeys(definition.columns, "") | fields
    row |= {"sys_id": md5(f"{table}/{key}".encode(), usedforsecurity=False).hexdigest(), "sys_class_name": table}
    return row | {"sys_created_on": AT, "sys_created_by": "system", "sys_updated_on": AT, "sys_updated_by": "system"}
