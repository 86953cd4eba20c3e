"""How results look: tables and facts for people, JSON for programs. Colours only on a terminal, and not with NO_COLOR.

What a sender wrote is shown here: control characters, which a terminal would obey, never get through.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import click
import msgspec
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from bridge.alert import Json, Severity
from bridge.canonical import at_text

UNBOUNDED_COLUMNS = 10_000  # into a pipe or a file: nothing is wrapped or cut
TERMINAL_ROW_MAX = 200  # longer cells are cut on a terminal, where they would push everything else away

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

STYLES = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "quarantined": "yellow",
    "paused": "yellow",
    "firing": "red",
    "resolved": "green",
    "never": "yellow",
    # of an audit
    "ok": "green",
    "held": "yellow",
    "silent": "yellow",
    "late": "red",
    "lost": "bold red",
}


def plain(value: object) -> str:
    """A value as a person reads it, safe for a terminal."""
    if value is None:
        return ""
    if isinstance(value, Severity):
        return value.word
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, bytes):
        return value.hex()
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", str(value))


def time_text(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def age(at: datetime | None, now: datetime) -> str:
    """How long ago, or in how long, in the largest unit that fits: "3 min ago", "in 2 h"."""
    if at is None:
        return ""
    words = span(abs(now - at))
    return f"{words} ago" if at <= now else f"in {words}"


def span(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def counted(count: int, noun: str) -> str:
    """A number of things: `1 alert`, `2 alerts`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """`empty` is said instead of a table without rows: what it means, and what to do."""
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _print(table)


def show_facts(facts: Sequence[tuple[str, object]]) -> None:
    """One object, a line for each thing known of it; what is not known is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value not in (None, ""):
            table.add_row(name, _cell(value))
    _print(table)


def show_lines(lines: Iterable[Text]) -> None:
    """Lines with styles of their own, which the terminal wraps; what stands in them went through `plain`."""
    _print(Group(*lines), soft_wrap=True)


def show_json(value: object) -> None:
    text = json.dumps(to_json(value), indent=2, ensure_ascii=False)
    click.echo(_UNSAFE_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def to_json(value: object) -> Json:
    """Dataclasses and structs as objects, times as RFC 3339, spans in seconds, severities as words, bytes as hex."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, msgspec.Struct):
        return {name: to_json(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, datetime):
        return at_text(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Severity | bytes):
        return plain(value)
    return value.value if isinstance(value, Enum) else value


def _cell(value: object) -> Text:
    text = plain(value)
    if sys.stdout.isatty() and len(text) > TERMINAL_ROW_MAX:
        text = text[: TERMINAL_ROW_MAX - 1] + "…"
    return Text(text, style=STYLES.get(text, ""))


def _print(what: Any, *, soft_wrap: bool = False) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=UNBOUNDED_COLUMNS)
    with console.capture() as capture:
        console.print(what, soft_wrap=soft_wrap)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())
