"""What Elastic's apps add to an instance beside their staging tables: a health check, and observables [KIBANA]."""

from __future__ import annotations

from datetime import datetime

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.access import User
from bridge.simulator.acl import may_read, may_write
from bridge.simulator.answers import Answer, Refused
from bridge.simulator.body import json_body, require_headers
from bridge.simulator.observables import attach, type_named
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator

Row = dict[str, str]

VERSION = "1.0.0"


def answer_health_call(simulator: Simulator, request: ApiRequest, user: User, _now: datetime) -> Answer:
    scope = _installed(simulator, request)
    if request.method != "GET":
        raise answers.method_not_allowed(request.method)
    if not may_read(simulator.needs, user, scope):
        raise answers.not_authorized()
    return Answer(status=200, body={"result": {"name": "Elastic", "scope": scope, "version": VERSION}})


def answer_observables_call(simulator: Simulator, request: ApiRequest, user: User, now: datetime) -> Answer:
    """One observable, or with /bulk a list of them; all or none are attached [UNVERIFIED]."""
    scope = _installed(simulator, request)
    if request.method != "POST":
        raise answers.method_not_allowed(request.method)
    require_headers(simulator, request)
    if not may_write(simulator.needs, user, scope):
        raise answers.not_authorized()
    if simulator.rows.get("sn_si_incident", request.sys_id) is None:
        raise answers.no_record()
    body = json_body(simulator, request)
    bulk = request.place.rest == "bulk"
    if isinstance(body, list) is not bulk:
        simulator.note_violation("observables_shape", request.method, request.path, type(body).__name__)
        raise answers.unreadable_body()
    wanted = [_observable(simulator, request, item) for item in (body if isinstance(body, list) else [body])]
    attached: list[Json] = []
    for value, kind in wanted:
        row = attach(simulator.rows, request.sys_id, value, kind, user=user.name, now=now)
        attached.append({"value": value, "observable_sys_id": row["sys_id"]})
    return Answer(status=200, body={"result": attached if bulk else attached[0]})


def _installed(simulator: Simulator, request: ApiRequest) -> str:
    """The app's scope. An app that is not there leaves its path unknown."""
    if not simulator.is_installed(request.table):
        raise answers.no_such_resource(simulator.switches.unknown_uri_status)
    return request.table


def _observable(simulator: Simulator, request: ApiRequest, item: Json) -> tuple[str, Row]:
    """The value, and the row of its type."""
    value, name = (item.get("value"), item.get("type")) if isinstance(item, dict) else (None, None)
    if not isinstance(value, str) or not isinstance(name, str) or not value:
        simulator.note_violation("observables_shape", request.method, request.path, "value and type must be text")
        raise answers.unreadable_body()
    kind = type_named(simulator.rows, name)
    if kind is None:
        raise Refused(400, "Bad request", f"Unknown observable type {name}")  # [UNVERIFIED]
    return value, kind
