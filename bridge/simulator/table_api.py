"""The Table API, policing its contract [OFFICIAL c_TableAPI.md]."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.access import User
from bridge.simulator.acl import may_read, may_write
from bridge.simulator.administration import show_administration
from bridge.simulator.administration_tables import ADMINISTRATION, KEY_TABLES
from bridge.simulator.answers import Answer
from bridge.simulator.body import as_text, json_object, require_headers
from bridge.simulator.listing import list_rows
from bridge.simulator.policing import risk_violation, value_violation
from bridge.simulator.records import is_writable
from bridge.simulator.request import ApiRequest, shape_of
from bridge.simulator.shape import shaped
from bridge.simulator.state import Simulator
from bridge.simulator.table import Table

Row = dict[str, str]

ME = "javascript:gs.getUserName()"
WRITE_PARAMETERS = {"sysparm_fields", "sysparm_display_value", "sysparm_exclude_reference_link"}


def answer_table_call(simulator: Simulator, request: ApiRequest, user: User, now: datetime) -> Answer:
    table = simulator.table(request.table)
    if table.name in simulator.closed:
        raise answers.closed_to_web_services()
    if table.name in KEY_TABLES and not simulator.access.has_keys:
        raise answers.invalid_table(table.name)
    if table.name in ADMINISTRATION:
        show_administration(simulator)
    if request.method in ("GET", "HEAD"):
        if not request.sys_id:
            request = _asked_by(request, user)
            return list_rows(simulator, request, table, readable=may_read(simulator.needs, user, table.name))
        return _get(simulator, request, user, table)
    if (request.method == "POST") == bool(request.sys_id) or request.method not in ("POST", "PUT", "PATCH", "DELETE"):
        raise answers.method_not_allowed(request.method)
    require_headers(simulator, request)
    _require_rights(simulator, request, user, table)
    if request.method == "DELETE":
        simulator.rows.delete(table.name, request.sys_id)
        return Answer(status=204)
    _police_parameters(simulator, request)
    fields = _fields(simulator, request, table)
    if request.method == "POST":
        row = simulator.rows.insert(table.name, fields, user=user.name, now=now)
        location = {"Location": f"{request.root_url}/api/now/table/{table.name}/{row['sys_id']}"}
        return Answer(status=201, body=_result(simulator, request, table, row), headers=location)
    row = simulator.rows.update(table.name, request.sys_id, fields, user=user.name, now=now)
    return Answer(status=200, body=_result(simulator, request, table, row))


def _asked_by(request: ApiRequest, user: User) -> ApiRequest:
    """A query may name the caller [OFFICIAL javascript:gs…()]; of all that scripts may do, this much is here."""
    query = request.parameters.get("sysparm_query", "")
    if ME not in query:
        return request
    return replace(request, parameters={**request.parameters, "sysparm_query": query.replace(ME, user.name)})


def _get(simulator: Simulator, request: ApiRequest, user: User, table: Table) -> Answer:
    row = simulator.rows.get(table.name, request.sys_id)
    if row is None or not may_read(simulator.needs, user, table.name):  # a hidden row is 404, not 403 [OBSERVED]
        raise answers.no_record()
    _police_parameters(simulator, request)
    return Answer(status=200, body=_result(simulator, request, table, row))


def _result(simulator: Simulator, request: ApiRequest, table: Table, row: Row) -> Json:
    return {"result": shaped(simulator.rows, table, row, shape_of(request))}


def _police_parameters(simulator: Simulator, request: ApiRequest) -> None:
    for name in request.parameters:
        if name not in WRITE_PARAMETERS:
            simulator.note_violation("unsupported_parameter", request.method, request.path, name)


def _require_rights(simulator: Simulator, request: ApiRequest, user: User, table: Table) -> None:
    """A row that the user may not even see is not found; else the ACL's refusal."""
    if may_write(simulator.needs, user, table.name):
        return
    visible = request.method == "POST" or may_read(simulator.needs, user, table.name)
    if not visible or (request.sys_id and simulator.rows.get(table.name, request.sys_id) is None):
        raise answers.no_record()
    raise answers.acl_failed(request.method)


def _fields(simulator: Simulator, request: ApiRequest, table: Table) -> Row:
    """The written values as text. What the table does not know is dropped without a word, and noted for the tests."""
    body = json_object(simulator, request)
    for column, value in body.items():
        if violation := _violation(table, request.method, column, value):
            simulator.note_violation(violation, request.method, request.path, column)
    before = simulator.rows.get(table.name, request.sys_id) if request.sys_id else None
    fields = {column: as_text(value) for column, value in body.items()}
    if violation := risk_violation({**(before or {}), **fields}, fields):
        simulator.note_violation(violation, request.method, request.path, "risk_score")
    return fields


def _violation(table: Table, method: str, column: str, value: Json) -> str | None:
    if column not in table.columns:
        return "unknown_column"
    if not is_writable(table, column) and not (column == "sys_id" and method == "POST"):
        return "read_only_column"
    return value_violation(column, value)
