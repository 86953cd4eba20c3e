"""The WSGI application: the Table API with its faults, the admin routes, and the page for people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from bridge.simulator import answers
from bridge.simulator.admin import admin_routes
from bridge.simulator.answers import Answer, Refused
from bridge.simulator.api import serve
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.page import page_routes
from bridge.simulator.places import place_of
from bridge.simulator.request import BODY_BYTES_MAX, ApiRequest, Place
from bridge.simulator.state import Simulator
from bridge.simulator.switches import Hibernation

HIBERNATING = (
    "<html><head><title>Instance Hibernating page</title></head><body>Your instance is hibernating.</body></html>"
)
ENDING = "simulator.ending"  # in the WSGI environment: how the server ends the connection instead of answering
API_KEY = "x-sn-apikey"  # a header or a parameter [OFFICIAL configure-api-key.md]
CERTIFICATE = "simulator.certificate"  # in the WSGI environment: the common name of the client's certificate
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

GoDown = Callable[[float], None]  # refuse connections for so many seconds


def create_app(simulator: Simulator, *, go_down: GoDown) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX

    @app.route("/oauth_token.do", methods=METHODS)
    @app.route("/api/<path:_rest>", methods=METHODS)
    def api(_rest: str = "") -> Response:
        return answer_call(simulator)

    app.register_blueprint(admin_routes(simulator, go_down))
    app.register_blueprint(page_routes(simulator))
    return app


def answer_call(simulator: Simulator) -> Response:
    """Meet the fault that waits for this call, if any; else answer it; and keep a note of what was answered."""
    call, refusal = _read_call(simulator)
    with simulator.lock:
        simulator.apply_late_writes()
        wait, fault = simulator.faults.strike(call.method, call.path, call.table)
    if wait:
        simulator.stopping.wait(wait)
    if fault is not None:
        response = _meet(simulator, fault, call)
    elif refusal is not None:
        response = _response(refusal.answer())
    else:
        response = _response(serve(simulator, call, now=simulator.clock()))
    simulator.note_call(call.method, call.path, 0 if ENDING in request.environ else response.status_code)
    return response


def _read_call(simulator: Simulator) -> tuple[ApiRequest, Refused | None]:
    """The call, and why it cannot be served at all, if so: an oversized body."""
    refusal = None
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        body = b""
        status = simulator.switches.oversize_status
        refusal = answers.too_large(request.content_length or 0, BODY_BYTES_MAX, status)
    parameters = {name: value for name, value in request.args.items() if name.lower() != API_KEY}
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    token = Place(api="token")
    call = ApiRequest(
        method=_method(),
        path=request.path + (f"?{query}" if query else ""),
        place=token if request.path == "/oauth_token.do" else place_of(request.path, simulator.enrichment.path),
        parameters=parameters,
        url=request.base_url,
        root_url=request.root_url.rstrip("/"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        certificate=request.environ.get(CERTIFICATE, ""),
        api_key=request.headers.get(API_KEY) or request.args.get(API_KEY, ""),
    )
    return call, refusal


def _method() -> str:
    """X-http-method-override beats the method [OFFICIAL]."""
    return request.headers.get("X-http-method-override", request.method).upper()


def _meet(simulator: Simulator, fault: Fault, call: ApiRequest) -> Response:
    """The response to a call that a fault strikes."""
    kind = fault.kind
    if fault.is_applied:
        serve(simulator, call, now=simulator.clock())
    if kind in (FaultKind.CLOSED, FaultKind.RESET_BEFORE_COMMIT):
        return _lost("close" if kind is FaultKind.CLOSED else "reset")
    if kind is FaultKind.RESET_AFTER_COMMIT:
        serve(simulator, call, now=simulator.clock())
        return _lost("reset")
    if kind is FaultKind.LATE_COMMIT:
        simulator.apply_later(fault.seconds, partial(_apply_late, simulator, call))
        return _lost("reset")
    if kind is FaultKind.TRUNCATED:
        return _truncated(serve(simulator, call, now=simulator.clock()))
    if kind is FaultKind.IMPORT_RACE:
        return _response(_raced(simulator, call))
    if kind is FaultKind.NO_ANSWER:
        return _lost("silence")
    return _another_answer(simulator, fault, call)


def _raced(simulator: Simulator, call: ApiRequest) -> Answer:
    with simulator.lock:
        simulator.racing = True
        try:
            return serve(simulator, call, now=simulator.clock())
        finally:
            simulator.racing = False


def _apply_late(simulator: Simulator, call: ApiRequest, now: datetime) -> None:
    serve(simulator, call, now=now)  # whatever it would have answered, nobody hears it


def _another_answer(simulator: Simulator, fault: Fault, call: ApiRequest) -> Response:
    if fault.kind is FaultKind.SERVER_ERROR:
        words = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}[fault.status]
        title = f"{fault.status} {words}"
        return _html(f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>", fault.status)
    if fault.kind is FaultKind.HIBERNATING:
        return _hibernating(simulator.switches.hibernation)
    if fault.kind is FaultKind.LOGIN:
        response = _html("<html><head><title>Found</title></head></html>", 302)
        response.headers["Location"] = f"{call.root_url}/login.do"
        return response
    if fault.kind is FaultKind.LOGIN_PAGE:
        return _html("<html><head><title>Log in</title></head><body><form></form></body></html>", 200)
    if fault.kind is FaultKind.PROXY_PAGE:
        return Response(b"\n<!DOCTYPE html><title>Access is filtered</title>", 200, content_type="text/plain")
    if fault.kind is FaultKind.NO_RESULT:
        status = 201 if call.method == "POST" else 200
        return _response(Answer(status=status, body={"result": [] if call.place.api == "import" else None}))
    if fault.kind is FaultKind.DROPPED:
        return Response(b"", 202, content_type="application/json;charset=UTF-8")
    return _response(_refusal(simulator, fault, call).answer())


def _refusal(simulator: Simulator, fault: Fault, call: ApiRequest) -> Refused:
    if fault.kind is FaultKind.REFUSED:
        return Refused(fault.status, fault.message, fault.detail)
    if fault.kind is FaultKind.CANCELLED:
        return answers.cancelled()
    if fault.kind is FaultKind.UNAUTHENTICATED:
        return answers.not_authenticated()
    if fault.kind is FaultKind.BUSINESS_RULE:
        return answers.business_rule(call.table, "Refuse what integrations write")
    if fault.kind is FaultKind.ACL:
        if call.method in ("GET", "HEAD"):  # a hidden row is 404, not 403 [OBSERVED]
            return answers.no_record() if call.sys_id else answers.unreadable_field()
        return answers.acl_failed(call.method)
    seconds = max(round(fault.seconds), 0)
    return answers.rate_limited(seconds, int(simulator.clock().timestamp()) + seconds)


def _hibernating(switch: Hibernation) -> Response:
    if switch is Hibernation.PAGE:
        return _html(HIBERNATING, 200)  # [OBSERVED]
    response = _html("", 302)
    response.headers["Location"] = "https://developer.servicenow.com/dev.do#!/home?wu=true"  # [ALIKE]
    return response


def _lost(ending: str) -> Response:
    """No answer: at this word the server closes or resets the connection, or waits for the caller to close it."""
    request.environ[ENDING] = ending
    return Response(b"", 500)


def _response(answer: Answer) -> Response:
    if answer.content is not None:
        return Response(answer.content, answer.status, headers=answer.headers, content_type=answer.content_type)
    if answer.body is None:
        return Response(b"", answer.status, headers=answer.headers)
    body = msgspec.json.encode(answer.body)
    if answer.status < 300 and request.headers.get("X-no-response-body") == "true" and request.method != "GET":
        body = b""  # [OFFICIAL]
    return Response(body, answer.status, headers=answer.headers, content_type="application/json;charset=UTF-8")


def _truncated(answer: Answer) -> Response:
    """Well-framed, but the JSON ends in the middle [OBSERVED on long reads]."""
    response = _response(answer)
    body = response.get_data()
    response.set_data(body[: len(body) // 2])
    return response


def _html(text: str, status: int) -> Response:
    return Response(text, status, content_type="text/html;charset=UTF-8")
