"""Which places of a mapping alerts came to, and how many."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.mapping.coverage import Coverage, Sort
from bridge.mapping.explain import Setting
from bridge.mapping.load import compile_files
from bridge.mapping.recording import Recorder
from bridge.mapping.trial import TABLES, try_mapping
from bridge.sources.document import decode

NOW = datetime(2026, 11, 24, 21, 5, tzinfo=UTC)
SETTING = Setting(now=NOW, source="doors", tables=TABLES)
MAPPING = """\
mapping: doors
version: 1
owner: soc@corp.example
match:
  any:
    - .door|exists: true
    - .doors|exists: true
each: {in: ".doors[] ?? ."}
extract:
  door: .door ?? .name
severity:
  from: .level
  table: {low: low, HIGH: high}
  default: medium
  ranges: [{gte: 90, to: critical}, {gt: 50, to: high}]
  raise_to: {critical: {door: vault}}
correlation: {id: "{{ door }}", update_every: [5m], close_when: {.state: shut}}
suppress:
  - {name: drill, reason: a test, permanent: true, when: {.drill: true}}
  - name: night
    reason: a test
    permanent: true
    window: {from: "22:00", to: "23:00", tz: UTC}
    when: {.kind: nightly}
route:
  - {when: {severity|at_least: high}, to: sir}
  - {to: itsm}
fields:
  create:
    short_description: "{{ .title ?? door }}"
    urgency: {by: severity, table: {critical: 1, high: 2}, default: 3}
  update: {work_notes: "{{ .note ?? \\"again\\" }}"}
tests:
  - name: told once, again after five minutes, and closed
    alert: door.json
    expect: {action: create}
    then:
      - {after: 1m, expect: {action: nothing}}
      - {wait: 4m, expect: {action: update}}
      - {after: 1m, change: {.state: shut}, expect: {action: close}}
  - name: a low one, whatever the sample says
    alert: door.json
    change: {.level: low, .title: Door}
    expect: {route: itsm}
