"""Every expression, text and condition of a mapping with its place, and what an expression is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bridge.alert import Json
from bridge.mapping.conditions import COMBINE, KEY
from bridge.mapping.language import (
    Call,
    Coalesce,
    Expression,
    LanguageError,
    Literal,
    Name,
    Path,
    Pipe,
    Text,
    parse_expression,
    parse_text,
)
from bridge.mapping.model import KINDS, TABLE_KIND, Node
from bridge.mapping.outputs import FLAGS
from bridge.mapping.outputs import KINDS as KINDS_OF_OUTPUT

Tree = Expression | Text
Extracts = Mapping[str, Tree]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One place where a mapping looks into the alert or names something."""

    section: (
        str  # match, each, extract, time, severity, id, formerly, join, close_when, suppress, route, group, field, …
    )
    node: Node
    tree: Tree
    at_key: bool = False  # it stands in the key of a condition
    negated: bool = False  # a condition that holds when there is nothing

    @property
    def of_delivery(self) -> bool:
        """Whether its paths look into the whole delivery, not into one alert."""
        return self.section in ("match", "each")


def uses_of(root: Node) -> Iterator[Use]:
    """All of a mapping, in the order in which an alert meets them."""
    yield from conditions(root.get("match"), "match")
    yield from _expressions(_at(root, "each", "in"), "each")
    for _, value in _items(_at(root, "each", "with")):
        yield from _expressions(value, "each")
    for _, line in _items(root.get("extract")):
        yield from _expressions(line, "extract")
    yield from _expressions(root.get("time"), "time")
    yield from _severity(root.get("severity"))
    yield from _correlation(root.get("correlation"))
    for suppression in _elements(root.get("suppress")):
        yield from conditions(suppression.get("when"), "suppress")
    for route in _elements(root.get("route")):
        yield from conditions(route.get("when"), "route")
        yield from groups(route)
    for column in all_columns(root):
        yield from field_uses(column)
    for _, kind in _items(root.get("observables")):
        for one in kind.elements():
            yield from _expressions(one, "observable")
    for _, output in _items(root.get("outputs")):
        yield from conditions(output.get("when"), "output")
        for _, value in output_values(output):
            yield from field_uses(value)


def _severity(node: Node | None) -> Iterator[Use]:
    yield from _expressions(_at(node, "from"), "severity")
    for row in _elements(_at(node, "ranges")):
        yield from conditions(row.get("when"), "severity")
    for bound in ("raise_to", "lower_to"):
        for _, condition in _items(_at(node, bound)):
            yield from conditions(condition, "severity")


def _correlation(node: Node | None) -> Iterator[Use]:
    yield from _texts(_at(node, "id"), "id")
    yield from _texts(_at(node, "formerly"), "formerly")
    for rule in _elements(_at(node, "join")):
        for value in _elements(rule.get("same")):
            yield from _expressions(value, "join")
    yield from conditions(_at(node, "close_when"), "close_when")


def groups(route: Node) -> Iterator[Use]:
    """The names of groups of one route."""
    for key in ("assignment_group", "else_group"):
        yield from _texts(route.get(key), "group")


def conditions(node: Node | None, section: str, *, negated: bool = False) -> Iterator[Use]:
    """The fields that a condition asks for."""
    if node is None:
        return
    if not node_is_map(node):
        for child in node.elements() if isinstance(node.value, list) else []:
            yield from conditions(child, section, negated=negated)
        return
    for key, child in node.items():
        if key in COMBINE:
            for part in child.elements():
                yield from conditions(part, section, negated=negated != (key == "not"))
            continue
        field, modifiers = split_key(key)
        absent = "exists" in modifiers and child.value is False
        tree = _parsed(field, text=False)
        if tree is not None:
            yield Use(section=section, node=child, tree=tree, at_key=True, negated=negated or absent)


def split_key(key: str) -> tuple[str, tuple[str, ...]]:
    """A key of a condition: the field as it is written, and its modifiers."""
    match = KEY.fullmatch(key)
    return (match[1], tuple(word for word in match[2].split("|") if word)) if match else (key, ())


