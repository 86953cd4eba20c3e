"""The `import_sets` and `enrichment` of a scenario: staging tables with their maps, and enrichment data maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.alert import Json
from bridge.simulator.enrichment_maps import PATH_DEFAULT, DataMap, Enrichment
from bridge.simulator.reading import Reader
from bridge.simulator.tables import TABLES
from bridge.simulator.transform import Rejection, Staging, TransformMap
from bridge.yamlfile import type_path

STAGING_KEYS = ("columns", "maps")
MAP_KEYS = ("name", "target", "prefix", "fields", "coalesce", "reject", "match_ci")
REJECTION_KEYS = ("status", "when", "error_message", "status_message")
ENRICHMENT_KEYS = ("path", "maps", "fails_with")
DATA_MAP_KEYS = ("destination", "fields", "active")


class Rejected(StrEnum):
    ERROR = "error"
    IGNORED = "ignored"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class ImportReader:
    """Reads with the scenario's reader, which keeps the problems."""

    reader: Reader
    added: Mapping[str, tuple[str, ...]]  # columns that the scenario adds to the instance's tables

    def staging(self, value: Json, path: type_path) -> dict[str, Staging]:
        tables = self.reader.named(value, path, lambda item, at: item if self._is_mapping(item, at) else None)
        return {name: self._staging(name, item, (*path, name)) for name, item in tables.items()}

    def _is_mapping(self, value: Json, path: type_path) -> bool:
        known = self.reader.mapping(value, path, STAGING_KEYS, "a staging table")
        if path[-1] in TABLES:
            self.reader.refuse(path, f"{path[-1]} is a table of the instance", "name a staging table")
            return False
        return bool(known) or value == {}

    def _staging(self, name: str, value: Json, path: type_path) -> Staging:
        given = value if isinstance(value, dict) else {}
        return Staging(
            name=name,
            columns=self.reader.texts(given.get("columns", []), (*path, "columns")),
            maps=self.reader.each(given.get("maps", []), (*path, "maps"), self._map),
        )

    def _map(self, value: Json, path: type_path) -> TransformMap | None:
        given = self.reader.mapping(value, path, MAP_KEYS, "a transform map")
        target = self.reader.text(given.get("target"), (*path, "target"))
        if target not in TABLES:
            self.reader.refuse((*path, "target"), f"there is no table {target!r}", f"known: {', '.join(TABLES)}")
            return None
        fields = self.reader.named(given.get("fields", {}), (*path, "fields"), self.reader.text)
        for staged, column in fields.items():
            if column not in self._columns(target):
                self.reader.refuse((*path, "fields", staged), f"{target} has no column {column!r}")
        return TransformMap(
            name=self.reader.text(given.get("name", f"{target} map"), (*path, "name")),
            target=target,
            prefix=self.reader.text(given.get("prefix", "u_"), (*path, "prefix")),
            fields=fields,
            coalesce=self._coalesce(given.get("coalesce", []), (*path, "coalesce"), target),
            reject=self.reader.each(given.get("reject", []), (*path, "reject"), self._rejection),
            match_ci=self.reader.flag(given.get("match_ci", False), (*path, "match_ci")),
        )

    def _coalesce(self, value: Json, path: type_path, target: str) -> tuple[tuple[str, ...], ...]:
        """Columns that must all match; or a list of such lists, tried in turn."""
        several = isinstance(value, list) and bool(value) and all(isinstance(item, list) for item in value)
        ways = self.reader.each(value, path, self.reader.texts) if several else (self.reader.texts(value, path),)
        for column in sorted({column for way in ways for column in way} - self._columns(target)):
            self.reader.refuse(path, f"{target} has no column {column!r}")
        return tuple(way for way in ways if way)

    def _columns(self, table: str) -> frozenset[str]:
        return TABLES[table].columns | frozenset(self.added.get(table, ()))

    def _rejection(self, value: Json, path: type_path) -> Rejection | None:
        given = self.reader.mapping(value, path, REJECTION_KEYS, "a rejection")
        status = self.reader.word(given.get("status", "error"), (*path, "status"), Rejected)
        if status is None:
            return None
        when = self.reader.named(given.get("when", {}), (*path, "when"), self.reader.text)
        told = {name: self.reader.text(given[name], (*path, name)) for name in REJECTION_KEYS[2:] if name in given}
        return Rejection(status=status.value, when=when, **told)

    def enrichment(self, value: Json, path: type_path) -> Enrichment:
        given = self.reader.mapping(value, path, ENRICHMENT_KEYS, "enrichment")
        at = self.reader.text(given.get("path", PATH_DEFAULT), (*path, "path"))
        if not at.startswith("/api/") or at.endswith("/"):
            self.reader.refuse((*path, "path"), "path must start with /api/ and end without a slash")
        return Enrichment(
            path=at,
            maps=self.reader.named(given.get("maps", {}), (*path, "maps"), self._data_map),
            fails_with=self.reader.text(given.get("fails_with", ""), (*path, "fails_with")),
        )

    def _data_map(self, value: Json, path: type_path) -> DataMap | None:
        given = self.reader.mapping(value, path, DATA_MAP_KEYS, "an enrichment data map")
        destination = self.reader.text(given.get("destination"), (*path, "destination"))
        if destination not in TABLES:
            self.reader.refuse((*path, "destination"), f"there is no table {destination!r}")
            return None
        return DataMap(
            destination=destination,
            fields=self.reader.named(given.get("fields", {}), (*path, "fields"), self.reader.text),
            active=self.reader.flag(given.get("active", True), (*path, "active")),
        )
