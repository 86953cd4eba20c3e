"""Which tables a mapping looks records up in."""

from __future__ import annotations

import pytest

from bridge.mapping.finds import tables_found
from bridge.mapping.model import Node
from bridge.yamlfile import parse_yaml

FIND = "{find: cmdb_ci_computer, by: {name: .host}"


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("fields: {create: {short_description: x}}", set()),
        (f"fields: {{create: {{cmdb_ci: {FIND}}}}}}}", {"cmdb_ci_computer"}),
        (
            f"fields: {{create: {{cmdb_ci: {FIND}, else: {{find: cmdb_ci, by: {{name: .ip}}}}}}}}}}",
            {"cmdb_ci", "cmdb_ci_computer"},
        ),
        ("outputs: {a: {ci_enrichment: {fields: {cmdb_ci: {find: cmdb_ci, by: {name: .h}}}}}}", {"cmdb_ci"}),
        ("outputs: {a: {event: {additional_info: {find: x}}}}", set()),
        ("route: [{to: itsm, assignment_group: SOC}]", set()),
    ],
    ids=["none", "a field", "its else", "an output", "a name like it", "a group"],
)
def test_the_tables_of_fields_and_outputs_are_found(text: str, tables: set[str]) -> None:
    file = parse_yaml(text.encode(), "m.yaml")
    assert tables_found(Node(file=file, path=(), value=file.value)) == tables
