"""Which places of a mapping its tests, or stored alerts, ever came to: hits of routes, rows, suppressions, `??`. Pure.

A hit is an alert, however often it was looked at: an alert that opens an incident and is told of twice hits once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bridge.correlation.policy import Kind
from bridge.errors import Unmappable
from bridge.mapping.compile import Mapping
from bridge.mapping.explain import Setting, first_facts
from bridge.mapping.model import Node
from bridge.mapping.recording import Event, Part, Recorder, place_of
from bridge.mapping.values import text_of
from bridge.mapping.written import written, written_condition, written_value
from bridge.sources.document import Document, refuse_beyond_limits

Place = tuple[Part, str]  # a part, and of a table the row in it


class Sort(StrEnum):
    """What can be come to."""

    MATCH = "match"  # an alternative of `match`
    ALTERNATIVE = "alternative"  # of `??`
    ROW = "row"  # of a table, its default, a `raise_to`, a `lower_to`
    SUPPRESSION = "suppression"
    ROUTE = "route"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place and how many alerts came to it."""

    sort: Sort
    what: str  # "extract.host: .host.name"
    place: str  # file:line
    hits: int


class Coverage:
    """Counts over one mapping, compiled under `recorder`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._hits: Counter[Place] = Counter()
        recorder.take()

    def count(self) -> None:
        """Adds what was recorded since the last time."""
        events = self._recorder.take()  # while they live, no other document can have the identity of one of theirs
        hits = {(place, id(event.document)) for event in events for place in _hits(event)}
        self._hits.update(place for place, _ in hits)

    def count_alert(self, mapping: Mapping, delivery: Document, at: int, setting: Setting) -> None:
        """Maps one alert of a delivery and renders it as if it opened an incident."""
        try:
            elements, _ = mapping.split(delivery.value)
            if at < len(elements):
                if not delivery.within_limits:
                    refuse_beyond_limits(elements[at])
                mapped = mapping.map(elements[at], now=setting.now)
                if mapped.target is not None:
                    table = setting.tables.get(mapped.target, "")
                    mapping.render(elements[at], Kind.CREATE, first_facts(mapping, mapped, setting), table)
        except Unmappable:
            pass  # as far as it got it counts
        self.count()

    def points(self) -> list[Point]:
        """Every place, those of a section together."""
        root = self._recorder.root
        assert root is not None, "the mapping was compiled under this recorder"  # noqa: S101
        return [
            Point(sort=sort, what=what, place=place, hits=self._hits[key])
            for key, sort, what, place in _places(self._recorder.parts, root)
        ]


def _hits(event: Event) -> Iterator[Place]:
    """The places that an event, and what it asked in turn, came to."""
    part = event.part
    if part.alternatives:
        if event.winner is not None:
            yield event.winner, ""
    elif part.kind == "severity":
        if not any(inner.value for inner in (*event.of_kind("table"), *event.of_kind("row"))):
            yield part, ""  # the default
    elif part.kind == "table":
        yield part, event.value or ""
    elif part.kind == "value" or event.value:
        yield part, ""
    for inner in event.events:
        yield from _hits(inner)


def _places(parts: list[Part], root: Node) -> Iterator[tuple[Place, Sort, str, str]]:
    names = _suppressions(root)
    routes = 0
    for part in parts:
        node = part.node
        if node is None:
            continue
        if part.kind == "expression":
            for alternative in part.alternatives:
                assert alternative.tree is not None, "an alternative is an expression"  # noqa: S101
                what = f"{_dotted(node)}: {written(alternative.tree)}"
                yield (alternative, ""), Sort.ALTERNATIVE, what, part.place
        elif part.kind == "route":
            yield (part, ""), Sort.ROUTE, f"route[{routes}] to {_text(node, 'to')}", part.place
            routes += 1
        elif part.kind == "output":
            yield (part, ""), Sort.OUTPUT, _dotted(node), part.place
        elif part.kind == "table":
            yield from _severity_rows(part, node)
        elif part.kind == "severity" and (default := node.get("default")) is not None:
            what = f"severity.default: {text_of(default.value)}"
            yield (part, ""), Sort.ROW, what, place_of(default)
        elif part.kind in ("condition", "row"):
            yield from _conditions(part, node, names, root)
        elif part.kind == "value" and (row := _value_row(node)):
            yield (part, ""), Sort.ROW, row, part.place


def _suppressions(root: Node) -> dict[tuple[int, object], str]:
    """The name of each suppression, by what is asked last of it: its window, or else its condition."""
    last = [(child, child.get("window") or child.get("when")) for child in _elements(root, "suppress")]
    return {_key(asked): _text(child, "name") for child, asked in last if asked is not None}


def _severity_rows(part: Part, table: Node) -> Iterator[tuple[Place, Sort, str, str]]:
    for value, child in table.items():
        what = f"severity.table: {value}: {text_of(child.value)}"
        yield (part, value.lower()), Sort.ROW, what, place_of(child)


def _conditions(
    part: Part, node: Node, names: dict[tuple[int, object], str], root: Node
) -> Iterator[tuple[Place, Sort, str, str]]:
    """Those that something hangs on: an alternative of `match`, a suppression, a range or a bound of the severity."""
    if _key(node) in names:
        yield (part, ""), Sort.SUPPRESSION, f"suppress: {names[_key(node)]}", part.place
    elif node.path[0] == "severity" and part.kind == "row":
        yield (part, ""), Sort.ROW, f"severity.ranges: {written_value(node.value)}", part.place
    elif node.path[0] == "severity" and len(node.path) == 3 and node.path[1] != "ranges":
        yield (part, ""), Sort.ROW, _dotted(node), part.place
    elif node.path[0] == "match" and _is_alternative(node, root.get("match")):
        yield (part, ""), Sort.MATCH, f"match: {written_condition(node)}", part.place


def _is_alternative(node: Node, match: Node | None) -> bool:
    """An element of an OR; the whole, when there is no OR in it."""
    if len(node.path) > 1:
        return node.path[-1] == "any" or (isinstance(node.path[-1], int) and node.path[-2] in ("any", "match"))
    return match is not None and not isinstance(match.value, list) and "any" not in match.value


def _value_row(node: Node) -> str:
    """A row of `{by: …, table: …, default: …}` of a column or of a field of an output; "" for any other value."""
    column = 5 if node.path[1:2] == ("on",) else 3
    if node.path[0] == "outputs":
        column = 5 if node.path[3:4] in (("fields",), ("additional_info",)) else 4
    inside = node.path[column:]
    if node.path[0] not in ("fields", "outputs") or inside[:1] not in (("table",), ("default",)):
        return ""
    return f"{_dotted(node)}: {text_of(node.value)}"


def _dotted(node: Node) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in node.path)
    return text.removeprefix(".")


def _elements(root: Node, section: str) -> list[Node]:
    node = root.get(section)
    return node.elements() if node is not None else []


def _key(node: Node) -> tuple[int, object]:
    return id(node.file), node.path


def _text(node: Node, key: str) -> str:
    child = node.get(key)
    return text_of(child.value) if child is not None else ""
