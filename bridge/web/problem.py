"""Errors as RFC 9457 problem documents, which also carry `message`."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from flask import Response

from bridge.errors import Rejected

# The same for every source: it must not tell which are there. Some senders keep Basic credentials back until asked.
CHALLENGE = 'Bearer, Basic realm="hooks", charset="UTF-8"'


def problem(error: Rejected) -> Response:
    response = problem_of(error.status, error.code, error.message)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def problem_of(status: int, code: str, message: str) -> Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": message,
        "message": message,
    }
    return Response(msgspec.json.encode(document), status, content_type="application/problem+json")
