"""Prints what one 4 KB alert costs: `split` and `map`, as intake does, and `render` of a create, as sync does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bridge.alert import Severity, Status
from bridge.correlation.policy import Kind
from bridge.mapping.load import compile_files
from bridge.mapping.rendered import Facts

ROUNDS = 20_000
REPEATS = 5  # the best of so many: the others measure the machine's other work

MAPPING = r"""
mapping: bench
version: 1
owner: soc@corp.example
match:
  any:
    - '."kibana.alert.rule.rule_id"|exists': true
    - .kibana.alert.rule.rule_id|exists: true
extract:
  rule_id: ."kibana.alert.rule.rule_id" ?? .kibana.alert.rule.rule_id
  rule: ."kibana.alert.rule.name" ?? .kibana.alert.rule.name
  alert_uuid: ."kibana.alert.uuid" ?? .kibana.alert.uuid
  state: ."kibana.alert.workflow_status" ?? .kibana.alert.workflow_status ?? "open"
  risk: ."kibana.alert.risk_score" ?? .kibana.alert.risk_score
  host: .host.hostname ?? .host.name
  user: "{{ .user.domain }}\\{{ .user.name }}"
  command: .process.command_line | truncate(800)
  techniques: .threat[].technique[].id | unique | join(", ")
time: ."@timestamp"
severity:
  from: ."kibana.alert.severity" ?? .kibana.alert.severity
  table: {critical: critical, high: high, medium: medium, low: low}
  raise_to: {critical: {.host.asset.criticality: [high_impact, extreme_impact], risk|gte: 90}}
correlation:
  id: "{{ rule_id }}:{{ host ?? alert_uuid }}"
  close_when: {state: closed}
suppress:
  - name: scanner-subnet
    reason: the vulnerability scanners are meant to look like this
    permanent: true
    when: {.source.ip|cidr: [10.99.0.0/16], severity|at_most: medium}
  - name: patch-night
    reason: packages install services
    until: 2099-03-31
    when: {rule|contains: [Service Installed, Scheduled Task]}
route:
  - {when: {severity|at_least: critical}, to: sir, assignment_group: SOC L2}
  - {when: {.labels.env: [dev, test]}, to: drop}
  - {to: itsm, assignment_group: SOC L1, else_group: Service Desk}
fields:
  create:
    short_description: "[{{ severity | title }}] {{ rule }} on {{ host ?? \"an unknown host\" }}"
    description: |
      Host: {{ host }}   User: {{ user }}
      Command: {{ command }}
      ATT&CK: {{ techniques ?? "none" }}
      Console: {{ ."kibana.alert.url" ?? .kibana.alert.url }}
    cmdb_ci: {find: cmdb_ci_computer, by: {name: "{{ host }}"}, else: none}
    u_detection_rule: "{{ rule_id }}"
    u_alert: "{{ alert_uuid }}"
    u_risk: "{{ risk }}"
    u_parent: "{{ .process.parent.name }}"
    u_os: "{{ .host.os.full }}"
    u_address: "{{ .source.ip }}"
    category: Malicious code activity
  on:
    itsm:
      create:
        impact: 2
        urgency: {by: severity, table: {critical: 1, high: 1, medium: 2}, default: 3}
        subcategory: endpoint
        u_first: "{{ first_seen | date }}"
        u_status: "{{ status }}"
observables:
  ip: [.source.ip, .destination.ip]
  sha256: [.process.hash.sha256]
  user: user
"""


def alert() -> dict[str, object]:
    document: dict[str, object] = {
        "@timestamp": "2026-11-24T21:04:05.123Z",
        "kibana.alert.rule.rule_id": "9a1a2dae-0b5f-4c3d-8305-a268d404c306",
        "kibana.alert.rule.name": "Suspicious PowerShell",
        "kibana.alert.uuid": "f0d1f7f4a2ab4f0a9f9ab0f3c1b1a2d35f2c2b7c",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.risk_score": 73,
        "kibana.alert.severity": "high",
        "kibana.alert.url": "https://kibana.corp.example/app/security/alerts/redirect/f0d1f7f4",
        "host": {"hostname": "WKS-0421", "name": "wks-0421", "os": {"full": "Windows 11 Pro 23H2"}},
        "user": {"domain": "CORP", "name": "j.doe"},
        "process": {
            "command_line": "powershell.exe -NoProfile -EncodedCommand " + "SQBFAFgA" * 60,
            "parent": {"name": "winword.exe"},
            "hash": {"sha256": "ab" * 32},
        },
        "threat": [{"technique": [{"id": "T1059"}, {"id": "T1204"}]}, {"technique": [{"id": "T1059"}]}],
        "source": {"ip": "10.4.7.21"},
        "destination": {"ip": "203.0.113.7"},
    }
    document["filler"] = {f"field_{number}": "x" * 60 for number in range(30)}
    return document


def best(call: Callable[[], object]) -> float:
    """Microseconds for one call."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(ROUNDS):
            call()
        times.append(time.perf_counter() - start)
    return min(times) / ROUNDS * 1e6


def main() -> None:
    document = alert()
    mapping = compile_files("bench", {"bench.yaml": MAPPING})
    now = datetime(2026, 11, 24, 21, 5, tzinfo=UTC)
    facts = Facts(
        severity=Severity.HIGH,
        status=Status.FIRING,
        source="elastic",
        mapping="bench",
        now=now,
        first_seen=now,
        last_seen=now,
        repeat_count=1,
        correlation_id="9a1a2dae:WKS-0421",
    )
    fields = mapping.render(document, Kind.CREATE, facts, "incident")
    size = len(json.dumps(document))
    split_and_map = best(lambda: mapping.map(mapping.split(document)[0][0], now=now))
    render = best(lambda: mapping.render(document, Kind.CREATE, facts, "incident"))
    print(f"an alert of {size} bytes, {len(fields.fields) + len(fields.finds)} fields, one thread")
    print(f"split and map     {split_and_map:6.1f} µs")
    print(f"render a create   {render:6.1f} µs")
    print(f"together          {split_and_map + render:6.1f} µs   (aim 25)")


if __name__ == "__main__":
    main()
