"""The shape of `tests:`, checked when the mapping is compiled; the test runner gives them their meaning. Pure."""

from __future__ import annotations

from bridge.alert import Json
from bridge.mapping.language import LanguageError, nearest, parse_path
from bridge.mapping.model import EXPECTATIONS, OUTPUT_FIELD, Node, Report


def check_tests(node: Node | None, report: Report) -> list[Json]:
    """The tests as plain data. Every problem of their shape goes to the report."""
    if node is None:
        return []
    if not isinstance(node.value, list):
        report.error(node, "a list of tests is expected here")
        return []
    names = set()
    for test in node.elements():
        if not report.keys(test, "test", ("name", "alert", "expect")):
            continue
        if (name := test.get("name")) is not None:
            text = report.text(name)
            if text in names:
                report.error(name, f"a test `{text}` stands here twice", "each has a name of its own")
            names.add(text)
        _check_step(test, report)
        then = test.get("then")
        for step in then.elements() if then is not None else []:
            if report.keys(step, "step", ("expect",)):
                _check_time(step, report)
                _check_step(step, report)
    return list(node.value)


def _check_step(step: Node, report: Report) -> None:
    if (alert := step.get("alert")) is not None:
        path = report.text(alert)
        if path.startswith("/") or ".." in path.split("/"):
            report.error(alert, "a sample lies inside the mappings folder", "samples/alert.json")
    if (element := step.get("element")) is not None and not (type(element.value) is int and element.value >= 0):
        report.error(element, "`element` is the place of an alert in its delivery: 0 is the first")
    if (change := step.get("change")) is not None:
        _check_change(change, report)
    if (expect := step.get("expect")) is not None:
        _check_expect(expect, report)


def _check_time(step: Node, report: Report) -> None:
    after, wait = step.get("after"), step.get("wait")
    if (after is None) == (wait is None):
        report.error(step, "a step has either `after` (with an alert) or `wait` (without)")
    for node in (after, wait):
        if node is not None:
            report.duration(node)
    for key in ("change", "alert", "element"):
        if wait is not None and (node := step.get(key)) is not None:
            report.error(node, f"a `wait` step has no alert: `{key}` goes with `after`", at_key=True)


def _check_change(change: Node, report: Report) -> None:
    if not isinstance(change.value, dict):
        report.error(change, "a map of path: value is expected here", "{.labels.env: dev}")
    for key, child in change.items():
        try:
            path = parse_path(key)
        except LanguageError as error:
            report.error(child, error.message, error.hint, at_key=True)
            continue
        if None in path.steps or not path.steps:
            report.error(child, f"`{key}` is not one place", "a path without [], such as .a[0].b", at_key=True)


def _check_expect(expect: Node, report: Report) -> None:
    if not isinstance(expect.value, dict) or not expect.value:
        report.error(expect, "a map of what is expected stands here", "{action: create, severity: high}")
    for key, child in expect.items():
        if key not in EXPECTATIONS and not key.startswith("fields.") and OUTPUT_FIELD.fullmatch(key) is None:
            hint = nearest(key, [*EXPECTATIONS, "fields.<column>", "outputs.<name>.<field>"])
            report.error(child, f"a test cannot expect `{key}`", hint, at_key=True)
