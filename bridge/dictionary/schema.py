"""What is known of a ServiceNow instance's tables: the value that lints compare a mapping with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CUSTOM = ("u_", "x_")  # columns that an instance, or an app in it, has added


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    type: str  # as sys_dictionary has it: string, integer, reference, journal_input, glide_date_time, boolean, …
    max_length: int | None = None  # characters; None: not known, or without a limit
    choices: frozenset[str] = frozenset()  # the values, not their labels; empty: any value, or not known
    suggests: bool = False  # its choices are suggestions: any other value is taken as well
    mandatory: bool = False  # a form is not saved without it; the API takes a record without it all the same
    read_only: bool = False  # a form does not let it be changed; what the API writes may be dropped
    has_default: bool = False  # an insert without it fills it in


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Tables and groups. A table that is not among `tables` is not known, and nothing is said of it."""

    tables: Mapping[str, Mapping[str, Column]]  # table -> column -> what it is
    groups: frozenset[str] | None = None  # names of the active groups; None: not known
    of_instance: bool  # False: what every instance has; then nothing is said of custom columns

    def lacks(self, table: str, column: str) -> bool:
        columns = self.tables.get(table)
        if columns is None or column in columns:
            return False
        return self.of_instance or not column.startswith(CUSTOM)

    def column(self, table: str, column: str) -> Column | None:
        return self.tables.get(table, {}).get(column)
