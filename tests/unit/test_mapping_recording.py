"""Looking on changes nothing: not what a mapping gives, and not what it costs while nobody looks."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.alert import MappedAlert
from bridge.correlation.policy import Kind
from bridge.errors import Unmappable
from bridge.mapping.compile import NO_ROUTE, Mapping
from bridge.mapping.explain import Setting, explain, first_facts
from bridge.mapping.explanation import LOST, NOT_ASKED, TAKEN, Explanation, Step
from bridge.mapping.load import compile_files, load_mappings
from bridge.mapping.recording import Recorder
from bridge.mapping.rendered import Rendered
from bridge.mapping.trial import TABLES, try_mapping
from bridge.mapping.watch import UNWATCHED, Watch
from bridge.sources.document import Document, decode

FOLDER = Path(__file__).parents[2] / "mappings"
NOW = datetime(2026, 11, 24, 21, 5, tzinfo=UTC)

# What the shipped mappings have no need of.
EVERYTHING = r"""
mapping: everything
version: 1
owner: soc@corp.example
match:
  - {all: [{not: {.never|exists: true}}, {.x|exists: false}]}
  - .x|exists: true
each: {in: '.alerts[] ?? .detail.findings[] ?? .', limit: 3}
extract:
  host: .host.hostname ?? .host.name ?? .Resources[0].Id | lower
  risk: '."kibana.alert.risk_score" | number'
  both: "{{ host }}/{{ risk }}"
  team: 'host | lookup(hosts, by=name, take=team) ?? "nobody"'
time: .startsAt ?? ."@timestamp" | time ?? .UpdatedAt
severity:
  from: ."kibana.alert.severity" ?? .Severity.Label
  ranges: [{gte: 90, to: critical}, {gt: 20, lt: 50, to: low}]
  default: info
  raise_to: {high: {risk|gte: 50}, critical: [{.a|re: x}, {.host.name|contains|all: [a, b]}]}
  lower_to: {low: {.labels.env: [dev, null]}}
correlation:
  id: '{{ host ?? .labels.alertname }}:{{ .status ?? "open" }}'
  formerly: "{{ .id ?? host }}/{{ risk }}"
  join: [{same: [host, team], within: 4h}, {same: .user.name, within: 1d}]
  close_when: [{.status: resolved}, {not: {.RecordState: ACTIVE}, .RecordState|exists: true}]
suppress:
  - {name: over, reason: a test, until: 2026-01-01, when: {mapping: everything}}
  - name: hours
    reason: a test
    permanent: true
    window: {days: [mon, tue], from: "20:00", to: "04:00", tz: Europe/Berlin}
    when: {.labels.env|exists: true, host|in_lookup: hosts.name}
  - {name: ranges, reason: a test, permanent: true, when: {any: [{.source.ip|cidr: 10.99.0.0/16}, {severity: info}]}}
route:
  - {when: {severity|at_least: high, all: [{status: firing}]}, to: sir, assignment_group: "{{ host }}", else_group: SOC}
  - {when: {severity|at_most: medium, risk|lt: 100}, to: itsm}
fields:
  create:
    short_description: "{{ both | upper }} {{ .title ?? \"untitled\" }}"
    work_notes: ""
    u_risk: {by: risk, table: {73: high, 0: none}, default: "{{ risk }}"}
    cmdb_ci: {find: cmdb_ci, by: {name: "{{ host }}"}, else: {find: cmdb_ci_server, by: {ip: "{{ .source.ip }}"}}}
  reopen: {work_notes: again}
