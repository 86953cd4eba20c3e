"""The Batch API: several calls in one, each answered as if it had come alone [OFFICIAL batch-api.md]."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.answers import Answer
from bridge.simulator.body import json_object, require_headers
from bridge.simulator.places import place_of
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator

ITEM_BYTES_MAX = 5 * 1024 * 1024  # [OFFICIAL]

AnswerItem = Callable[[ApiRequest], Answer]


def answer_batch_call(simulator: Simulator, request: ApiRequest, answer_item: AnswerItem) -> Answer:
    """`answer_item` answers one call. As many items as `simulator.unserviced` says stay undone, the last ones."""
    if request.method != "POST":
        raise answers.method_not_allowed(request.method)
    require_headers(simulator, request)
    body = json_object(simulator, request)
    items = body.get("rest_requests")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise answers.unreadable_body()
    todo = [item for item in items if isinstance(item, dict)]
    left = min(simulator.unserviced, len(todo))  # as if the 30 s had run out
    simulator.unserviced -= left
    now, later = todo[: len(todo) - left], todo[len(todo) - left :]
    answered: dict[str, Json] = {
        "batch_request_id": _as_text(body.get("batch_request_id")),  # a text even if it was a number [CLIENT PySNC]
        "serviced_requests": [_serviced(simulator, request, item, answer_item) for item in reversed(now)],
        "unserviced_requests": [_as_text(item.get("id")) for item in later],
    }
    return Answer(status=200, body=answered)


def _serviced(
    simulator: Simulator, request: ApiRequest, item: dict[str, Json], answer_item: AnswerItem
) -> dict[str, Json]:
    """One item's answer. They come back in any order [OFFICIAL]: here the last comes first."""
    call = _call(simulator, request, item)
    answer = answers.unreadable_body().answer() if call is None else answer_item(call)
    if call is not None and len(call.body) > ITEM_BYTES_MAX:
        answer = answers.too_large(len(call.body), ITEM_BYTES_MAX).answer()
    headers = {"Content-Type": answer.content_type, **answer.headers}
    served: dict[str, Json] = {
        "id": _as_text(item.get("id")),
        "body": b64encode(_content(answer)).decode(),
        "status_code": answer.status,
        "status_text": HTTPStatus(answer.status).phrase,
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "execution_time": 1,
    }
    if item.get("exclude_response_headers") is True:
        served["headers"] = []
    return served


def _call(simulator: Simulator, request: ApiRequest, item: dict[str, Json]) -> ApiRequest | None:
    """The item as a call of its own; None when it is none."""
    url, method, encoded = item.get("url"), item.get("method"), item.get("body", "")
    headers = item.get("headers", [])
    if not isinstance(url, str) or not isinstance(method, str) or not isinstance(encoded, str):
        return None
    if not isinstance(headers, list):
        return None
    try:
        body = b64decode(encoded, validate=True)
    except binascii.Error:
        simulator.note_violation("batch_body_not_base64", request.method, request.path, url)
        return None
    target = urlsplit(url)
    path = unquote(target.path)
    parameters = dict(parse_qsl(target.query, keep_blank_values=True))
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return ApiRequest(
        method=method.upper(),
        path=path + (f"?{query}" if query else ""),
        place=place_of(path, simulator.enrichment.path),
        parameters=parameters,
        url=request.root_url + path,
        root_url=request.root_url,
        headers={"accept": request.accept, **_headers(headers)},  # PySNC's items name none of their own [CLIENT]
        body=body,
    )


def _headers(listed: list[Json]) -> dict[str, str]:
    pairs = [(item.get("name"), item.get("value")) for item in listed if isinstance(item, dict)]
    return {name.lower(): value for name, value in pairs if isinstance(name, str) and isinstance(value, str)}


def _content(answer: Answer) -> bytes:
    if answer.content is not None:
        return answer.content
    return b"" if answer.body is None else msgspec.json.encode(answer.body)


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
