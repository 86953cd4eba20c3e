"""The `tests:` of a mapping, run on a fake clock through the three pure functions that the sync worker calls.

An alert is mapped and its outcome settled as intake does it; then `fold`, `decide` and `settled` say what ServiceNow
would be told, and `render` with which fields. The target counts as configured to close, its incidents as untouched by
people. The clock starts at the event time of the test's own alert. Pure, but for reading the samples.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from bridge.alert import Json, MappedAlert, Outcome, Status, believed, key_of
from bridge.correlation.policy import Decision, Episode, Kind, Reason, rises, shown
from bridge.correlation.progress import Progress
from bridge.correlation.rounds import Correlation, Rounds
from bridge.correlation.summary import AlertFacts
from bridge.errors import Unmappable
from bridge.mapping.compile import Mapping
from bridge.mapping.expectation import Finding, Seen, compare
from bridge.mapping.language import parse_path
from bridge.mapping.model import Node, Report
from bridge.mapping.rendered import Facts, Rendered
from bridge.sources.document import decode
from bridge.yamlfile import type_path

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # of the clock, when the alert has no time
TABLES = {"sir": "sn_si_incident", "itsm": "incident"}  # of the targets, where no bridge.yaml says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One test and what came of it."""

    mapping: str
    name: str
    place: str  # file:line of the test
    findings: tuple[Finding, ...]  # of the first step that failed: what follows from a failure tells nothing
    routes: frozenset[str]  # the places of the routes that its alerts took

    @property
    def passed(self) -> bool:
        return not self.findings


def try_mapping(
    mapping: Mapping, folder: Path, tables: MappingType[str, str] = TABLES, *, beside: Mapping | None = None
) -> list[Trial]:
    """Runs every test of a mapping. `folder` is the mappings folder, `tables` has the table of every target.

    A test looks at its sample before the test's changes as well. With `beside`, the same mapping once more, that one
    does so, and `mapping` sees what the tests post and nothing else.
    """
    return [_try(mapping, beside or mapping, folder, tables, test, index) for index, test in enumerate(mapping.tests)]


def samples_named(mapping: Mapping) -> set[str]:
    """The samples that the tests of a mapping name, by their paths below the mappings folder."""
    return {str(step["alert"]) for test in mapping.tests for step in steps_of(test) if "alert" in step}


def steps_of(test: Json) -> list[Json]:
    """A test's own step, and those of its `then`."""
    then = test.get("then", [])
    return [test, *(then if isinstance(then, list) else [then])]


def _try(
    mapping: Mapping, beside: Mapping, folder: Path, tables: MappingType[str, str], test: Json, index: int
) -> Trial:
    then = test.get("then", [])
    own: type_path = ("tests", index)
    steps = [(own, test), *(((*own, "then", at), step) for at, step in enumerate(_listed(then)))]
    bench = _Bench(mapping, beside, folder, tables, test)
    findings: list[Finding] = []
    for number, (path, step) in enumerate(steps, 1):
        try:
            seen, outputs = bench.step(step, path), [output.name for output in mapping.outputs]
            findings = compare(mapping.yaml, path, _title(number, step), step["expect"], seen, outputs)
        except CannotRun as problem:
            place = mapping.yaml.problem((*path, problem.key), "")
            findings = [Finding.of(place, _title(number, step), problem.key, why=str(problem))]
        if findings:
            break
    return Trial(
        mapping=mapping.name,
        name=str(test["name"]),
        place=f"{mapping.yaml.name}:{mapping.yaml.problem(own, '').line}",
        findings=tuple(findings),
        routes=frozenset(bench.routes),
    )


def _title(number: int, step: Json) -> str:
    time = next((f" ({key} {step[key]})" for key in ("after", "wait") if key in step), "")
    return f"step {number}{time}"


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