observables: {ip: [.source.ip, "{{ .destination.ip }}"], user: .user.name}
"""


def _shipped(name: str, watch: Watch = UNWATCHED) -> Mapping:
    return load_mappings(FOLDER, [name], watch=watch)[name]


def _everything(watch: Watch = UNWATCHED) -> Mapping:
    files = {"everything.yaml": EVERYTHING, "lookups/hosts.csv": "name,team\nwks-0421,SOC\nsrv-dns-02,Net\n"}
    return compile_files("everything", files, watch=watch)


def _both(name: str) -> tuple[Mapping, Mapping, Recorder]:
    recorder = Recorder()
    if name == "everything":
        return _everything(), _everything(recorder), recorder
    return _shipped(name), _shipped(name, recorder), recorder


SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
MAPPINGS = {name: _both(name) for name in [*SHIPPED, "everything"]}
SAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((FOLDER / "samples").glob("*.json"))}

VALUES = [
    None,
    "",
    " ",
    "x",
    0,
    95,
    True,
    [],
    {},
    ["a", "b"],
    "critical",
    "HIGH",
    "low",
    "closed",
    "resolved",
    "10.99.3.4",
]
VALUES += ["2026-11-24T20:00:00Z", "0001-01-01T00:00:00Z", {"a": [1]}, "prod", "dev"]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, child in inner for place in _places(child, (*path, key)))]


@st.composite
def deliveries(draw: st.DrawFn, name: str) -> Any:
    """A sample, more often one of this mapping's, with some of its values replaced."""
    own = [sample for sample in SAMPLES.values() if _outcome(MAPPINGS[name][0], sample, 0)[0]]
    document = deepcopy(draw(st.sampled_from(own) | st.sampled_from(list(SAMPLES.values()))))
    for _ in range(draw(st.integers(0, 5))):
        *way, last = draw(st.sampled_from(_places(document)))
        inner = document
        for key in way:
            inner = inner[key]
        inner[last] = deepcopy(draw(st.sampled_from(VALUES)))
        if not _places(document):
            break
    return document


def _made(mapping: Mapping, document: Any) -> list[Any]:
    """Everything that a mapping makes of a delivery, taken as new incidents."""
    try:
        elements, more = mapping.split(document)
    except Unmappable as error:
        return [error.code, error.message]
    made: list[Any] = [elements, more]
    for element in elements:
        try:
            mapped = mapping.map(element, now=NOW)
        except Unmappable as error:
            made += [error.code, error.message]
            continue
        made += [mapped, *_rendered(mapping, element)]
    return made


def _rendered(mapping: Mapping, element: Any) -> list[Rendered]:
    """By the facts that the explanation takes."""
    mapped = mapping.map(element, now=NOW)
    facts = first_facts(mapping, mapped, _setting(mapping))
    table = TABLES.get(mapped.target or "", "")
    rose = mapping.render(element, Kind.UPDATE, facts, table, severity_rose=True)
    return [*(mapping.render(element, kind, facts, table) for kind in Kind if kind is not Kind.NOTHING), rose]


def _setting(mapping: Mapping) -> Setting:
    return Setting(now=NOW, source=mapping.name, tables=TABLES)


by_name = pytest.mark.parametrize("name", MAPPINGS)


@by_name
@given(data=st.data())
def test_a_mapping_that_is_looked_at_makes_the_same_of_every_delivery(name: str, data: st.DataObject) -> None:
    document = data.draw(deliveries(name))
    plain, watched, recorder = MAPPINGS[name]
    assert _made(watched, document) == _made(plain, document)
    recorder.take()


def test_where_nobody_looks_every_closure_is_used_as_it_is() -> None:
    assert UNWATCHED.part("value", None, _made) is _made
    assert UNWATCHED.table(None, VALUES) is VALUES


@by_name
def test_every_part_of_the_file_has_its_line(name: str) -> None:
    unplaced = [part for part in MAPPINGS[name][2].parts if not re.fullmatch(r".+\.yaml:[1-9][0-9]*", part.place)]
    assert {part.kind for part in unplaced} <= {"origin", "expression", "table"}
    assert all(part.alternatives == () for part in unplaced)


def test_what_was_recorded_is_handed_out_once() -> None:
    _, watched, recorder = _both("elastic")
    recorder.take()
    watched.split(SAMPLES["elastic-nested"])
    assert (len(recorder.take()), recorder.take()) == (2, [])


