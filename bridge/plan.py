"""What an edited mapping would change: two courses over the same stored deliveries, the published one's and the edited
one's, held against each other alert by alert. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.alert import Outcome, Status, key_of
from bridge.correlation.policy import CloseWhen, Kind
from bridge.course import Course, Key, Step
from bridge.errors import Unmappable
from bridge.mapping.compile import Mapping
from bridge.mapping.rendered import Find
from bridge.sources.document import Document, decode
from bridge.store.bodies import StoredDelivery
from bridge.store.prepare import PreparedAlert, map_document

ABSENT = "absent"  # the outcome of an alert that `each` of the other mapping does not yield

# A section that stands in none of these counts for all that a mapping does.
TOLD = frozenset({"version", "owner", "product", "include", "personal", "tests"})  # for people
OF_WRITES = frozenset({"fields", "observables", "outputs", "attach"})  # intake does not read them
OF_INTAKE = frozenset({"match", "time", "suppress", "correlation"})  # rendering does not, but for:
RENDERED_OF_CORRELATION = ("display", "close_when")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Writes to ServiceNow, problems that joined instead of a create, and alerts by their outcome at intake."""

    created: int = 0
    joined: int = 0
    updated: int = 0
    closed: int = 0
    reopened: int = 0
    accepted: int = 0
    suppressed: int = 0
    dropped: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One value of one write. None: not written."""

    field: str  # a column, `route`, `severity` or `observables`
    before: str | None
    after: str | None

    @property
    def how(self) -> str:
        return "added" if self.before is None else "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Writes of one kind in which the same fields differ in the same way."""

    operation: str  # policy.Kind
    count: int
    alert: str  # of the example
    example: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeChange:
    """Alerts that intake would settle otherwise."""

    before: str  # alert.Outcome, or ABSENT
    after: str
    count: int
    alert: str  # an example


@dataclass(frozen=True, slots=True, kw_only=True)
class IdChange:
    """Alerts whose correlation ID would be another one."""

    before: str
    after: str
    carried: bool  # the edited mapping's `formerly` gives the old one: an open incident is carried over
    count: int
    alert: str  # an example


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    mapping: str
    published: str  # revision
    edited: str
    deliveries: int
    alerts: int
    erased: int  # deliveries whose body is gone: they were not replayed
    before: Counts
    after: Counts
    outcomes: tuple[OutcomeChange, ...]  # the most frequent first, as all of these
    ids: tuple[IdChange, ...]
    ids_alerts: int  # alerts whose ID changes
    new_incidents: int  # problems with an open incident that would get a second one, under the new ID
    shapes: tuple[Shape, ...]

    @property
    def changes(self) -> bool:
        return bool(self.before != self.after or self.outcomes or self.ids or self.shapes)


@dataclass(slots=True)
class _Tally:
    """How often, and the first alert."""

    alert: str
    count: int = 0