class CannotRun(Exception):
    """A step that cannot be carried out, and the key that is to blame."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(slots=True, eq=False)
class _Known(Correlation):
    """A correlation as the test has brought it about."""

    mapped: MappedAlert | None = None  # the newest
    element: Json = None  # the newest
    seq: int = 0


class _Bench:
    """Carries one test from step to step: the clock, and the correlations so far."""

    def __init__(
        self, mapping: Mapping, beside: Mapping, folder: Path, tables: MappingType[str, str], test: Json
    ) -> None:
        self.mapping = mapping
        self.beside = beside
        self.folder = folder
        self.tables = tables
        self.test = test
        self.now: datetime | None = None  # before the first alert
        self.correlations: dict[str, _Known] = {}
        self.rounds = Rounds()
        self.last: _Known | None = None
        self.routes: set[str] = set()

    def step(self, step: Json, path: type_path) -> Seen:
        for key in ("after", "wait"):
            if key in step:
                node = Node(self.mapping.yaml, (*path, key), step[key])
                self._pass(Report().duration(node), key)
        return self._wait() if "wait" in step else self._post(step)

    def _pass(self, duration: timedelta, key: str) -> None:
        """Moves the clock. A timer that falls due on the way would decide something that the test does not look at."""
        before = self.now or START
        self.now = before + duration
        due = min((known.wake_at for known in self.correlations.values() if known.wake_at), default=self.now)
        if due < self.now:
            wait = f"{{wait: {_written(due - before)}, expect: …}}"
            raise CannotRun(key, f"a timer falls due before this: put `- {wait}` before it, and shorten it by as much")

    def _wait(self) -> Seen:
        now = self.now or START
        due = (known for known in self.correlations.values() if known.wake_at and known.wake_at <= now)
        known = next(due, self.last)
        if known is None or known.newest is None or known.mapped is None:
            return Seen(action=Kind.NOTHING, why="no alert was accepted before this")
        return self._decided(known, known.mapped, known.newest.event_time, now)

    def _post(self, step: Json) -> Seen:
        try:
            mapped, element, unchanged = self._mapped(step)
        except Unmappable as error:
            self.now = self.now or START
            return Seen(action="quarantine", outcome=Outcome.QUARANTINED, reason=error.code, why=error.message)
        self.now = self.now or mapped.event_time or START
        self.routes.add(mapped.route)
        known = self.last = self.correlations.setdefault(key_of(mapped.correlation_id), _Known())
        outcome, event_time = _outcome(mapped, known), _event_time(mapped, unchanged, self.now)
        if outcome is Outcome.DROPPED:
            return _seen(known, mapped, event_time, outcome, action="drop", reason="route_drop")
        known.seq += 1
        facts = AlertFacts(
            seq=known.seq,
            status=mapped.status,
            severity=mapped.severity,
            event_time=event_time,
            received_at=self.now,
            suppressed=outcome is Outcome.SUPPRESSED,
        )
        known.take(facts, routed_to=mapped.target, join_keys=mapped.join_keys)
        if facts.suppressed:
            return _seen(known, mapped, event_time, outcome, action="suppress", reason=str(mapped.suppressed_by))
        if known.newest is facts:
            known.mapped, known.element = mapped, element
        return self._decided(known, mapped, event_time, self.now)

    def _mapped(self, step: Json) -> tuple[MappedAlert, Json, datetime | None]:
        """The alert of a step as the mapping sees it, its element, and the event time of the sample as it is."""
        document = self._sample(step.get("alert", self.test["alert"]))
        at = step.get("element", self.test.get("element", 0))
        try:
            unchanged = self.beside.map(_element(self.beside, document, at), now=self.now).event_time
        except (Unmappable, CannotRun):
            unchanged = None
        element = _element(self.mapping, changed(document, step.get("change", {})), at)
        return self.mapping.map(element, now=self.now), element, unchanged

    def _sample(self, name: str) -> Json:
        try:
            raw = (self.folder / name).read_bytes()
        except OSError as error:
            raise CannotRun("alert", f"{self.folder / name} cannot be read: {error.strerror}") from error
        return decode(raw).value

    def _decided(self, known: _Known, mapped: MappedAlert, event_time: datetime, now: datetime) -> Seen:
        """What the worker does with a correlation that is due, up to the write; and the settling after it."""
        done = self.rounds.work(known, self.mapping.policy, now)
        rendered = self._rendered(known, done.decision, done.progress, done.before, now)
        action, reason = (Kind.JOIN, Reason.SAME_VALUES) if done.joined else (done.decision.kind, done.decision.reason)
        return _seen(known, mapped, event_time, Outcome.ACCEPTED, action=action, reason=reason, rendered=rendered)

    def _rendered(
        self, known: _Known, decision: Decision, progress: Progress, before: Episode | None, now: datetime
    ) -> Rendered:
        if decision.kind is Kind.NOTHING or known.mapped is None:
            return Rendered()
        table = self.tables.get(known.incident.target if known.incident is not None else "")
        if table is None:
            declared = ", ".join(sorted(self.tables))
            raise CannotRun("alert", f"the route's target `{known.routed_to}` is not known (known: {declared})")
        facts = Facts.of(
            progress,
            shown(before, decision, progress),
            source=self.mapping.name,
            mapping=self.mapping.name,
            correlation_id=known.mapped.correlation_id,
            now=now,
        )
        rose = rises(before, decision, progress)
        return self.mapping.render(known.element, decision.kind, facts, table, severity_rose=rose)


def _element(mapping: Mapping, document: Json, at: int) -> Json:
    elements, _ = mapping.split(document)
    if at >= len(elements):
        count = len(elements)
        raise CannotRun("element", f"the delivery has {count} alerts, there is no element {at}: the first is 0")
    return elements[at]


def _outcome(mapped: MappedAlert, known: _Known) -> Outcome:
    """What intake settles: a closing alert is always accepted, and with an episode open the route has no say."""
    if mapped.status is Status.RESOLVED:
        return Outcome.ACCEPTED
    if mapped.suppressed_by is not None:
        rises = known.episode is not None and known.episode.open and mapped.severity > known.episode.severity
        return Outcome.ACCEPTED if rises else Outcome.SUPPRESSED
    return Outcome.DROPPED if mapped.target is None and not known.is_open else Outcome.ACCEPTED


def _event_time(mapped: MappedAlert, unchanged: datetime | None, now: datetime) -> datetime:
    """The clock's, so that the sample moves along with it, unless the test's `change` sets a time of its own."""
    if mapped.event_time is None or mapped.event_time == unchanged:
        return now
    return believed(mapped.event_time, now)


def _seen(
    known: _Known,
    mapped: MappedAlert,
    event_time: datetime,
    outcome: Outcome,
    *,
    action: str,
    reason: str,
    rendered: Rendered | None = None,
) -> Seen:
    kept = known.is_open or action in (Kind.CLOSE, Kind.REOPEN)
    return Seen(
        action=action,
        reason=reason,
        outcome=outcome,
        route=(known.incident.target if kept and known.incident is not None else mapped.target) or "drop",
        mapped=mapped,
        event_time=event_time,
        rendered=rendered or Rendered(),
        why=f"its reason: {reason}",
    )


def changed(document: Json, change: Json) -> Json:
    """A copy of the document with the values of `change` set; keys that are missing on the way are made.

    Raises CannotRun for a path that leads nowhere in this document.
    """
    document = deepcopy(document)
    for path, value in change.items():
        node = document
        steps = parse_path(path).steps
        for step, following in pairwise(steps):
            node = _child(node, step, path, [] if isinstance(following, int) else {})
        _set(node, steps[-1], path, value)
    return document


def _child(node: Json, step: str | int | None, path: str, missing: Json) -> Json:
    if isinstance(step, str) and isinstance(node, dict):
        if node.get(step) is None:
            node[step] = missing
        return node[step]
    if isinstance(step, int) and isinstance(node, list) and step < len(node):
        return node[step]
    raise CannotRun("change", f"`{path}` leads nowhere in this sample")


def _set(node: Json, step: str | int | None, path: str, value: Json) -> None:
    if isinstance(step, str) and isinstance(node, dict):
        node[step] = value
    elif isinstance(step, int) and isinstance(node, list) and step <= len(node):
        node[step : step + 1] = [value]  # one behind the last is added
    else:
        raise CannotRun("change", f"`{path}` leads nowhere in this sample")


def _written(duration: timedelta) -> str:
    """A duration as a test writes it."""
    seconds = int(duration.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
