"""What one instance has told of its tables, and the Schema that follows from it. Pure.

Each part is optional: what the integration user may not read stays as every instance has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.dictionary.schema import Column, Schema
from bridge.dictionary.standard import STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """None: not read, or not allowed to be."""

    read_at: datetime | None = None  # aware UTC
    columns: Mapping[str, Mapping[str, Column]] | None = None  # table -> column -> what it is, without choices
    choices: Mapping[str, Mapping[str, frozenset[str]]] | None = None  # table -> column -> the values it may have
    groups: frozenset[str] | None = None  # names of the active groups

    @property
    def is_empty(self) -> bool:
        return self.columns is None and self.choices is None and self.groups is None

    def lacks(self, table: str, column: str) -> bool:
        """Whether the table is known not to have the column."""
        known = (self.columns or {}).get(table)
        return known is not None and column not in known

    def takes(self, table: str, column: str, value: str) -> bool:
        """Whether the value may be a choice: of a column without choices, or not known to have any, every value may."""
        known = (self.columns or {}).get(table, {}).get(column)
        choices = (self.choices or {}).get(table, {}).get(column)
        return not choices or not value or value in choices or (known is not None and known.suggests)

    def length_of(self, table: str, column: str) -> int | None:
        """Characters; what ServiceNow ships where the instance has not told."""
        tables = STANDARD.tables if self.columns is None else self.columns
        known = tables.get(table, {}).get(column)
        return known.max_length if known is not None else None

    def schema(self) -> Schema:
        tables = STANDARD.tables if self.columns is None else self.columns
        return Schema(
            tables={table: self._with_choices(table, columns) for table, columns in tables.items()},
            groups=self.groups,
            of_instance=self.columns is not None,
        )

    def _with_choices(self, table: str, columns: Mapping[str, Column]) -> dict[str, Column]:
        if self.choices is None:
            known = STANDARD.tables.get(table, {})
            choices = {name: column.choices for name, column in known.items()}
        else:
            choices = dict(self.choices.get(table, {}))
        return {
            name: replace(column, choices=frozenset() if column.suggests else choices.get(name, frozenset()))
            for name, column in columns.items()
        }
