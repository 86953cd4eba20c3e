"""Event Management's inbox: events in bulk, each a row of em_event [KIBANA]."""

from __future__ import annotations

from datetime import datetime

import msgspec

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.access import User
from bridge.simulator.acl import may_write
from bridge.simulator.answers import Answer
from bridge.simulator.body import as_text, json_object, require_headers
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator

Row = dict[str, str]

TABLE = "em_event"


def answer_event_call(simulator: Simulator, request: ApiRequest, user: User, now: datetime) -> Answer:
    """{"records": [event, …]}; the answer counts them [KIBANA's simulator]."""
    if not simulator.is_installed("em"):
        raise answers.no_such_resource(simulator.switches.unknown_uri_status)
    if request.method != "POST":
        raise answers.method_not_allowed(request.method)
    require_headers(simulator, request)
    if not may_write(simulator.needs, user, TABLE):
        raise answers.not_authorized()
    records = json_object(simulator, request).get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        simulator.note_violation("events_shape", request.method, request.path, "records must be a list of objects")
        raise answers.unreadable_body()
    events = [_event(simulator, request, record) for record in records if isinstance(record, dict)]
    for event in events:
        simulator.rows.insert(TABLE, event, user=user.name, now=now)
    return Answer(status=200, body={"result": {"Default Bulk Endpoint": f"{len(events)} events were inserted"}})


def _event(simulator: Simulator, request: ApiRequest, record: dict[str, Json]) -> Row:
    """The event as text; what Event Management would not understand is noted."""
    columns = simulator.table(TABLE).columns
    event = {}
    for column, value in record.items():
        if column not in columns:
            simulator.note_violation("unknown_column", request.method, request.path, column)
        elif value is not None and not isinstance(value, str):
            simulator.note_violation("not_text", request.method, request.path, column)
        event[column] = as_text(value)
    if event.get("severity", "") not in ("", "0", "1", "2", "3", "4", "5"):
        simulator.note_violation("event_severity", request.method, request.path, event["severity"])
    if (info := event.get("additional_info", "")) and not _is_json_object(info):
        simulator.note_violation("event_additional_info", request.method, request.path, "no JSON object")
    return event


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False
