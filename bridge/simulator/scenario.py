"""Scenario files and the admin route's bodies: faults as people write them, every mistake at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.alert import Json
from bridge.errors import Misconfigured, Problem
from bridge.simulator.faults import SECONDS_MAX, STATUSES, Fault, FaultKind
from bridge.simulator.state import UnknownField
from bridge.yamlfile import YamlFile, load_yaml, type_path

FAULT_KEYS = ("kind", "method", "table", "path", "after", "times", "seconds", "status")
SCENARIO_KEYS = ("unknown_query_field", "faults")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    faults: tuple[Fault, ...] = ()
    unknown_query_field: UnknownField = UnknownField.IGNORE


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
    value = body if isinstance(body, dict) and "faults" in body else {"faults": [body]}
    return parse_scenario(YamlFile(name="body", value=value, places={}, key_places={}, source="")).faults


class _Reader:
    def __init__(self, file: YamlFile) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def scenario(self, value: Json) -> Scenario:
        if not isinstance(value, dict):
            self._refuse((), "a scenario is a mapping", f"keys: {', '.join(SCENARIO_KEYS)}")
            return Scenario()
        self._keys(value, (), SCENARIO_KEYS)
        listed = value.get("faults", [])
        if not isinstance(listed, list):
            self._refuse(("faults",), "must be a list")
            listed = []
        faults = [self._fault(item, ("faults", index)) for index, item in enumerate(listed)]
        answer = value.get("unknown_query_field", UnknownField.IGNORE)
        if answer not in list(UnknownField):
            self._refuse(("unknown_query_field",), f"must be one of {', '.join(UnknownField)}")
            answer = UnknownField.IGNORE
        return Scenario(faults=tuple(f for f in faults if f is not None), unknown_query_field=UnknownField(answer))

    def _fault(self, value: Json, path: type_path) -> Fault | None:
        if not isinstance(value, dict):
            self._refuse(path, "a fault is a mapping", f"keys: {', '.join(FAULT_KEYS)}")
            return None
        self._keys(value, path, FAULT_KEYS)
        kind = value.get("kind")
        if kind not in list(FaultKind):
            self._refuse((*path, "kind"), f"kind must be one of {', '.join(FaultKind)}")
            return None
        times = value.get("times", 1)
        status = value.get("status", 503)
        if status not in STATUSES:
            self._refuse((*path, "status"), "status must be 500, 502 or 503")
        return Fault(
            kind=FaultKind(kind),
            methods=self._methods(value.get("method", []), (*path, "method")),
            table=self._text(value.get("table", ""), (*path, "table")),
            path=self._text(value.get("path", ""), (*path, "path")),
            after=self._whole(value.get("after", 0), (*path, "after")),
            times=None if times == "always" else self._whole(times, (*path, "times"), "or `always`"),
            seconds=self._seconds(value.get("seconds", 1), (*path, "seconds")),
            status=status,
        )

    def _methods(self, value: Json, path: type_path) -> frozenset[str]:
        listed = value if isinstance(value, list) else [value]
        wrong = [method for method in listed if method not in METHODS]
        if wrong:
            self._refuse(path, f"method must be of {', '.join(METHODS)}, or a list of them")
            return frozenset()
        return frozenset(listed)

    def _text(self, value: Json, path: type_path) -> str:
        if isinstance(value, str):
            return value
        self._refuse(path, f"{path[-1]} must be text")
        return ""

    def _whole(self, value: Json, path: type_path, hint: str = "") -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._refuse(path, f"{path[-1]} must be a whole number, not negative", hint)
        return 0

    def _seconds(self, value: Json, path: type_path) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= SECONDS_MAX:
            return float(value)
        self._refuse(path, f"seconds must be a number from 0 to {SECONDS_MAX}")
        return 0.0

    def _keys(self, value: dict[str, Json], path: type_path, known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self.problems.append(
                    self.file.problem((*path, key), f"unknown key {key!r}", f"known: {', '.join(known)}", at_key=True)
                )

    def _refuse(self, path: type_path, message: str, hint: str = "") -> None:
        self.problems.append(self.file.problem(path, message, hint))
