"""The Flask app of a process: health and metrics, and the hooks where it receives. No session, no templates, nothing
before or after a request.
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

from bridge.web.problem import problem_of


def create_app(*parts: Blueprint) -> Flask:
    app = Flask("bridge", static_folder=None)
    app.url_map.strict_slashes = False
    for part in parts:
        app.register_blueprint(part)
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
