"""Routes under /simulator for tests and for people: faults, an outage, the state, and edits as a person.

They take no password: the server listens on this machine only. A JSON content type is demanded, so that a web page
elsewhere cannot post here from somebody's browser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TypeGuard

import msgspec
from flask import Blueprint, Response, request

from bridge.alert import Json
from bridge.errors import Misconfigured
from bridge.simulator.answers import Refused
from bridge.simulator.applying import apply_scenario
from bridge.simulator.faults import SECONDS_MAX, Fault
from bridge.simulator.scenario import parse_body, parse_faults
from bridge.simulator.state import Simulator


def admin_routes(simulator: Simulator, go_down: Callable[[float], None]) -> Blueprint:
    routes = Blueprint("admin", __name__, url_prefix="/simulator")

    @routes.post("/faults")
    def add_faults() -> Response:
        try:
            faults = parse_faults(_json())
        except Misconfigured as error:
            return _answer(400, {"error": error.message})
        with simulator.lock:
            simulator.faults.add(*faults)
        return _answer(201, {"faults": [_shown(fault) for fault in faults]})

    @routes.post("/scenario")
    def put_scenario_into_force() -> Response:
        """A scenario as JSON, in force at once: rights, keys, import sets, switches, limits."""
        try:
            scenario = parse_body(_json())
        except Misconfigured as error:
            return _answer(400, {"error": error.message})
        apply_scenario(simulator, scenario)
        return Response(b"", 204)

    @routes.post("/tokens")
    def end_tokens() -> Response:
        """{"expire": USER} ends access tokens, {"revoke": USER} refresh tokens too; "" is every user."""
        body = _json()
        if (
            not isinstance(body, dict)
            or len(body) != 1
            or not body.keys() <= {"expire", "revoke"}
            or not _all_text(body)
        ):
            return _answer(400, {"error": 'send {"expire": USER} or {"revoke": USER}; "" is every user'})
        ((word, user),) = body.items()
        with simulator.lock:
            ended = simulator.access.tokens.forget(user, refresh=word == "revoke")
        return _answer(200, {"ended": ended})

    @routes.delete("/faults")
    def clear_faults() -> Response:
        with simulator.lock:
            simulator.faults.clear()
        return Response(b"", 204)

    @routes.post("/down")
    def down() -> Response:
        body = _json()
        seconds = body.get("seconds") if isinstance(body, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= SECONDS_MAX:
            return _answer(400, {"error": f'send {{"seconds": N}}, above 0 and at most {SECONDS_MAX}'})
        go_down(float(seconds))
        return _answer(202, {"down_seconds": seconds})

    @routes.get("/state")
    def state() -> Response:
        return _answer(200, _state(simulator))

    @routes.post("/records/<table>/<sys_id>")
    def edit_record(table: str, sys_id: str) -> Response:
        body = _json()
        fields = body.get("fields") if isinstance(body, dict) else None
        user = body.get("user", "analyst") if isinstance(body, dict) else None
        if not _all_text(fields) or not isinstance(user, str):
            return _answer(400, {"error": 'send {"user": "analyst", "fields": {"state": "2"}}, every value as text'})
        try:
            return _answer(200, {"result": simulator.edit_as_person(table, sys_id, fields, user=user)})
        except Refused as refusal:
            return _answer(refusal.status, refusal.answer().body)

    return routes


def _state(simulator: Simulator) -> Json:
    with simulator.lock:
        return {
            "records": {table: len(simulator.records(table)) for table in simulator.rows.tables},
            "calls": len(simulator.calls),
            "late_writes": len(simulator.late),
            "faults": [{**_shown(fault), "struck": struck} for fault, struck in simulator.faults.counts()],
            "violations": [asdict(violation) for violation in simulator.violations],
        }


def _shown(fault: Fault) -> dict[str, Json]:
    """A fault in the words of a scenario file."""
    shown = asdict(fault)
    shown["method"] = sorted(shown.pop("methods"))
    shown["times"] = "always" if fault.times is None else fault.times
    return shown


def _all_text(fields: Json) -> TypeGuard[dict[str, str]]:
    return isinstance(fields, dict) and all(isinstance(value, str) for value in fields.values())


def _json() -> Json:
    """The body; None (which no route takes) when it is not JSON or does not say so."""
    if request.mimetype != "application/json":
        return None
    try:
        return msgspec.json.decode(request.get_data())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _answer(status: int, body: Json) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")
