"""Where this instance has its SecOps Integration Capabilities service, and the data maps that its calls may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The path is published nowhere: this one is the simulator's choice, and a scenario names another.
PATH_DEFAULT = "/api/sn_sec_cmn/integration_capabilities"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMap:
    """An Enrichment Data Map with JSON input: property keys of raw_data -> columns of its destination table."""

    destination: str
    fields: Mapping[str, str]
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    path: str = PATH_DEFAULT
    maps: Mapping[str, DataMap] = field(default_factory=dict)  # by enrichment_mapping_id
    fails_with: str = ""  # "Unable to persist record" or "Unknown error": every call ends so; "": none does
