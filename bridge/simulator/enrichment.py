"""The SecOps Integration Capabilities service: enrichment that other tools gathered, pushed in [OFFICIAL].

Its path, its HTTP codes, the envelope of its errors and where its parameters stand are published nowhere. Here: POST
`<path>/ci_enrichment`, `/observable_enrichment` or `/threat_lookup`, parameters in the query or in the body, errors in
the platform's envelope. The six messages and what causes them are [OFFICIAL].
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.access import User
from bridge.simulator.acl import may_write
from bridge.simulator.answers import Answer, Refused
from bridge.simulator.body import as_text, require_headers
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator

Row = dict[str, str]

FLAGS = ("ignore_mandatory_fields", "include_wrap", "simple_response")  # [OFFICIAL]
MAPPING = "enrichment_mapping_id"  # with raw_data [OFFICIAL]


@dataclass(frozen=True, slots=True)
class Target:
    table: str  # [OFFICIAL]
    mandatory: tuple[str, ...]  # of the table: the simulator's choice


TARGETS = {
    "ci_enrichment": Target("sn_sec_cmn_ci_enrichment_result", ("cmdb_ci",)),
    "observable_enrichment": Target("sn_ti_observable_enrichment_result", ("observable",)),
    "threat_lookup": Target("sn_ti_lookup_result", ("observable", "source_engine")),
}


def answer_enrichment_call(simulator: Simulator, request: ApiRequest, user: User, now: datetime) -> Answer:
    target = TARGETS.get(request.place.rest)
    if target is None or not simulator.is_installed("sn_sec_cmn"):
        raise answers.no_such_resource(simulator.switches.unknown_uri_status)
    if request.method != "POST":  # push only [OFFICIAL]
        raise answers.method_not_allowed(request.method)
    require_headers(simulator, request)
    if not may_write(simulator.needs, user, "enrichment"):
        raise _failed(403, "Insufficient access")
    body = _body(request)
    flags = {name: _flag(name, request, body) for name in FLAGS}
    if simulator.enrichment.fails_with:
        raise _failed(500, simulator.enrichment.fails_with)
    table, fields = _fields(simulator, request, target, {k: v for k, v in body.items() if k not in FLAGS})
    checked = MAPPING not in body and not flags["ignore_mandatory_fields"]  # of mapped data nothing is told
    if checked and (missing := [name for name in target.mandatory if not fields.get(name)]):
        raise _failed(400, f"Mandatory fields missing: {','.join(missing)}")
    row = simulator.rows.insert(table, fields, user=user.name, now=now)
    record: Json = {"sys_id": row["sys_id"], "table": table, **{name: row[name] for name in fields if name in row}}
    told: Json = {"success": True} if flags["simple_response"] else {"success": True, "record": record}
    return Answer(status=201, body={"result": told} if flags["include_wrap"] else told)


def _body(request: ApiRequest) -> dict[str, Json]:
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict) or not body:
        raise _failed(400, "Invalid post body")
    return body


def _flag(name: str, request: ApiRequest, body: dict[str, Json]) -> bool:
    return request.parameters.get(name) == "true" or body.get(name) in (True, "true")


def _fields(simulator: Simulator, request: ApiRequest, target: Target, body: dict[str, Json]) -> tuple[str, Row]:
    """Which table gets what: the target's own columns, or what a data map makes of raw_data."""
    if MAPPING in body:
        return _mapped(simulator, body)
    columns = simulator.table(target.table).columns
    for name in body.keys() - columns:
        simulator.note_violation("unknown_column", request.method, request.path, name)
    fields = {name: as_text(value) for name, value in body.items() if name in columns and as_text(value)}
    if not fields:
        raise _failed(400, "No fields supplied")
    return target.table, fields


def _mapped(simulator: Simulator, body: dict[str, Json]) -> tuple[str, Row]:
    """JSON is a map's default input format [OFFICIAL]; no other is known here. What is wrong is an unknown error."""
    data_map = simulator.enrichment.maps.get(as_text(body[MAPPING]))
    if data_map is None or not data_map.active:
        raise _failed(500, "Unknown error")
    try:
        raw = msgspec.json.decode(as_text(body.get("raw_data")))
    except msgspec.DecodeError:
        raise _failed(500, "Unknown error") from None
    values = raw if isinstance(raw, dict) else {}
    fields = {column: as_text(values[key]) for key, column in data_map.fields.items() if as_text(values.get(key))}
    if not fields:
        raise _failed(400, "No fields supplied")
    return data_map.destination, fields


def _failed(status: int, message: str) -> Refused:
    return Refused(status, message, None)
