"""What an explanation says of an alert: values, places, what won, what lost and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.mapping.explain import NoElement, Setting, explain
from bridge.mapping.explanation import Explanation, Section, Step
from bridge.mapping.load import compile_files
from bridge.mapping.recording import Recorder
from bridge.mapping.trial import TABLES
from bridge.sources.document import Document

NOW = datetime(2026, 11, 24, 21, 5, tzinfo=UTC)
MAPPING = """\
mapping: doors
version: 1
owner: soc@corp.example
include: [_shared/routes.yaml]
match:
  any:
    - .door|exists: true
    - .gate|exists: true
each: {in: ".events[] ?? ."}
extract:
  door: .door ?? .gate ?? "unknown"
  badge: '.badge | regex("([0-9]+)")'
  who: "{{ .first }} {{ .last }}"
time: .at ?? .seen
severity:
  from: .level
  table: {1: low, 2: high}
  ranges: [{gte: 90, to: critical}, {gte: 50, to: high}]
  default: medium
  raise_to: {critical: {door: vault}}
  lower_to: {low: {.drill: true}}
correlation:
  id: "{{ door }}:{{ badge ?? .holder }}"
  formerly: "{{ .old }}"
  join: [{same: [.holder, door], within: 4h}]
  close_when: {.state: [shut, locked]}
suppress:
  - {name: old, reason: was so, until: 2026-01-01, when: {.kind: known}}
  - {name: known, reason: as it is, permanent: true, when: {.kind: known, severity|at_most: medium}}
  - name: night
    reason: as it is
    permanent: true
    window: {from: "23:00", to: "05:00", tz: UTC}
    when: {.kind: nightly}
  - {name: later, reason: as it is, permanent: true, when: {.kind: known}}
route:
  - when: {severity|at_least: high, not: {.site: [east, west]}}
    to: sir
    assignment_group: "{{ .team }}"
    else_group: SOC
  - {when: {.site: test}, to: drop}
fields:
  create:
    short_description: "{{ door }} by {{ who ?? \\"nobody\\" }}"
    u_badge: "{{ badge }}"
    u_note: ""
    urgency: {by: severity, table: {high: 1}, default: 3}
    cmdb_ci: {find: cmdb_ci, by: {name: "{{ door }}"}, else: none}
  update: {work_notes: "{{ repeat_count }}"}
