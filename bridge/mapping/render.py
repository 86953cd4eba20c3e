"""The `fields:` and `observables:` of a mapping, and the groups of its routes, as closures that render. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.alert import SEVERITY_OF, Json, Observable
from bridge.mapping.compiler import Compiler
from bridge.mapping.evaluate import WHEN_RENDERED, Getter, Scope
from bridge.mapping.language import nearest
from bridge.mapping.model import (
    COLUMN,
    JOURNALS,
    KINDS,
    NEVER_UPDATED,
    NEVER_WRITTEN,
    OBSERVABLE_CHARS_MAX,
    OUTPUT_BYTES_MAX,
    TABLE_KIND,
    Node,
)
from bridge.mapping.rendered import Find, Rendered, RenderedOutput
from bridge.mapping.values import clean, text_of

FIND_CHARS_MAX = 255  # a longer name is no record's
REOPEN_NOTE = "{{ source }} reports this again, last at {{ last_seen | date }}."
GROUPS = "sys_user_group"

Finder = Callable[[Scope], Find | None]
_CODE = re.compile(r"\[(/?code)\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column: either a text or a record to find."""

    column: str
    text: Getter | None = None
    find: Finder | None = None
    depends_on_severity: bool = False
    constant: str | None = None  # a text without holes; an empty one clears the column


Fields = dict[tuple[str, str], tuple[Field, ...]]  # (kind, table kind or "") -> columns


def compile_fields(node: Node | None, compiler: Compiler) -> Fields:
    """Every combination of kind and table, what `on:` says laid over what is common."""
    report = compiler.report
    if node is None or not report.keys(node, "fields", ("create",)):
        return {}
    common = _kinds(node, compiler)
    if common.get("reopen") is None:
        note = compiler.literal_text(REOPEN_NOTE)
        common["reopen"] = {"work_notes": Field(column="work_notes", text=note)}
    tables: dict[str, dict[str, dict[str, Field]]] = {table: {} for table in TABLE_KIND.values()}
    on = node.get("on")
    if on is not None and report.keys(on, "on"):
        for table, section in on.items():
            if table in tables and report.keys(section, "on table"):
                tables[table] = _kinds(section, compiler)
    return {
        (kind, table): tuple({**common.get(kind, {}), **tables.get(table, {}).get(kind, {})}.values())
        for kind in KINDS
        for table in ("", *tables)
    }


def _kinds(node: Node, compiler: Compiler) -> dict[str, dict[str, Field]]:
    return {kind: _columns(kind, section, compiler) for kind in KINDS if (section := node.get(kind)) is not None}


def _columns(kind: str, node: Node, compiler: Compiler) -> dict[str, Field]:
    if not isinstance(node.value, dict):
        compiler.report.error(node, "a map of column: text is expected here")
        return {}
    return {column: _field(kind, column, child, compiler) for column, child in node.items()}


def _field(kind: str, column: str, node: Node, compiler: Compiler) -> Field:
    report = compiler.report
    if COLUMN.fullmatch(column) is None:
        report.error(node, f"`{column}` is not a column's name", "lower-case letters, digits and _", at_key=True)
    elif column == "assignment_group":
        report.error(node, "the group is the route's", "route: [{to: …, assignment_group: …}]", at_key=True)
    elif column in NEVER_WRITTEN or (kind == "update" and column in NEVER_UPDATED):
        report.error(
            node, f"`{column}` is never written by {'an update' if kind == 'update' else 'a mapping'}", at_key=True
        )
    return compile_value(column, node, compiler, WHEN_RENDERED, empty=True)


def compile_value(
    column: str, node: Node, compiler: Compiler, known: frozenset[str], *, empty: bool = False, finds: bool = True
) -> Field:
    """A text, a table of values or, with `finds`, a record to find. An `empty` text is one that clears the column."""
    if isinstance(node.value, dict):
        if finds and "find" in node.value:
            return Field(column=column, find=_find(node, compiler, known))
        text, depends = _value_table(node, compiler, known)
        return Field(column=column, text=text, depends_on_severity=depends)
    text, used = compiler.text(node, known, empty=empty)
    if (constant := compiler.constant(node)) is not None:
        return Field(column=column, constant=_defused(column, clean(constant)))
    return Field(column=column, text=text, depends_on_severity="severity" in used)


def _value_table(node: Node, compiler: Compiler, known: frozenset[str]) -> tuple[Getter, bool]:
    """`{by: expression, table: {value: text}, default: text}`. Values are compared without regard to case."""
    report = compiler.report
    by, table = node.get("by"), node.get("table")
    if not report.keys(node, "value table", ("by", "table")) or by is None or table is None:
        return compiler.literal_text(""), False
    key, used = compiler.expression(by, known)
    depends = "severity" in used
    rows: dict[str, Getter] = {}
    if not isinstance(table.value, dict):
        report.error(table, "a map of value: text is expected here")
    for word, child in table.items():
        if by.value == "severity" and word not in SEVERITY_OF:
            report.error(child, f"`{word}` is not a severity", nearest(word, list(SEVERITY_OF)), at_key=True)
        if word.lower() in rows:
            report.error(child, f"`{word}` stands here twice, but for case", "keep one of them", at_key=True)
        rows[word.lower()], row_used = compiler.text(child, known)
        depends = depends or "severity" in row_used
    default = node.get("default")
    otherwise, default_used = compiler.text(default, known) if default else (compiler.literal_text(""), set())

    def look_up(scope: Scope) -> Json:
        return rows.get(text_of(key(scope)).lower(), otherwise)(scope)

    return look_up, depends or "severity" in default_used


