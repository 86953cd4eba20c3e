"""Look-up tables: `lookups/<name>.csv` in the mappings folder, asked by `lookup(…)` and by `in_lookup`. Pure.

A table is UTF-8 with commas, and its first row names the columns. Text is compared without regard to case, as
everywhere in a mapping; blanks around a cell do not count, and blank lines do not either. Rows with the same key may
stand side by side as long as they give the same answer: of two that disagree neither is right, and the order of the
rows of an export is nobody's decision, so they are an error.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from bridge.errors import Misconfigured, Problem
from bridge.mapping.language import LanguageError, nearest
from bridge.mapping.values import cut

LOOKUP_BYTES_MAX = 4 * 1024 * 1024
LOOKUP_ROWS_MAX = 50_000
LOOKUP_COLUMNS_MAX = 100
LOOKUP_CELL_CHARS_MAX = 4000
LOOKUPS_MAX = 20  # tables that one mapping asks
PROBLEMS_SHOWN_MAX = 10  # of one table: a wrong separator makes every row a problem

TABLE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CELL = re.compile(r'\s*"(?:[^"]|"")*"|[^,]*')


def table_path(name: str) -> str:
    """Where a table lies, below the mappings folder."""
    return f"lookups/{name}.csv"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """One file. Every row has as many cells as there are columns."""

    file: str  # as a person would write it: used in every Problem
    source: str  # its text: enough to read it again
    columns: dict[str, int]  # name -> index
    rows: tuple[tuple[int, list[str]], ...]  # (line, cells)

    def taken(self, by: str, take: str) -> dict[str, str]:
        """Each key, in lower case, and what its rows give; empty cells are left out.

        Raises LanguageError for a column that is not there, Misconfigured for rows that disagree.
        """
        key_index, value_index = self._index(by), self._index(take)
        firsts: dict[str, tuple[int, str]] = {}
        problems = []
        for line, cells in self.rows:
            key, value = cells[key_index], cells[value_index]
            if not key or not value:
                continue
            first_line, first = firsts.setdefault(key.lower(), (line, value))
            if first != value:
                message = f"`{cut(' '.join(key.split()), 80)}` has another {take} here than in line {first_line}"
                problems.append(_at(self.file, self.source, line, value_index, message, "keep one of them"))
            if len(problems) == PROBLEMS_SHOWN_MAX:
                break
        if problems:
            raise Misconfigured(problems)
        return {key: value for key, (_, value) in firsts.items()}

    def column(self, name: str) -> frozenset[str]:
        """The cells of a column, in lower case. Raises LanguageError when it is not there."""
        index = self._index(name)
        return frozenset(cells[index].lower() for _, cells in self.rows if cells[index])

    def _index(self, column: str) -> int:
        if column in self.columns:
            return self.columns[column]
        raise LanguageError(f"{self.file} has no column `{column}`", nearest(column, list(self.columns)))


def parse_table(raw: bytes, file: str) -> Table:
    """Raises Misconfigured with the place of every mistake."""
    if len(raw) > LOOKUP_BYTES_MAX:
        raise Misconfigured([Problem(file, 0, 0, f"is longer than the {LOOKUP_BYTES_MAX} bytes of a look-up table")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        hint = "save it as CSV UTF-8"
        raise Misconfigured([Problem(file, line, column, "is not UTF-8", hint)]) from error
    if control := _CONTROL.search(text):
        line, start = text.count("\n", 0, control.start()) + 1, text.rfind("\n", 0, control.start())
        raise Misconfigured([Problem(file, line, control.start() - start, "holds a control character")])
    records = _records(text, file)
    if not records:
        raise Misconfigured([Problem(file, 1, 1, "is empty", "the first row names the columns")])
    (line, header), rows = records[0], records[1:]
    problems = _header_problems(header, line, text, file) or _row_problems(rows, len(header), text, file)
    if problems:
        raise Misconfigured(problems)
    return Table(file=file, source=text, columns={name: at for at, name in enumerate(header)}, rows=tuple(rows))


def _records(text: str, file: str) -> list[tuple[int, list[str]]]:
    """Each row that is not blank, with the line it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    line = 1
    try:
        for cells in reader:
            if cells and (len(cells) > 1 or cells[0].strip()):
                records.append((line, [cell.strip() for cell in cells]))
            if len(records) > LOOKUP_ROWS_MAX + 1:
                problem = Problem(file, line, 1, f"has more than the {LOOKUP_ROWS_MAX} rows of a look-up table")
                raise Misconfigured([problem])
            line = reader.line_num + 1
    except csv.Error as error:
        hint = 'a cell with a comma or a quote in it: "a, ""b"""'
        raise Misconfigured([Problem(file, line, 1, f"is not CSV: {error}", hint)]) from error
    return records


