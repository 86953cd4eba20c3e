"""Scenario files and the admin route's bodies: an instance as people describe it, every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bridge.alert import Json
from bridge.errors import Misconfigured
from bridge.simulator.enrichment_maps import Enrichment
from bridge.simulator.faults import APPLIED, REFUSED_STATUSES, SECONDS_MAX, STATUSES, Fault, FaultKind
from bridge.simulator.rates import API_NAMES, RateRule
from bridge.simulator.reading import Reader
from bridge.simulator.scenario_access import AccessGiven, AccessReader
from bridge.simulator.scenario_imports import ImportReader
from bridge.simulator.switches import (
    BareDelete,
    Hibernation,
    Jti,
    OAuthErrors,
    StateOrder,
    Switches,
    Unchanged,
    UnknownField,
)
from bridge.simulator.tables import TABLES
from bridge.simulator.tls import ClientCertificates
from bridge.simulator.transform import Staging
from bridge.yamlfile import YamlFile, load_yaml, type_path

FAULT_KEYS = (
    *("kind", "method", "table", "path", "after", "times"),
    *("seconds", "status", "applied", "message", "detail"),
)
RATE_KEYS = ("limit", "api", "user", "role", "lag")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OFFSET_SECONDS_MAX = 10 * 365 * 86_400
WORDS: Mapping[str, type[StrEnum]] = {
    "unknown_query_field": UnknownField,
    "bare_delete": BareDelete,
    "import_unchanged": Unchanged,
    "oauth_errors": OAuthErrors,
    "jti": Jti,
    "state_order": StateOrder,
    "hibernation": Hibernation,
}
NUMBERS: Mapping[str, tuple[int, ...]] = {"unknown_uri_status": (400, 404), "oversize_status": (413, 400)}
SCENARIO_KEYS = (
    *WORDS,
    *NUMBERS,
    "faults",
    "access",
    "import_sets",
    "enrichment",
    "rate_limits",
    "missing",
    "closed",
    "clock_offset",
    "columns",
    "unique",
    "mandatory",
    "client_certificates",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a scenario says. None or {}: nothing of that, and what is in force stays."""

    faults: tuple[Fault, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # added to these tables
    mandatory: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # columns that a data policy demands
    unique: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # columns with a unique index
    switches: Mapping[str, StrEnum | int] = field(default_factory=dict)
    access: AccessGiven = field(default_factory=AccessGiven)
    staging: Mapping[str, Staging] = field(default_factory=dict)
    enrichment: Enrichment | None = None
    rate_limits: tuple[RateRule, ...] | None = None
    missing: frozenset[str] | None = None  # scopes whose plugin or app is not installed
    closed: frozenset[str] | None = None  # tables that web services may not use
    clock_offset: float | None = None  # seconds by which the instance's clock is ahead
    client_certificates: ClientCertificates = ClientCertificates.OPTIONAL  # under TLS; read at the start only

    @property
    def unknown_query_field(self) -> StrEnum | int:
        return self.switches.get("unknown_query_field", Switches().unknown_query_field)


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; raises Misconfigured with every mistake and its place."""
    return parse_scenario(load_yaml(path))


def parse_scenario(file: YamlFile) -> Scenario:
    reader = _Reader(file)
    scenario = reader.scenario(file.value)
    if reader.problems:
        raise Misconfigured(reader.problems)
    return scenario


def parse_faults(body: Json) -> tuple[Fault, ...]:
    """The body of POST /simulator/faults: one fault, or {"faults": [...]}."""
    return parse_body(body if isinstance(body, dict) and "faults" in body else {"faults": [body]}).faults


def parse_body(body: Json) -> Scenario:
    """The body of POST /simulator/scenario: a scenario as JSON."""
    return parse_scenario(YamlFile(name="body", value=body, places={}, key_places={}, source=""))


class _Reader(Reader):
    def scenario(self, value: Json) -> Scenario:
        given = self.mapping(value, (), SCENARIO_KEYS, "a scenario")
        columns = self._columns(given.get("columns", {}), "columns", {})
        imports = ImportReader(self, columns)
        return Scenario(
            faults=self.each(given.get("faults", []), ("faults",), self._fault),
            switches=self._switches(given),
            columns=columns,
            unique=self._columns(given.get("unique", {}), "unique", columns),
            mandatory=self._columns(given.get("mandatory", {}), "mandatory", columns),
            access=AccessReader(self).access(given.get("access", {}), ("access",)),
            staging=imports.staging(given.get("import_sets", {}), ("import_sets",)),
            enrichment=imports.enrichment(given["enrichment"], ("enrichment",)) if "enrichment" in given else None,
            rate_limits=self.each(given["rate_limits"], ("rate_limits",), self._rate)
            if "rate_limits" in given
            else None,
            client_certificates=self.word(
                given.get("client_certificates", "optional"), ("client_certificates",), ClientCertificates
            )
            or ClientCertificates.OPTIONAL,
            clock_offset=self._offset(given["clock_offset"]) if "clock_offset" in given else None,
            missing=frozenset(self.texts(given["missing"], ("missing",))) if "missing" in given else None,
            closed=frozenset(self.texts(given["closed"], ("closed",))) if "closed" in given else None,
        )

    def _columns(self, value: Json, key: str, added: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Lists of columns by table; with `added` they must be columns that are there."""
        named = self.named(value, (key,), self.texts)
        for table, names in named.items():
            if table not in TABLES:
                self.refuse((key, table), f"there is no table {table!r}", f"known: {', '.join(TABLES)}")
                return {}
            known = TABLES[table].columns | frozenset(added.get(table, ()))
            if key != "columns" and (unknown := [name for name in names if name not in known]):
                self.refuse((key, table), f"{table} has no column {unknown[0]!r}", "add it under `columns`")
        return named

    def _switches(self, given: dict[str, Json]) -> dict[str, StrEnum | int]:
        switches: dict[str, StrEnum | int] = {}
        for name, words in WORDS.items():
            if name in given and (word := self.word(given[name], (name,), words)) is not None:
                switches[name] = word
        for name, statuses in NUMBERS.items():
            status = given.get(name)
            if name not in given:
                continue
            if isinstance(status, int) and status in statuses:
                switches[name] = status
            else:
                self.refuse((name,), f"{name} must be {statuses[0]} or {statuses[1]}")
        return switches

    def _fault(self, value: Json, path: type_path) -> Fault | None:
        given = self.mapping(value, path, FAULT_KEYS, "a fault")
        if not isinstance(value, dict):
            return None
        kind = given.get("kind")
        if kind not in list(FaultKind):
            self.refuse((*path, "kind"), f"kind must be one of {', '.join(FaultKind)}")
            return None
        times = given.get("times", 1)
        return Fault(
            kind=FaultKind(str(kind)),
            methods=self._methods(given.get("method", []), (*path, "method")),
            table=self.text(given.get("table", ""), (*path, "table")),
            path=self.text(given.get("path", ""), (*path, "path")),
            after=self.whole(given.get("after", 0), (*path, "after")),
            times=None if times == "always" else self.whole(times, (*path, "times"), "or `always`"),
            seconds=self._seconds(given.get("seconds", 1), (*path, "seconds")),
            status=self._status(given.get("status"), (*path, "status"), FaultKind(str(kind))),
            applied=self._applied(given["applied"], (*path, "applied"), kind) if "applied" in given else None,
            message=self.text(given.get("message", ""), (*path, "message")),
            detail=self.text(given["detail"], (*path, "detail")) if given.get("detail") is not None else None,
        )

    def _status(self, status: Json, path: type_path, kind: FaultKind) -> int:
        if kind is FaultKind.REFUSED:
            if isinstance(status, int) and status in REFUSED_STATUSES:
                return status
            self.refuse(path, "status of a refused call must be from 400 to 599")
        elif status is None or (isinstance(status, int) and status in STATUSES):
            return status or 503
        else:
            self.refuse(path, "status must be 500, 502 or 503")
        return 503

    def _applied(self, applied: Json, path: type_path, kind: Json) -> bool:
        if kind not in APPLIED:
            self.refuse(path, f"only {', '.join(APPLIED)} may be applied or not", "leave it out")
        return self.flag(applied, path)

    def _methods(self, value: Json, path: type_path) -> frozenset[str]:
        listed = value if isinstance(value, list) else [value]
        if any(method not in METHODS for method in listed):
            self.refuse(path, f"method must be of {', '.join(METHODS)}, or a list of them")
            return frozenset()
        return frozenset(str(method) for method in listed)

    def _seconds(self, value: Json, path: type_path) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= SECONDS_MAX:
            return float(value)
        self.refuse(path, f"seconds must be a number from 0 to {SECONDS_MAX}")
        return 0.0

    def _offset(self, value: Json) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= OFFSET_SECONDS_MAX:
            return float(value)
        self.refuse(("clock_offset",), f"clock_offset must be a number of seconds within ±{OFFSET_SECONDS_MAX}")
        return 0.0

    def _rate(self, value: Json, path: type_path) -> RateRule | None:
        given = self.mapping(value, path, RATE_KEYS, "a rate limit")
        api = self.text(given.get("api", ""), (*path, "api"))
        if api and api not in API_NAMES:
            self.refuse((*path, "api"), f"api must be one of {', '.join(API_NAMES)}")
        return RateRule(
            limit=self.whole(given.get("limit"), (*path, "limit")),
            api=api,
            user=self.text(given.get("user", ""), (*path, "user")),
            role=self.text(given.get("role", ""), (*path, "role")),
            lag=self.whole(given.get("lag", 30), (*path, "lag")),
        )
