"""The shape of a mapping file: its vocabulary as literal dicts, and nodes that know their place. Pure.

A key that a later version honours is refused by name ("not yet supported"), never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from bridge.alert import Json
from bridge.errors import Problem
from bridge.mapping.language import nearest
from bridge.yamlfile import YamlFile, type_path

ALERTS_PER_DELIVERY_MAX = 1000
EXTRACTS_MAX = 200
EXTRACT_DEPTH_MAX = 32  # how many extracts may build on one another
OUTPUT_BYTES_MAX = 64 * 1024  # rendered for one alert, fields and observables together
OBSERVABLE_CHARS_MAX = 1024  # a longer one is no observable
UNTIL_DAYS_MAX = 366  # a suppression ends within twelve months
SEVERITY_RANGES_MAX = 20
JOIN_RULES_MAX = 10
JOIN_VALUES_MAX = 10  # of one rule
OUTPUTS_MAX = 10

FILE = {"required": ("mapping", "version", "owner", "correlation", "route", "fields")}
# Each row: the keys taken, and those of a later version.
SECTIONS = {
    "mapping": (
        "mapping version owner include product match each extract time personal severity correlation suppress route "
        "fields observables attach outputs tests",
        "",
    ),
    "shared": (
        "product match each extract time personal severity correlation suppress route fields observables attach "
        "outputs",
        "",
    ),
    "product": ("name sends confirmed unconfirmed not_mapped calls_from auth retries setup notes", ""),
    "product auth": (
        "scheme preset name prefix username header hash encoding template order id_header timestamp_header tolerance "
        "issuer keys audience subject envelope secret",
        "",
    ),
    "product step": ("auth do", ""),
    "each": ("in limit with", ""),
    "severity": ("from table ranges default raise_to lower_to", ""),
    "range": ("gt gte lt lte to when", ""),
    "correlation": ("id formerly display update_every reopen after_person close_when close_after join", ""),
    "join": ("same within", ""),
    "reopen": ("within else", ""),
    "after_person": ("closed false_positive", ""),
    "suppress": ("name reason ticket until permanent window when", ""),
    "window": ("days from to tz", ""),
    "route": ("when to assignment_group else_group", ""),
    "fields": ("create update close reopen on", ""),
    "on": ("sir itsm", ""),
    "on table": ("create update close reopen", ""),
    "value table": ("by table default", ""),
    "find": ("find by else", ""),
    "output": ("when event ci_enrichment observable_enrichment threat_lookup", ""),
    "event": (
        "source node resource type metric_name event_class severity description message_key additional_info "
        "time_of_event",
        "",
    ),
    "enrichment": (
        "fields enrichment_mapping_id raw_data ignore_mandatory_fields include_wrap simple_response",
        "",
    ),
    "test": ("name alert element change expect then", ""),
    "step": ("after wait alert element change expect", ""),
}
EXPECTATIONS = [
    "action",
    "reason",
    "outcome",
    "route",
    "severity",
    "status",
    "correlation_id",
    "event_time",
    "suppressed_by",
    "observables",
    "outputs",
]
OUTPUT_FIELD = re.compile(r"outputs\.([^.]+)\.(.+)")  # a test expects this field of this output
ENRICHMENTS = ("ci_enrichment", "observable_enrichment", "threat_lookup")  # resources of SecOps' own API
KINDS = ("create", "update", "close", "reopen")
TABLE_KIND = {"incident": "itsm", "sn_si_incident": "sir"}
JOURNALS = frozenset({"work_notes", "comments"})
NEVER_WRITTEN = (
    frozenset({"correlation_id", "correlation_display", "sys_id", "number"})  # the bridge's, or ServiceNow's
    # Who is told, what belongs together, and what is a major incident is for people to say.
    | frozenset({"watch_list", "work_notes_list", "additional_assignee_list"})
    | frozenset({"parent", "parent_incident", "parent_security_incident", "child_incidents"})
    | frozenset({"major_incident_state", "proposed_by", "proposed_on", "promoted_by", "promoted_on"})
)
NEVER_UPDATED = frozenset({"state", "assignment_group", "assigned_to", "comments"})  # the analysts'
COLUMN = re.compile(r"[a-z][a-z0-9_]*")
EXTRACT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a mapping file and where it stands. A merged map or list has children of several files."""

    file: YamlFile
    path: type_path
    value: Json
    merged: Mapping[str, Node] | None = None
    listed: tuple[Node, ...] | None = None

    def items(self) -> Iterator[tuple[str, Node]]:
        """The children of a map; none of anything else."""
        if self.merged is not None:
            yield from self.merged.items()
        elif isinstance(self.value, dict):
            for key, value in self.value.items():
                yield key, Node(self.file, (*self.path, key), value)

    def get(self, key: str) -> Node | None:
        if self.merged is not None:
            return self.merged.get(key)
        if isinstance(self.value, dict) and key in self.value:
            return Node(self.file, (*self.path, key), self.value[key])
        return None

    def elements(self) -> list[Node]:
        """Where a list is expected, one value is a list of one."""
        if self.listed is not None:
            return list(self.listed)
        if isinstance(self.value, list):
            return [Node(self.file, (*self.path, index), value) for index, value in enumerate(self.value)]
        return [self]