def _header_problems(header: list[str], line: int, text: str, file: str) -> list[Problem]:
    problems = []
    for index, name in enumerate(header):
        if not name:
            problems.append(_at(file, text, line, index, "a column without a name", "the first row names them all"))
        elif name in header[:index]:
            problems.append(_at(file, text, line, index, f"the column `{name}` stands here twice", "rename one"))
    if len(header) > LOOKUP_COLUMNS_MAX:
        message = f"has {len(header)} columns; at most {LOOKUP_COLUMNS_MAX} are read"
        problems = [_at(file, text, line, LOOKUP_COLUMNS_MAX, message, "")]
    if len(header) == 1 and ";" in header[0]:
        problems = [Problem(file, line, 1, "has one column only", "cells are separated by commas, not by semicolons")]
    return problems


def _row_problems(rows: list[tuple[int, list[str]]], width: int, text: str, file: str) -> list[Problem]:
    problems = []
    for line, cells in rows:
        if len(cells) != width:
            message = f"has {len(cells)} cells, and the first row {width}"
            hint = "a cell with a comma in it stands in double quotes"
            problems.append(_at(file, text, line, min(len(cells), width), message, hint))
        for index, cell in enumerate(cells):
            if len(cell) > LOOKUP_CELL_CHARS_MAX:
                message = f"is a cell of {len(cell)} characters; at most {LOOKUP_CELL_CHARS_MAX} are read"
                problems.append(_at(file, text, line, index, message, ""))
        if len(problems) >= PROBLEMS_SHOWN_MAX:
            break
    return problems


def _at(file: str, text: str, line: int, index: int, message: str, hint: str) -> Problem:
    """A Problem at a cell; at the end of the row for the cell behind the last."""
    for number, content in enumerate(io.StringIO(text, newline=""), 1):
        if number == line:
            position = 0
            for _ in range(index):
                cell = _CELL.match(content, position)
                position = cell.end() + 1 if cell else position
            return Problem(file, line, min(position, len(content.rstrip("\r\n"))) + 1, message, hint)
    return Problem(file, line, 0, message, hint)


class Lookups:
    """The tables that one mapping asks: read when first named, and then part of the mapping.

    What is wrong inside a file goes to `problems` with its own place; the LanguageError then tells who asked.
    """

    def __init__(self, read: Callable[[str], Table | None], problems: list[Problem]) -> None:
        self._read = read  # by path; None: there is no such file
        self._problems = problems
        self._tables: dict[str, Table] = {}
        self._refused: set[str] = set()
        self._taken: dict[tuple[str, str, str], dict[str, str]] = {}

    @property
    def files(self) -> dict[str, str]:
        """Path below the mappings folder -> text, of every table that was asked."""
        return {table_path(name): table.source for name, table in self._tables.items()}

    def taken(self, name: str, by: str, take: str) -> dict[str, str]:
        """As `Table.taken`. Raises LanguageError alone."""
        table = self._table(name)
        if (name, by, take) not in self._taken:
            try:
                self._taken[name, by, take] = table.taken(by, take)
            except Misconfigured as error:
                raise self._refusal(name, error) from error
        return self._taken[name, by, take]

    def column(self, name: str, column: str) -> frozenset[str]:
        """As `Table.column`. Raises LanguageError alone."""
        return self._table(name).column(column)

    def _table(self, name: str) -> Table:
        if TABLE_NAME.fullmatch(name) is None:
            raise LanguageError(f"`{name}` is not the name of a look-up table", "hosts, for the file lookups/hosts.csv")
        if name in self._refused:
            raise LanguageError(f"the look-up table `{name}` cannot be used", "its own problems are listed with it")
        if name not in self._tables:
            if len(self._tables) == LOOKUPS_MAX:
                raise LanguageError(f"more than {LOOKUPS_MAX} look-up tables are asked here")
            try:
                table = self._read(table_path(name))
            except Misconfigured as error:
                raise self._refusal(name, error) from error
            if table is None:
                raise LanguageError(
                    f"there is no look-up table `{name}`", f"it is the file {table_path(name)} in the mappings folder"
                )
            self._tables[name] = table
        return self._tables[name]

    def _refusal(self, name: str, error: Misconfigured) -> LanguageError:
        self._refused.add(name)
        self._problems.extend(error.problems)
        return LanguageError(f"the look-up table `{name}` cannot be used", "its own problems are listed with it")
