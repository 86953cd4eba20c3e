"""The runner of a mapping's tests: what passes, what fails, and what a failure says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.mapping.expectation import READINGS
from bridge.mapping.load import load_mappings
from bridge.mapping.model import EXPECTATIONS
from bridge.mapping.trial import Trial, try_mapping

MAPPING = """\
mapping: doors
version: 1
owner: facilities@corp.example
match: {.door|exists: true}
each: {in: ".events[] ?? ."}
time: .at
severity: {from: .level, default: low}
correlation:
  id: "door:{{ .door }}"
  update_every: [10m, 1h]
  reopen: {within: 2d, else: create}
  close_when: {.state: shut}
  close_after: 5m
  join: [{same: [.floor], within: 4h}]
suppress:
  - {name: drill, reason: a fire drill, permanent: true, when: {.drill: true}}
route:
  - {when: {.level: info}, to: drop}
  - {when: {.level: critical}, to: sir, assignment_group: Guards}
  - {to: itsm, assignment_group: Porters}
fields:
  create:
    short_description: "Door {{ .door }} is {{ severity }}"
    description: |
      Door {{ .door }}
      Level {{ .level }}
    urgency: {by: severity, table: {critical: 1}, default: 3}
  update: {work_notes: "{{ repeat_count }} times, last at {{ last_seen | date('%H:%M') }}"}
  close: {close_notes: shut}
observables: {ip: [.reader, .panel]}
outputs: {alarm: {when: {.alarm: true}, event: {node: "{{ .door }}"}}}
tests:
"""
SAMPLE = {"door": "B7", "level": "medium", "state": "open", "at": "2026-04-01T08:00:00Z", "reader": "10.1.1.7"}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs one test, written as the YAML below `- name: …, alert: …`."""

    def run(test: str, sample: Any = SAMPLE, tables: dict[str, str] | None = None) -> Trial:
        (tmp_path / "a.json").write_text(sample if isinstance(sample, str) else json.dumps(sample))
        body = "".join(f"    {line}\n" for line in test.strip().splitlines())
        (tmp_path / "doors.yaml").write_text(f"{MAPPING}  - name: a test\n    alert: a.json\n{body}")
        mapping = load_mappings(tmp_path, ["doors"])["doors"]
        (trial,) = try_mapping(mapping, tmp_path, tables) if tables is not None else try_mapping(mapping, tmp_path)
        return trial

    return run


