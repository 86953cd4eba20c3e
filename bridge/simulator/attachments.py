"""The Attachment API: files of a record, raw or multipart [OFFICIAL]. There is no v2 of it [CLIENT demisto]."""

from __future__ import annotations

import json
from datetime import datetime
from email.parser import BytesParser
from email.policy import HTTP

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.access import User
from bridge.simulator.acl import may_read, may_write
from bridge.simulator.answers import Answer, Refused
from bridge.simulator.body import require_headers
from bridge.simulator.listing import list_rows
from bridge.simulator.request import ApiRequest, shape_of
from bridge.simulator.shape import shaped
from bridge.simulator.state import Simulator

Row = dict[str, str]

TABLE = "sys_attachment"
NEEDED = ("table_name", "table_sys_id", "file_name")


def answer_attachment_call(simulator: Simulator, request: ApiRequest, user: User, now: datetime) -> Answer:
    if request.method in ("GET", "HEAD"):
        if not request.sys_id:
            return _list(simulator, request)
        return _get(simulator, request, user)
    if request.method == "POST" and request.sys_id in ("file", "upload") and not request.place.rest:
        return _upload(simulator, request, user, now)
    if request.method == "DELETE" and request.sys_id and not request.place.rest:
        require_headers(simulator, request)
        row = _visible(simulator, request, user)
        if not may_write(simulator.needs, user, row["table_name"]):
            raise answers.acl_failed("DELETE")
        simulator.rows.delete(TABLE, row["sys_id"])
        simulator.files.pop(row["sys_id"], None)
        return Answer(status=204)
    raise answers.method_not_allowed(request.method)


def _list(simulator: Simulator, request: ApiRequest) -> Answer:
    answer = list_rows(simulator, request, simulator.table(TABLE))
    rows = answer.body["result"] if isinstance(answer.body, dict) else []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("sys_id"), str):
            row["download_link"] = f"{request.root_url}/api/now/attachment/{row['sys_id']}/file"
    return answer


def _visible(simulator: Simulator, request: ApiRequest, user: User) -> Row:
    row = simulator.rows.get(TABLE, request.sys_id)
    if row is None or not may_read(simulator.needs, user, row["table_name"]):
        raise answers.no_record()
    return row


def _get(simulator: Simulator, request: ApiRequest, user: User) -> Answer:
    row = _visible(simulator, request, user)
    shown = _shown(simulator, request, row)
    if not request.place.rest:
        return Answer(status=200, body={"result": shown})
    headers = {"X-Attachment-Metadata": json.dumps(shown)}
    content = simulator.files.get(row["sys_id"], b"")
    return Answer(status=200, content=content, content_type=row["content_type"], headers=headers)


def _upload(simulator: Simulator, request: ApiRequest, user: User, now: datetime) -> Answer:
    """`file`: the body is the file, its type the Content-Type; `upload`: a multipart form [OFFICIAL]."""
    if not request.accept or not request.content_type:
        simulator.note_violation("missing_header", request.method, request.path, "Accept or Content-Type")
        raise answers.missing_headers(["Accept, Content-Type"])
    if request.sys_id == "file":
        given, content, content_type = dict(request.parameters), request.body, request.content_type
    else:
        given, content, content_type = _form(request)
    if missing := [name for name in NEEDED if not given.get(name)]:
        raise Refused(400, "Bad request", f"Missing parameter: {', '.join(missing)}")  # 400 [OFFICIAL]
    table = simulator.table(given["table_name"])
    if simulator.rows.get(table.name, given["table_sys_id"]) is None or not may_read(simulator.needs, user, table.name):
        raise answers.no_record()  # 404 [OFFICIAL]
    if not may_write(simulator.needs, user, table.name):
        raise answers.acl_failed("POST")
    fields = {name: given[name] for name in NEEDED} | {"content_type": content_type, "compressed": "true"}
    fields |= {"size_bytes": str(len(content)), "size_compressed": str(len(content))}
    row = simulator.rows.insert(TABLE, fields, user=user.name, now=now)
    simulator.files[row["sys_id"]] = content
    location = {"Location": f"{request.root_url}/api/now/attachment/{row['sys_id']}"}
    return Answer(status=201, body={"result": _shown(simulator, request, row)}, headers=location)


def _form(request: ApiRequest) -> tuple[Row, bytes, str]:
    """The text fields, the file and its type; the part with a file name is the file."""
    head = f"Content-Type: {request.content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    fields, content, content_type = {}, b"", "application/octet-stream"
    for part in message.iter_parts() if message.is_multipart() else ():
        raw = part.get_payload(decode=True)
        data = raw if isinstance(raw, bytes) else b""
        name = str(part.get_param("name", "", header="content-disposition"))
        if (file_name := part.get_filename()) is not None:
            fields["file_name"], content, content_type = file_name, data, part.get_content_type()
        else:
            fields[name] = data.decode(errors="replace").rstrip("\r\n")
    return fields, content, content_type


def _shown(simulator: Simulator, request: ApiRequest, row: Row) -> dict[str, Json]:
    shown = shaped(simulator.rows, simulator.table(TABLE), row, shape_of(request))
    shown["download_link"] = f"{request.root_url}/api/now/attachment/{row['sys_id']}/file"
    return shown
