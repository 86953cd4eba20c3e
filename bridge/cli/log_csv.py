"""The log as a table for a spreadsheet: to be read, for nothing in it can be verified."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

import msgspec

from bridge.alert import Json
from bridge.cli.output import plain
from bridge.log.entries import Entry
from bridge.log.export import Kept, Piece, Pruned
from bridge.typed import decode

FIRST_COLUMN = "index (for reading only: CSV cannot be verified)"
# What an entry is asked for; all else of it stands in the last column, as JSON.
COLUMNS = tuple(name for name in Entry.__annotations__ if name != "detail")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet would compute begins with these


def csv_lines(pieces: Iterable[Piece]) -> Iterator[bytes]:
    yield _line([FIRST_COLUMN, *COLUMNS, "detail"])
    for piece in pieces:
        if isinstance(piece, Kept):
            yield _line([str(piece.index), *_cells(piece.entry)])
        elif isinstance(piece, Pruned):
            last = piece.first + len(piece.hashes) - 1
            yield _line([f"{piece.first} to {last}", "pruned: only hashes are kept"])


def _cells(entry: bytes) -> list[str]:
    try:
        told = decode(entry, dict)
    except msgspec.DecodeError:
        return ["cannot be read: this is no entry"]
    cells = [_cell(told.pop(name, None)) for name in COLUMNS]
    detail = told.pop("detail", {})
    return [*cells, _cell(detail | told) if isinstance(detail, dict) else _cell([detail, told])]


def _cell(value: Json) -> str:
    """A text that no spreadsheet takes for a formula, and no terminal obeys."""
    if value is None or value == {}:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return guarded(plain(text))


def guarded(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _line(cells: list[str]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerow(cells)
    return stream.getvalue().encode()