class Comparison:
    """Takes deliveries in the order of their receipt, page after page; `plan` is what it comes to."""

    def __init__(
        self,
        published: Mapping,
        edited: Mapping,
        *,
        tables: MappingType[str, str],  # target -> its table
        closes: MappingType[str, CloseWhen],  # target -> when it closes
    ) -> None:
        self._published, self._edited = published, edited
        self._before = self._after = Course(published, closes)
        if _intake_of(published) != _intake_of(edited):
            self._after = Course(edited, closes)
        self._courses = tuple(dict.fromkeys((self._before, self._after)))  # one where both take the same
        writes = _writes_of(published)
        self._writes_alike = writes == _writes_of(edited)
        self._writes_id = "correlation_id" in writes or bool(published.outputs)  # an event's key is it, unsaid
        self._tables = tables
        self._deliveries = self._alerts = self._erased = 0
        self._outcomes: dict[tuple[str, str], _Tally] = {}
        self._ids: dict[tuple[str, str], _Tally] = {}
        self._carried: set[tuple[str, str]] = set()
        self._moved: set[tuple[Key, Key]] = set()  # (old, new) of firing alerts that are accepted under the new ID
        self._shapes: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[_Tally, tuple[FieldChange, ...]]] = {}

    def take(self, delivery: StoredDelivery) -> None:
        if delivery.body is None:
            self._erased += 1
            return
        self._deliveries += 1
        now = delivery.received_at
        self.advance(now)
        try:
            document = decode(delivery.body)
        except Unmappable:  # for both alike
            for course in self._courses:
                course.outcomes[Outcome.QUARANTINED] += 1
            self._alerts += 1
            return
        mapped = [
            {one.position: one for one in map_document(course.mapping, document, now=now)} for course in self._courses
        ]
        for position in sorted(set().union(*mapped)):
            self._alerts += 1
            steps = [
                self._step(course, found.get(position), delivery)
                for course, found in zip(self._courses, mapped, strict=True)
            ]
            self._compare(steps[0], steps[-1], delivery, position, document)

    def advance(self, now: datetime) -> None:
        """Time goes by without an alert."""
        for course in self._courses:
            course.advance(now)

    def plan(self) -> Plan:
        return Plan(
            mapping=self._edited.name,
            published=self._published.digest,
            edited=self._edited.digest,
            deliveries=self._deliveries,
            alerts=self._alerts,
            erased=self._erased,
            before=_counts(self._before),
            after=_counts(self._after),
            outcomes=tuple(
                OutcomeChange(before=old, after=new, count=tally.count, alert=tally.alert)
                for (old, new), tally in _frequent(self._outcomes)
            ),
            ids=tuple(
                IdChange(
                    before=old, after=new, carried=(old, new) in self._carried, count=tally.count, alert=tally.alert
                )
                for (old, new), tally in _frequent(self._ids)
            ),
            ids_alerts=sum(tally.count for tally in self._ids.values()),
            new_incidents=self._new_incidents(),
            shapes=tuple(
                Shape(operation=operation, count=tally.count, alert=tally.alert, example=example)
                for (operation, _), (tally, example) in sorted(
                    self._shapes.items(), key=lambda item: (-item[1][0].count, item[0])
                )
            ),
        )

    def _step(self, course: Course, alert: PreparedAlert | None, delivery: StoredDelivery) -> Step | None:
        if alert is None:
            return None
        return course.take(alert, tenant=delivery.tenant, source=delivery.source, now=delivery.received_at)

    def _compare(
        self, old: Step | None, new: Step | None, delivery: StoredDelivery, position: int, document: Document
    ) -> None:
        outcome_before = old.outcome if old is not None else ABSENT
        outcome_after = new.outcome if new is not None else ABSENT
        if outcome_before != outcome_after:
            _count(self._outcomes, (outcome_before, outcome_after), delivery, position)
        if old is None or new is None or old.mapped is None or new.mapped is None:
            return
        id_before, id_after = old.mapped.correlation_id, new.mapped.correlation_id
        if id_before != id_after and key_of(id_before) != key_of(id_after):
            _count(self._ids, (id_before, id_after), delivery, position)
            if key_of(id_before) in map(key_of, new.mapped.former_ids):
                self._carried.add((id_before, id_after))
            elif new.outcome is Outcome.ACCEPTED and new.mapped.status is Status.FIRING:
                self._moved.add(((delivery.tenant, key_of(id_before)), (delivery.tenant, key_of(id_after))))
        if old.writes is not None and old.writes is new.writes:
            self._compare_writes(old, new, delivery, position, document)

    def _compare_writes(
        self, old: Step, new: Step, delivery: StoredDelivery, position: int, document: Document
    ) -> None:
        if self._writes_alike and self._asked(old) == self._asked(new):
            return
        before = _rendered(self._published, old, document, position, self._tables)
        after = _rendered(self._edited, new, document, position, self._tables)
        if before == after:
            return
        changes = tuple(
            FieldChange(field=name, before=before.get(name), after=after.get(name))
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        )
        shape = (str(old.writes), tuple((change.field, change.how) for change in changes))
        tally, _ = self._shapes.setdefault(shape, (_Tally(_alert(delivery, position)), changes))
        tally.count += 1

    def _asked(self, step: Step) -> object:
        """All that a write depends on, beside the alert and the mapping."""
        facts, severity = step.facts, step.mapped and step.mapped.severity
        if facts is not None and not self._writes_id:
            facts = replace(facts, correlation_id="")
        return facts, severity, step.target, step.severity_rose

    def _new_incidents(self) -> int:
        """Each problem that is open at the end, and whose alerts now come under an ID that has no open incident."""
        is_open = self._before.open_keys()
        return len({new for old, new in self._moved if old in is_open and new not in is_open})


