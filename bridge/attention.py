"""The bridge's own mapping: what it tells of itself goes the way of every alert, and is one incident like any other."""

from __future__ import annotations

import json
from collections.abc import Iterable

from bridge.alert import OWN_MAPPING
from bridge.mapping.compile import Mapping
from bridge.mapping.load import compile_files

_TEXT = """\
mapping: bridge-attention
version: 1
owner: the incident bridge
extract: {lamp: .lamp, title: .title, text: .text, group: .group}
severity: {from: .severity, table: {high: high}, default: medium}
correlation:
  id: "{{ lamp }}"
  display: Incident bridge
  close_when: {.status: resolved}
fields:
  create: {short_description: "{{ title }}", description: "{{ text }}"}
  update: {short_description: "{{ title }}", description: "{{ text }}", work_notes: "{{ title }}"}
route:
"""
_ROUTE = """\
  - {when: {.target: NAME}, to: NAME, assignment_group: "{{ group }}"}
"""


def attention_mapping(targets: Iterable[str]) -> Mapping:
    """Compiled, with a route to each of the targets: an alert names its own."""
    routes = [_ROUTE.replace("NAME", json.dumps(name)) for name in sorted(targets)]
    text = _TEXT + "".join(routes) + "  - {to: drop}\n"
    return compile_files(OWN_MAPPING, {f"{OWN_MAPPING}.yaml": text})
