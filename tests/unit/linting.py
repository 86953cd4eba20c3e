"""The mapping of docs/lints.md with other sections, and what the lints say of it. The first of June 2026 is today."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

from bridge.alert import Json
from bridge.dictionary.schema import Column, Schema
from bridge.dictionary.standard import STANDARD
from bridge.errors import Problem
from bridge.mapping.lint.registry import lint
from bridge.mapping.lint.subject import Against
from bridge.mapping.load import compile_files
from bridge.mapping.trial import TABLES

PAGE = (Path(__file__).parents[2] / "docs/lints.md").read_text("utf-8")
FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n([\s\S]*?)^```$", re.MULTILINE)
FILES = {name: text for _, name, text in FENCE.findall(PAGE) if name}
SAMPLES: dict[str, Json] = {name: json.loads(text) for name, text in FILES.items() if name.endswith(".json")}
OTHER = """\
mapping: other
version: 1
owner: soc@corp.example
match: {.alertname|exists: true}
correlation: {id: "{{ .alertname }}"}
route: [{to: itsm}]
fields: {create: {short_description: "{{ .alertname }}"}}
tests: [{name: it opens, alert: samples/other.json, expect: {action: create}}]
"""
HOSTS = "hostname,team\nweb-01,SOC L1\n"  # a look-up table
# With groups and what only an instance tells of its columns, which the built-in schema does not know.
TABLES_KNOWN = {
    "incident": STANDARD.tables["incident"] | {"opened_by": Column(type="reference", read_only=True)},
    "sn_si_incident": STANDARD.tables["sn_si_incident"] | {"category": Column(type="string", mandatory=True)},
}
KNOWN = Schema(tables=TABLES_KNOWN, groups=frozenset({"SOC L1", "SOC L2"}), of_instance=False)
AGAINST = Against(
    schema=KNOWN,
    tables=TABLES,
    hosts=frozenset({"acme.service-now.com"}),
    today=date(2026, 6, 1),
    one_record=frozenset({"staged"}),
    pathless=frozenset({("unpathed", "threat_lookup")}),
)
HERE = "# here"  # stands at the end of a line that a lint is told of


def with_sections(example: str) -> str:
    """The page's mapping with the sections of an example in place of its own; an empty section is left out."""
    sections = _sections(FILES["probe"]) | _sections(example)
    return "".join(text for key, text in sections.items() if re.sub("#.*", "", text).strip() != f"{key}:")


def _sections(text: str) -> dict[str, str]:
    blocks = re.findall(r"^\S[^\n]*\n(?:[ #][^\n]*\n)*", text, re.MULTILINE)
    return {block.split(":")[0]: block for block in blocks}


def told(text: str, against: Against = AGAINST, **shared: str) -> list[tuple[Problem, str]]:
    """What is told of the mapping `probe` of this text; `shared` are its includes, `_shared/<name>.yaml`."""
    files = {f"_shared/{name}.yaml": content for name, content in shared.items()}
    mappings = {
        "probe": compile_files("probe", {"probe.yaml": text, "lookups/hosts.csv": HOSTS, **files}),
        "other": compile_files("other", {"other.yaml": OTHER}),
    }
    return [(problem, ident) for problem, ident in lint(mappings, SAMPLES, against) if problem.file != "other.yaml"]


def lines_told(ident: str, text: str, against: Against = AGAINST) -> list[int]:
    return [problem.line for problem, other in told(text, against) if other == ident]


def lines_marked(text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if line.endswith(HERE)]


def of_instance(**columns: object) -> Against:
    """Against the schema of an instance that has these columns of `incident` besides those of every instance."""
    tables = {**STANDARD.tables, "incident": {**STANDARD.tables["incident"], **columns}}
    return replace(AGAINST, schema=Schema(tables=tables, groups=KNOWN.groups, of_instance=True))  # type: ignore[arg-type]