PASSING = {
    "every key that a test may expect": """
        expect:
          action: create
          reason: first_alert
          outcome: accepted
          route: itsm
          severity: medium
          status: firing
          correlation_id: door:B7
          event_time: 2026-04-01T08:00:00Z
          suppressed_by: null
          observables: {ip: 10.1.1.7}
          fields.short_description: Door B7 is medium
          fields.urgency: 3
          fields.assignment_group: Porters
          fields.cmdb_ci: null
        """,
    "the clock starts at the alert's own time, and the sample moves along": """
        expect: {action: create}
        then:
          - {after: 4m, expect: {action: nothing, reason: repeat, event_time: 2026-04-01 08:04:00}}
          - {wait: 6m, expect: {action: update, reason: repeats, fields.work_notes: "2 times, last at 08:04"}}
        """,
    "a time that the change sets is kept": """
        expect: {action: create}
        then:
          - {after: 1h, change: {.at: 2026-04-01T07:00:00Z}, expect: {event_time: 2026-04-01T07:00:00Z}}
        """,
    "a time far ahead of the clock counts as now": """
        expect: {action: create}
        then:
          - {after: 1m, change: {.at: 2026-04-02T00:00:00Z}, expect: {event_time: 2026-04-01T08:01:00Z}}
        """,
    "an alert older than the last change is stale": """
        expect: {action: create}
        then:
          - {after: 1m, change: {.state: shut}, expect: {action: nothing, reason: quiet_time}}
          - {after: 1m, change: {.at: 2026-04-01T07:00:00Z}, expect: {action: nothing, reason: stale}}
        """,
    "a change lasts for its own step": """
        change: {.level: low}
        expect: {action: create, severity: low}
        then: [{after: 1m, expect: {action: update, reason: severity_rose, severity: medium}}]
        """,
    "resolved, closed after the quiet time, back, gone for good": """
        expect: {action: create}
        then:
          - {after: 1h, change: {.state: shut}, expect: {action: nothing, reason: quiet_time, status: resolved}}
          - {wait: 5m, expect: {action: close, reason: resolved, fields.close_notes: shut}}
          - {after: 1d, expect: {action: reopen, reason: came_back}}
          - {after: 1h, change: {.state: shut}, expect: {action: nothing}}
          - {wait: 5m, expect: {action: close}}
          - {after: 3d, expect: {action: create, reason: new_episode}}
        """,
    "another problem with the same value joins, until the incident is too old": """
        change: {.floor: 3}
        expect: {action: create}
        then:
          - change: {.door: C8, .floor: 3}
            after: 1h
            expect: {action: join, reason: same_values, correlation_id: door:C8, route: itsm}
          - {change: {.floor: 3, .state: shut}, after: 1m, expect: {action: nothing, reason: in_step}}
          - {change: {.door: C8, .floor: 3, .state: shut}, after: 1m, expect: {action: nothing, reason: quiet_time}}
          - {wait: 5m, expect: {action: close, reason: resolved}}
          - {change: {.door: D9, .floor: 3}, after: 4h, expect: {action: create, reason: first_alert}}
        """,
    "a problem that is worse joins and raises": """
        change: {.floor: 3}
        expect: {action: create, severity: medium}
        then: [{change: {.door: C8, .floor: 3, .level: high}, after: 1m, expect: {action: join, severity: high}}]
        """,
    "resolved before anything fired": """
        change: {.state: shut}
        expect: {action: nothing, reason: resolved_before_incident, outcome: accepted}
        """,
    "a drop": """
        change: {.level: info}
        expect: {action: drop, reason: route_drop, outcome: dropped, route: drop}
        """,
    "an open episode keeps its route": """
        expect: {action: create, route: itsm}
        then: [{after: 1m, change: {.level: info}, expect: {action: nothing, outcome: accepted, route: itsm}}]
        """,
    "a suppressed alert is only counted": """
        change: {.drill: true}
        expect: {action: suppress, outcome: suppressed, suppressed_by: drill}
        then:
          - {after: 1m, expect: {action: create, reason: first_alert}}
        """,
    "a suppressed alert that raises the severity is accepted": """
        expect: {action: create}
        then:
          - after: 1m
            change: {.drill: true, .level: critical}
            expect: {action: update, outcome: accepted, fields.urgency: 1}
        """,
    "an alert without identity": """
        change: {.door: " "}
        expect: {action: quarantine, outcome: quarantined, reason: no_match, correlation_id: null}
        """,
    "keys that are missing on the way are made": """
        change: {.level: null, .a.b.c: 1}
        expect: {severity: low}
        """,
    "another problem has its own incident": """
        expect: {action: create}
        then:
          - {after: 1m, change: {.door: C1}, expect: {action: create, correlation_id: door:C1}}
          - {after: 1m, expect: {action: nothing, reason: repeat}}
        """,
}


@pytest.mark.parametrize("test", PASSING.values(), ids=PASSING)
def test_it_passes(run: Any, test: str) -> None:
    assert run(_dedented(test)).findings == ()


