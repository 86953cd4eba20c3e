"""Lints of what is written to ServiceNow: columns, lengths, choices, groups, and columns better left alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bridge.correlation.policy import Kind
from bridge.dictionary.schema import Column
from bridge.mapping.language import Call, Coalesce, Literal, Name, Pipe, Text, nearest
from bridge.mapping.lint.subject import SHOWN_CHARS, Finding, Subject
from bridge.mapping.lint.uses import (
    Tree,
    columns_of,
    field_uses,
    groups,
    leaves,
    node_is_map,
    output_values,
    rows,
    scalar,
)
from bridge.mapping.model import Node
from bridge.mapping.steps import DATE_DEFAULT
from bridge.mapping.values import cut

# Columns that the bridge fills in itself, or a route does.
OURS = frozenset({"correlation_id", "correlation_display", "assignment_group", "state", "number"})
WRITES = (Kind.CREATE, Kind.UPDATE, Kind.CLOSE, Kind.REOPEN)
_EXPRESSION = re.compile(
    r"\.[\"A-Za-z_@][^ ]*( .*)?|[A-Za-z_][A-Za-z0-9_]* (\?\?|\|) .*"
)  # a path, a pipe or an alternative
# Characters that a name of the language takes at most; those that are not here have no bound.
BOUNDS = {"severity": 8, "status": 8, "repeat_count": 10, "correlation_id": 100}
TIME_CHARS = {"Y": 4, "j": 3, "b": 3, "a": 3, "B": 9, "A": 9}  # of a directive of `date`; the others take 2


def unknown_column(subject: Subject) -> Iterator[Finding]:
    schema = subject.against.schema
    for table, _, column, node in _written(subject):
        if schema.lacks(table, column):
            hint = nearest(column, sorted(schema.tables[table]))
            hint = hint if hint.startswith("did you mean") else "see the dictionary of the table"
            yield Finding(node, f"`{table}` has no column `{column}`", hint, at_key=True)
    for use_table, column, node in _found_by(subject):
        if schema.lacks(use_table, column):
            yield Finding(node, f"`{use_table}` has no column `{column}`", at_key=True)


def exceeds_column(subject: Subject) -> Iterator[Finding]:
    for table, kind, column, node in _written(subject):
        known = subject.against.schema.column(table, column)
        if known is None or known.max_length is None or node.get("find") is not None:
            continue
        most = known.max_length
        longest, why = _longest(subject, table, kind, column, node)
        if longest > most:
            message = f"{why} {longest} characters long, `{column}` of `{table}` takes {most}: it would be cut"
            yield Finding(node, message, "shorten the text, or its parts: {{ … | truncate(80) }}")


def reads_like_an_expression(subject: Subject) -> Iterator[Finding]:
    outputs = subject.root.get("outputs")
    sent = [value for _, output in (outputs.items() if outputs is not None else ()) for value in output_values(output)]
    for column, node in [*((column, node) for _, _, column, node in _written(subject)), *sent]:
        text = node.value
        if isinstance(text, str) and "{{" not in text and (_EXPRESSION.fullmatch(text) or "}}" in text):
            message = f"{column} will hold `{cut(text, SHOWN_CHARS)}` as it stands: outside of {{{{ }}}} all is text"
            yield Finding(node, message, f'"{{{{ {text} }}}}"' if "}}" not in text else "a `{{` is missing before it")


def unknown_choice(subject: Subject) -> Iterator[Finding]:
    for table, kind, column, node in _written(subject):
        known = subject.against.schema.column(table, column)
        if known is None or not known.choices or node.get("find") is not None:
            continue
        values = rows(node) if node_is_map(node) else [node]
        for one in values:
            value = scalar(one.value)
            if value and "{{" not in value and value not in known.choices:
                yield _no_choice(one, value, table, column, known)
        if any("{{" in str(one.value) for one in values):
            for _, rendered in subject.rendered(kind, table):
                value = rendered.fields.get(column)
                if value and value not in known.choices:
                    yield _no_choice(node, value, table, column, known)
                    break


def read_only_column(subject: Subject) -> Iterator[Finding]:
    for table, _, column, node in _written(subject):
        known = subject.against.schema.column(table, column)
        if known is not None and known.read_only:
            message = f"`{column}` of `{table}` is read-only in its dictionary: what is written to it may be dropped"
            yield Finding(
                node, message, "leave it out, or ask who keeps the table whether this user may write it", True
            )


def mandatory_column_is_left_empty(subject: Subject) -> Iterator[Finding]:
    """Neither the mapping gives it, nor each target that it routes to, nor its own default."""
    for table in subject.tables:
        place = subject.root.get("fields") or subject.root
        targets = [name for name in subject.mapping.targets if subject.against.tables.get(name) == table]
        by_each = [subject.against.defaults.get(name, frozenset()) for name in targets]
        given = columns_of(subject.root, Kind.CREATE.value, table).keys() | frozenset.intersection(*by_each)
        for column, known in sorted(subject.against.schema.tables.get(table, {}).items()):
            if known.mandatory and not known.has_default and column not in given and column not in OURS:
                message = (
                    f"`{column}` of `{table}` is mandatory, and no create fills it: nobody can save the form without"
                )
                yield Finding(place, message, "give it in the mapping, or under `defaults` of the target", True)


def unknown_group(subject: Subject) -> Iterator[Finding]:
    """Names that stand in the mapping. Those that alerts bring are looked up when they come."""
    known = subject.against.schema.groups
    for route in subject.routes if known is not None else []:
        for use in groups(route):
            name = scalar(use.node.value) or ""
            names = [name] if "{{" not in name else _literals(use.tree, subject)
            for one in names:
                if known is not None and one not in known:
                    hint = nearest(one, sorted(known)).partition("; ")[0]
                    hint = hint if hint.startswith("did you mean") else "groups are named as in ServiceNow"
                    yield Finding(use.node, f"there is no active group `{one}`", hint)


def priority_is_computed(subject: Subject) -> Iterator[Finding]:
    for table, _, column, node in _written(subject):
        if table == "incident" and column == "priority":
            message = "`incident` computes its priority from impact and urgency: what is written here is lost"
            yield Finding(
                node, message, "write impact and urgency; on: {sir: …} holds what only SIR takes", at_key=True
            )


def comments_mail_the_caller(subject: Subject) -> Iterator[Finding]:
    for _, _, column, node in _written(subject):
        if column == "comments":
            message = "`comments` are shown and mailed to the caller"
            yield Finding(node, message, "work_notes are for the people who work on it", at_key=True)


def _written(subject: Subject) -> Iterator[tuple[str, Kind, str, Node]]:
    """Every column of every write to a table that a route leads to; one that two tables share, for each."""
    for table in subject.tables:
        for kind in WRITES:
            for column, node in columns_of(subject.root, kind.value, table).items():
                yield table, kind, column, node


def _found_by(subject: Subject) -> Iterator[tuple[str, str, Node]]:
    """The columns by which records are looked for: (table, column, place)."""
    for _, _, _, column in _written(subject):
        node: Node | None = column
        while node is not None and node_is_map(node) and (find := node.get("find")) is not None:
            by = node.get("by")
            yield from ((str(find.value), name, one) for name, one in (by.items() if by is not None else ()))
            node = node.get("else")


def _no_choice(node: Node, value: str, table: str, column: str, known: Column) -> Finding:
    choices = ", ".join(sorted(known.choices, key=lambda one: (len(one), one)))
    return Finding(
        node, f"`{cut(value, SHOWN_CHARS)}` is no choice of `{column}` of `{table}`", f"its values: {choices}"
    )


def _literals(tree: Tree, subject: Subject) -> list[str]:
    """The whole texts that a tree may be, if what it looks at is not there."""
    if isinstance(tree, Text):
        whole = len(tree.parts) == 1 and tree.holes
        return _literals(tree.holes[0].expression, subject) if whole else []
    if isinstance(tree, Coalesce):
        return [text for one in tree.alternatives for text in _literals(one, subject)]
    if isinstance(tree, Literal):
        return [tree.text]
    if isinstance(tree, Name) and tree.name in subject.extracts:
        return _literals(subject.extracts[tree.name], subject)
    return []


def _longest(subject: Subject, table: str, kind: Kind, column: str, node: Node) -> tuple[int, str]:
    """The longest text that the column is known to get, and how that is known."""
    trees = [use.tree for use in field_uses(node) if use.section == "field"]
    bounds = [_bound(tree, subject) for tree in trees]
    lengths = [bound for bound in bounds if bound is not None]
    if len(lengths) == len(bounds) and lengths:
        constant = all(not list(leaves(tree, {})) for tree in trees)
        return max(lengths), "this is" if constant else "this may be"
    seen = [(len(rendered.fields.get(column, "")), alert) for alert, rendered in subject.rendered(kind, table)]
    longest, alert = max(seen, key=lambda one: one[0], default=(0, None))
    return longest, f"for {alert.sample} this is" if alert is not None else ""


def _bound(tree: Tree, subject: Subject) -> int | None:
    """The most characters that a tree can make; None: as many as the alert has."""
    if isinstance(tree, Literal):
        return len(tree.text)
    if isinstance(tree, Name):
        extract = subject.extracts.get(tree.name)
        return _bound(extract, subject) if extract is not None else BOUNDS.get(tree.name)
    if isinstance(tree, Text):
        return _sum([len(part) if isinstance(part, str) else _bound(part.expression, subject) for part in tree.parts])
    if isinstance(tree, Coalesce):
        bounds = [_bound(one, subject) for one in tree.alternatives]
        known = [bound for bound in bounds if bound is not None]
        return max(known) if len(known) == len(bounds) else None
    if isinstance(tree, Pipe):
        bound = _bound(tree.source, subject)
        for call in tree.calls:
            bound = _bound_after(call, bound)
        return bound
    return None


def _bound_after(call: Call, bound: int | None) -> int | None:
    number = call.arguments[0] if call.arguments and isinstance(call.arguments[0], int) else None
    if call.function == "truncate" and number is not None:
        return min(number, bound) if bound is not None else number
    if call.function == "hash":
        return number or 64
    if call.function == "date":
        form = str(call.arguments[0]) if call.arguments else DATE_DEFAULT
        return len(form) + sum(TIME_CHARS.get(letter, 2) - 2 for letter in re.findall("%(.)", form))
    return bound if call.function in ("lower", "upper", "title", "trim") else None


def _sum(bounds: list[int | None]) -> int | None:
    known = [bound for bound in bounds if bound is not None]
    return sum(known) if len(known) == len(bounds) else None
