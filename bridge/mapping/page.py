"""A page of Markdown about one mapping, for the people whose alerts it maps. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bridge.alert import Json
from bridge.mapping.compile import Mapping
from bridge.mapping.graph import Branch
from bridge.mapping.model import KINDS, TABLE_KIND, Node
from bridge.mapping.outputs import KINDS as KINDS_OF_OUTPUT
from bridge.mapping.values import clean, text_of
from bridge.mapping.written import written_condition, written_value

_MARKDOWN = re.compile(r"([\\`*_\[\]<>#])")
_TICKS = re.compile(r"`+")


def branches(root: Node) -> list[Branch]:
    """The routes, to be drawn."""
    return [
        Branch(when=_condition(route.get("when")), to=_text(route.get("to")), group=_group(route))
        for route in _elements(root, "route")
    ]


def page(mapping: Mapping, root: Node, picture: str) -> str:
    """`root`: the mapping's file with its includes merged in; `picture`: of the routes, as Markdown or HTML."""
    lines = [
        f"# {_plain(mapping.display)}",
        "",
        f"The mapping {_code(mapping.name)}, version {_plain(mapping.version)}, is kept by {_plain(mapping.owner)} in "
        f"{', '.join(_code(path) for path in mapping.files)}.",
        *_alerts(root),
        *_identity(root),
        *_severity(root),
        *_suppressions(root),
        *_routes(root, picture),
        *_fields(root),
        *_extracts(mapping, root),
        *_observables(root),
        *_outputs(root),
        *_tests(mapping),
    ]
    return "\n".join(lines) + "\n"


def _alerts(root: Node) -> Iterator[str]:
    yield from ("", "## Which alerts", "")
    yield f"Deliveries with {_code(_condition(root.get('match')))}." if root.get("match") else "Every delivery."
    if (each := root.get("each")) is not None:
        limit = f", at most {_text(each.get('limit'))}" if each.get("limit") else ""
        yield f"Each of {_code(_text(each.get('in')))} is an alert{limit}."
        if beside := _items(each.get("with")):
            yield (
                "Each has besides: "
                + ", ".join(f"{_code('.' + key)} from {_code(_text(one))}" for key, one in beside)
                + "."
            )


# What a correlation's key says, in words; `id` and `close_when` are told by themselves.
_CORRELATION = {
    "update_every": "Repeats are told after",
    "reopen": "It is reopened",
    "after_person": "After a person closed it, repeats stay quiet for",
    "close_after": "Quiet before it is closed",
    "join": "An open incident takes the alert in",
    "formerly": "Its ID was formerly",
}


def _identity(root: Node) -> Iterator[str]:
    correlation = root.get("correlation") or root
    yield from ("", "## One problem", "")
    yield f"Alerts with the same {_code(_text(correlation.get('id')))} are one problem, with one incident at a time."
    yield ""
    if (time := root.get("time")) is not None:
        yield f"- When it happened: {_code(_text(time))}"
    close = correlation.get("close_when")
    yield f"- It is over when {_code(_condition(close))}" if close else "- No alert closes it."
    for key, says in _CORRELATION.items():
        if (node := correlation.get(key)) is not None:
            yield f"- {says}: {_code(written_value(node.value))}"


def _severity(root: Node) -> Iterator[str]:
    yield from ("", "## Severity", "")
    severity = root.get("severity")
    if severity is None:
        yield "Always medium."
        return
    source = severity.get("from")
    yield f"From {_code(_text(source))}:" if source is not None else "By these rules:"
    rows = [(_code(value), _value(child)) for value, child in _items(severity.get("table"))]
    for row in _elements(severity, "ranges"):
        bounds = {key: child.value for key, child in row.items() if key not in ("to", "when")}
        when = f" when {_code(_condition(row.get('when')))}" if row.get("when") else ""
        rows.append((_code(written_value(bounds)) + when, _value(row.get("to") or row)))
    default = severity.get("default")
    rows.append(("anything else", _plain(_text(default)) if default is not None else "medium"))
    for key, says in (("raise_to", "at least"), ("lower_to", "at most")):
        rows += [(_code(_condition(child)), f"{says} {_plain(word)}") for word, child in _items(severity.get(key))]
    yield ""
    yield from _table(("Value", "Severity"), rows)


def _suppressions(root: Node) -> Iterator[str]:
    yield from ("", "## Suppressed", "")
    rows = []
    for one in _elements(root, "suppress"):
        until = f"until {_text(one.get('until'))}" if one.get("until") else "for good"
        window = one.get("window")
        until += f", {written_value(window.value)}" if window is not None else ""
        reason = " ".join(_plain(_text(one.get(key))) for key in ("reason", "ticket") if one.get(key))
        rows.append((_plain(_text(one.get("name"))), _code(_condition(one.get("when"))), reason, _plain(until)))
    if rows:
        yield "These alerts are only counted, unless they raise the severity of an open incident or close it."
        yield ""
        yield from _table(("Name", "When", "Why", "How long"), rows)
    else:
        yield "Nothing."