@dataclass(slots=True)
class Report:
    """Collects every problem of a mapping, so that all are told at once."""

    problems: list[Problem] = field(default_factory=list)
    _pieces: set[tuple[str, type_path]] = field(default_factory=set)  # of expressions that YAML cut: already told

    def error(self, node: Node, message: str, hint: str = "", *, at_key: bool = False) -> None:
        if (node.file.name, node.path) not in self._pieces:
            self.problems.append(node.file.problem(node.path, message, hint, at_key=at_key))

    def keys(self, node: Node, section: str, required: tuple[str, ...] = ()) -> bool:
        """Checks the keys of a map against the vocabulary. False when it is no map."""
        if not isinstance(node.value, dict):
            self.error(node, f"a map with the keys {SECTIONS[section][0].replace(' ', ', ')} is expected here")
            return False
        known, later = (keys.split() for keys in SECTIONS[section])
        for key, child in node.items():
            if key in later:
                self.error(child, f"`{key}` is not yet supported", at_key=True)
            elif key not in known:
                self.error(child, f"there is no key `{key}` here", nearest(key, known), at_key=True)
        for key in required:
            if node.get(key) is None:
                self.error(node, f"the key `{key}` is missing")
        return True

    def cut_by_yaml(self, node: Node) -> None:
        """Tells every `{name: .a | truncate(3, 4)}`, which YAML reads as two keys, in place of what that causes."""
        for child in node.elements() if isinstance(node.value, list) else ():
            self.cut_by_yaml(child)
        pieces: list[tuple[str, Node]] = []
        whole = ""
        for key, child in node.items():
            self.cut_by_yaml(child)
            if pieces and child.value is None:
                pieces.append((key, child))
                whole += f", {key}"
                if whole.count("(") == whole.count(")"):
                    quoted = whole.replace("'", "''")
                    hint = f"write it in single quotes: {pieces[0][0]}: '{quoted}'"
                    self.error(pieces[1][1], "YAML cuts this expression at its comma", hint, at_key=True)
                    self._pieces.update((piece.file.name, piece.path) for _, piece in pieces)
                    pieces = []
                continue
            unfinished = isinstance(child.value, str) and child.value.count("(") > child.value.count(")")
            pieces, whole = ([(key, child)], child.value) if unfinished else ([], "")

    def text(self, node: Node, *, empty: bool = False) -> str:
        """A scalar as its text."""
        value = node.value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (str, int, float)):
            if not empty and value == "":
                self.error(node, "a text is expected here, and it is empty")
            return str(value)
        self.error(node, "a text is expected here")
        return ""

    def duration(self, node: Node) -> timedelta:
        match = DURATION.fullmatch(str(node.value))
        if match is None:
            self.error(node, f"`{node.value}` is not a duration", "90s, 15m, 4h or 7d")
            return timedelta(0)
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
