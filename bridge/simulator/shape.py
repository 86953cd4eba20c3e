"""How a row is shown: raw, displayed or both; references as links or plain; columns picked and dot-walked."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.alert import Json
from bridge.simulator.journal import BOTH, journal_text
from bridge.simulator.records import Records
from bridge.simulator.table import JOURNALS, Table
from bridge.simulator.tables import TABLES

Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    display: str  # sysparm_display_value: false | true | all
    exclude_links: bool
    columns: tuple[str, ...] | None  # None: all; unknown ones are left out [OFFICIAL]
    root_url: str  # before /api, no slash at the end


def shaped(records: Records, table: Table, row: Row, shape: Shape) -> dict[str, Json]:
    names = sorted(table.columns) if shape.columns is None else shape.columns
    return {name: _value(records, table, row, name, shape) for name in names if knows(table, name)}


def knows(table: Table, path: str) -> bool:
    """Whether `path` (a column, or columns through references joined by dots) exists."""
    column, _, rest = path.partition(".")
    if not rest:
        return column in table.columns
    target = table.reference(column)
    return target is not None and knows(TABLES[target], rest)


def raw(records: Records, table: Table, row: Row, path: str) -> str:
    """The stored value at `path`; "" where a reference on the way is empty or dangling."""
    column, _, rest = path.partition(".")
    if not rest:
        return row.get(column, "")
    target = TABLES[table.reference(column) or ""]
    found = records.get(target.name, row.get(column, ""))
    return "" if found is None else raw(records, target, found, rest)


def displayed(records: Records, table: Table, row: Row, column: str) -> str:
    """The text that a form shows: a choice's label, a reference's name, a journal's entries."""
    value = row.get(column, "")
    if column in JOURNALS or column == BOTH:
        return journal_text(records.journal(row["sys_id"]), column, records.display_name)
    if target := table.reference(column):
        found = records.get(target, value)
        return "" if found is None else found[TABLES[target].display]
    return table.choices.get(column, {}).get(value, value)


def _value(records: Records, table: Table, row: Row, path: str, shape: Shape) -> Json:
    """[OFFICIAL] for the three shapes of a reference, [UNVERIFIED] for the displayed one without its link."""
    column, _, rest = path.partition(".")
    if rest:
        target = TABLES[table.reference(column) or ""]
        found = records.get(target.name, row.get(column, ""))
        return "" if found is None else _value(records, target, found, rest, shape)
    value = row.get(column, "")
    link = _link(table, column, value, shape)
    if shape.display == "all":
        return {"display_value": displayed(records, table, row, column), "value": value, **link}
    if shape.display == "true":
        text = displayed(records, table, row, column)
        return {"display_value": text, **link} if link else text
    return {**link, "value": value} if link else value


def _link(table: Table, column: str, value: str, shape: Shape) -> dict[str, str]:
    target = table.reference(column)
    if target is None or value == "" or shape.exclude_links:
        return {}
    return {"link": f"{shape.root_url}/api/now/table/{target}/{value}"}
