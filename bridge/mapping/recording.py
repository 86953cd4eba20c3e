"""A Watch that notes what every part of a mapping gave: what `explain` and `coverage` are told from. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.alert import Json
from bridge.mapping.evaluate import Scope
from bridge.mapping.language import Coalesce, Expression
from bridge.mapping.model import Node
from bridge.mapping.values import is_nothing
from bridge.mapping.watch import Watch


@dataclass(slots=True, eq=False, kw_only=True)
class Part:
    """One place of a mapping that gives something.

    Kinds: value (an expression or a text), expression (a part of one), extract, severity, table (of severities), row (a
    range or a window), condition, key (of a condition), route, output, origin (asked only whether a literal speaks).
    """

    kind: str
    node: Node | None  # None: an expression whose place is not told yet
    tree: Expression | None = None
    alternatives: tuple[Part, ...] = ()  # of `??`
    closure: Any = None

    @property
    def path(self) -> tuple[str | int, ...]:
        return self.node.path if self.node is not None else ()

    @property
    def place(self) -> str:
        return place_of(self.node)


@dataclass(slots=True, eq=False, kw_only=True)
class Event:
    """One time that a part was asked."""

    part: Part
    document: Json = None  # what it was asked about: an alert, or a whole delivery; of a table None
    value: Json = (
        None  # what it gave; of a table the key of the row, None when no row has the value; of a row if it holds
    )
    events: list[Event] = field(default_factory=list)  # what it asked in turn, in order

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.part.kind == kind]

    @property
    def winner(self) -> Part | None:
        """Of `??`: the alternative that was taken. It is the last one asked, unless all were nothing."""
        return self.events[-1].part if self.events and not is_nothing(self.value) else None


def place_of(node: Node | None) -> str:
    """file:line; "" for what stands in no file."""
    if node is None:
        return ""
    problem = node.file.problem(node.path, "", at_key=bool(node.path) and isinstance(node.path[-1], str))
    return f"{problem.file}:{problem.line}"


class Recorder(Watch):
    """Of one mapping: give it to `load_mappings` with one name, or to `compile_files`.

    The compiler asks some texts itself, those without holes: `take` before the first alert.
    """

    __slots__ = ("_events", "_pending", "parts", "root")

    def __init__(self) -> None:
        self.root: Node | None = None
        self.parts: list[Part] = []
        self._pending: list[Part] = []  # expressions whose place is not told yet
        self._events: list[list[Event]] = [[]]  # of what is being asked, the innermost last

    def take(self) -> list[Event]:
        """What was noted since the last time; what one part asked of another stands inside it."""
        noted, self._events = self._events[0], [[]]
        return noted

    def whole(self, root: Node) -> None:
        self.root = root

    def expression(self, tree: Expression, getter: Any) -> Any:
        alternatives: tuple[Part, ...] = ()
        if isinstance(tree, Coalesce):
            own = {id(part.tree): part for part in self._pending}
            alternatives = tuple(own[id(alternative)] for alternative in tree.alternatives)
        part = Part(kind="expression", node=None, tree=tree, alternatives=alternatives)
        self._pending.append(part)
        return self._watched(part, getter)

    def part(self, kind: str, node: Node | None, closure: Any) -> Any:
        for pending in self._pending:
            pending.node = node
        self._pending = []
        if closure is None:
            closure = _always
        return self._watched(Part(kind=kind, node=node), closure)

    def table(self, node: Node | None, table: Any) -> Any:
        part = Part(kind="table", node=node, closure=table)
        self.parts.append(part)
        return _Rows(table, lambda key: self._note(part, None, key))

    def row(self, node: Node, row: Any) -> Any:
        part = Part(kind="row", node=node)
        part.closure = _Row(row, lambda holds: self._note(part, None, holds))
        self.parts.append(part)
        return part.closure

    def _watched(self, part: Part, closure: Any) -> Any:
        def watched(scope: Scope) -> Json:
            event = self._note(part, scope.document, None)
            self._events.append(event.events)
            try:
                event.value = closure(scope)
            finally:
                self._events.pop()
            return event.value

        self.parts.append(part)
        part.closure = watched
        return watched

    def _note(self, part: Part, document: Json, value: Json) -> Event:
        event = Event(part=part, document=document, value=value)
        self._events[-1].append(event)
        return event


def _always(_: Scope) -> bool:
    """A route without `when`."""
    return True


class _Rows(dict[str, Any]):
    """The rows of a table, telling which one was found."""

    def __init__(self, rows: dict[str, Any], tell: Callable[[str | None], object]) -> None:
        super().__init__(rows)
        self._tell = tell

    def get(self, key: str, default: Any = None) -> Any:
        self._tell(key if key in self else None)
        return super().get(key, default)


class _Row:
    """A range or a window, telling whether it held."""

    def __init__(self, row: Any, tell: Callable[[bool], object]) -> None:
        self._row = row
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)

    def holds(self, value: Any) -> bool:
        holds = bool(self._row.holds(value))
        self._tell(holds)
        return holds