def _find(node: Node, compiler: Compiler, known: frozenset[str]) -> Finder:
    """`{find: table, by: {column: text}, else: none}`; `else` may be another find."""
    report = compiler.report
    by, table = node.get("by"), node.get("find")
    if not report.keys(node, "find", ("find", "by")) or by is None or table is None:
        return lambda _: None
    if not isinstance(table.value, str) or COLUMN.fullmatch(table.value) is None:
        report.error(table, f"`{table.value}` is not a table's name")
    if not isinstance(by.value, dict) or not by.value:
        report.error(by, "a map of column: text is expected here", '{name: "{{ host }}"}')
    for column, child in by.items():
        if COLUMN.fullmatch(column) is None:
            report.error(child, f"`{column}` is not a column's name", "lower-case letters, digits and _", at_key=True)
    columns = tuple((column, compiler.text(child, known)[0]) for column, child in by.items())
    return _finder(str(table.value), columns, _else(node.get("else"), compiler, known))


def _else(node: Node | None, compiler: Compiler, known: frozenset[str]) -> Finder | None:
    if node is None or node.value == "none":
        return None
    if isinstance(node.value, dict) and "find" in node.value:
        return _find(node, compiler, known)
    compiler.report.error(node, "`else` is none, or another {find: …, by: …}")
    return None


def _finder(table: str, columns: tuple[tuple[str, Getter], ...], otherwise: Finder | None) -> Finder:
    def find(scope: Scope) -> Find | None:
        last = otherwise(scope) if otherwise else None
        by = []
        for column, text in columns:
            value = clean(text(scope) or "")
            if not value or len(value) > FIND_CHARS_MAX:
                return last
            by.append((column, value))
        return Find(table=table, by=tuple(by), otherwise=last)

    return find


def compile_group(route: Node, compiler: Compiler) -> Finder | None:
    """The group that a route names, and the one it falls back to."""
    finder: Finder | None = None
    constant = True
    for key in ("else_group", "assignment_group"):
        if (node := route.get(key)) is not None:
            name, _ = compiler.text(node, WHEN_RENDERED)
            finder = _finder(GROUPS, (("name", name),), finder)
            constant = constant and compiler.constant(node) is not None
    return _always(finder) if finder is not None and constant else finder


def _always(finder: Finder) -> Finder:
    """A finder whose names have no holes: its one answer, made once."""
    found = finder(Scope(None, "", []))
    return lambda _: found


def compile_observables(node: Node | None, compiler: Compiler) -> tuple[tuple[str, Getter], ...]:
    """Each kind with each of its expressions."""
    if node is None:
        return ()
    if not isinstance(node.value, dict):
        compiler.report.error(node, "a map of kind: expression is expected here", "{ip: [.source.ip]}")
    result = []
    for kind, child in node.items():
        if COLUMN.fullmatch(kind) is None:
            compiler.report.error(child, f"`{kind}` is not a kind of observable", "ip, sha256, user, …", at_key=True)
        result += [(kind, compiler.expression(one, WHEN_RENDERED)[0]) for one in child.elements()]
    return tuple(result)


class Output:
    """Collects what is rendered for one alert and keeps it within OUTPUT_BYTES_MAX.

    A text too long takes at most half of what is left: a huge description cannot starve the fields after it.
    """

    __slots__ = ("fields", "finds", "left", "observables")

    def __init__(self) -> None:
        self.left = OUTPUT_BYTES_MAX
        self.fields: dict[str, str] = {}
        self.finds: dict[str, Find] = {}
        self.observables: dict[Observable, None] = {}

    def add(self, fields: Iterable[Field], scope: Scope) -> None:
        for field in fields:
            if field.constant is not None:
                self._put(field.column, field.constant)
            elif field.text is not None:
                value = field.text(scope)
                if value and (text := clean(value)):
                    self._put(field.column, _defused(field.column, text) if "[" in text else text)
            elif field.find is not None:
                self.find(field.column, field.find(scope))

    def find(self, column: str, found: Find | None) -> None:
        size = _size_of_find(found)
        if found is not None and size <= self.left:
            self.finds[column] = found
            self.left -= size

    def _put(self, column: str, text: str) -> None:
        size = len(text) if text.isascii() else len(text.encode())
        if size > self.left // 2:
            text = text.encode()[: max(self.left // 2 - 3, 0)].decode("utf-8", "ignore") + "…"
            size = len(text.encode())
        if size <= self.left:
            self.fields[column] = text
            self.left -= size

    def observe(self, kinds: tuple[tuple[str, Getter], ...], scope: Scope) -> None:
        for kind, getter in kinds:
            value = getter(scope)
            if value is None:
                continue
            for item in value if value.__class__ is list else (value,):
                text = clean(item if item.__class__ is str else text_of(item))
                if not text or len(text) > OBSERVABLE_CHARS_MAX:
                    continue
                size, found = _size(text), Observable(kind=kind, value=text)
                if size <= self.left and found not in self.observables:
                    self.observables[found] = None
                    self.left -= size

    def done(self, outputs: tuple[RenderedOutput, ...] = ()) -> Rendered:
        observables = tuple(self.observables)
        return Rendered(fields=self.fields, finds=self.finds, observables=observables, outputs=outputs)


def _defused(column: str, text: str) -> str:
    """ServiceNow renders HTML between [code] and [/code] in a journal field: no text of an alert gets that far."""
    return _CODE.sub(r"(\1)", text) if column in JOURNALS else text


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _size_of_find(found: Find | None) -> int:
    size = 0
    while found is not None:
        for _, value in found.by:
            size += _size(value)
        found = found.otherwise
    return size
