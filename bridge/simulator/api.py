"""The Table API as one function from a request to an answer, policing its contract [OFFICIAL c_TableAPI.md]."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from datetime import datetime

import msgspec

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.answers import Answer, Refused
from bridge.simulator.listing import list_rows
from bridge.simulator.records import is_writable
from bridge.simulator.request import ApiRequest, shape_of
from bridge.simulator.shape import shaped
from bridge.simulator.state import Simulator
from bridge.simulator.tables import JOURNALS, LENGTHS, Table

Row = dict[str, str]

BODY_BYTES_MAX = 10 * 1024 * 1024  # glide.rest.max_content_length [OBSERVED KB0747638]
WRITE_PARAMETERS = {"sysparm_fields", "sysparm_display_value", "sysparm_exclude_reference_link"}


def serve(simulator: Simulator, request: ApiRequest, *, now: datetime) -> Answer:
    """Answer one call. Everything it reads and changes is one step for every other thread."""
    with simulator.lock:
        try:
            user = _authenticate(simulator, request)
            return _dispatch(simulator, request, user, now=now)
        except Refused as refusal:
            return refusal.answer()


def _authenticate(simulator: Simulator, request: ApiRequest) -> str:
    scheme, _, encoded = request.authorization.partition(" ")
    try:
        user, colon, password = b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise answers.not_authenticated() from None
    expected = simulator.accounts.get(user)
    if scheme.lower() != "basic" or not colon or expected is None:
        raise answers.not_authenticated()
    if not hmac.compare_digest(expected.encode(), password.encode()):
        raise answers.not_authenticated()
    return user


def _dispatch(simulator: Simulator, request: ApiRequest, user: str, *, now: datetime) -> Answer:
    table = simulator.table(request.table)
    if request.method in ("GET", "HEAD"):
        return _get(simulator, request, table) if request.sys_id else list_rows(simulator, request, table)
    if (request.method == "POST") == bool(request.sys_id) or request.method not in ("POST", "PUT", "PATCH", "DELETE"):
        raise answers.method_not_allowed(request.method)
    _require_headers(simulator, request)
    if request.method == "DELETE":
        simulator.rows.delete(table.name, request.sys_id)
        return Answer(status=204)
    _police_parameters(simulator, request)
    fields = _fields(simulator, request, table)
    if request.method == "POST":
        row = simulator.rows.insert(table.name, fields, user=user, now=now)
        location = {"Location": f"{request.root_url}/api/now/table/{table.name}/{row['sys_id']}"}
        return Answer(status=201, body=_result(simulator, request, table, row), headers=location)
    row = simulator.rows.update(table.name, request.sys_id, fields, user=user, now=now)
    return Answer(status=200, body=_result(simulator, request, table, row))


def _get(simulator: Simulator, request: ApiRequest, table: Table) -> Answer:
    row = simulator.rows.get(table.name, request.sys_id)
    if row is None:
        raise answers.no_record()
    _police_parameters(simulator, request)
    return Answer(status=200, body=_result(simulator, request, table, row))


def _result(simulator: Simulator, request: ApiRequest, table: Table, row: Row) -> Json:
    return {"result": shaped(simulator.rows, table, row, shape_of(request))}


def _police_parameters(simulator: Simulator, request: ApiRequest) -> None:
    for name in request.parameters:
        if name not in WRITE_PARAMETERS:
            simulator.note_violation("unsupported_parameter", request.method, request.path, name)


def _require_headers(simulator: Simulator, request: ApiRequest) -> None:
    """Every write names both; DELETE too, though it has no body."""
    given = {"Accept": request.accept, "Content-Type": request.content_type}
    if missing := [name for name, value in given.items() if not value]:
        simulator.note_violation("missing_header", request.method, request.path, ", ".join(missing))
        raise answers.missing_headers(missing)
    if not any(kind in request.accept for kind in ("application/json", "application/*", "*/*")):
        raise answers.not_acceptable(request.accept)
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise answers.unsupported_media(request.content_type)


def _fields(simulator: Simulator, request: ApiRequest, table: Table) -> Row:
    """The written values as text. What the table does not know is dropped without a word, and noted for the tests."""
    if len(request.body) > BODY_BYTES_MAX:
        raise answers.too_large(len(request.body), BODY_BYTES_MAX)
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        simulator.note_violation("body_not_json", request.method, request.path, str(error))
        raise answers.unreadable_body() from error
    if isinstance(body, list) and body:
        simulator.note_violation("several_records", request.method, request.path, f"{len(body)} records")
        body = body[0]  # "only the first record is processed" [OFFICIAL]
    if not isinstance(body, dict):
        simulator.note_violation("body_not_json", request.method, request.path, "not an object")
        raise answers.unreadable_body()
    for column, value in body.items():
        if violation := _violation(table, request.method, column, value):
            simulator.note_violation(*(violation, request.method, request.path, column))
    return {column: _as_text(value) for column, value in body.items()}


def _violation(table: Table, method: str, column: str, value: Json) -> str | None:
    if column not in table.columns:
        return "unknown_column"
    if not is_writable(table, column) and not (column == "sys_id" and method == "POST"):
        return "read_only_column"
    if value is not None and not isinstance(value, str):
        return "not_text"
    if value and column in LENGTHS and len(value) > LENGTHS[column]:
        return "too_long"
    if value and column in JOURNALS and "[code]" in value:
        return "code_in_journal"  # HTML would be rendered [OFFICIAL]; nothing that comes from an alert may open it
    return None


def _as_text(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
