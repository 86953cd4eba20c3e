"""What `bridge init` writes, as a person will read it."""

from __future__ import annotations

SERVE_URL = "http://127.0.0.1:8080"  # where `bridge serve` listens unless told otherwise
SIMULATOR_PORT = 8081
SIMULATOR_PASSWORD = "bridge"  # noqa: S105 (what the simulator takes unless told otherwise; it opens nothing else)

GITIGNORE = """\
# Secrets, and the database: nothing of this folder belongs into version control.
*
"""

BRIDGE_YAML = """\
# The configuration of the incident bridge. `bridge check` says what is wrong with it.
# Relative paths are relative to this file. Secrets never stand here: write {{env: NAME}} or {{file: PATH}}.
# Durations are written 90s, 15m, 4h, 7d.

database: sqlite:///var/bridge.db           # or postgresql://user@host/db
mappings: {{path: mappings}}                  # one YAML file for each product; a change is used when its tests
                                            # pass (reload: publish_only waits for `bridge mapping publish`)

log:
  signing_key: {{file: var/log.key}}          # signs the correlation log; var/log.pub verifies it: copy it elsewhere
  anchors:                                  # where its checkpoints go, so that nobody can rewrite it unseen: best a
    - {{file: var/anchors.log}}               # collector or a file on another machine; at least append-only: chattr +a
    # - {{syslog: tcp://logs.example:6514, tls: true}}   # ca: FILE trusts your own authority

# --- ServiceNow
instances:
{instances}
# --- Where incidents go. A mapping's route names one of these.
targets:
{targets}
# --- Who may post. Each source posts to /hooks/<its name>.
sources:
  try:                                      # no secret: taken only from this machine, while bound to loopback
    mapping: try                            # mappings/try.yaml
    auth: {{scheme: none}}
  # elastic:
  #   mapping: elastic
  #   auth: {{scheme: bearer, secret: {{env: ELASTIC_HOOK_TOKEN}}}}
  # github:
  #   mapping: github
  #   auth: {{scheme: hmac, preset: github, secret: [{{env: GH_NEW}}, {{env: GH_OLD}}]}}   # two during rotation
"""

SIMULATOR_INSTANCE = f"""\
  simulator:                                # bridge simulator --port {SIMULATOR_PORT}
    url: http://127.0.0.1:{SIMULATOR_PORT}
    auth: {{scheme: basic, username: bridge, password: {{file: var/simulator.password}}}}
  # prod:
  #   url: https://acme.service-now.com
  #   auth: {{scheme: basic, username: bridge.integration, password: {{env: SERVICENOW_PASSWORD}}}}
  #   limits: {{calls_per_hour: 20000, concurrent_calls: 8}}
"""

SIMULATOR_TARGETS = """\
  itsm:
    instance: simulator
    table: incident
    mode: write                             # observe: decide and log, but write nothing
    # defaults: {caller_id: <sys_id>}       # fields of every create
    close: {code: "Resolved by caller", notes: "Resolved at the source."}   # without a code nothing is closed
  sir:                                      # where an instance has no Security Incident Response: table: incident
    instance: simulator
    table: sn_si_incident
    mode: write
    close: {code: "-100", notes: "Resolved at the source."}   # a close code, as `bridge doctor` knows them
"""

# Of `bridge init --servicenow`.
INSTANCE = """\
  {name}:
    url: {url}
    environment: production                 # test lets `bridge doctor --write-probe` write without asking
    auth: {auth}
    # limits: {{calls_per_hour: 20000, concurrent_calls: 8}}
"""

TARGET = """\
  {target}:
    instance: {instance}
    table: {table}
    mode: observe                           # write: once the decisions in `bridge incidents list` look right
    # defaults: {{caller_id: <sys_id>}}       # fields of every create
    # close: {{code: "…", notes: "Resolved at the source."}}   # a code of the instance; without one nothing is closed
"""

TRY_YAML = """\
# A mapping to try things with: it takes a plain alert such as
#   {"rule": "Brute force", "host": "web-01", "severity": "high", "status": "firing", "message": "40 failed log-ins"}
# `bridge mapping test try` runs the tests below.
mapping: try
version: 1
owner: soc@corp.example

match: {.rule|exists: true}

extract:                                 # .x looks into the alert; a bare word is an earlier line here
  rule:    .rule
  host:    .host
  message: .message | truncate(1000)

time: .time                              # when it happened, by the source's clock; without it, when it was received

severity:
  from: .severity
  table: {critical: critical, high: high, medium: medium, low: low, info: info}
  default: medium

correlation:
  id: "try:{{ rule }}:{{ host }}"        # one incident for each rule and host
  display: Try
  reopen: {within: 7d, else: create}
  close_when: {.status: resolved}

route:
  - {to: itsm, assignment_group: SOC L1}

fields:
  create:
    short_description: "[{{ severity | title }}] {{ rule }} on {{ host }}"
    description: |
      {{ message }}
      Alert: {{ .id ?? "without an id" }}
    impact: 2
    urgency: {by: severity, table: {critical: 1, high: 1, medium: 2}, default: 3}
  update:
    work_notes: "Alerts so far: {{ repeat_count }}, last at {{ last_seen | date('%Y-%m-%d %H:%M UTC') }}. {{ message }}"
  close:
    close_notes: "Resolved at the source at {{ now | date('%Y-%m-%d %H:%M UTC') }}."

observables:
  host: host

tests:
  - name: a high alert opens an incident, repeats are counted, resolve closes it
    alert: samples/try.json
    expect:
      action: create
      route: itsm
      severity: high
      correlation_id: try:Brute force:web-01
      fields.short_description: "[High] Brute force on web-01"
    then:
      - {after: 1m, expect: {action: nothing, reason: repeat}}
      - {after: 1m, change: {.severity: critical}, expect: {action: update, reason: severity_rose}}
      - {after: 1m, change: {.status: resolved}, expect: {action: close}}
      - {after: 1h, expect: {action: reopen}}
  - name: an alert without a host has no identity, and waits in quarantine
    alert: samples/try.json
    change: {.host: ""}
    expect: {action: quarantine}
"""

TRY_SAMPLE = """\
{
  "id": "a-1001",
  "time": "2026-03-02T08:15:00Z",
  "rule": "Brute force",
  "host": "web-01",
  "severity": "high",
  "status": "firing",
  "message": "40 failed log-ins in one minute, all for the account backup."
}
"""

ALERT = (
    '{"rule": "Brute force", "host": "web-01", "severity": "high", "status": "firing", "message": "40 failed log-ins"}'
)

NEXT_STEPS = f"""\
Next, in {{folder}}, each in a terminal of its own:
  bridge simulator --port {SIMULATOR_PORT}
  bridge serve
  curl -H 'Content-Type: application/json' -d '{{alert}}' {SERVE_URL}/hooks/try
Then look: `bridge incidents list`, or http://127.0.0.1:{SIMULATOR_PORT} in a browser.\
"""

SERVICENOW_STEPS = f"""\
Next, in {{folder}}:
  bridge doctor --refresh                   # the same look again, and what the instance has
  bridge check --instance {{instance}}
  bridge serve                              # the targets are in mode observe: nothing is written to ServiceNow yet
  curl -H 'Content-Type: application/json' -d '{{alert}}' {SERVE_URL}/hooks/try
Then look: `bridge incidents list` shows what would have been written.\
"""
