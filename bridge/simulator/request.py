"""One call of the Table API as a value: what arrived, and the shape it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.simulator.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    method: str
    path: str  # with its decoded query
    version: str  # "v1", "v2", or "" for the latest
    table: str
    sys_id: str  # "" for the whole table
    parameters: Mapping[str, str]
    url: str  # of the request, without its query
    root_url: str  # scheme and host, no slash at the end
    authorization: str
    accept: str
    content_type: str
    body: bytes


def shape_of(request: ApiRequest) -> Shape:
    listed = request.parameters.get("sysparm_fields", "")
    columns = tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    return Shape(
        display=request.parameters.get("sysparm_display_value", "false"),
        exclude_links=request.parameters.get("sysparm_exclude_reference_link") == "true",
        columns=columns or None,
        root_url=request.root_url,
    )
