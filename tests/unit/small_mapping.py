"""Mappings of a few lines, for the tests of the language."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.alert import Severity, Status
from bridge.correlation.policy import Kind
from bridge.errors import Misconfigured
from bridge.mapping.compile import Mapping
from bridge.mapping.load import compile_files
from bridge.mapping.rendered import Facts

NOW = datetime(2026, 11, 24, 21, 5, tzinfo=UTC)
FACTS = Facts(
    severity=Severity.HIGH,
    status=Status.FIRING,
    source="tool",
    mapping="m",
    now=NOW,
    first_seen=NOW,
    last_seen=NOW,
    repeat_count=4,
    correlation_id="r:h",
)
DEFAULTS = {
    "correlation": 'id: "{{ .rule }}:{{ .host }}"',
    "route": "[{to: itsm}]",
    "fields": 'create: {short_description: "{{ .rule }}"}',
}
ALERT = {"rule": "r", "host": "h"}


def mapping(*, tables: dict[str, str] | None = None, **sections: str) -> Mapping:
    """A mapping with these sections, each given as YAML, the least of the others, and look-up tables by name."""
    text = "mapping: m\nversion: 1\nowner: soc@corp.example\n"
    for key, value in (DEFAULTS | sections).items():
        text += f"{key}:\n" + "".join(f"  {line}\n" for line in value.splitlines())
    lookups = {f"lookups/{name}.csv": content for name, content in (tables or {}).items()}
    return compile_files("m", {"m.yaml": text, **lookups})


def problems(*, tables: dict[str, str] | None = None, **sections: str) -> list[str]:
    """What is wrong with such a mapping, each problem as a person reads it."""
    with pytest.raises(Misconfigured) as caught:
        mapping(tables=tables, **sections)
    return [str(problem) for problem in caught.value.problems]


def value_of(expression: str, alert: object, tables: dict[str, str] | None = None) -> str:
    """What the expression yields for the alert, as a field shows it."""
    compiled = mapping(tables=tables, extract=f"x: '{expression}'", fields='create: {u_x: "{{ x }}"}')
    return compiled.render(alert, Kind.CREATE, FACTS, "incident").fields.get("u_x", "")
