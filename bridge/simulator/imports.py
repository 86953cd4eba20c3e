"""The Import Set API: a staged row is transformed at once, one result per map [OFFICIAL c_ImportSetAPI.md]."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.access import User
from bridge.simulator.acl import may_write
from bridge.simulator.answers import Answer, Refused
from bridge.simulator.body import as_text, json_object, require_headers
from bridge.simulator.policing import risk_violation, value_violation
from bridge.simulator.records import SYS_ID
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator
from bridge.simulator.switches import Unchanged
from bridge.simulator.transform import Staging, TransformMap

Row = dict[str, str]

NO_MAP = "No transform entry or scripts are defined; Target record not found"  # [ALIKE]
CI_COLUMNS = ("name", "fqdn", "ip_address")  # in this order [OFFICIAL]


def answer_import_call(simulator: Simulator, request: ApiRequest, user: User, now: datetime) -> Answer:
    simulator.table(request.table)
    staging = simulator.staging.get(request.table)
    if staging is None:
        raise answers.invalid_table(request.table)  # a table that is no staging table [UNVERIFIED]
    if request.method in ("GET", "HEAD") and request.sys_id:
        kept = simulator.imported.get((staging.name, request.sys_id))
        if kept is None:
            raise answers.no_record()
        return Answer(status=200, body=kept)
    if request.method != "POST" or request.sys_id not in ("", "insertMultiple"):
        raise answers.method_not_allowed(request.method)
    require_headers(simulator, request)
    for name in request.parameters:
        simulator.note_violation("unsupported_parameter", request.method, request.path, name)
    if not may_write(simulator.needs, user, "import"):
        raise answers.acl_failed("POST")
    if request.sys_id:
        return _insert_multiple(simulator, request, staging, user, now)
    body = _import(simulator, request, staging, json_object(simulator, request), user, now)
    return Answer(status=201, body=body)


def _insert_multiple(simulator: Simulator, request: ApiRequest, staging: Staging, user: User, now: datetime) -> Answer:
    """Asynchronous by default, and keys are column labels [OFFICIAL]; here it runs at once and takes column names."""
    records = json_object(simulator, request).get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise answers.unreadable_body()
    for record in records:
        if isinstance(record, dict):
            _import(simulator, request, staging, record, user, now)
    body: Json = {"import_set_id": uuid4().hex, "multi_import_set_id": uuid4().hex}
    return Answer(status=201, body=body)


def _import(
    simulator: Simulator, request: ApiRequest, staging: Staging, body: dict[str, Json], user: User, now: datetime
) -> Json:
    row = _staged(simulator, request, staging, body)
    kept = simulator.rows.insert(staging.name, row, user=user.name, now=now)
    results = [_transform(simulator, request, each, row, user, now) for each in staging.maps]
    nothing: dict[str, Json] = {"transform_map": "", "status": "error", "error_message": NO_MAP}
    answer: Json = {
        "import_set": simulator.next_import_set(),
        "staging_table": staging.name,
        "result": [*results] or [nothing],
    }
    simulator.imported[staging.name, kept["sys_id"]] = answer
    return answer


def _staged(simulator: Simulator, request: ApiRequest, staging: Staging, body: dict[str, Json]) -> Row:
    """The row as the staging table keeps it: known columns as text, nulls empty, anything nested mangled [OFFICIAL]."""
    table = simulator.table(staging.name)
    row = {}
    for column, value in body.items():
        if column not in table.columns or column.startswith("sys_"):
            simulator.note_violation("unknown_column", request.method, request.path, column)  # dropped [KIBANA]
            continue
        filled = (each.column(column, simulator.rows.tables[each.target]) for each in staging.maps)
        for violation in sorted({value_violation(name or "", value) or "" for name in filled} - {""}):
            simulator.note_violation(violation, request.method, request.path, column)
        text = as_text(value)
        row[column] = text.replace(":", "=") if isinstance(value, dict | list) else text
    return row


def _transform(
    simulator: Simulator, request: ApiRequest, each: TransformMap, row: Row, user: User, now: datetime
) -> dict[str, Json]:
    """What one map makes of the row. It runs with the platform's rights, not the user's [UNVERIFIED]."""
    rejection = next((rejection for rejection in each.reject if rejection.meets(row)), None)
    if rejection is not None:
        return _turned_away(each, rejection.status, rejection.error_message, rejection.status_message)
    fields = _fields(simulator, each, row)
    if violation := risk_violation(fields, fields):
        simulator.note_violation(violation, request.method, request.path, "risk_score")
    try:
        simulator.table(each.target)
        found = _coalesced(simulator, each, fields)
        if found is None:
            after = simulator.rows.insert(each.target, fields, user=user.name, now=now)
            return _written(request, each, after, "inserted")
        before = found["sys_mod_count"]
        after = simulator.rows.update(each.target, found["sys_id"], fields, user=user.name, now=now)
    except Refused as refusal:
        return _turned_away(each, "error", refusal.detail or refusal.message, "failure")
    unchanged = after["sys_mod_count"] == before and simulator.switches.import_unchanged is Unchanged.IGNORED
    return _written(request, each, after, "ignored" if unchanged else "updated")


def _fields(simulator: Simulator, each: TransformMap, row: Row) -> Row:
    """Values by target column. Empty ones are not copied [UNVERIFIED: a map's "copy empty fields" is off]."""
    fields = {}
    target = simulator.rows.tables[each.target]
    for staging_column, value in row.items():
        column = each.column(staging_column, target)
        if column is not None and value:
            fields[column] = _resolved(simulator, each, column, value)
    return fields


def _resolved(simulator: Simulator, each: TransformMap, column: str, value: str) -> str:
    """A user by user name, and where the map says so a configuration item; all else as any write resolves it."""
    target = simulator.rows.tables[each.target].reference(column)
    if target is None or SYS_ID.fullmatch(value):
        return value
    if target == "sys_user":
        return simulator.rows.user_id(value) or value
    if target == "cmdb_ci" and each.match_ci:
        for by in CI_COLUMNS:
            found = [row["sys_id"] for row in simulator.rows.rows(target) if row[by].casefold() == value.casefold()]
            if found:
                return found[0]
    return value


def _coalesced(simulator: Simulator, each: TransformMap, fields: Row) -> Row | None:
    """The record to update: of several that match, the first [OFFICIAL]. Concurrent imports race, and see none."""
    if simulator.racing:
        return None
    for way in each.coalesce:
        if not all(fields.get(column) for column in way):
            continue
        wanted = {column: fields[column].casefold() for column in way}
        for row in simulator.rows.rows(each.target):
            if all(row.get(column, "").casefold() == text for column, text in wanted.items()):
                return row
    return None


def _written(request: ApiRequest, each: TransformMap, row: Row, status: str) -> dict[str, Json]:
    return {
        "transform_map": each.name,
        "table": each.target,
        "display_name": "number",
        "display_value": row.get("number", ""),
        "record_link": f"{request.root_url}/api/now/table/{each.target}/{row['sys_id']}",
        "status": status,
        "sys_id": row["sys_id"],
    }


def _turned_away(each: TransformMap, status: str, error: str, message: str) -> dict[str, Json]:
    """[KIBANA, ALIKE] for error; `ignored` and `skipped` are not seen in a body [UNVERIFIED]."""
    body: dict[str, Json] = {"transform_map": each.name, "table": each.target, "status": status}
    return body | {"error_message": error, "status_message": message}