def columns_of(root: Node, kind: str, table: str) -> dict[str, Node]:
    """What `fields` says for one kind of write to one table: what `on:` says laid over what is common."""
    fields = root.get("fields")
    common, own = _at(fields, kind), _at(fields, "on", TABLE_KIND.get(table, ""), kind)
    return {**dict(_items(common)), **dict(_items(own))}


def all_columns(root: Node) -> Iterator[Node]:
    fields = root.get("fields")
    for kind in KINDS:
        for section in (_at(fields, kind), *(_at(fields, "on", table, kind) for table in TABLE_KIND.values())):
            yield from (column for _, column in _items(section))


def output_values(output: Node) -> Iterator[tuple[str, Node]]:
    """Every value of an output that is worked out for an alert, with its name."""
    for kind in KINDS_OF_OUTPUT:
        for key, child in _items(output.get(kind)):
            if key in ("fields", "additional_info"):
                yield from _items(child)
            elif key not in ("enrichment_mapping_id", *FLAGS):
                yield key, child


def field_uses(column: Node) -> Iterator[Use]:
    """The texts and expressions of one column: a text, a table of values, or a record to find."""
    if not node_is_map(column):
        yield from _texts(column, "field")
        return
    by = column.get("by")
    if column.get("find") is not None:
        for _, value in _items(by):
            yield from _texts(value, "find")
        if (otherwise := column.get("else")) is not None and node_is_map(otherwise):
            yield from field_uses(otherwise)
        return
    yield from _expressions(by, "field by")
    for row in rows(column):
        yield from _texts(row, "field")


def rows(column: Node) -> list[Node]:
    """What a table of values may yield: its rows, then the default."""
    default = column.get("default")
    return [row for _, row in _items(column.get("table"))] + ([default] if default is not None else [])


def extracts_of(root: Node) -> dict[str, Tree]:
    lines = ((name, next(_expressions(line, "extract"), None)) for name, line in _items(root.get("extract")))
    return {name: use.tree for name, use in lines if use is not None}


def leaves(tree: Tree, extracts: Extracts) -> Iterator[Path | Literal | Name | Call]:
    """What a tree is made of, the extracts that it names included, and so on down."""
    if isinstance(tree, Text):
        for hole in tree.holes:
            yield from leaves(hole.expression, extracts)
    elif isinstance(tree, Coalesce):
        for alternative in tree.alternatives:
            yield from leaves(alternative, extracts)
    elif isinstance(tree, Pipe):
        yield from leaves(tree.source, extracts)
        yield from tree.calls
    else:
        yield tree
        if isinstance(tree, Name) and tree.name in extracts:
            yield from leaves(extracts[tree.name], extracts)


def node_is_map(node: Node) -> bool:
    return isinstance(node.value, dict)


def _expressions(node: Node | None, section: str) -> Iterator[Use]:
    if node is not None and isinstance(node.value, str):
        tree = _parsed(node.value, text="{{" in node.value)
        if tree is not None:
            yield Use(section=section, node=node, tree=tree)


def _texts(node: Node | None, section: str) -> Iterator[Use]:
    if node is not None and (source := scalar(node.value)) is not None:
        tree = _parsed(source, text=True)
        if tree is not None:
            yield Use(section=section, node=node, tree=tree)


def scalar(value: Json) -> str | None:
    """A plain value as its text; None for a map, a list or nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def _parsed(source: str, *, text: bool) -> Tree | None:
    """None for what the language refuses: such a mapping never gets here, but what is unknown is passed over."""
    try:
        return parse_text(source) if text else parse_expression(source)
    except LanguageError:
        return None


def _at(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if node is not None else None
    return node


def _items(node: Node | None) -> list[tuple[str, Node]]:
    return list(node.items()) if node is not None else []


def _elements(node: Node | None) -> list[Node]:
    return node.elements() if node is not None else []
