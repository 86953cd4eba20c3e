"""The columns that a record is known by, and whether an instance's can hold what the bridge writes to them. Pure.

None of them is ever cut: two problems whose first characters are alike would be one, and a look-up would find neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.correlation.identity import ID_CHARACTERS_MAX
from bridge.dictionary.reading import Reading
from bridge.errors import Permanent
from bridge.servicenow.ownership import DISPLAY_CHARACTERS_MAX, SEPARATOR, has_mark
from bridge.servicenow.record import Record
from bridge.settings import CORRELATION_ID, Target

CORRELATION_DISPLAY = "correlation_display"
OF_EVERY_TASK = (CORRELATION_ID, CORRELATION_DISPLAY)
KEY_CHARACTERS_MAX = ID_CHARACTERS_MAX + 10  # `#` and the number of the episode come after the ID


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A column that cannot hold what it must."""

    name: str  # of the field that is written
    table: str
    column: str
    takes: int | None  # characters; None: the table has no such column
    needs: int  # the most that may ever be written to it

    @property
    def what(self) -> str:
        if self.takes is None:
            return f"{self.table} has no column {self.column}, and records are told apart by what is written to it."
        return (
            f"{self.table}.{self.column} takes {self.takes} characters, and up to {self.needs} are written to it: "
            "cut, two problems would be taken for one."
        )

    @property
    def do(self) -> str:
        if self.takes is None:
            return f"Make the column, a string of {self.needs} characters, or correct its name in bridge.yaml."
        return f"Make it {self.needs} characters long: System Definition > Dictionary, {self.table}, {self.column}."


def identity_of(target: Target) -> dict[str, int]:
    """column -> the most characters that are written to it."""
    own = {target.key_field: KEY_CHARACTERS_MAX} if target.key_field != CORRELATION_ID else {}
    return {CORRELATION_ID: ID_CHARACTERS_MAX, CORRELATION_DISPLAY: DISPLAY_CHARACTERS_MAX} | own


def shortfalls(target: Target, reading: Reading) -> list[Shortfall]:
    """Columns of the target's table, and of its staging table where that is known, that cannot hold what may come."""
    staging, found = target.staging, []
    for name, needs in identity_of(target).items():
        places = [(target.table, name)] + ([(staging.table, staging.column(name))] if staging is not None else [])
        for table, column in places:
            takes = reading.length_of(table, column)
            lacking = reading.lacks(table, column) and not (table == target.table and name in OF_EVERY_TASK)
            if lacking or (takes is not None and takes < needs):
                found.append(Shortfall(name=name, table=table, column=column, takes=takes, needs=needs))
    return found


def refuse_what_does_not_fit(fields: Mapping[str, str], target: Target, reading: Reading) -> None:
    """Raises Permanent where a column of the instance cannot hold what a record of `fields` is known by."""
    for short in shortfalls(target, reading):
        written = fields.get(short.name)
        if written is not None and (short.takes is None or len(written) > short.takes):
            raise Permanent("identity_does_not_fit", f"Nothing was sent: {short.what} {short.do}")


def not_carried(record: Record, fields: Mapping[str, str], target: Target) -> list[str]:
    """The columns in which a record that was just made does not have, or does not show, what it was to be known by."""
    installation = fields.get(CORRELATION_DISPLAY, "").rpartition(SEPARATOR)[2]
    return [
        name
        for name in identity_of(target)
        if name in fields
        and not (has_mark(record, installation) if name == CORRELATION_DISPLAY else record.text(name) == fields[name])
    ]