def _routes(root: Node, picture: str) -> Iterator[str]:
    yield from ("", "## Where it goes", "")
    yield "The first that holds decides, once for each incident."
    yield from ("", picture, "")
    rows = [
        (str(number), _code(branch.when) if branch.when else "everything else", _plain(branch.to), _code(branch.group))
        for number, branch in enumerate(branches(root), 1)
    ]
    yield from _table(("", "When", "To", "Group"), rows)


def _fields(root: Node) -> Iterator[str]:
    fields = root.get("fields")
    sections = [("all", fields)]
    on = fields.get("on") if fields is not None else None
    sections += [(table, on.get(table)) for table in TABLE_KIND.values() if on is not None and on.get(table)]
    yield from ("", "## Fields", "", "What is said of a column for one table counts before what is said for all.")
    for kind in KINDS:
        rows = [
            (_code(column), table, _value(child))
            for table, section in sections
            for column, child in _items(section.get(kind) if section is not None else None)
        ]
        if rows:
            yield from ("", f"### On {kind}", "")
            yield from _table(("Column", "Tables", "Value"), rows)


def _extracts(mapping: Mapping, root: Node) -> Iterator[str]:
    rows = [
        (_code(name), _code(_text(child)), "personal" if name in mapping.personal else "")
        for name, child in _items(root.get("extract"))
    ]
    if rows:
        yield from ("", "## Names used above", "")
        yield from _table(("Name", "Read from", ""), rows)


def _observables(root: Node) -> Iterator[str]:
    rows = [
        (_plain(kind), ", ".join(_code(text_of(one.value)) for one in child.elements()))
        for kind, child in _items(root.get("observables"))
    ]
    if rows:
        yield from ("", "## Observables", "")
        yield from _table(("Kind", "Read from"), rows)


def _outputs(root: Node) -> Iterator[str]:
    rows = []
    for name, one in _items(root.get("outputs")):
        for kind in KINDS_OF_OUTPUT:
            when = _code(_condition(one.get("when"))) if one.get("when") else "always"
            rows += [
                (_code(name), _plain(kind.replace("_", " ")), when, _code(key), _given(child))
                for key, child in _items(one.get(kind))
            ]
    if rows:
        yield from ("", "## Sent beside the incident, once", "")
        yield from _table(("Name", "What", "When", "Key", "Value"), rows)


def _given(node: Node) -> str:
    """What a key of an output is given: a value, or a map of names and values."""
    if not isinstance(node.value, dict) or {"by", "find"} & node.value.keys():
        return _value(node)
    return "<br>".join(f"{_code(name)}: {_value(child)}" for name, child in node.items())


def _tests(mapping: Mapping) -> Iterator[str]:
    if mapping.tests:
        yield from ("", "## What its tests show", "")
        yield from (f"- {_plain(text_of(test['name']))}" for test in mapping.tests)


def _value(node: Node) -> str:
    """What a column is given: a text, a table of values, or a record to find."""
    if not isinstance(node.value, dict):
        return "<br>".join(_code(line) for line in text_of(node.value).splitlines() if line) or "(cleared)"
    return _find(node) if "find" in node.value else _value_table(node)


def _find(node: Node) -> str:
    by = " and ".join(f"{_plain(column)} = {_code(_text(child))}" for column, child in _items(node.get("by")))
    otherwise = node.get("else")
    rest = f", else {_find(otherwise)}" if otherwise is not None and isinstance(otherwise.value, dict) else ""
    return f"the {_code(_text(node.get('find')))} where {by}{rest}"


def _value_table(node: Node) -> str:
    rows = [f"{_plain(word)}: {_code(_text(child))}" for word, child in _items(node.get("table"))]
    if (default := node.get("default")) is not None:
        rows.append(f"else {_code(_text(default))}")
    return f"by {_code(_text(node.get('by')))}: {', '.join(rows)}"


def _group(route: Node) -> str:
    return ", else ".join(_text(node) for key in ("assignment_group", "else_group") if (node := route.get(key)))


def _condition(node: Node | None) -> str:
    return written_condition(node) if node is not None else ""


def _elements(root: Node, section: str) -> list[Node]:
    node = root.get(section)
    return node.elements() if node is not None else []


def _items(node: Node | None) -> list[tuple[str, Node]]:
    return list(node.items()) if node is not None else []


def _text(node: Node | None) -> str:
    value: Json = node.value if node is not None else None
    return written_value(value) if isinstance(value, (dict, list)) else text_of(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"  # a bar would end the cell


def _plain(text: str) -> str:
    """Text of the mapping as text of the page."""
    return _MARKDOWN.sub(r"\\\1", " ".join(clean(text).split()))


def _code(text: str) -> str:
    """Text of the mapping as it is."""
    text = " ".join(clean(text).split())
    if not text:
        return ""
    ticks = "`" * (max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    blank = " " if "`" in text else ""
    return f"{ticks}{blank}{text}{blank}{ticks}"