FAILING = {
    "a wrong action names the reason": (
        "expect: {action: update}",
        ("step 1", "action", "update", "create", "its reason: first_alert"),
    ),
    "an action that is none": (
        "expect: {action: creates}",
        ("step 1", "action", "creates", "create", "there is no action `creates`: did you mean `create`?"),
    ),
    "an output that is none": (
        "expect: {outputs.alarmm.node: x}",
        ("step 1", "outputs.alarmm.node", "x", None, "there is no output `alarmm`: did you mean `alarm`?"),
    ),
    "a quarantine says why": (
        "change: {.door: null}\nexpect: {action: create}",
        (
            "step 1",
            "action",
            "create",
            "quarantine",
            "the delivery does not match the mapping doors: it has no .door; see its `match`",
        ),
    ),
    "a field": (
        "expect: {fields.short_description: Door B8 is medium}",
        ("step 1", "fields.short_description", "Door B8 is medium", "Door B7 is medium", ""),
    ),
    "a field that is not written": (
        "expect: {fields.impact: 1}",
        ("step 1", "fields.impact", "1", None, "its reason: first_alert"),
    ),
    "a timer between steps": (
        "expect: {action: create}\nthen:\n  - {after: 1m, expect: {action: nothing}}\n"
        "  - {after: 1h, expect: {action: update}}",
        (
            "step 3 (after 1h)",
            "after",
            None,
            None,
            "a timer falls due before this: put `- {wait: 9m, expect: …}` before it, and shorten it by as much",
        ),
    ),
    "a change that leads nowhere": (
        "change: {.door.lock: x}\nexpect: {action: create}",
        ("step 1", "change", None, None, "`.door.lock` leads nowhere in this sample"),
    ),
    "an element that is not there": (
        "element: 1\nexpect: {action: create}",
        ("step 1", "element", None, None, "the delivery has 1 alerts, there is no element 1: the first is 0"),
    ),
}


@pytest.mark.parametrize(("test", "finding"), FAILING.values(), ids=FAILING)
def test_it_fails_and_says_what_is_wrong(run: Any, test: str, finding: tuple[str | None, ...]) -> None:
    (found,) = run(test).findings
    assert (found.step, found.key, found.expected, found.got, found.why) == finding


def test_a_finding_has_its_place_in_the_file(run: Any) -> None:
    (found,) = run("expect:\n  action: create\n  severity: high").findings
    assert found.place.endswith(f"doors.yaml:{MAPPING.count(chr(10)) + 5}:17")


def test_every_wrong_key_of_a_step_is_told_and_the_steps_after_it_are_not_run(run: Any) -> None:
    trial = run("expect: {severity: high, status: resolved}\nthen: [{after: 1m, expect: {severity: high}}]")
    assert [(found.step, found.key) for found in trial.findings] == [("step 1", "severity"), ("step 1", "status")]


def test_a_long_text_is_shown_as_a_diff(run: Any) -> None:
    (found,) = run('expect: {fields.description: "Door B7\\nLevel high"}').findings
    assert found.diff[:2] == ["  Door B7", "- Level high"]


def test_a_target_without_a_table_is_named(run: Any) -> None:
    (found,) = run("expect: {action: create}", tables={"other": "incident"}).findings
    assert found.why == "the route's target `itsm` is not known (known: other)"


def test_a_sample_that_is_missing_is_named(run: Any, tmp_path: Path) -> None:
    trial = run("expect: {action: create}\nthen: [{after: 1m, alert: b.json, expect: {action: nothing}}]")
    assert [found.why for found in trial.findings] == [
        f"{tmp_path / 'b.json'} cannot be read: No such file or directory"
    ]


def test_a_sample_that_is_no_json_is_quarantined_as_intake_would(run: Any) -> None:
    assert run("expect: {action: quarantine, reason: not_json}", sample="{").passed


def test_an_element_is_chosen_from_a_delivery(run: Any) -> None:
    sample = {"door": "in the hall", "events": [SAMPLE, {**SAMPLE, "door": "B8"}]}
    assert run("element: 1\nexpect: {correlation_id: door:B8}", sample=sample).passed


def test_an_alert_without_a_time_starts_a_clock_of_its_own(run: Any) -> None:
    sample = {key: value for key, value in SAMPLE.items() if key != "at"}
    assert run("expect: {action: create}\nthen: [{after: 10m, expect: {action: update}}]", sample=sample).passed


def test_the_routes_that_alerts_took_are_counted(run: Any) -> None:
    trial = run("expect: {action: create}\nthen: [{after: 1m, change: {.level: critical}, expect: {action: update}}]")
    assert trial.routes == {"route[1]", "route[2]"}


def test_all_that_the_shape_allows_can_be_read() -> None:
    assert set(READINGS) == set(EXPECTATIONS)


def _dedented(test: str) -> str:
    lines = test.strip("\n").splitlines()
    return "\n".join(line[8:] for line in lines)
