"""The Flask app: the hooks, health and metrics. No session, no templates, nothing before or after a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from bridge.library import Library
from bridge.metrics import Metrics
from bridge.store.writer import Writer
from bridge.web.health import Check, health
from bridge.web.hooks import SourceDoor, hooks
from bridge.web.problem import problem_of


def create_app(
    *,
    sources: Mapping[str, SourceDoor],
    library: Library,
    writer: Writer,
    metrics: Metrics,
    clock: Callable[[], datetime],
    checks: Sequence[Check],
) -> Flask:
    app = Flask("bridge", static_folder=None)
    app.url_map.strict_slashes = False
    app.register_blueprint(hooks(sources=sources, library=library, writer=writer, metrics=metrics, clock=clock))
    app.register_blueprint(health(checks=checks, metrics=metrics))
    app.register_error_handler(HTTPException, _as_problem)
    return app


def _as_problem(error: HTTPException) -> Response:
    """404, 405 and the like, in the shape of every other refusal; 405 keeps its Allow header."""
    status = error.code or 500
    name = error.name.lower().replace(" ", "_")
    response = problem_of(status, name, error.description or error.name)
    for header, value in error.get_headers():
        if header.lower() not in ("content-type", "content-length"):
            response.headers[header] = value
    return response
