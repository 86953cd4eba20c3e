"""What a lint looks at: one compiled mapping, the alerts that its tests name, and what it is checked against. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

from bridge.alert import Json, MappedAlert
from bridge.correlation.policy import Kind
from bridge.dictionary.schema import Schema
from bridge.errors import Problem, Unmappable
from bridge.mapping.compile import Mapping as CompiledMapping
from bridge.mapping.evaluate import BEFORE_SEVERITY, Scope, compile_expression, compile_text
from bridge.mapping.language import LanguageError, Text
from bridge.mapping.lint.uses import Extracts, Tree, Use, extracts_of, uses_of
from bridge.mapping.model import Node
from bridge.mapping.rendered import Facts, Rendered
from bridge.mapping.trial import START, CannotRun, changed, steps_of

SHOWN_CHARS = 80  # of a value that a message quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What mappings are checked against, all of them alike."""

    schema: Schema
    tables: Mapping[str, str]  # target -> its table
    hosts: frozenset[str]  # of the ServiceNow instances that are configured
    today: date
    defaults: Mapping[str, frozenset[str]] = field(default_factory=dict)  # target -> columns that it fills itself
    one_record: frozenset[str] = frozenset()  # targets where ServiceNow takes each return for the same record
    pathless: frozenset[tuple[str, str]] = frozenset()  # (target, enrichment) whose instance has no path for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert of a sample, or of a step of a test."""

    sample: str  # samples/elastic-powershell.json
    document: Json  # the delivery that it came in
    element: Json
    changed: bool  # a test's `change` was applied: it is what its author thinks an alert may be


@dataclass(frozen=True, slots=True)
class Finding:
    """What one lint has to say about one place. The place is a node's, so that its file can be asked for comments."""

    node: Node
    message: str
    hint: str = ""
    at_key: bool = False

    @property
    def problem(self) -> Problem:
        return self.node.file.problem(self.node.path, self.message, self.hint, at_key=self.at_key)


class Subject:
    """One mapping under its lints. What several of them ask for is worked out once."""

    def __init__(
        self, mapping: CompiledMapping, against: Against, samples: Mapping[str, Json], foreign: Mapping[str, Json]
    ) -> None:
        """`samples` are the documents that its tests name, `foreign` those of other mappings, by their paths."""
        self.mapping = mapping
        self.against = against
        self.root = mapping.tree
        self.samples = samples
        self.foreign = foreign
        self._rendered: dict[tuple[Kind, str], list[tuple[Alert, Rendered]]] = {}

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        return tuple(uses_of(self.root))

    @cached_property
    def extracts(self) -> Extracts:
        return extracts_of(self.root)

    @cached_property
    def routes(self) -> list[Node]:
        route = self.root.get("route")
        return route.elements() if route is not None else []

    @cached_property
    def tables(self) -> list[str]:
        """Where its routes lead; a target that is not known is an error, told elsewhere."""
        known = {self.against.tables[name] for name in self.mapping.targets if name in self.against.tables}
        return sorted(known)

    @cached_property
    def deliveries(self) -> list[Json]:
        """Every sample, and every one as a test changes it."""
        return [*self.samples.values(), *(document for _, document, _ in self._posted())]

    @cached_property
    def alerts(self) -> list[Alert]:
        found = [
            Alert(sample=name, document=document, element=element, changed=False)
            for name, document in self.samples.items()
            for element in self._split(document)
        ]
        for name, document, at in self._posted():
            elements = self._split(document)
            if at < len(elements):
                found.append(Alert(sample=name, document=document, element=elements[at], changed=True))
        return found

    @cached_property
    def mapped(self) -> list[tuple[Alert, MappedAlert]]:
        """The alerts that are not for quarantine, with what intake would know of them."""
        return [(alert, mapped) for alert in self.alerts if (mapped := self._map(alert.element)) is not None]

    def value_of(self, tree: Tree, alert: Alert) -> Json:
        """What an expression or a text yields for an alert, with the names that are known before the severity is."""
        try:
            names = self.mapping.names
            if isinstance(tree, Text):
                getter = compile_text(tree, names, BEFORE_SEVERITY, nothing_if_empty=True)
            else:
                getter = compile_expression(tree, names, BEFORE_SEVERITY)
        except LanguageError:
            return None
        return getter(Scope(alert.element, self.mapping.name, self.mapping.blank.copy()))

    def rendered(self, kind: Kind, table: str) -> list[tuple[Alert, Rendered]]:
        """The fields of one kind of write, for every alert that its route sends to this table."""
        key = (kind, table)
        if key not in self._rendered:
            self._rendered[key] = [
                (alert, self.mapping.render(alert.element, kind, _facts(self.mapping, mapped), table))
                for alert, mapped in self.mapped
                if mapped.target is not None and self.against.tables.get(mapped.target) == table
            ]
        return self._rendered[key]

    def _posted(self) -> Iterator[tuple[str, Json, int]]:
        """Every step of a test that changes its alert: the sample's name, the changed delivery, the alert's place."""
        for test in self.mapping.tests:
            for step in steps_of(test):
                name = str(step.get("alert", test["alert"]))
                if "change" in step and name in self.samples:
                    try:
                        document = changed(self.samples[name], step["change"])
                    except CannotRun:
                        continue
                    yield name, document, step.get("element", test.get("element", 0))

    def _split(self, document: Json) -> list[Json]:
        try:
            return self.mapping.split(document)[0]
        except Unmappable:
            return []

    def _map(self, element: Json) -> MappedAlert | None:
        try:
            return self.mapping.map(element)
        except Unmappable:
            return None


def takes(mapping: CompiledMapping, document: Json) -> bool:
    """Whether a mapping would take this delivery."""
    try:
        mapping.split(document)
    except Unmappable:
        return False
    return True


def _facts(mapping: CompiledMapping, mapped: MappedAlert) -> Facts:
    at: datetime = mapped.event_time or START
    return Facts(
        severity=mapped.severity,
        status=mapped.status,
        source=mapping.name,
        mapping=mapping.name,
        now=at,
        first_seen=at,
        last_seen=at,
        repeat_count=1,
        correlation_id=mapped.correlation_id,
    )
