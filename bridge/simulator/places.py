"""Paths: which resource of which API each one names. Pure."""

from __future__ import annotations

import re

from bridge.simulator.request import Place

ID = r"(?P<sys_id>[^/]+)"
TABLE = r"(?P<table>[^/]+)"
PLACES = (
    ("table", re.compile(rf"/api/now(?:/(?P<version>v[12]))?/table/{TABLE}(?:/{ID})?/?")),
    ("import", re.compile(rf"/api/now(?:/(?P<version>v1))?/import/{TABLE}(?:/{ID})?/?")),
    ("stats", re.compile(rf"/api/now(?:/(?P<version>v1))?/stats/{TABLE}/?")),
    ("attachment", re.compile(rf"/api/now(?:/(?P<version>v1))?/attachment(?:/{ID}(?:/(?P<rest>file))?)?/?")),
    ("batch", re.compile(r"/api/now(?:/(?P<version>v1))?/batch/?")),
    ("event", re.compile(r"/api/global/em/jsonv2/?")),
    ("elastic_health", re.compile(r"/api/(?P<table>x_elas2_(?:inc|sir)_int)/elastic_api/health")),
    (
        "elastic_observables",
        re.compile(rf"/api/(?P<table>x_elas2_sir_int)/elastic_api/incident/{ID}/observables(?:/(?P<rest>bulk))?"),
    ),
)


def place_of(path: str, enrichment_path: str) -> Place:
    """What `path` names; `enrichment_path` is where this instance has its SecOps service, whose path is unpublished."""
    for api, pattern in PLACES:
        if found := pattern.fullmatch(path):
            return Place(api=api, **{name: value for name, value in found.groupdict().items() if value})
    kind = path.removeprefix(f"{enrichment_path}/").rstrip("/")
    if path.startswith(f"{enrichment_path}/") and "/" not in kind:
        return Place(api="enrichment", rest=kind)
    return Place()
