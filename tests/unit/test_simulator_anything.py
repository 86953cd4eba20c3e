"""Whatever is sent to the simulator, it answers: a refusal perhaps, never a failure of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import INCIDENT, SECURITY, World

from bridge.simulator.scenario import SCENARIO_KEYS

KEYS = st.sampled_from(
    [
        *(
            "u_correlation_id",
            "elastic_incident_id",
            "records",
            "value",
            "type",
            "short_description",
            "state",
            "sys_id",
        ),
        *("batch_request_id", "rest_requests", "id", "method", "url", "headers", "body", "observable", "raw_data"),
        *("enrichment_mapping_id", "include_wrap", "severity", "additional_info", "work_notes", "cmdb_ci"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
PLAUSIBLE = st.sampled_from(
    ["GET", "POST", INCIDENT, "{}", "e30=", "URL", "7", "m1", "incident", "sn_ti_lookup_result"]
)
BODIES = st.recursive(
    SCALARS | PLAUSIBLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=4),
)
WORLD = World()
WORLD.apply(enrichment={"maps": {"m1": {"destination": "sn_ti_lookup_result", "fields": {"a": "finding"}}}})
SIR = WORLD.call.created(SECURITY)["sys_id"]
PATHS = [
    INCIDENT,
    SECURITY,
    "/api/now/import/sn_si_incident_import",
    "/api/now/import/x_elas2_inc_int_elastic_incident",
    "/api/now/import/x_elas2_inc_int_elastic_incident/insertMultiple",
    "/api/now/v1/batch",
    "/api/global/em/jsonv2",
    f"/api/x_elas2_sir_int/elastic_api/incident/{SIR}/observables",
    f"/api/x_elas2_sir_int/elastic_api/incident/{SIR}/observables/bulk",
    "/api/sn_sec_cmn/integration_capabilities/threat_lookup",
    f"/api/now/attachment/file?table_name=sn_si_incident&table_sys_id={SIR}&file_name=a",
    f"/api/now/attachment/upload?table_name=sn_si_incident&table_sys_id={SIR}&file_name=a",
    "/oauth_token.do",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
@settings(max_examples=40)
@given(body=BODIES)
def test_any_json_is_answered(path: str, body: Any) -> None:
    assert WORLD.call("POST", path, data=json.dumps(body).encode()).status_code


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
@settings(max_examples=20)
@given(
    body=st.binary(max_size=200),
    kind=st.sampled_from(
        ["application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
    ),
)
def test_any_bytes_are_answered(path: str, body: bytes, kind: str) -> None:
    assert WORLD.call("POST", path, data=body, headers={"Content-Type": kind}).status_code


@settings(max_examples=100)
@given(
    pairs=st.dictionaries(
        st.sampled_from(
            [
                "sysparm_query",
                "sysparm_limit",
                "sysparm_offset",
                "sysparm_fields",
                "sysparm_group_by",
                "sysparm_avg_fields",
            ]
        ),
        st.text(max_size=30) | st.sampled_from(["state", "number", "^ORDERBYstate", "0", "state=1^NQ", "9" * 20]),
    ),
    api=st.sampled_from(["table", "stats"]),
)
def test_any_query_is_answered(pairs: dict[str, str], api: str) -> None:
    assert WORLD.call("GET", f"/api/now/{api}/sn_si_incident", query_string=pairs).status_code


@settings(max_examples=100)
@given(scenario=st.dictionaries(st.sampled_from(SCENARIO_KEYS) | st.text(), BODIES, max_size=3) | BODIES)
def test_any_scenario_is_taken_or_refused(scenario: Any) -> None:
    world = World()
    assert world.call("POST", "/simulator/scenario", data=json.dumps(scenario).encode()).status_code in (204, 400)


SHAPES: dict[str, Any] = {
    "access": {"users": {"a": {}}, "clients": {"c": {"keys": {"k": "x"}}}, "api_keys": {"k": "u"}, "acl": {"t": {}}},
    "import_sets": {"u_a": {"maps": [{"target": "incident", "coalesce": [["number"]], "reject": [{"when": {}}]}]}},
    "enrichment": {"path": "/api/x", "maps": {"m": {"destination": "incident"}}},
    "rate_limits": [{"limit": 1}],
    "faults": [{"kind": "closed"}],
    "columns": {"incident": ["u_a"]},
    "unique": {"incident": ["number"]},
    "missing": ["em"],
    "clock_offset": 1,
}


def spoilt(value: Any, junk: Any) -> list[Any]:
    """`value` with `junk` in each of its places, one at a time."""
    found = [junk]
    if isinstance(value, dict):
        found += [value | {key: each} for key, inner in value.items() for each in spoilt(inner, junk)]
    if isinstance(value, list):
        found += [[each] for inner in value for each in spoilt(inner, junk)]
    return found


@pytest.mark.parametrize("junk", [None, 1, -1, "x", "", [], {}, [[]], [1], {"x": 1}, {"": None}, True, 1e300])
@pytest.mark.parametrize("key", SHAPES)
def test_a_scenario_with_junk_in_any_place_is_taken_or_refused(key: str, junk: Any) -> None:
    for value in spoilt(SHAPES[key], junk):
        answer = World().call("POST", "/simulator/scenario", {key: value})
        assert answer.status_code in (204, 400), value
