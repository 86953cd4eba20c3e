"""Event Management and the enrichment service of the simulated instance."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulated import World, refusal

EVENTS = "/api/global/em/jsonv2"
BASE = "/api/sn_sec_cmn/integration_capabilities"
LOOKUP = f"{BASE}/threat_lookup"
FOUND = {"observable": "ab" * 16, "source_engine": "VirusTotal", "finding": "Malicious"}


@pytest.fixture
def world() -> World:
    return World()


# Events


def test_events_are_rows_and_counted(world: World) -> None:
    events = [{"source": "Elastic", "severity": "1", "message_key": "a"}, {"source": "Elastic", "node": None}]
    answer = world.call("POST", EVENTS, {"records": events})
    assert (answer.status_code, answer.json) == (200, {"result": {"Default Bulk Endpoint": "2 events were inserted"}})
    rows = world.simulator.records("em_event")
    assert [(row["source"], row["severity"], row["message_key"]) for row in rows] == [
        ("Elastic", "1", "a"),
        ("Elastic", "", ""),
    ]
    assert world.violations() == []


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"sverity": "1"}, "unknown_column"),
        ({"severity": "9"}, "event_severity"),
        ({"severity": 1}, "not_text"),
        ({"additional_info": "a=b"}, "event_additional_info"),
    ],
)
def test_an_event_that_would_not_be_understood_is_noted(world: World, event: dict[str, Any], code: str) -> None:
    world.call("POST", EVENTS, {"records": [event]})
    assert [noted for noted, _ in world.violations()] == [code]


def test_events_of_another_shape_are_refused(world: World) -> None:
    assert world.call("POST", EVENTS, {"source": "x"}).status_code == 400
    assert world.call("GET", EVENTS).status_code == 405


def test_events_need_the_plugin_and_a_role(world: World) -> None:
    world.apply(access={"users": {"poor": {"password": "x", "roles": ["itil"]}}})
    assert world.call("POST", EVENTS, {"records": []}, auth=("poor", "x")).status_code == 403
    world.apply(missing=["em"])
    assert world.call("POST", EVENTS, {"records": []}).status_code == 400


# Enrichment


def test_a_lookup_result_is_kept_and_not_wrapped(world: World) -> None:
    answer = world.call("POST", LOOKUP, FOUND)
    (row,) = world.simulator.records("sn_ti_lookup_result")
    assert answer.status_code == 201
    assert answer.json == {
        "success": True,
        "record": {"sys_id": row["sys_id"], "table": "sn_ti_lookup_result", **FOUND},
    }


@pytest.mark.parametrize("place", ["query", "body"])
def test_the_wrap_and_the_simple_response_are_asked_for(world: World, place: str) -> None:
    flags = {"include_wrap": "true", "simple_response": "true"}
    if place == "query":
        answer = world.call("POST", f"{LOOKUP}?include_wrap=true&simple_response=true", FOUND)
    else:
        answer = world.call("POST", LOOKUP, FOUND | flags)
    assert answer.json == {"result": {"success": True}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Invalid post body"),
        ({"nope": "x"}, "No fields supplied"),
        ({"observable": ""}, "No fields supplied"),
        ({"include_wrap": True}, "No fields supplied"),
        ({"finding": "Clean"}, "Mandatory fields missing: observable,source_engine"),
    ],
)
def test_each_documented_error_has_its_message(world: World, body: dict[str, Any], message: str) -> None:
    assert refusal(world.call("POST", LOOKUP, body)) == (400, message, None)


def test_an_empty_body_is_an_invalid_one(world: World) -> None:
    assert refusal(world.call("POST", LOOKUP, data=b""))[1] == "Invalid post body"


def test_access_needs_the_role(world: World) -> None:
    world.apply(access={"users": {"poor": {"password": "x", "roles": ["sn_si.basic"]}}})
    assert refusal(world.call("POST", LOOKUP, FOUND, auth=("poor", "x")))[:2] == (403, "Insufficient access")
    world.apply(access={"users": {"poor": {"password": "x", "roles": ["sn_sec_cmn.api_write"]}}})
    assert world.call("POST", LOOKUP, FOUND, auth=("poor", "x")).status_code == 201


@pytest.mark.parametrize("message", ["Unable to persist record", "Unknown error"])
def test_the_remaining_errors_are_asked_for(world: World, message: str) -> None:
    world.apply(enrichment={"fails_with": message})
    assert refusal(world.call("POST", LOOKUP, FOUND)) == (500, message, None)


def test_mandatory_fields_may_be_ignored(world: World) -> None:
    path = f"{BASE}/ci_enrichment?ignore_mandatory_fields=true"
    assert world.call("POST", path, {"source_engine": "x"}).status_code == 201


def test_raw_data_goes_through_its_map(world: World) -> None:
    data_map = {"destination": "sn_ti_lookup_result", "fields": {"engine": "source_engine", "verdict": "finding"}}
    world.apply(enrichment={"maps": {"m1": data_map}})
    raw = json.dumps({"engine": "x", "verdict": "Clean", "else": 1})
    assert world.call("POST", LOOKUP, {"enrichment_mapping_id": "m1", "raw_data": raw}).status_code == 201
    (row,) = world.simulator.records("sn_ti_lookup_result")
    assert (row["source_engine"], row["finding"]) == ("x", "Clean")


@pytest.mark.parametrize(("mapping", "raw"), [("nope", "{}"), ("m1", "no json")])
def test_a_map_or_data_that_cannot_be_used_is_an_unknown_error(world: World, mapping: str, raw: str) -> None:
    world.apply(enrichment={"maps": {"m1": {"destination": "sn_ti_lookup_result"}}})
    body = {"enrichment_mapping_id": mapping, "raw_data": raw}
    assert refusal(world.call("POST", LOOKUP, body))[1] == "Unknown error"


def test_the_services_path_is_configured(world: World) -> None:
    world.apply(enrichment={"path": "/api/x/y"})
    assert world.call("POST", "/api/x/y/threat_lookup", FOUND).status_code == 201
    assert world.call("POST", LOOKUP, FOUND).status_code == 400
    assert world.call("POST", "/api/x/y/nope", FOUND).status_code == 400