"""


def hits(coverage: Coverage) -> dict[str, int]:
    return {point.what: point.hits for point in coverage.points()}


def by_alerts(*documents: Any, mapping: str = MAPPING) -> dict[str, int]:
    recorder = Recorder()
    compiled = compile_files("doors", {"doors.yaml": mapping}, watch=recorder)
    coverage = Coverage(recorder)
    for document in documents:
        for at in range(len(document.get("doors") or [document])):
            coverage.count_alert(compiled, decode(json.dumps(document).encode()), at, SETTING)
    return hits(coverage)


def by_tests(folder: Path, **sample: Any) -> dict[str, int]:
    (folder / "door.json").write_text(json.dumps({"door": "north", "level": "high", **sample}), "utf-8")
    recorder, files = Recorder(), {"doors.yaml": MAPPING}
    coverage = Coverage(recorder)
    trials = try_mapping(compile_files("doors", files, watch=recorder), folder, beside=compile_files("doors", files))
    assert [finding for trial in trials for finding in trial.findings] == []
    coverage.count()
    return hits(coverage)


def test_every_place_is_there_with_its_line_before_anything_was_counted() -> None:
    recorder = Recorder()
    compile_files("doors", {"doors.yaml": MAPPING}, watch=recorder)
    points = Coverage(recorder).points()
    assert {point.hits for point in points} == {0}
    assert [(point.sort, point.what, int(point.place.partition(":")[2])) for point in points] == [
        (Sort.MATCH, "match: .door|exists: true", 6),
        (Sort.MATCH, "match: .doors|exists: true", 7),
        (Sort.ALTERNATIVE, "each.in: .doors[]", 8),
        (Sort.ALTERNATIVE, "each.in: .", 8),
        (Sort.ALTERNATIVE, "extract.door: .door", 10),
        (Sort.ALTERNATIVE, "extract.door: .name", 10),
        (Sort.ROW, "severity.table: low: low", 13),
        (Sort.ROW, "severity.table: HIGH: high", 13),
        (Sort.ROW, "severity.ranges: {gte: 90, to: critical}", 15),
        (Sort.ROW, "severity.ranges: {gt: 50, to: high}", 15),
        (Sort.ROW, "severity.raise_to.critical", 16),
        (Sort.ROW, "severity.default: medium", 14),
        (Sort.SUPPRESSION, "suppress: drill", 19),
        (Sort.SUPPRESSION, "suppress: night", 23),
        (Sort.ROUTE, "route[0] to sir", 26),
        (Sort.ROUTE, "route[1] to itsm", 27),
        (Sort.ALTERNATIVE, "fields.create.short_description: .title", 30),
        (Sort.ALTERNATIVE, "fields.create.short_description: door", 30),
        (Sort.ROW, "fields.create.urgency.table.critical: 1", 31),
        (Sort.ROW, "fields.create.urgency.table.high: 2", 31),
        (Sort.ROW, "fields.create.urgency.default: 3", 31),
        (Sort.ALTERNATIVE, "fields.update.work_notes: .note", 32),
        (Sort.ALTERNATIVE, 'fields.update.work_notes: "again"', 32),
    ]


def test_an_alert_counts_where_it_came_to_and_nowhere_else() -> None:
    counted = by_alerts({"door": "north", "level": "High", "title": "Door"})
    assert {what for what, count in counted.items() if count} == {
        "match: .door|exists: true",
        "each.in: .",
        "extract.door: .door",
        "severity.table: HIGH: high",
        "route[0] to sir",
        "fields.create.short_description: .title",
        "fields.create.urgency.table.high: 2",
    }


def test_a_place_counts_its_alerts_and_not_how_often_it_was_asked() -> None:
    counted = by_alerts({"doors": [{"name": "a"}, {"name": "b"}]}, {"door": "vault", "drill": True})
    assert counted["extract.door: .name"] == 2
    assert counted["severity.default: medium"] == 3
    assert (counted["severity.raise_to.critical"], counted["suppress: drill"]) == (1, 1)


def test_a_number_counts_at_its_range_and_not_at_the_default() -> None:
    counted = by_alerts(
        {"door": "north", "level": 70}, {"door": "north", "level": 7}, {"door": "north", "level": "low"}
    )
    assert (counted["severity.ranges: {gt: 50, to: high}"], counted["severity.default: medium"]) == (1, 1)


def test_a_suppression_counts_within_its_hours_only() -> None:
    assert by_alerts({"door": "north", "kind": "nightly"})["suppress: night"] == 0
    later = MAPPING.replace('from: "22:00"', 'from: "21:00"')
    assert by_alerts({"door": "north", "kind": "nightly"}, mapping=later)["suppress: night"] == 1


def test_an_alert_that_cannot_be_mapped_counts_as_far_as_it_got() -> None:
    counted = by_alerts({"door": " ", "doors": [{}], "level": "low"})
    assert (counted["match: .doors|exists: true"], counted["severity.default: medium"]) == (1, 1)
    assert (counted["route[1] to itsm"], counted["extract.door: .name"]) == (0, 0)


def test_an_alert_beyond_the_limits_counts_up_to_there() -> None:
    counted = by_alerts({"door": "north", "deep": json.loads("[" * 40 + "]" * 40)})
    assert (counted["match: .door|exists: true"], counted["route[1] to itsm"]) == (1, 0)


def test_an_alternative_that_is_nothing_is_no_hit() -> None:
    counted = by_alerts({"door": "north", "doors": []})
    assert (counted["each.in: .doors[]"], counted["each.in: ."]) == (0, 1)


def test_a_match_without_alternatives_is_one_place() -> None:
    one = MAPPING.replace("  any:\n    - .door|exists: true\n    - .doors|exists: true\n", "  {.door: [a, b]}\n")
    assert by_alerts({"door": "b"}, {"door": "c"}, mapping=one)["match: .door: [a, b]"] == 1


def test_a_match_that_is_a_list_has_its_elements() -> None:
    one = MAPPING.replace("  any:\n    - .door|", "  - .door|").replace(
        "    - .doors|", "  - {not: {.door: a}, .doors|"
    )
    one = one.replace(".doors|exists: true", ".doors|exists: true}")
    counted = by_alerts({"door": "a"}, {"doors": [{"name": "x"}]}, mapping=one)
    assert counted["match: .door|exists: true"] == 1
    assert counted["match: not (.door: a) and .doors|exists: true"] == 1


def test_tests_count_what_they_post_and_not_the_sample_before_their_change(tmp_path: Path) -> None:
    counted = by_tests(tmp_path)
    assert counted["severity.table: low: low"] == 1
    assert counted["severity.table: HIGH: high"] == 3  # the alerts of the first test
    assert counted["route[0] to sir"] == 3
    assert counted["fields.create.short_description: .title"] == 1


def test_tests_count_the_texts_that_they_had_written(tmp_path: Path) -> None:
    counted = by_tests(tmp_path, note="n")
    assert (counted["fields.update.work_notes: .note"], counted['fields.update.work_notes: "again"']) == (1, 0)
