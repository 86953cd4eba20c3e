"""A first mapping from a sample: what is found in the shapes of several products, and that the text always compiles."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cli.mapping_new import tried
from bridge.mapping import language
from bridge.mapping.likely import likely, likely_each
from bridge.mapping.load import compile_files
from bridge.mapping.skeleton import Sample, Target, skeleton
from bridge.mapping.trial import TABLES, try_mapping
from bridge.mapping.written import written
from bridge.yamlfile import parse_yaml

ITSM = Target(name="itsm", kind="itsm")

# Written by hand in the shapes of products, with values of our own.
EDR = {
    "id": "da-77-1",
    "incidentId": "4711",
    "detectorId": "7d1e",
    "severity": "medium",
    "status": "new",
    "title": "Odd child of a word processor",
    "description": "A word processor started a shell.",
    "createdDateTime": "2026-02-01T10:00:00Z",
    "lastUpdateDateTime": "2026-02-01T10:05:00.1234567Z",
    "alertWebUrl": "https://edr.corp.example/alerts/da-77-1",
    "evidence": [
        {"deviceDnsName": "wks-17.corp.example", "ipInterfaces": ["10.4.4.17", "127.0.0.1"], "version": "10.0.19.1"},
        {"fileDetails": {"sha256": "ab" * 32}, "userAccount": {"accountName": "j.doe"}},
    ],
}
CLOUD = {
    "issue": {"id": "i-1", "status": "OPEN", "severity": "HIGH", "created": "2026-02-01 10:00:00.123456000"},
    "control": {"id": "c-9", "name": "Port is open to the world", "description": "An instance has an open port."},
    "resource": {"name": "jump-01", "region": "eu-1"},
    "trigger": {"ruleId": "automation-3", "ruleName": "send"},
}
GROUP = {
    "status": "firing",
    "commonLabels": {"severity": "warning"},
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "DiskFull", "severity": "warning", "instance": "db-01:9100"},
            "annotations": {"description": "95 % used"},
            "startsAt": "2026-02-01T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": "a1b2c3",
        }
    ],
}
CODE = {
    "action": "created",
    "alert": {
        "number": 7,
        "state": "open",
        "rule": {"id": "js/xss", "severity": "error", "description": "Cross-site scripting"},
        "created_at": "2026-02-01T10:00:00Z",
        "html_url": "https://code.corp.example/alerts/7",
    },
    "repository": {
        "full_name": "acme/shop",
        "updated_at": "2026-01-01T00:00:00Z",
        "html_url": "https://code.corp.example",
    },
}
SEARCH = {"search_name": "sudo", "result": {"host": "app-02", "_time": "1769940000", "_raw": "sudo: session opened"}}
FLAT_DOTS = {
    "@timestamp": "2026-02-01T10:00:00Z",
    "kibana.alert.uuid": "u-1",
    "kibana.alert.rule.rule_id": "r-1",
    "kibana.alert.rule.name": "Odd logon",
    "kibana.alert.rule.updated_at": "2025-01-01T00:00:00Z",
    "kibana.alert.severity": "low",
    "host": {"name": "srv-2"},
}
SYSCALL = {
    "output": "a shell in a container",
    "priority": "Warning",
    "rule": "Terminal shell in container",
    "time": "2026-02-01T10:00:00.123456789Z",
    "hostname": "node-3",
    "output_fields": {"user.name": "root", "evt.time": 1769940000123456789},
}
OFFENSE = {
    "id": 15,
    "description": "Many failed logons",
    "severity": 7,
    "status": "CLOSED",
    "start_time": 1769940000000,
}

# alert, and for some of what is found the path; None: nothing
FOUND: dict[str, tuple[Any, dict[str, str | None]]] = {
    "an EDR alert": (
        EDR,
        {
            "identity": ".id",
            "rule": ".detectorId",
            "place": ".evidence[0].deviceDnsName",
            "title": ".title",
            "message": ".description",
            "severity": ".severity",
            "time": ".lastUpdateDateTime",
            "status": ".status",
            "page": ".alertWebUrl",
            "user": ".evidence[1].userAccount.accountName",
        },
    ),
    "a cloud issue: its control, not the automation that sent it": (
        CLOUD,
        {
            "identity": ".issue.id",
            "rule": ".control.id",
            "title": ".control.name",
            "place": ".resource.name",
            "severity": ".issue.severity",
            "time": ".issue.created",
            "status": ".issue.status",
            "page": None,
            "user": None,
        },
    ),
    "an alert of a group": (
        GROUP["alerts"][0],
        {
            "identity": ".fingerprint",
            "rule": ".labels.alertname",
            "place": ".labels.instance",
            "severity": ".labels.severity",
            "time": ".startsAt",
            "status": ".status",
        },
    ),
    "a code alert: its own time and page, not the repository's": (
        CODE,
        {
            "identity": ".alert.number",
            "rule": ".alert.rule.id",
            "place": ".repository.full_name",
            "severity": ".alert.rule.severity",
            "time": ".alert.created_at",
            "page": ".alert.html_url",
            "status": ".alert.state",
        },
    ),
    "a search result": (
        SEARCH,
        {"identity": None, "rule": ".search_name", "place": ".result.host", "time": ".result._time", "severity": None},
    ),
    "keys with dots: the alert's time, not the rule's": (
        FLAT_DOTS,
        {
            "identity": '."kibana.alert.uuid"',
            "rule": '."kibana.alert.rule.rule_id"',
            "title": '."kibana.alert.rule.name"',
            "severity": '."kibana.alert.severity"',
            "time": ".@timestamp",
            "place": ".host.name",
        },
    ),
    "a rule event without an id": (
        SYSCALL,
        {"identity": None, "rule": ".rule", "place": ".hostname", "severity": ".priority", "time": ".time"},
    ),
    "an offense in numbers": (OFFENSE, {"identity": ".id", "severity": ".severity", "time": ".start_time"}),
    "nothing": ({"a": True, "b": [1, None]}, {"identity": None, "title": None, "severity": None, "time": None}),
}


@pytest.mark.parametrize(("alert", "paths"), FOUND.values(), ids=FOUND)
def test_what_is_likely(alert: Any, paths: dict[str, str | None]) -> None:
    found = likely(alert)
    leaves = {role: getattr(found, role) for role in paths}
    assert {role: leaf and written(language.Path(leaf.steps)) for role, leaf in leaves.items()} == paths


def test_observables_are_told_by_their_values() -> None:
    found = likely(EDR | {"cve": "CVE-2026-12345", "digest": "x", "mail": "j.doe@corp.example", "uuid": "0" * 32})
    assert {kind: [written(language.Path(path)) for path in paths] for kind, paths in found.observables.items()} == {
        "cve": [".cve"],
        "email": [".mail"],
        "ip": [".evidence[].ipInterfaces[]"],
        "sha256": [".evidence[].fileDetails.sha256"],
    }


EACH = {
    "a list as the whole body": ([{"id": 1}], ()),
    "alerts": (GROUP, ("alerts",)),
    "findings one level below, though the event has an id": (
        {"id": "e", "detail": {"findings": [{"Id": "f"}]}},
        ("detail", "findings"),
    ),
    "what was found inside an alert is no list of alerts": (
        {"alert_id": "a", "severity": "high", "findings": [{"x": 1}]},
        None,
    ),
    "events, where nothing else has an identity": ({"events": [{"uuid": "a"}]}, ("events",)),
    "events of an alert": ({"alert_id": "a", "events": [{"uuid": "a"}]}, None),
    "an empty list": ({"alerts": []}, None),
    "a list of words": ({"alerts": ["a"]}, None),
    "one alert": (EDR, None),
}


@pytest.mark.parametrize(("document", "steps"), EACH.values(), ids=EACH)
def test_where_the_alerts_of_a_delivery_are(document: Any, steps: tuple[str, ...] | None) -> None:
    found = likely_each(document)
    assert (found[0] if found else None) == steps


def mapping_of(alert: Any, each: str = "") -> dict[str, Any]:
    text = skeleton("x", Sample(path="samples/x.json", each=each, alert=alert), ITSM)
    compile_files("x", {"x.yaml": text})
    value: dict[str, Any] = parse_yaml(text.encode(), "x.yaml").value
    return value


IDS = {
    "the alert's id": (EDR, "x:{{ alert_id }}"),
    "a number is counted for each place": (CODE, "x:{{ place }}:{{ alert_id }}"),
    "without an id, rule and place": (SYSCALL, "x:{{ rule }}:{{ place }}"),
    "without a place, the rule": ({"rule": "a", "x": 1}, "x:{{ rule }}"),
    "without anything, the whole alert": ({"x": 1}, "x:{{ . | hash(16) }}"),
}


@pytest.mark.parametrize(("alert", "text"), IDS.values(), ids=IDS)
def test_the_identity(alert: Any, text: str) -> None:
    assert mapping_of(alert)["correlation"]["id"] == text


SEVERITIES = {
    "a word": ({"severity": "Moderate"}, {"from": ".severity", "has": {"Critical": "critical", "Moderate": "medium"}}),
    "a word in capitals": ({"severity": "HIGH"}, {"from": ".severity", "has": {"CRITICAL": "critical", "LOW": "low"}}),
    "a word of another scale": ({"level": "warn"}, {"from": ".level", "has": {"warn": "medium", "error": "high"}}),
    "a rank": ({"priority": "P2"}, {"from": ".priority", "has": {"P1": "critical", "P2": "high"}}),
    "a rank in numbers": ({"priority": 2}, {"from": ".priority", "has": {"1": "critical", "2": "high"}}),
    "an id of OCSF": ({"severity_id": 4}, {"from": ".severity_id", "has": {"4": "high", "5": "critical"}}),
    "the word goes before the number": (
        {"severity": 70, "risk_level": "low"},
        {"from": ".risk_level", "has": {"low": "low"}},
    ),
}


@pytest.mark.parametrize(("alert", "wanted"), SEVERITIES.values(), ids=SEVERITIES)
def test_a_severity_by_table(alert: Any, wanted: dict[str, Any]) -> None:
    severity = mapping_of(alert)["severity"]
    assert (severity["from"], wanted["has"].items() <= severity["table"].items()) == (wanted["from"], True)


@pytest.mark.parametrize(
    ("alert", "bounds"),
    [
        ({"severity": 7}, (9, 7, 4)),
        ({"severity": 62.5}, (90, 70, 40)),
        ({"risk_score": "8"}, (90, 70, 40)),
        ({"score": 640}, (900, 700, 400)),
    ],
)
def test_a_severity_that_grows(alert: Any, bounds: tuple[float, ...]) -> None:
    ranges = mapping_of(alert)["severity"]["ranges"]
    assert [(one["gte"], one["to"]) for one in ranges] == list(zip(bounds, ["critical", "high", "medium"], strict=True))


def test_a_delivery_is_matched_as_a_whole() -> None:
    mapping = mapping_of(GROUP["alerts"][0], ".alerts[]")
    assert mapping["match"] == {".alerts[].fingerprint|exists": True, ".alerts[].labels.severity|exists": True}


def test_it_closes_when_the_status_says_so() -> None:
    assert mapping_of(CLOUD)["correlation"]["close_when"] == {"state": ["CLOSED", "RESOLVED", "FIXED", "DISMISSED"]}


def test_a_sample_that_is_over_opens_nothing() -> None:
    mapping = mapping_of(OFFENSE)
    assert mapping["correlation"]["close_when"] == {"state": ["CLOSED"]}
    assert mapping["tests"][0]["expect"]["action"] == "nothing"


def test_what_the_sample_has_stands_in_comments_in_one_line() -> None:
    text = skeleton("x", Sample(path="s.json", each="", alert=EDR | {"title": "a\n\x07 # b\ufeff" + "c" * 99}), ITSM)
    (line,) = [line for line in text.splitlines() if line.startswith("  title:")]
    assert line.endswith("  # a # b" + "c" * 34 + "…")


@pytest.mark.parametrize(
    ("target", "fields"),
    [(ITSM, {"itsm"}), (Target(name="soc", kind="sir"), {"sir"}), (Target(name="other", kind=""), set())],
)
def test_the_fields_are_those_of_the_targets_table(target: Target, fields: set[str]) -> None:
    text = skeleton("x", Sample(path="s.json", each="", alert=EDR), target)
    value = parse_yaml(text.encode(), "").value
    assert (value["route"], set(value["fields"].get("on", {}))) == ([{"to": target.name}], fields)


STEPS = st.lists(
    st.text(st.characters(exclude_categories=["C"]), max_size=5) | st.integers(0, 10**6), min_size=1, max_size=4
)


@given(STEPS)
def test_a_path_is_read_back(steps: list[str | int]) -> None:
    assert language.parse_path(written(language.Path(tuple(steps)))).steps == tuple(steps)


KEYS = st.sampled_from(
    ["id", "severity", "status", "title", "time", "host", "alerts", "rule", "a'b", "x: #y", "ruleId"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2_000) | st.text(max_size=8) | st.sampled_from(["high", "open", "ok"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=40)
@given(st.dictionaries(KEYS, JSON, min_size=1, max_size=5))
def test_whatever_the_sample_the_mapping_compiles_and_its_test_passes(alert: dict[str, Any]) -> None:
    raw = json.dumps(alert).encode()
    text = tried("x", Sample(path="x.json", each="", alert=alert), raw, ITSM, TABLES)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x.json").write_bytes(raw)
        (trial,) = try_mapping(compile_files("x", {"x.yaml": text}), Path(folder))
    assert trial.findings == ()