@pytest.mark.parametrize("name", SHIPPED)
def test_tests_come_out_the_same_beside_another(name: str) -> None:
    plain, watched, recorder = MAPPINGS[name]
    assert try_mapping(watched, FOLDER, beside=plain) == try_mapping(plain, FOLDER)
    recorder.take()


# --- explanations


def _explained(name: str, document: Any, at: int) -> Explanation:
    _, watched, recorder = MAPPINGS[name]
    return explain(watched, recorder, Document(document, within_limits=True), at, _setting(watched))


def _steps(explanation: Explanation, section: str) -> tuple[Step, ...]:
    return next((found.steps for found in explanation.sections if found.name == section), ())


def _taken(explanation: Explanation, section: str) -> list[str]:
    return [step.what for step in _steps(explanation, section) if step.verdict == TAKEN]


def _all(steps: tuple[Step, ...]) -> list[Step]:
    return [inner for step in steps for inner in (step, *_all(step.parts))]


def _alerts(name: str, document: Any) -> list[int]:
    """The places of its alerts; the first, of a delivery that is quarantined as a whole."""
    try:
        return list(range(len(MAPPINGS[name][0].split(document)[0])))
    except Unmappable:
        return [0]


def _outcome(mapping: Mapping, document: Any, at: int) -> tuple[MappedAlert | None, str]:
    """What intake takes the alert for, or the code of its quarantine."""
    try:
        return mapping.map(mapping.split(document)[0][at], now=NOW), ""
    except Unmappable as error:
        return None, error.code


@by_name
@given(data=st.data())
def test_an_explanation_says_what_the_mapping_does(name: str, data: st.DataObject) -> None:
    document = data.draw(deliveries(name))
    plain = MAPPINGS[name][0]
    for at in _alerts(name, document):
        told, (mapped, code) = _explained(name, document, at), _outcome(plain, document, at)
        assert told.mapped == mapped
        if mapped is None:
            assert (told.outcome, told.reason) == ("quarantined", code)
            continue
        assert [what.split()[0] for what in _taken(told, "route")] == [mapped.route][: mapped.route != NO_ROUTE]
        assert _taken(told, "suppress") == [mapped.suppressed_by][: mapped.suppressed_by is not None]
        if mapped.target is not None:
            created, *_ = _rendered(plain, plain.split(document)[0][at])
            fields = {step.what: step.value for step in _steps(told, "fields.create") if step.value is not None}
            assert fields == {**created.fields, **created.finds}
            assert told.observables == created.observables


@by_name
@given(data=st.data())
def test_an_alternative_that_is_taken_gives_the_value_and_stands_behind_the_lost(
    name: str, data: st.DataObject
) -> None:
    document = data.draw(deliveries(name))
    for at in _alerts(name, document):
        for section in _explained(name, document, at).sections:
            for step in _all(section.steps):
                verdicts = [part.verdict for part in step.parts]
                if section.name in ("time", "each") or not {LOST, NOT_ASKED, TAKEN}.issuperset(verdicts):
                    continue
                order = [LOST, TAKEN, NOT_ASKED]
                assert verdicts == sorted(verdicts, key=order.index)
                taken = [part.value for part in step.parts if part.verdict == TAKEN]
                assert len(taken) <= 1
                assert step.what.startswith(("table", "default")) or taken in ([], [step.value])


def test_every_sample_is_explained_by_its_mapping() -> None:
    explained = {
        stem for name in SHIPPED for stem, sample in SAMPLES.items() if _explained(name, sample, 0).reason != "no_match"
    }
    assert explained == set(SAMPLES)


def test_a_delivery_beyond_the_limits_of_an_alert_is_told_as_quarantined() -> None:
    _, watched, recorder = MAPPINGS["elastic"]
    deep: Any = SAMPLES["elastic-nested"] | {"deep": json.loads("[" * 40 + "]" * 40)}
    told = explain(watched, recorder, decode(json.dumps(deep).encode()), 0, _setting(watched))
    assert (told.outcome, told.reason) == ("quarantined", "too_deep")
