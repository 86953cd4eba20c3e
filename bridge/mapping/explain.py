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
    bound_step,
    condition_step,
    field_step,
    hole_steps,
    severity_step,
    value_step,
    window_step,
    without_values,
)
from bridge.mapping.model import OUTPUT_BYTES_MAX, TABLE_KIND, Node
from bridge.mapping.outputs import CompiledOutput
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
            count = f"{len(elements)} alerts" if elements else "no alert"
            raise NoElement(
                f"the delivery has {count}, there is no element {at}" + (": the first is 0" if elements else "")
            )
        if not self.delivery.within_limits:
            refuse_beyond_limits(elements[at])
        return elements[at]

    def _tell_split(self, events: list[Event], elements: list[Json] | None) -> None:
        """The alerts themselves are left out: they are long, and no news."""
        matched = [condition_step(event, "") for event in events if event.part.kind == "condition"]
        if matched:
            self._add("match", None, matched)
        looked = [value_step(str(event.part.path[-1]), event) for event in events if event.part.kind == "value"]
        if looked:
            count = None if elements is None else len(elements)
            self._add("each", count, [without_values(step) for step in looked])

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
            self._tell_map(self.recorder.take(), element, mapped)

    def _tell_map(self, events: list[Event], element: Json, mapped: MappedAlert | None) -> None:
        """The sections that `map` went through, in the order of the language. None: the alert has no identity."""
        if mapped and self.mapping.event_time is not None:
            self._add("time", mapped.event_time, [value_step("time", event) for event in _under(events, "time")])
        self._severity(events, mapped)
        steps = hole_steps([event for event in _under(events, "correlation") if event.part.path[1:2] == ("id",)])
        if mapped is None:
            self._add("correlation", None, steps)
            return
        self._add("correlation", mapped.correlation_id, [*steps, *self._former(events, mapped), *self._joins(element)])
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
        steps = [value_step("from", event) for event in whole.of_kind("value")]
        steps.append(severity_step(whole, node))
        for key in ("raise_to", "lower_to"):
            bounds = node.get(key)
            for bound, child in bounds.items() if bounds is not None else ():
                asked = next((event for event in whole.events if event.part.path == child.path), None)
                steps.append(bound_step(f"{key}: {bound}", child, asked))
        self._add("severity", word, steps)

    def _former(self, events: list[Event], mapped: MappedAlert) -> list[Step]:
        node = _deep(self.root, "correlation", "formerly")
        if node is None:
            return []
        parts = hole_steps([event for event in _under(events, "correlation") if event.part.path[1:2] == ("formerly",)])
        why = "" if mapped.former_ids else "empty, or as it is now"
        value = ", ".join(mapped.former_ids) or None
        step = Step(what="formerly", place=place_of(node), value=value, why=why, parts=tuple(parts))
        return [step]

    def _joins(self, element: Json) -> list[Step]:
        """The rules are asked once more, each by itself: the alert tells only which of them gave a key."""
        scope = Scope(element, self.mapping.name, self.mapping.blank.copy())
        steps = []
        for join, node in zip(self.mapping.joins, _listed(self.root, "correlation", "join"), strict=True):
            key = join.key(self.mapping.name, scope)
            asked = [event for event in self.recorder.take() if event.part.path[1:2] == ("join",)]
            step = Step(
                what=f"join {written_value(node.value)}",
                place=place_of(node),
                verdict=TAKEN if key else LOST,
                value=key.digest if key else None,
                why="" if key else "a value is empty, or a literal",
                parts=tuple(value_step(str(event.part.node and event.part.node.value), event) for event in asked),
            )
            steps.append(step)
        return steps

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
                parts = [condition_step(event, mapped.severity.word)]
                if (window := asked.get(suppression.window)) is not None:
                    parts.append(window_step(window, self.setting.now))
                steps.append(replace(step, verdict=TAKEN if over else LOST, parts=tuple(parts)))
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
            if kind in (Kind.NOTHING, Kind.JOIN):
                continue
            rendered = self.mapping.render(element, kind, facts, table)
            events = self.recorder.take()
            columns = [field.column for field in self.mapping.fields.get((kind.value, TABLE_KIND.get(table, "")), ())]
            self._fields(f"fields.{kind.value}", kind, table, rendered, events, columns)
            if kind is Kind.CREATE:
                created = rendered
                observed, sent = _under(events, "observables"), _under(events, "outputs")
            if kind is Kind.UPDATE:
                risen = self.mapping.render(element, kind, facts, table, severity_rose=True)
                more = [column for column in (*risen.fields, *risen.finds) if column not in columns]
                name = "fields.update, besides when the severity rose"
                self._fields(name, Kind.CREATE, table, risen, self.recorder.take(), more)
        steps = [value_step(str(event.part.path[1]), event) for event in observed]
        if steps:
            self._add("observables", None, steps)
        steps = [self._output(one, created, sent, mapped.severity.word) for one in self.mapping.outputs]
        if steps:
            self._add("outputs", None, steps, "once the incident is there; its number is not known yet")
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
        value: Json = rendered.finds.get(column) or rendered.fields.get(column)
        return self._value(column, self._column(column, kind, table), value, events)

    def _value(self, column: str, node: Node | None, value: Json, events: list[Event]) -> Step:
        own = [event for event in events if node is not None and event.part.path[: len(node.path)] == node.path]
        why = {None: LEFT_OUT, "": "clears the column"}.get(value, "")
        step = Step(what=column, place=place_of(node), value=value, why=why)
        if node is None:
            return replace(step, why="the bridge's own text")
        if len(own) == 1 and own[0].part.path == node.path:
            return replace(step, parts=value_step(column, own[0]).parts)
        return replace(step, parts=tuple(field_step(event, node) for event in own))

    def _column(self, column: str, kind: Kind, table: str) -> Node | None:
        """Where a column of a kind of write is said: `on:` its table, else for all tables."""
        on = _deep(self.root, "fields", "on", TABLE_KIND.get(table, ""), kind.value, column)
        return on or _deep(self.root, "fields", kind.value, column)

    def _output(self, one: CompiledOutput, created: Rendered, events: list[Event], severity: str) -> Step:
        """Whether it is sent, and each of its fields."""
        node = _deep(self.root, "outputs", one.name)
        own = [event for event in events if event.part.path[:2] == ("outputs", one.name)]
        asked = [
            condition_step(each, severity) for event in own if event.part.kind == "output" for each in event.events
        ]
        rendered = next((sent for sent in created.outputs if sent.name == one.name), None)
        step = Step(what=f"{one.name}: {one.kind}", place=place_of(node), parts=tuple(asked))
        if rendered is None:
            return replace(step, verdict=LOST)
        values: dict[str, Json] = rendered.fields | rendered.finds
        section = _deep(node, one.kind)
        parts = [
            self._value(name, _deep(section, "fields", name) or _deep(section, name), value, own)
            for name, value in values.items()
        ]
        return replace(step, verdict=TAKEN, parts=(*asked, *parts))

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


def _listed(root: Node, *keys: str) -> list[Node]:
    node = _deep(root, *keys)
    return node.elements() if node is not None else []


def _deep(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if node is not None else None
    return node


def _to(route: Route) -> str:
    return route.target or "drop"
