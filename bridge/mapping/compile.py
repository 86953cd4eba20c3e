"""A mapping, compiled once: what intake asks of it (`split`, `map`) and what sync asks of it (`render`). Pure.

All that an alert can bring about here is Unmappable; everything else was refused when the file was compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bridge.alert import JoinKey, Json, MappedAlert, Severity, Status, key_of
from bridge.correlation.identity import identify
from bridge.correlation.policy import Kind, Policy
from bridge.errors import Unmappable
from bridge.mapping.conditions import Condition
from bridge.mapping.correlation import Join
from bridge.mapping.evaluate import Getter, Names, Scope
from bridge.mapping.model import TABLE_KIND, Node
from bridge.mapping.outputs import CompiledOutput, render_outputs
from bridge.mapping.product import Product
from bridge.mapping.render import Field, Fields, Finder, Output
from bridge.mapping.rendered import Facts, Rendered, RenderedOutput
from bridge.mapping.suppression import Suppression
from bridge.mapping.values import is_nothing
from bridge.yamlfile import YamlFile

# Asking an enumeration for a member costs a tenth of a microsecond.
CREATE, UPDATE, REOPEN = Kind.CREATE, Kind.UPDATE, Kind.REOPEN
FIRING, RESOLVED = Status.FIRING, Status.RESOLVED
MISSING_MAX = 5  # parts of a delivery that are named as missing
NO_ROUTE = "no_route"  # stands for the place of the route when none matched: the alert is dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    place: str  # "route[0]"
    target: str | None  # None: drop
    when: Condition | None  # None: always
    group: Finder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Each:
    elements: Getter  # yields them all; `limit` are taken at once
    limit: int
    source: str
    beside: tuple[tuple[str, Getter], ...] = ()  # of the delivery, seen at these keys of each element


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mapping:
    """One mapping of one revision. Two with the same digest are the same."""

    name: str
    version: str
    owner: str
    display: str  # correlation.display
    digest: str  # SHA-256 of the mapping, its includes and its look-up tables together, in hex
    files: dict[str, str]  # path below the mappings folder -> text: enough to compile it again
    yaml: YamlFile  # the mapping's own file, for the places of its tests: ("tests", 0, "expect")
    tree: Node  # as it is written, with its includes merged in: for lints, and for the places of all that is here
    names: Names  # its extracts, compiled: to work out one more expression for an alert
    tests: list[Json]  # `tests:` as plain data, checked for its shape
    policy: Policy  # `close_when` is the target's to set
    attach: bool  # the raw alert goes with the create, as an attachment
    joins: tuple[Join, ...]
    targets: frozenset[str]  # the names that its routes send to
    personal: frozenset[str]  # the extracts that hold personal data
    suppressions: tuple[Suppression, ...]
    routes: tuple[Route, ...]
    quiet: dict[str, Json]  # what the log tells of each rule that keeps alerts quiet: names, reasons, ends
    matches: Condition | None
    reads: tuple[tuple[str, Getter], ...]  # the paths that it looks at in an alert, as they are written
    matched: tuple[tuple[str, Getter], ...]  # the paths that `match` looks at, as they are written
    each: Each | None
    blank: list[Json]  # one UNSET for all that is worked out once; copied for every alert
    event_time: Getter | None
    severity: Callable[[Scope], Severity]
    identity: Callable[[Scope], str]
    formers: tuple[Callable[[Scope], str | None], ...]
    closing: Condition | None
    fields: Fields
    observables: tuple[tuple[str, Getter], ...]
    outputs: tuple[CompiledOutput, ...]
    product: Product | None  # whose alerts these are, for people; None: the file does not say

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and (self.name, self.digest) == (other.name, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.digest))

    def split(self, document: Json, begin: int = 0, most: int | None = None) -> tuple[list[Json], bool]:
        """The alerts of a delivery from `begin` on, at most `each.limit` or `most`, and whether more come after."""
        scope = Scope(document, self.name, [])
        if self.matches is not None and not self.matches(scope):
            raise Unmappable("no_match", self._no_match(scope))
        if self.each is None:
            return [document][begin:], False
        elements = self.each.elements(scope)
        if elements is None:
            raise Unmappable("each_not_a_list", f"there is nothing at {self.each.source}: see `each` of {self.name}")
        if elements.__class__ is not list:
            elements = [elements]
        end = begin + (most or self.each.limit)
        taken, more = elements[begin:end], len(elements) > end
        if self.each.beside:
            beside = {key: value for key, getter in self.each.beside if (value := getter(scope)) is not None}
            taken = [{**element, **beside} if element.__class__ is dict else element for element in taken]
        return taken, more

    def present(self, element: Json) -> frozenset[str]:
        """Those of `reads` that are there."""
        scope = Scope(element, self.name, [])
        return frozenset([text for text, getter in self.reads if not is_nothing(getter(scope))])

    def _no_match(self, scope: Scope) -> str:
        missing = [text for text, getter in self.matched if is_nothing(getter(scope))][:MISSING_MAX]
        why = f"it has no {' and no '.join(missing)}" if missing else "what that looks at is there with other values"
        return f"the delivery does not match the mapping {self.name}: {why}; see its `match`"

    def map(self, element: Json, *, now: datetime | None = None) -> MappedAlert:
        """What intake needs to know of one alert.

        `now` judges the end of a suppression and the hours of its window; without it the alert's time does.
        """
        scope = Scope(element, self.name, self.blank.copy())
        severity = scope.severity = self.severity(scope)
        text = self.identity(scope)
        closing = self.closing is not None and self.closing(scope)
        status = scope.status = RESOLVED if closing else FIRING
        event_time = self.event_time(scope) if self.event_time is not None else None
        route = self._route(scope)
        correlation_id = identify(text)
        return MappedAlert(
            correlation_id=correlation_id,
            correlation_text=text,
            status=status,
            severity=severity,
            event_time=event_time,
            target=route.target if route else None,
            route=route.place if route else NO_ROUTE,
            # A closing alert is always accepted: a suppressed one would leave its incident open for ever.
            suppressed_by=None if closing else self._suppressed_by(scope, now or event_time),
            former_ids=self._former_ids(scope, correlation_id) if self.formers else (),
            join_keys=self._join_keys(scope) if self.joins else (),
        )

    def render(self, element: Json, kind: Kind, facts: Facts, table: str, *, severity_rose: bool = False) -> Rendered:
        """The fields of one write to `table`. With `severity_rose`, an update or a reopen brings
        what depends on severity, too."""
        scope = Scope(element, self.name, self.blank.copy())
        scope.facts = facts
        output = Output()
        if kind is CREATE:
            # The route is the one that `map` named for this alert: it is asked with the alert's own severity.
            scope.severity = self.severity(scope)
            closing = self.closing is not None and self.closing(scope)
            scope.status = RESOLVED if closing else FIRING
            route = self._route(scope)
        scope.severity, scope.status = facts.severity, facts.status
        output.add(self._fields_of(kind, table, severity_rose=severity_rose), scope)
        if kind is CREATE:
            if route is not None and route.group is not None:
                output.find("assignment_group", route.group(scope))
            output.observe(self.observables, scope)
            if self.outputs:
                return output.done(render_outputs(self.outputs, scope))
        return output.done()

    def outputs_of(self, element: Json, facts: Facts) -> tuple[RenderedOutput, ...]:
        """What is sent beside an incident once it is there: with its number, which the create could not know."""
        scope = Scope(element, self.name, self.blank.copy())
        scope.facts, scope.severity, scope.status = facts, facts.severity, facts.status
        return render_outputs(self.outputs, scope)

    def updates(self, table: str) -> frozenset[str]:
        """The columns that an update of `table` writes, whatever the alert; those of a rise aside."""
        return frozenset(field.column for field in self._fields_of(UPDATE, table, severity_rose=False))

    def _fields_of(self, kind: Kind, table: str, *, severity_rose: bool) -> tuple[Field, ...]:
        table_kind = TABLE_KIND.get(table, "")
        fields = self.fields.get((kind, table_kind), ())
        if kind in (UPDATE, REOPEN) and severity_rose:
            written = {field.column for field in fields}
            create = self.fields.get((CREATE, table_kind), ())
            fields += tuple(field for field in create if field.depends_on_severity and field.column not in written)
        return fields

    def _route(self, scope: Scope) -> Route | None:
        for route in self.routes:
            if route.when is None or route.when(scope):
                return route
        return None

    def _suppressed_by(self, scope: Scope, now: datetime | None) -> str | None:
        for suppression in self.suppressions:
            over = suppression.ends_at is not None and now is not None and now >= suppression.ends_at
            if not over and suppression.when(scope) and (not suppression.window or suppression.window.holds(now)):
                return suppression.name
        return None

    def _former_ids(self, scope: Scope, correlation_id: str) -> tuple[str, ...]:
        found = [former(scope) for former in self.formers]
        return tuple([one for one in found if one and key_of(one) != key_of(correlation_id)])

    def _join_keys(self, scope: Scope) -> tuple[JoinKey, ...]:
        return tuple([key for join in self.joins if (key := join.key(self.name, scope)) is not None])


def digest_of(files: dict[str, str]) -> str:
    """Each path and text with its length before it: no two sets of files hash alike."""
    digest = hashlib.sha256()
    for path in sorted(files):
        for part in (path.encode(), files[path].encode()):
            digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()
