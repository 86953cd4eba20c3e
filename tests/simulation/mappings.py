"""Mappings of the simulation: short times, so that a seed sees what takes days elsewhere."""

from __future__ import annotations

from datetime import timedelta

_TEXT = """
mapping: probe
version: 1
owner: tests@corp.example
each: {{in: ".alerts[]"}}
extract:
  rule: .rule
  level: .level
  kind: .kind
  host: .host
time: .at
severity:
  from: level
  table: {{critical: critical, high: high, low: low}}
  default: medium
correlation:
  id: "{{{{ rule }}}}"
  display: Probe
  close_when: {{.state: resolved}}
  {times}
suppress:
  - {{name: noise, reason: a test, permanent: true, when: {{kind: noisy}}}}
route:
  - {{to: itsm, assignment_group: Service Desk}}
fields:
  create:
    short_description: "{{{{ rule }}}}"
    impact: {{by: severity, table: {{critical: 1, high: 2}}, default: 3}}
  update:
    description: "Last level: {{{{ level ?? \\"none\\" }}}}"
{more}
"""

JOINS_WITHIN = timedelta(hours=2)
IMPACT = {"critical": "1", "high": "2"}  # else 3

MAPPINGS = {
    "quick": _TEXT.format(
        times="""update_every: [1m, 5m]
  reopen: {within: 1h}
  after_person: {closed: 20m, false_positive: 1h}""",
        more="",
    ),
    "patient": _TEXT.format(
        times="""update_every: [2m]
  close_after: 2m
  reopen: {within: 5m}
  after_person: {closed: 10m, false_positive: 30m}""",
        more="attach: true",
    ),
    "final": _TEXT.format(
        times="""update_every: [1m]
  close_after: 30s
  reopen: {within: 0s}
  after_person: {closed: 1h, false_positive: 2h}""",
        more="",
    ),
    "joining": _TEXT.format(
        times="""update_every: [1m, 5m]
  reopen: {within: 30m}
  after_person: {closed: 20m, false_positive: 1h}
  join:
    - {same: [host], within: 2h}""",
        more="",
    ),
    "rich": _TEXT.format(
        times="""update_every: [5m]
  reopen: {within: 5m}
  after_person: {closed: 20m, false_positive: 1h}""",
        more="""attach: true
observables: {ip: .ips}
outputs:
  alarm:
    event:
      node: host
      description: "{{ rule }}, see {{ incident_number }}"
      additional_info: {level: "{{ level }}"}
""",
    ),
}
