"""Expectations rewritten to what was got: which text stands where the old one stood, and what is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mapping.load import load_mappings
from bridge.mapping.trial import TABLES, try_mapping
from bridge.mapping.update import Updated, rewritten, update
from bridge.mapping.values import clean, text_of
from bridge.yamlfile import parse_yaml

MAPPING = """\
mapping: doors
version: 1
owner: facilities@corp.example
time: .at
severity: {from: .level, default: low}
correlation: {id: "door:{{ .door }}", close_when: {.state: shut}}
route: [{to: itsm}]
fields:
  create:
    short_description: "Door {{ .door }}: {{ severity }}"
    description: |
      Door {{ .door }}

      Level {{ .level }}
observables: {ip: [.reader, .panel]}
tests:
"""
SAMPLE = {"door": "B7", "level": "high", "at": "2026-04-01T08:00:00Z", "reader": "10.1.1.7", "panel": "10.1.1.8"}


@pytest.fixture
def updated(tmp_path: Path) -> Any:
    """Updates a mapping whose tests are given as YAML below `tests:`; the tests as they then stand in the file."""

    def run(tests: str) -> tuple[str, Updated]:
        (tmp_path / "a.json").write_text(json.dumps(SAMPLE))
        (tmp_path / "doors.yaml").write_text(MAPPING + tests)
        result = update(load_mappings(tmp_path, ["doors"])["doors"], tmp_path, TABLES)
        assert result.text.startswith(MAPPING)
        (tmp_path / "doors.yaml").write_text(result.text)
        return result.text.removeprefix(MAPPING), result

    return run


HEAD = "  - name: a test\n    alert: a.json\n"
REWRITES = {
    "a value between braces, and no other": (
        "    expect: {action: update, severity: high}  # new\n",
        "    expect: {action: create, severity: high}  # new\n",
    ),
    "a value on a line of its own, with the comment behind it": (
        "    expect:\n      # which one\n      severity: low   # by level\n      route: itsm\n",
        "    expect:\n      # which one\n      severity: high   # by level\n      route: itsm\n",
    ),
    "a text that needs quotes gets them": (
        "    expect:\n      fields.short_description: Door\n",
        '    expect:\n      fields.short_description: "Door B7: high"\n',
    ),
    "single quotes stay single": (
        "    expect:\n      fields.short_description: 'Door'\n",
        "    expect:\n      fields.short_description: 'Door B7: high'\n",
    ),
    "nothing is null": (
        "    expect: {fields.impact: 2}\n",
        "    expect: {fields.impact: null}\n",
    ),
    "a key without a value gets one": (
        "    expect:\n      severity:\n      route: itsm\n",
        "    expect:\n      severity: high\n      route: itsm\n",
    ),
    "a text of several lines stays one": (
        "    expect:\n      fields.description: |\n        Door A\n\n      # a comment\n      severity: high\n",
        "    expect:\n      fields.description: |\n        Door B7\n\n        Level high\n\n"
        "      # a comment\n      severity: high\n",
    ),
    "a text of several lines in quotes": (
        '    expect: {fields.description: ""}\n',
        '    expect: {fields.description: "Door B7\\n\\nLevel high"}\n',
    ),
    "the observables of the kinds that differ": (
        "    expect:\n      observables:\n        user: [x]\n        # both\n        ip:\n        - 10.1.1.7  # one\n"
        "        # end\n      severity: high\n",
        "    expect:\n      observables:\n        user: []\n        # both\n        ip: [10.1.1.7, 10.1.1.8]  # one\n"
        "        # end\n      severity: high\n",
    ),
    "every step, though a test stops at its first that fails": (
        "    expect: {action: update}\n    then:\n      - {after: 1m, expect: {action: create}}\n"
        "      - after: 1m\n        change: {.state: shut}\n        expect: {action: nothing, status: firing}\n",
        "    expect: {action: create}\n    then:\n      - {after: 1m, expect: {action: nothing}}\n"
        "      - after: 1m\n        change: {.state: shut}\n        expect: {action: close, status: resolved}\n",
    ),
    "one step where a list is expected": (
        "    expect: {action: create}\n    then: {after: 1m, expect: {action: create}}\n",
        "    expect: {action: create}\n    then: {after: 1m, expect: {action: nothing}}\n",
    ),
    "what passes stays as it is written": (
        "    expect:   {action: \"create\", event_time: '2026-04-01 08:00:00'}\n",
        "    expect:   {action: \"create\", event_time: '2026-04-01 08:00:00'}\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), REWRITES.values(), ids=REWRITES)
def test_an_expectation_is_rewritten(updated: Any, before: str, after: str) -> None:
    assert updated(HEAD + before)[0] == HEAD + after


@pytest.mark.parametrize(("before", "after"), REWRITES.values(), ids=REWRITES)
def test_then_the_test_passes(updated: Any, tmp_path: Path, before: str, after: str) -> None:
    updated(HEAD + before)
    (trial,) = try_mapping(load_mappings(tmp_path, ["doors"])["doors"], tmp_path)
    assert trial.findings == ()


def test_every_change_is_told_as_it_failed(updated: Any) -> None:
    _, result = updated(HEAD + "    expect: {action: create, severity: low}\n")
    assert [(trial.name, finding.key, finding.expected, finding.got) for trial, finding in result.changes] == [
        ("a test", "severity", "low", "high")
    ]


def test_a_step_that_cannot_run_stays_as_it_is(updated: Any) -> None:
    tests = HEAD + "    element: 3\n    expect: {action: update}\n"
    assert updated(tests) == (tests, Updated(text=MAPPING + tests, changes=()))


def test_the_steps_after_one_that_cannot_run_stay_as_they_are(updated: Any) -> None:
    steps = "    then:\n      - {after: 1m, alert: none.json, expect: {action: x}}\n"
    tests = HEAD + "    expect: {action: create}\n" + steps
    assert updated(tests)[0] == tests


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.sampled_from("\n:#'\"{,")
)


@given(TEXTS.map(clean), st.sampled_from(["old", '"old"', "'old'", "|\n        old", "~", ""]))
def test_any_text_is_read_back_as_it_was_got(got: str, old: str) -> None:
    text = f"- a:\n    b: {old}\n    c: d # e\n"
    after = rewritten(text, [((0, "a", "b"), got)])
    value = parse_yaml(after.encode(), "").value[0]["a"]
    assert (clean(text_of(value["b"])), value["c"], after.endswith(" d # e\n")) == (got, "d", True)
