"""What every write brings: both headers, and a JSON object."""

from __future__ import annotations

import msgspec

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator
from bridge.simulator.switches import BareDelete


def require_headers(simulator: Simulator, request: ApiRequest) -> None:
    """Every write names both; DELETE too, though it has no body [OFFICIAL]."""
    given = {"Accept": request.accept, "Content-Type": request.content_type}
    if missing := [name for name, value in given.items() if not value]:
        simulator.note_violation("missing_header", request.method, request.path, ", ".join(missing))
        bare = request.method == "DELETE" and missing == ["Content-Type"]
        if bare and simulator.switches.bare_delete is BareDelete.ACCEPTED:
            return
        raise answers.missing_headers(missing)
    if not any(kind in request.accept for kind in ("application/json", "application/*", "*/*")):
        simulator.note_violation("not_acceptable", request.method, request.path, request.accept)
        raise answers.not_acceptable(request.accept)
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        simulator.note_violation("unsupported_media", request.method, request.path, request.content_type)
        raise answers.unsupported_media(request.content_type)


def json_object(simulator: Simulator, request: ApiRequest) -> dict[str, Json]:
    """The body; of several records the first: "only the first record is processed" [OFFICIAL]."""
    body = json_body(simulator, request)
    if isinstance(body, list) and body:
        simulator.note_violation("several_records", request.method, request.path, f"{len(body)} records")
        body = body[0]
    if not isinstance(body, dict):
        simulator.note_violation("body_not_json", request.method, request.path, "not an object")
        raise answers.unreadable_body()
    return body


def as_text(value: Json) -> str:
    """As a column keeps it: null is empty, the rest in JSON's spelling."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def json_body(simulator: Simulator, request: ApiRequest) -> Json:
    try:
        body: Json = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        simulator.note_violation("body_not_json", request.method, request.path, str(error))
        raise answers.unreadable_body() from error
    return body
