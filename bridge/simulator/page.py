"""The page for people: the newest records, and one record with its journal. No script, and everything escaped."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from urllib.parse import unquote

from flask import Blueprint, Response, abort, redirect, render_template_string
from flask import request as http_request
from werkzeug.wrappers import Response as AnyResponse

from bridge.simulator.page_html import LIST, RECORD, STYLE
from bridge.simulator.records import SYS_ID
from bridge.simulator.shape import displayed
from bridge.simulator.state import Simulator
from bridge.simulator.table import JOURNALS
from bridge.simulator.tables import TABLES

Row = dict[str, str]

SHOWN_MAX = 200
TASKS = tuple(name for name, table in TABLES.items() if table.is_task)
QUIET = {"comments_and_work_notes", *JOURNALS}  # shown as the journal
STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page_routes(simulator: Simulator) -> Blueprint:
    routes = Blueprint("page", __name__)

    @routes.get("/")
    def index() -> Response:
        rows = [row for name in TASKS for row in simulator.records(name)]
        rows.sort(key=lambda row: (row["sys_created_on"], row["number"]), reverse=True)
        shown = [_line(simulator, row) for row in rows[:SHOWN_MAX]]
        return _page(LIST, rows=shown, total=len(rows))

    @routes.get("/records/<table>/<sys_id>")
    def record(table: str, sys_id: str) -> Response:
        row = simulator.record(table, sys_id) if table in TABLES else None
        if row is None:
            abort(404)
        return _page(
            RECORD,
            row=_line(simulator, row),
            fields=_fields(simulator, row),
            journal=_journal(simulator, row),
            observables=_observables(simulator, sys_id),
            attachments=[file for file in simulator.records("sys_attachment") if file["table_sys_id"] == sys_id],
        )

    @routes.get("/nav_to.do")
    def nav_to() -> AnyResponse:
        """The link that people are sent: nav_to.do?uri=incident.do?sys_id=… [KIBANA], its inner part encoded or not."""
        page, _, query = unquote(http_request.args.get("uri", "")).lstrip("/").partition("?")
        table, sys_id = page.removesuffix(".do"), query.removeprefix("sys_id=")
        if table not in TABLES or not SYS_ID.fullmatch(sys_id):
            abort(404)
        return redirect(f"/records/{table}/{sys_id}")

    return routes


def _page(template: str, **values: object) -> Response:
    return Response(
        render_template_string(template, style=STYLE, **values), headers=HEADERS, content_type="text/html;charset=UTF-8"
    )


def _line(simulator: Simulator, row: Row) -> Row:
    """What the list shows of a record: readable values beside the raw ones that links need."""
    table = simulator.rows.tables[row["sys_class_name"]]
    with simulator.lock:
        texts = {name: displayed(simulator.rows, table, row, name) for name in table.columns - QUIET}
    return {**texts, "sys_id": row["sys_id"], "table": table.name, "kind": table.label, "name": texts[table.display]}


def _fields(simulator: Simulator, row: Row) -> list[tuple[str, str, str]]:
    """(column, readable text, raw value) of every field that is not empty, by name."""
    shown = _line(simulator, row)
    columns = sorted(simulator.rows.tables[row["sys_class_name"]].columns - QUIET)
    return [(name, shown[name] or row[name], row[name]) for name in columns if row[name]]


def _observables(simulator: Simulator, sys_id: str) -> list[tuple[str, str]]:
    """(type, value) of each observable that is linked to the record."""
    links = [link for link in simulator.records("sn_ti_m2m_task_observable") if link["task"] == sys_id]
    rows = [simulator.record("sn_ti_observable", link["observable"]) for link in links]
    table = TABLES["sn_ti_observable"]
    with simulator.lock:
        return [(displayed(simulator.rows, table, row, "type"), row["value"]) for row in rows if row is not None]


def _journal(simulator: Simulator, row: Row) -> list[Row]:
    entries = simulator.journal(row["sys_id"])
    with simulator.lock:
        return [
            {
                "kind": JOURNALS[entry["element"]],
                "by": simulator.rows.display_name(entry["sys_created_by"]),
                "at": entry["sys_created_on"],
                "text": entry["value"],
            }
            for entry in reversed(entries)
        ]