observables: {door: [door, .gate]}
"""
FILES = {"doors.yaml": MAPPING, "_shared/routes.yaml": "route:\n  - {to: itsm, assignment_group: Guards}\n"}


def told(element: int = 0, **alert: Any) -> Explanation:
    recorder = Recorder()
    mapping = compile_files("doors", FILES, watch=recorder)
    document = Document({"door": "north", "badge": "no. 7", **alert}, within_limits=True)
    return explain(mapping, recorder, document, element, Setting(now=NOW, source="doors", tables=TABLES))


def section(explanation: Explanation, name: str) -> Section:
    return next(section for section in explanation.sections if section.name == name)


def lines(explanation: Explanation, name: str, step: str = "") -> list[str]:
    """The steps of a section, or the parts of one of them: verdict, what, value, why."""
    steps = section(explanation, name).steps
    if step:
        steps = next(one for one in steps if one.what == step).parts
    return [_line(one) for one in steps]


def _line(step: Step) -> str:
    shown = f"= {step.value}" if step.value is not None else ""
    return " ".join(part for part in (step.verdict and f"{step.verdict}:", step.what, shown, step.why) if part)


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(MAPPING.splitlines(), 1) if text in line)


def test_the_sections_stand_in_the_order_of_the_language() -> None:
    assert [section.name for section in told(level=2).sections] == [
        *("match", "each", "extract", "time", "severity", "correlation", "closing", "suppress", "route"),
        *("fields.create", "fields.update", "fields.update, besides when the severity rose", "fields.reopen"),
        "observables",
    ]


def test_an_alternative_that_is_taken_names_those_that_lost_and_why() -> None:
    assert lines(told(events=[{"door": " ", "badge": "7"}]), "extract", "door") == [
        "lost: .door =   empty",
        "lost: .gate not in the alert",
        'taken: "unknown" = unknown',
    ]


def test_an_alternative_behind_the_taken_one_was_not_asked() -> None:
    assert lines(told(), "extract", "door")[1:] == ["not asked: .gate", 'not asked: "unknown"']


def test_a_pipe_tells_what_it_made_nothing_of() -> None:
    (badge,) = [step for step in section(told(badge="none"), "extract").steps if step.what == "badge"]
    assert (badge.value, badge.why, _line(badge.parts[0])) == (
        None,
        "its functions make nothing of this",
        ".badge = none",
    )


def test_a_text_tells_its_holes() -> None:
    assert lines(told(first="Ann"), "extract", "who") == [".first = Ann", ".last not in the alert"]


def test_a_time_that_cannot_be_read_loses() -> None:
    when = told(seen="2026-11-24T20:00:00Z", at="soon")
    assert lines(when, "time", "time") == ["lost: .at = soon not a time", "taken: .seen = 2026-11-24T20:00:00Z"]


@pytest.mark.parametrize(
    ("alert", "steps"),
    [
        ({"level": 2}, ["from = 2", "taken: table 2: high"]),
        ({"level": 60}, ["from = 60", "taken: ranges {gte: 50, to: high}"]),
        ({"level": 9}, ["from = 9", "taken: default: medium no row has this value"]),
    ],
)
def test_a_severity_names_its_row(alert: Any, steps: list[str]) -> None:
    assert lines(told(**alert), "severity")[:2] == steps


def test_a_bound_of_the_severity_is_taken_lost_or_not_asked() -> None:
    assert lines(told(door="vault", level=1, drill=False), "severity")[2:] == [
        "taken: raise_to: critical",
        "lost: lower_to: low",
    ]
    assert lines(told(level=1), "severity")[3] == "not asked: lower_to: low it would change nothing"


def test_the_identity_tells_its_parts() -> None:
    explanation = told(badge=None, holder="h")
    assert section(explanation, "correlation").value == "north:h"
    assert lines(explanation, "correlation", "badge ?? .holder") == ["lost: badge nothing", "taken: .holder = h"]


def test_the_former_identity_is_told_when_it_is_another() -> None:
    steps = {step.what: step for step in section(told(old="o"), "correlation").steps}
    assert (steps["formerly"].value, [_line(part) for part in steps["formerly"].parts]) == ("o", [".old = o"])
    steps = {step.what: step for step in section(told(), "correlation").steps}
    assert _line(steps["formerly"]) == "formerly empty, or as it is now"


def test_a_join_tells_its_values_and_what_it_lacks() -> None:
    (join,) = [step for step in section(told(holder="h"), "correlation").steps if step.what.startswith("join")]
    assert (join.verdict, [_line(part) for part in join.parts]) == ("taken", [".holder = h", "door = north"])
    (join,) = [step for step in section(told(), "correlation").steps if step.what.startswith("join")]
    assert (join.verdict, join.why) == ("lost", "a value is empty, or a literal")


def test_an_empty_identity_is_quarantined_and_told_up_to_there() -> None:
    explanation = told(badge=None)
    assert (explanation.outcome, explanation.reason, explanation.mapped) == ("quarantined", "empty_identity", None)
    assert explanation.sections[-1].name == "correlation"
    assert lines(explanation, "correlation", "badge ?? .holder")[1] == "lost: .holder not in the alert"


def test_a_delivery_that_does_not_match_tells_what_it_lacks() -> None:
    explanation = told(door=None)
    assert explanation.reason == "no_match"
    assert lines(explanation, "match", "any") == [
        "fails: .door|exists: true not in the alert",
        "fails: .gate|exists: true not in the alert",
    ]


def test_a_closing_alert_asks_no_suppression() -> None:
    explanation = told(state="SHUT", kind="known")
    assert lines(explanation, "closing") == ["holds: .state: [shut, locked] = SHUT"]
    assert (explanation.outcome, section(explanation, "suppress").why) == (
        "accepted",
        "an alert that closes is accepted",
    )
    assert {step.verdict for step in section(explanation, "suppress").steps} == {"not asked"}


def test_suppressions_tell_which_is_over_which_won_and_which_came_too_late() -> None:
    explanation = told(kind="known")
    assert (explanation.outcome, explanation.reason) == ("suppressed", "known")
    assert lines(explanation, "suppress") == [
        "lost: old not in force at this time",
        "taken: known as it is",
        "not asked: night as it is",
        "not asked: later as it is",
    ]


def test_a_suppression_outside_its_hours_tells_them() -> None:
    explanation = told(kind="nightly")
    night = next(step for step in section(explanation, "suppress").steps if step.what == "night")
    assert night.verdict == "lost"
    assert [part.what for part in night.parts] == [".kind: nightly", "window {from: 23:00, to: 05:00, tz: UTC}"]
    assert [(part.verdict, part.value) for part in night.parts] == [("holds", "nightly"), ("fails", NOW)]


def test_a_condition_tells_the_key_that_failed_with_what_it_saw() -> None:
    explanation = told(level=2, kind="known")
    (every,) = next(step for step in section(explanation, "suppress").steps if step.what == "known").parts
    assert [_line(key) for key in every.parts] == [
        "holds: .kind: known = known",
        "fails: severity|at_most: medium = high",
    ]


def test_routes_tell_which_lost_and_which_was_not_asked() -> None:
    explanation = told(level=2, site="east", team="Yard")
    assert lines(explanation, "route") == [
        "lost: route[0] to sir",
        "lost: route[1] to drop",
        "taken: route[2] to itsm has no `when`",
    ]
    (every,) = section(explanation, "route").steps[0].parts
    assert _line(every.parts[1].parts[0]) == "holds: .site: [east, west] = east"
    assert lines(told(site="test"), "route")[2] == "not asked: route[2] to itsm"


def test_a_dropped_alert_has_no_fields() -> None:
    explanation = told(site="test")
    assert (explanation.outcome, explanation.sections[-1].name) == ("dropped", "route")


def test_fields_tell_the_row_that_was_taken_and_the_column_that_is_left_out() -> None:
    explanation = told(level=2, badge=None, holder="h", team="Yard")
    assert lines(explanation, "fields.create", "urgency") == ["by = high", "taken: table high = 1"]
    columns = {step.what: step for step in section(explanation, "fields.create").steps}
    assert (columns["u_badge"].value, columns["u_badge"].why[:8]) == (None, "left out")
    assert (columns["u_note"].value, columns["u_note"].why) == ("", "clears the column")
    assert columns["assignment_group"].value.by == (("name", "Yard"),)
    assert [_line(part) for part in columns["assignment_group"].parts] == [
        "else_group = SOC",
        "assignment_group = Yard",
    ]


def test_a_row_behind_the_default_is_told_too() -> None:
    assert lines(told(), "fields.create", "urgency") == ["by = medium", "taken: default = 3"]


def test_an_update_tells_besides_what_only_a_rise_brings() -> None:
    names = [step.what for step in section(told(), "fields.update, besides when the severity rose").steps]
    assert names == ["urgency"]


def test_observables_are_told_with_those_that_are_missing() -> None:
    assert lines(told(), "observables") == ["door = north", "door not in the alert"]


def test_one_of_several_alerts_is_chosen_by_its_place() -> None:
    events = [{"badge": "1"}, {"badge": "2"}]
    explanation = told(1, events=events)
    assert (explanation.element, explanation.elements) == (1, 2)
    assert section(explanation, "correlation").value == "unknown:2"
    assert section(explanation, "each").value == 2


def test_a_place_beyond_the_last_alert_is_refused() -> None:
    with pytest.raises(NoElement, match="the delivery has 1 alerts, there is no element 3"):
        told(3)


def test_every_step_has_its_line() -> None:
    explanation = told(level=2)
    places = {(found.name, step.what): step.place for found in explanation.sections for step in found.steps}
    assert places["extract", "door"] == f"doors.yaml:{line_of('door: .door')}"
    assert places["correlation", "door"] == f"doors.yaml:{line_of('id: ')}"
    assert places["route", "route[0] to sir"] == f"doors.yaml:{line_of('when: {severity|at_least: high')}"
    assert places["route", "route[2] to itsm"] == "_shared/routes.yaml:2"
    assert places["severity", "table 2: high"] == f"doors.yaml:{line_of('table: {1: low')}"
    assert places["fields.create", "urgency"] == f"doors.yaml:{line_of('urgency:')}"
    assert places["fields.create", "u_note"] == f"doors.yaml:{line_of('u_note:')}"


def test_a_target_that_is_not_known_has_the_fields_of_all_tables() -> None:
    recorder = Recorder()
    mapping = compile_files("doors", FILES, watch=recorder)
    document = Document({"door": "north", "badge": "7"}, within_limits=True)
    explanation = explain(mapping, recorder, document, 0, Setting(now=NOW, source="doors", tables={}))
    assert section(explanation, "fields.create").why == "the target is not known: what is common to all tables"
