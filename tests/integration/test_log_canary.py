"""No value of an alert, and no secret, is in any entry: canaries are sent through everything that a life has.

What stands in an entry by design: names, among them the correlation ID, and what people write as a reason.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from intake_world import NOW, delivery_of, library_of, rows, running_writer
from log_world import client_of, door
from reconciler_world import CLOSES, twin
from sync_world import World

from bridge.dictionary.reading import Reading
from bridge.settings import SourceAuth
from bridge.simulator.faults import FaultKind
from bridge.store import intake, orders, queries
from bridge.store.discard import discard
from bridge.store.engine import Store
from bridge.store.replay import quarantined, replay
from bridge.store.tables import intents, log_entries

CANARY = "canary"
MAPPING = """
mapping: probe
version: 1
owner: tests@corp.example
each: {in: ".alerts[]"}
extract:
  rule: .rule
  level: .level
  host: .host
  user: .user
time: .at
severity:
  from: level
  table: {critical: critical, high: high}
  default: medium
correlation:
  id: "{{ rule }}"
  display: Probe
  close_when: {.state: resolved}
suppress:
  - {name: quiet, reason: a test, permanent: true, when: {.kind: quiet}}
route:
  - {when: {.kind: unwanted}, to: drop}
  - {to: itsm}
fields:
  create:
    short_description: "{{ host }} {{ user }}"
    description: "{{ .message }}"
    category: "{{ .category }}"
    cmdb_ci: {find: cmdb_ci, by: {name: "{{ host }}"}}
    impact: {by: severity, table: {critical: 1, high: 2}, default: 3}
  update:
    description: "{{ .message }}"
    work_notes: "{{ user }}"
observables:
  host: host
attach: true
outputs:
  out: {event: {source: "{{ host }}", node: "{{ host }}", type: "{{ user }}", severity: 3, description: "{{ level }}"}}
"""


def canaries(rule: str = "r1", **more: Any) -> dict[str, Any]:
    values = {name: f"{CANARY}-{name}" for name in ("host", "user", "message", "category", "level", "at")}
    return {"rule": rule, **values, **more}


def sent(world: World, number: int, *alerts: dict[str, Any]) -> None:
    with world.store.transaction() as tx:
        one = delivery_of(world.library, json.dumps({"alerts": alerts}).encode(), sender_id=f"{CANARY}-{number}")
        intake.commit(tx, [one], world.store.now(tx))


def a_whole_life(world: World) -> None:
    """Created, updated, refused in words that quote it, edited and closed by people, merged, quarantined, replayed."""
    world.reading = Reading(choices={"incident": {"category": frozenset({"network"})}})
    sent(world, 1, canaries(level="high"), canaries("r2", kind="quiet"), canaries("r3", kind="unwanted"))
    world.fail(FaultKind.REFUSED, "POST", status=400, message=f"{CANARY}-refused", detail=f"{CANARY}-detail")
    world.idle()
    world.ask_sync()
    world.idle()
    world.fail(FaultKind.REFUSED, "PATCH", status=403, message="Data Policy Exception", detail=f"{CANARY}-policy")
    sent(world, 2, canaries(level="critical"))
    world.idle()
    world.ask_sync()
    world.fail(FaultKind.SERVER_ERROR, "PATCH")
    sent(world, 3, canaries(level="critical", message=f"{CANARY}-again"))
    world.pass_time(minutes=30)
    world.person(short_description=f"{CANARY}-by-hand", description=f"{CANARY}-by-hand")
    world.watch(minutes=2)
    twin(world, short_description=f"{CANARY}-twin")
    world.watch(minutes=2)
    sent(world, 4, canaries(state="resolved"))
    world.idle()
    world.person(**{**CLOSES, "close_notes": f"{CANARY}-notes"})
    world.watch(minutes=2)
    sent(world, 5, {"host": f"{CANARY}-host"}, canaries(rule={"a": f"{CANARY}-part"}))
    with world.store.reading() as tx:
        waiting = quarantined(tx, source=None)
    replay(world.store, waiting, library=world.library, mapping_of={"probe": "probe"}, actor="cli:robin")
    with world.store.transaction() as tx:
        discard(tx, waiting[:1], reason="a test", actor="cli:robin", now=NOW)
        orders.ask_sync(tx, queries.find_correlations(tx, "r1"), actor="cli:robin", now=world.store.now(tx))
    world.idle()


def test_no_value_of_an_alert_is_in_any_entry(world: World) -> None:
    world.library = library_of(world.store, MAPPING)
    world.aim(world.target)
    a_whole_life(world)
    written = rows(world.store, log_entries)
    told = {row.action for row in written}
    assert told >= {"delivered", "quarantined", "decided", "intended", "called", "failed", "written", "edited"}
    assert [row.entry for row in written if CANARY.encode() in row.entry] == []
    assert any(CANARY.encode() in row.fields for row in rows(world.store, intents)), "the values went through all this"
    assert any(CANARY in (row.said or "") for row in written), "and what ServiceNow said of them"


WAYS_IN = [
    (SourceAuth(scheme="bearer"), {"Authorization": "Bearer canary-secret"}, ""),
    (SourceAuth(scheme="bearer"), {"Authorization": "Bearer canary-wrong"}, ""),
    (SourceAuth(scheme="header", header="X-Token"), {"X-Token": "canary-secret"}, ""),
    (SourceAuth(scheme="query", parameter="code"), {}, "?code=canary-secret"),
    (SourceAuth(scheme="query", parameter="code"), {}, "?code=canary-wrong"),
    (SourceAuth(scheme="basic", username="probe"), {"Authorization": "Basic cHJvYmU6Y2FuYXJ5LXNlY3JldA=="}, ""),
]


@pytest.mark.parametrize(("auth", "headers", "query"), WAYS_IN, ids=range(len(WAYS_IN)))
def test_no_secret_of_a_sender_is_in_any_entry(
    store: Store, auth: SourceAuth, headers: dict[str, str], query: str
) -> None:
    with running_writer(store) as writer:
        client, doors = client_of(store, writer, door(auth, b"canary-secret"))
        client.post(f"/hooks/probe{query}", json={"alerts": [{"rule": "r1"}]}, headers=headers)
    doors.flush()
    written = rows(store, log_entries)
    assert len(written) == 1
    assert [row.entry for row in written if b"canary" in row.entry or b"Y2FuYXJ5" in row.entry] == []
