"""One call of the REST API as a value: what arrived, where it goes, and the shape it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.simulator.shape import Shape

BODY_BYTES_MAX = 10 * 1024 * 1024  # glide.rest.max_content_length [OBSERVED KB0747638]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which resource a path names."""

    api: str = ""  # table, import, …: a key of api.APIS; "": no such resource
    version: str = ""  # "v1", "v2", or "" for the latest
    table: str = ""
    sys_id: str = ""  # "": the whole table
    rest: str = ""  # what follows: file, bulk, …


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    method: str
    path: str  # with its decoded query
    place: Place
    parameters: Mapping[str, str]
    url: str  # of the request, without its query
    root_url: str  # scheme and host, no slash at the end
    headers: Mapping[str, str]  # by lower-case name
    body: bytes
    certificate: str = ""  # the common name in the client's certificate, if it showed one
    api_key: str = field(default="", repr=False)  # from the header or the parameter x-sn-apikey

    @property
    def version(self) -> str:
        return self.place.version

    @property
    def table(self) -> str:
        return self.place.table

    @property
    def sys_id(self) -> str:
        return self.place.sys_id

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")

    @property
    def accept(self) -> str:
        return self.headers.get("accept", "")

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


def shape_of(request: ApiRequest) -> Shape:
    listed = request.parameters.get("sysparm_fields", "")
    columns = tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    return Shape(
        display=request.parameters.get("sysparm_display_value", "false"),
        exclude_links=request.parameters.get("sysparm_exclude_reference_link") == "true",
        columns=columns or None,
        root_url=request.root_url,
    )