def _intake_of(mapping: Mapping) -> str:
    return _written(mapping, but=TOLD | OF_WRITES)


def _writes_of(mapping: Mapping) -> str:
    correlation = mapping.tree.value.get("correlation") or {}
    return repr([correlation.get(key) for key in RENDERED_OF_CORRELATION]) + _written(mapping, but=TOLD | OF_INTAKE)


def _written(mapping: Mapping, *, but: frozenset[str]) -> str:
    """What the sections say, includes merged in, and the look-up tables: the same text means the same."""
    sections = {name: value for name, value in sorted(mapping.tree.value.items()) if name not in but}
    tables = {path: text for path, text in sorted(mapping.files.items()) if not path.endswith(".yaml")}
    return repr((sections, tables))


def _rendered(
    mapping: Mapping, step: Step, document: Document, position: int, tables: MappingType[str, str]
) -> dict[str, str]:
    """All that a write would carry, as text; a record that is looked up, by the values that name it."""
    if step.writes is None or step.facts is None or step.mapped is None:
        return {}
    element = mapping.split(document.value, position, 1)[0][0]
    table = tables.get(step.target or "", "")
    rendered = mapping.render(element, step.writes, step.facts, table, severity_rose=step.severity_rose)
    found = rendered.fields | {column: _named(find) for column, find in rendered.finds.items()}
    if step.writes is Kind.CREATE:
        found |= {"route": step.target or "drop", "severity": step.mapped.severity.word}
        found |= {"correlation_display": mapping.display} if mapping.display else {}
        found |= {"attachment": "the raw alert"} if mapping.attach else {}
        for one in rendered.outputs:
            found[f"outputs.{one.name}"] = ", ".join((one.kind, *one.flags))
            found |= {f"outputs.{one.name}.{name}": value for name, value in one.fields.items()}
            found |= {f"outputs.{one.name}.{name}": _named(find) for name, find in one.finds.items()}
        if rendered.observables:
            found["observables"] = "; ".join(sorted(f"{one.kind} {one.value}" for one in rendered.observables))
    return found


def _named(find: Find | None) -> str:
    names = []
    while find is not None:
        names.append(", ".join(value for _, value in find.by))
        find = find.otherwise
    return " else ".join(names)


def _counts(course: Course) -> Counts:
    return Counts(
        created=course.decisions[Kind.CREATE],
        joined=course.decisions[Kind.JOIN],
        updated=course.decisions[Kind.UPDATE],
        closed=course.decisions[Kind.CLOSE],
        reopened=course.decisions[Kind.REOPEN],
        accepted=course.outcomes[Outcome.ACCEPTED],
        suppressed=course.outcomes[Outcome.SUPPRESSED],
        dropped=course.outcomes[Outcome.DROPPED],
        quarantined=course.outcomes[Outcome.QUARANTINED],
    )


def _alert(delivery: StoredDelivery, position: int) -> str:
    return f"{delivery.id}-{position}"


def _count(
    tallies: dict[tuple[str, str], _Tally], pair: tuple[str, str], delivery: StoredDelivery, position: int
) -> None:
    tally = tallies.get(pair)
    if tally is None:
        tally = tallies[pair] = _Tally(_alert(delivery, position))
    tally.count += 1


def _frequent(tallies: dict[tuple[str, str], _Tally]) -> list[tuple[tuple[str, str], _Tally]]:
    return sorted(tallies.items(), key=lambda item: (-item[1].count, item[0]))
