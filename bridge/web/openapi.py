"""What /api/v1/openapi.json says: OpenAPI 3.1 of the API, by hand, for it is small."""

from __future__ import annotations

from typing import Any

from bridge.log.entries import Action
from bridge.version import version

PREFIX = "/api/v1"

_PROBLEM = {
    "description": "An RFC 9457 problem, which also carries `message`.",
    "content": {"application/problem+json": {}},
}


def document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Incident bridge",
            "version": version(),
            "description": "Read-only. A token is made by `bridge token create NAME --role ROLE`.",
        },
        "security": [{"token": []}],
        "paths": {
            f"{PREFIX}/openapi.json": {"get": _get("This document", "auditor, engineer, admin", {"type": "object"})},
            f"{PREFIX}/log": {
                "get": _get("Entries of the correlation log, the newest first", "auditor, admin", _PAGE)
                | {"parameters": [_parameter(*one) for one in _OF_LOG]}
            },
            f"{PREFIX}/log/checkpoint": {
                "get": _get("The newest signed checkpoint of the log", "auditor, admin", _CHECKPOINT)
            },
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


_OF_LOG: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("limit", "So many at most; 100 where it is not given", {"type": "integer", "minimum": 1, "maximum": 1000}),
    ("before", "Only entries with a smaller `id`; `next` of the last page has it", {"type": "integer", "minimum": 1}),
    ("since", "Of this time or later", {"type": "string", "format": "date-time"}),
    ("until", "Before this time", {"type": "string", "format": "date-time"}),
    ("source", "Only of this source", {"type": "string"}),
    ("correlation", "Only of this correlation ID, or of those of an incident number", {"type": "string"}),
    ("action", "Only of this kind", {"type": "string", "enum": [action.value for action in Action]}),
)
_ENTRY = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "description": "Its number in this store"},
        "index": {"type": ["integer", "null"], "description": "Its index in the tree; null until it is sealed"},
        "entry": {"type": "object", "description": "As docs/log-entries.md has it: what is sealed, byte for byte"},
        "said": {"type": ["string", "null"], "description": "A sentence that went with it, and is not sealed"},
    },
}
_PAGE = {
    "type": "object",
    "properties": {
        "entries": {"type": "array", "items": _ENTRY},
        "next": {"type": ["string", "null"], "description": "The path and query of the next page"},
    },
}
_CHECKPOINT = {
    "type": "object",
    "properties": {
        "checkpoint": {"type": "string", "description": "A C2SP tlog-checkpoint in a C2SP signed note"},
        "size": {"type": "integer", "description": "Entries that it covers"},
        "at": {"type": "string", "format": "date-time"},
    },
}


def _get(what: str, roles: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": what,
        "description": f"Roles: {roles}.",
        "responses": {
            "200": {"description": what, "content": {"application/json": {"schema": schema}}},
            **dict.fromkeys(("400", "401", "403", "404", "503"), _PROBLEM),
        },
    }


def _parameter(name: str, what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": what, "schema": schema}
