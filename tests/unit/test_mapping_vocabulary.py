"""The shipped mappings speak alike: one word for one thing, the same first line; and tests come to all they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridge.mapping.coverage import Coverage, Sort
from bridge.mapping.load import load_mappings
from bridge.mapping.recording import Recorder
from bridge.mapping.trial import try_mapping

FOLDER = Path(__file__).parents[2] / "mappings"
FILES = sorted(FOLDER.glob("*.yaml"))
INCIDENT = "_shared/incident.yaml"
# What is said of an alert, and the other words for it that are not used.
WORDS = {
    "rule": ("title", "alertname", "alert_name", "policy", "policy_name", "detection_name", "rule_name"),
    "host": ("hostname", "hosts", "device", "machine", "computer", "endpoint"),
    "resource": ("resources", "asset", "assets", "repo", "repository"),
    "account": ("project", "subscription", "account_id", "accounts", "tenant"),
    "user": ("users", "username", "user_name", "principal", "actor"),
    "console": ("page", "link", "url", "permalink"),
    "techniques": ("technique", "mitre", "attack"),
    "fix": ("remediation", "recommendation"),
}
# ServiceNow's own types, and the words of above.
KINDS = {"ip", "domain", "url", "md5", "sha1", "sha256", "email"} | {
    "host",
    "user",
    "resource",
    "account",
    "cve",
    "file",
}


def _read(file: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(file.read_text("utf-8")))


SHIPPED = {file.stem: _read(file) for file in FILES}
by_name = pytest.mark.parametrize("name", SHIPPED)


@by_name
def test_a_thing_has_one_name_in_all_mappings(name: str) -> None:
    other = {word: own for own, words in WORDS.items() for word in words}
    wrong = {word: other[word] for word in SHIPPED[name]["extract"] if word in other}
    assert wrong == {}, "say the one behind the colon"


@by_name
def test_an_incident_begins_with_its_severity_its_rule_and_where(name: str) -> None:
    mapping = SHIPPED[name]
    assert INCIDENT in mapping["include"]
    assert "short_description" not in mapping.get("fields", {}).get("create", {})
    assert "rule" in mapping["extract"]
    assert {"host", "resource", "account"} & set(mapping["extract"])


@by_name
def test_a_link_to_the_console_stands_in_the_description(name: str) -> None:
    if "console" in SHIPPED[name]["extract"]:
        assert re.search(r"^Console: \{\{ console ", SHIPPED[name]["fields"]["create"]["description"], re.MULTILINE)


@by_name
def test_what_is_cut_is_the_value_and_not_only_what_stands_in_for_it(name: str) -> None:
    """A pipe binds tighter than `??`: `{{ .text ?? rule | truncate(800) }}` leaves a text of any length."""
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    assert re.findall(r"\?\?[^{}?\n]*\| *truncate\(.*", text) == []


@by_name
def test_observables_are_of_kinds_that_all_mappings_share(name: str) -> None:
    assert set(SHIPPED[name].get("observables", {})) - KINDS == set()


@by_name
def test_what_is_not_mapped_is_told_in_whole_sentences(name: str) -> None:
    """YAML splits `[alerts of Compute, whose body customers write]` in two."""
    broken = re.compile(r"(which|whose|of|should)\b|[^(]*\)|.*\([^)]*$")
    assert [item for item in SHIPPED[name]["product"].get("not_mapped", []) if broken.match(item)] == []


@by_name
def test_who_it_is_is_named_personal(name: str) -> None:
    mapping = SHIPPED[name]
    if "user" in mapping["extract"]:
        assert "user" in mapping["personal"]


@by_name
def test_who_it_is_is_told_to_those_who_may_read_security_incidents(name: str) -> None:
    """ServiceNow has no observable of the kind `user` of its own: there alone nobody might see it."""
    mapping = SHIPPED[name]
    told = mapping.get("fields", {}).get("on", {}).get("sir", {}).get("create", {})
    goes_there = "_shared/routes.yaml" in mapping["include"] or "sir" in [r["to"] for r in mapping.get("route", [])]
    if "user" in mapping["extract"] and goes_there:
        assert re.search(r"\{\{ (user|login|\.offense_source)\b", json.dumps(told))


def _come_to(name: str) -> dict[str, int]:
    """Each route, suppression and row of the severity with its place, and how many alerts of the tests came to it."""
    recorder = Recorder()
    watched = load_mappings(FOLDER, [name], watch=recorder)[name]
    coverage = Coverage(recorder)
    try_mapping(watched, FOLDER, beside=load_mappings(FOLDER, [name])[name])
    coverage.count()
    wanted = [point for point in coverage.points() if point.sort in (Sort.ROUTE, Sort.ROW, Sort.SUPPRESSION)]
    return {f"{point.place} {point.what}": point.hits for point in wanted if not point.what.startswith("fields.")}


COME_TO = {name: _come_to(name) for name in SHIPPED}


@by_name
def test_tests_come_to_every_route_row_and_suppression_of_a_mapping(name: str) -> None:
    assert COME_TO[name]
    assert [place for place, hits in COME_TO[name].items() if not hits] == []


@by_name
def test_tests_name_every_word_that_closes(name: str) -> None:
    """`close_when: {.status: [a, b]}` has a test with a and one with b."""
    mapping = SHIPPED[name]
    words = set(_words(mapping["correlation"].get("close_when")))
    samples = {test["alert"] for test in mapping["tests"]}
    seen = json.dumps(mapping["tests"], default=str) + "".join(
        (FOLDER / sample).read_text("utf-8") for sample in samples
    )
    assert {word for word in words if not re.search(rf"\b{re.escape(word)}\b", seen, re.IGNORECASE)} == set()


def _words(condition: Any) -> list[str]:
    if isinstance(condition, dict):
        return [word for key, value in condition.items() if "|" not in key for word in _words(value)]
    if isinstance(condition, list):
        return [word for value in condition for word in _words(value)]
    return [] if condition is None else [str(condition)]
