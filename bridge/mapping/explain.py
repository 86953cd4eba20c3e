"""What a mapping makes of one alert, step by step: told from a recording of the mapping itself at work. Pure.

The values are those that `split`, `map` and `render` gave; the recording says which of several parts they came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.alert import Json, MappedAlert, Outcome, Status
from bridge.correlation.policy import Kind
from bridge.errors import Unmappable
from bridge.mapping.compile import NO_ROUTE, Mapping, Route
from bridge.mapping.evaluate import Scope
from bridge.mapping.explanation import (
    LOST,
    NOT_ASKED,
    TAKEN,
    Explanation,
    Section,
    Step,
    condition_step,
    value_step,
)
from bridge.mapping.model import OUTPUT_BYTES_MAX, TABLE_KIND, Node
from bridge.mapping.recording import Event, Recorder, place_of
from bridge.mapping.rendered import Facts, Rendered
from bridge.mapping.written import written_value
from bridge.sources.document import Document, refuse_beyond_limits

LEFT_OUT = f"left out: empty, or beyond the {OUTPUT_BYTES_MAX // 1024} KB of an alert"


class NoElement(ValueError):
    """The delivery has no alert at the place that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known beside the alert."""

    now: datetime  # when it is received
    source: str
    tables: MappingType[str, str]  # of the targets


def explain(mapping: Mapping, recorder: Recorder, delivery: Document, at: int, setting: Setting) -> Explanation:
    """`mapping` was compiled under `recorder`. Raises NoElement."""
    return _Story(mapping, recorder, delivery, at, setting).told()


class _Story:
    def __init__(self, mapping: Mapping, recorder: Recorder, delivery: Document, at: int, setting: Setting) -> None:
        assert recorder.root is not None, "the mapping was compiled under this recorder"  # noqa: S101
        self.mapping = mapping
        self.recorder = recorder
        self.root: Node = recorder.root
        self.delivery = delivery
        self.setting = setting
        self.sections: list[Section] = []
        self.so_far = Explanation(
            mapping=mapping.name, now=setting.now, element=at, elements=1, outcome=Outcome.QUARANTINED
        )

    def told(self) -> Explanation:
        self.recorder.take()
        try:
            element = self._split()
            self._extracts(element)
            mapped = self._mapped(element)
        except Unmappable as error:
            return replace(self.so_far, reason=error.code, detail=error.message, sections=tuple(self.sections))
        outcome, reason = _outcome(mapped)
        observables = self._written(element, mapped)
        return replace(
            self.so_far,
            outcome=outcome,
            reason=reason,
            mapped=mapped,
            observables=observables.observables,
            sections=tuple(self.sections),
        )

    def _split(self) -> Json:
        at, elements = self.so_far.element, None
        try:
            elements, _ = self.mapping.split(self.delivery.value)
        finally:
            self._tell_split(self.recorder.take(), elements)
        self.so_far = replace(self.so_far, elements=len(elements))
        if at >= len(elements):
            raise NoElement(f"the delivery has {len(elements)} alerts, there is no element {at}: the first is 0")
        if not self.delivery.within_limits:
            refuse_beyond_limits(elements[at])
        return elements[at]

    def _tell_split(self, events: list[Event], elements: list[Json] | None) -> None:
        """The alerts themselves are left out: they are long, and no news."""
        matched = [condition_step(event, "") for event in events if event.part.kind == "condition"]
        if matched:
            self._add("match", None, matched)
        looked = [value_step("in", event) for event in events if event.part.kind == "value"]
        if looked:
            count = None if elements is None else len(elements)
            self._add("each", count, [_without_values(step) for step in looked])

    def _extracts(self, element: Json) -> None:
        """In order; in service each is worked out when it is first needed, which gives the same."""
        scope = Scope(element, self.mapping.name, self.mapping.blank.copy())
        for part in self.recorder.parts:
            if part.kind == "extract":
                part.closure(scope)
        steps = [
            value_step(str(event.part.path[-1]), event.events[0], place=event.part.place)
            for event in self.recorder.take()
        ]
        if steps:
            self._add("extract", None, steps)

    def _mapped(self, element: Json) -> MappedAlert:
        mapped = None
        try:
            mapped = self.mapping.map(element, now=self.setting.now)
            return mapped
        finally:
            self._tell_map(self.recorder.take(), mapped)

    def _tell_map(self, events: list[Event], mapped: MappedAlert | None) -> None:
        """The sections that `map` went through, in the order of the language. None: the alert has no identity."""
        if mapped and self.mapping.event_time is not None:
            self._add("time", mapped.event_time, [value_step("time", event) for event in _under(events, "time")])
        self._severity(events, mapped)
        identity = [event for event in _under(events, "correlation") if event.part.kind == "value"]
        self._add("correlation", mapped.correlation_id if mapped else None, _holes(identity))
        if mapped is None:
            return
        word = mapped.severity.word
        if self.mapping.closing is not None:
            asked = [event for event in _under(events, "correlation") if event.part.kind == "condition"]
            closing = [condition_step(event, word) for event in asked]
            self._add("closing", mapped.status.value, closing)
        self._suppressions(events, mapped)
        self._routes(events, mapped)

    def _severity(self, events: list[Event], mapped: MappedAlert | None) -> None:
        whole = next((event for event in events if event.part.kind == "severity"), None)
        node = self.root.get("severity")
        word = mapped.severity.word if mapped else None
        if whole is None or node is None:
            self._add("severity", word, [], "the mapping has no `severity`: medium")
            return
        steps = []
        for event in whole.events:
            if event.part.kind == "value":
                steps.append(value_step("from", event))
            elif event.part.kind == "table":
                steps.append(_row(event, node))
        for key in ("raise_to", "lower_to"):
            bounds = node.get(key)
            for bound, child in bounds.items() if bounds is not None else ():
                asked = next((event for event in whole.events if event.part.path == child.path), None)
                steps.append(_bound(f"{key}: {bound}", child, asked))
        self._add("severity", word, steps)

    def _suppressions(self, events: list[Event], mapped: MappedAlert) -> None:
        asked = {event.part.closure: event for event in _under(events, "suppress")}
        steps, over = [], mapped.status is Status.RESOLVED
        for suppression, node in zip(self.mapping.suppressions, _listed(self.root, "suppress"), strict=True):
            event = asked.get(suppression.when)
            step = Step(what=suppression.name, place=place_of(node), why=suppression.reason)
            if over:
                steps.append(replace(step, verdict=NOT_ASKED))
            elif event is None:
                steps.append(replace(step, verdict=LOST, why="not in force at this time"))
            else:
                over = suppression.name == mapped.suppressed_by
                parts = (condition_step(event, mapped.severity.word),)
                steps.append(replace(step, verdict=TAKEN if over else LOST, parts=parts))
        if steps:
            closes = mapped.status is Status.RESOLVED
            self._add("suppress", mapped.suppressed_by, steps, "an alert that closes is accepted" if closes else "")

    def _routes(self, events: list[Event], mapped: MappedAlert) -> None:
        asked = {event.part.closure: event for event in events if event.part.kind == "route"}
        steps = []
        for route, node in zip(self.mapping.routes, _listed(self.root, "route"), strict=True):
            step = Step(what=f"{route.place} to {_to(route)}", place=place_of(node))
            event = asked.get(route.when)
            if event is None:
                steps.append(replace(step, verdict=NOT_ASKED))
                continue
            parts = tuple(condition_step(inner, mapped.severity.word) for inner in event.events)
            won = route.place == mapped.route
            steps.append(
                replace(step, verdict=TAKEN if won else LOST, parts=parts, why="" if parts else "has no `when`")
            )
        self._add("route", mapped.target or "drop", steps, "" if mapped.route != NO_ROUTE else "no route holds")

    def _written(self, element: Json, mapped: MappedAlert) -> Rendered:
        """The fields of every kind of write, and the observables of the create."""
        if mapped.target is None:
            return Rendered()
        table, facts = self.setting.tables.get(mapped.target, ""), first_facts(self.mapping, mapped, self.setting)
        created = Rendered()
        for kind in Kind:
            if kind is Kind.NOTHING:
                continue
            rendered = self.mapping.render(element, kind, facts, table)
            events = self.recorder.take()
            columns = [field.column for field in self.mapping.fields.get((kind.value, TABLE_KIND.get(table, "")), ())]
            self._fields(f"fields.{kind.value}", kind, table, rendered, events, columns)
            if kind is Kind.CREATE:
                created = rendered
                observed = _under(events, "observables")
            if kind is Kind.UPDATE:
                risen = self.mapping.render(element, kind, facts, table, severity_rose=True)
                more = [column for column in (*risen.fields, *risen.finds) if column not in columns]
                name = "fields.update, besides when the severity rose"
                self._fields(name, Kind.CREATE, table, risen, self.recorder.take(), more)
        steps = [value_step(str(event.part.path[1]), event) for event in observed]
        if steps:
            self._add("observables", None, steps)
        return created

    def _fields(
        self, name: str, kind: Kind, table: str, rendered: Rendered, events: list[Event], columns: Iterable[str]
    ) -> None:
        steps = [self._field(column, kind, table, rendered, events) for column in columns]
        if "assignment_group" in rendered.finds and name == "fields.create":
            steps.append(self._group(rendered, events))
        if steps:
            self._add(name, None, steps, "" if table else "the target is not known: what is common to all tables")

    def _field(self, column: str, kind: Kind, table: str, rendered: Rendered, events: list[Event]) -> Step:
        node = self._column(column, kind, table)
        own = [event for event in events if node is not None and event.part.path[: len(node.path)] == node.path]
        value: Json = rendered.finds.get(column) or rendered.fields.get(column)
        why = {None: LEFT_OUT, "": "clears the column"}.get(value, "")
        step = Step(what=column, place=place_of(node), value=value, why=why)
        if node is None:
            return replace(step, why="the bridge's own text")
        if len(own) == 1 and own[0].part.path == node.path:
            return replace(step, parts=value_step(column, own[0]).parts)
        return replace(step, parts=tuple(_of_field(event, node) for event in own))

    def _column(self, column: str, kind: Kind, table: str) -> Node | None:
        """Where a column of a kind of write is said: `on:` its table, else for all tables."""
        on = _deep(self.root, "fields", "on", TABLE_KIND.get(table, ""), kind.value, column)
        return on or _deep(self.root, "fields", kind.value, column)

    def _group(self, rendered: Rendered, events: list[Event]) -> Step:
        named = [event for event in _under(events, "route") if event.part.kind == "value"]
        parts = tuple(value_step(str(event.part.path[-1]), event) for event in named)
        return Step(what="assignment_group", value=rendered.finds["assignment_group"], why="by the route", parts=parts)

    def _add(self, name: str, value: Json, steps: Iterable[Step], why: str = "") -> None:
        self.sections.append(Section(name=name, value=value, steps=tuple(steps), why=why))


def first_facts(mapping: Mapping, mapped: MappedAlert, setting: Setting) -> Facts:
    """What is known when the alert is the first of its problem."""
    seen = mapped.event_time or setting.now
    return Facts(
        severity=mapped.severity,
        status=mapped.status,
        source=setting.source,
        mapping=mapping.name,
        now=setting.now,
        first_seen=seen,
        last_seen=seen,
        repeat_count=1,
        correlation_id=mapped.correlation_id,
    )


def _outcome(mapped: MappedAlert) -> tuple[Outcome, str]:
    """What intake makes of it while no incident is open."""
    if mapped.status is Status.RESOLVED:
        return Outcome.ACCEPTED, ""
    if mapped.suppressed_by is not None:
        return Outcome.SUPPRESSED, mapped.suppressed_by
    return (Outcome.DROPPED, "route_drop") if mapped.target is None else (Outcome.ACCEPTED, "")


def _under(events: list[Event], section: str) -> list[Event]:
    return [event for event in events if event.part.path[:1] == (section,)]


def _listed(root: Node, section: str) -> list[Node]:
    node = root.get(section)
    return node.elements() if node is not None else []


def _deep(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if node is not None else None
    return node


def _without_values(step: Step) -> Step:
    return replace(step, value=None, parts=tuple(_without_values(part) for part in step.parts))


def _holes(identity: list[Event]) -> list[Step]:
    """The parts of the correlation ID, each with the place of the whole."""
    return [replace(part, place=event.part.place) for event in identity for part in value_step("id", event).parts]


def _row(event: Event, severity: Node) -> Step:
    """The row of the severity table that has the value, or the default. Without a table our own words are rows."""
    if event.value is None:
        default = severity.get("default")
        word = written_value(default.value) if default is not None else "medium"
        return Step(what=f"default: {word}", place=place_of(default), verdict=TAKEN, why="no row has this value")
    rows = event.part.node.items() if event.part.node is not None else ()
    for value, child in rows:
        if value.lower() == event.value:
            return Step(what=f"table {value}: {child.value}", place=place_of(child), verdict=TAKEN)
    return Step(what=f"{event.value} is a word of ours", verdict=TAKEN)


def _bound(what: str, node: Node, asked: Event | None) -> Step:
    if asked is None:
        return Step(what=what, place=place_of(node), verdict=NOT_ASKED, why="it would change nothing")
    parts = (condition_step(asked, ""),)
    return Step(what=what, place=place_of(node), verdict=TAKEN if asked.value else LOST, parts=parts)


def _to(route: Route) -> str:
    return route.target or "drop"


def _of_field(event: Event, field: Node) -> Step:
    """A part of `{by: …, table: …}` or `{find: …, by: …}`."""
    inside = event.part.path[len(field.path) :]
    step = value_step(" ".join(str(key) for key in inside), event)
    is_row = inside[0] in ("table", "default")
    return replace(step, verdict=TAKEN) if is_row else step
