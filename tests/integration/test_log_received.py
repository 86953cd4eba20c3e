"""The log of what was received: who sent it from where, what became of each alert, and by which rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from intake_world import NOW, PROBE, alert, delivery, delivery_of, library_of, rows, running_writer
from log_world import SECRET, client_of, door, entries, part_of

from bridge.library import Library
from bridge.settings import SourceAuth
from bridge.sources.auth import Verifier, forwarded_for, verifier_for
from bridge.store import intake
from bridge.store.callers import Callers, troubles
from bridge.store.engine import Store
from bridge.store.replay import quarantined, replay
from bridge.store.tables import log_entries

OWNER = {"owner": "tests@corp.example"}
MAINTENANCE = PROBE.replace(
    "route:", "  - {name: move, reason: data centre, ticket: CHG1, until: 2026-03-31, when: {kind: moved}}\nroute:"
).replace("  - {to: itsm}", "  - {when: {kind: [known, moved, noisy]}, to: itsm}")


def take(store: Store, library: Library, *alerts: dict[str, Any]) -> None:
    with store.transaction() as tx:
        intake.commit(tx, [delivery(library, *alerts)], NOW)


# --- each alert's fate, and the rule that decided it

FATES = [
    # what came, what its line says, what is told of the rule
    ("known", {"outcome": "accepted", "reason": "new", "rule": "route[1]"}, None),
    (
        "noisy",
        {"outcome": "suppressed", "reason": "noise", "rule": "suppress:noise"},
        {"suppress:noise": OWNER | {"reason": "a test", "until": "permanent"}},
    ),
    (
        "moved",
        {"outcome": "suppressed", "reason": "move", "rule": "suppress:move"},
        {"suppress:move": OWNER | {"reason": "data centre", "ticket": "CHG1", "until": "2026-04-01T00:00:00Z"}},
    ),
    (
        "unwanted",
        {"outcome": "dropped", "reason": "route_drop", "rule": "route[0]"},
        {"route[0]": OWNER | {"to": "drop"}},
    ),
    (
        "nobody's",
        {"outcome": "dropped", "reason": "route_drop", "rule": "no_route"},
        {"no_route": OWNER | {"to": "drop"}},
    ),
]


@pytest.mark.parametrize(("kind", "line", "rules"), FATES, ids=[row[0] for row in FATES])
def test_an_alerts_fate_is_told_with_the_rule_that_decided_it(
    store: Store, kind: str, line: dict[str, str], rules: dict[str, Any] | None
) -> None:
    library = library_of(store, MAINTENANCE)
    take(store, library, alert(kind=kind))
    (entry,) = entries(store, "delivered")
    assert part_of(entry["detail"]["alerts"][0], line) == line
    assert entry["detail"].get("rules") == rules
    assert entry["revision"] == library["probe"].revision


def test_what_is_quarantined_is_decided_by_no_rule_and_named_by_its_reason(store: Store) -> None:
    take(store, library_of(store), {"level": "high"})
    (entry,) = entries(store, "quarantined")
    (line,) = entry["detail"]["alerts"]
    assert ("rule" in line, line["outcome"], bool(line["reason"])) == (False, "quarantined", True)


def test_a_replay_tells_the_same_of_each_alert_and_whose_order_it_was(store: Store) -> None:
    take(store, library_of(store), {"number": "r7", "kind": "noisy"})
    mended = library_of(store, PROBE.replace("rule: .rule", "rule: .rule ?? .number"))
    with store.reading() as tx:
        waiting = quarantined(tx, source=None)
    replay(store, waiting, library=mended, mapping_of={"probe": "probe"}, actor="cli:robin")
    expected = {
        "actor": "cli:robin",
        "known_by": "os_user",
        "revision": mended["probe"].revision,
        "detail": {
            "alerts": [
                {"position": 0, "correlation_id": "r7", "outcome": "suppressed", "reason": "noise"}
                | {"rule": "suppress:noise"}
            ],
            "rules": {"suppress:noise": OWNER | {"reason": "a test", "until": "permanent"}},
        },
    }
    (entry,) = entries(store, "replayed")
    assert part_of(entry, expected) == expected
    assert entry["address"]


# --- who sent it

PROXIES = SourceAuth(
    scheme="mtls", header="X-Client", trusted_proxies=("127.0.0.1", "10.0.0.0/8"), subjects=("CN=probe",)
)
SENDERS = [
    # scheme, its headers, how the source is known, whom a proxy passed it on for
    (SourceAuth(scheme="bearer"), {"Authorization": f"Bearer {SECRET.decode()}"}, "bearer", None),
    (
        SourceAuth(scheme="bearer"),
        {"Authorization": f"Bearer {SECRET.decode()}", "X-Forwarded-For": "192.0.2.1"},
        "bearer",
        None,
    ),
    (PROXIES, {"X-Client": "CN=probe"}, "mtls", None),
    (PROXIES, {"X-Client": "CN=probe", "X-Forwarded-For": "198.51.100.1, 192.0.2.1"}, "mtls", "192.0.2.1"),
    (PROXIES, {"X-Client": "CN=probe", "X-Forwarded-For": "192.0.2.1, 10.1.2.3"}, "mtls", "192.0.2.1"),
    (PROXIES, {"X-Client": "CN=probe", "X-Forwarded-For": "192.0.2.1, nonsense"}, "mtls", None),
    (PROXIES, {"X-Client": "CN=probe", "X-Forwarded-For": "10.1.2.3"}, "mtls", None),
]
SENDER_IDS = [
    "a bearer token",
    "what a sender says of itself is not believed",
    "a proxy that says nothing",
    "the proxy's own word, and not what came to it",
    "two proxies of ours",
    "no address",
    "nobody but our own",
]


@pytest.mark.parametrize(("auth", "headers", "known_by", "passed_on_for"), SENDERS, ids=SENDER_IDS)
def test_a_delivery_names_its_source_how_that_is_known_and_where_it_came_from(
    store: Store, auth: SourceAuth, headers: dict[str, str], known_by: str, passed_on_for: str | None
) -> None:
    with running_writer(store) as writer:
        client, _callers = client_of(store, writer, door(auth))
        assert client.post("/hooks/probe", json={"alerts": [alert()]}, headers=headers).status_code == 200
    (entry,) = entries(store, "delivered")
    told = entry["actor"], entry["known_by"], entry["address"], entry.get("forwarded_for")
    assert told == ("source:probe", known_by, "127.0.0.1", passed_on_for)


def test_only_where_a_proxy_is_trusted_is_anything_passed_on() -> None:
    verifier: Verifier = verifier_for("probe", SourceAuth(scheme="bearer"), (SECRET,))
    assert forwarded_for(verifier, {"X-Forwarded-For": "192.0.2.1"}) == ""


# --- what was turned away


def many(doors: Callers) -> None:
    for number in range(7):
        doors.refused("probe", "not_authenticated", NOW, address=f"192.0.2.{number}")


REFUSALS: list[tuple[str, Callable[[Callers], object], dict[str, Any]]] = [
    (
        "a wrong secret",
        lambda doors: doors.refused("probe", "not_authenticated", NOW, address="192.0.2.1"),
        {
            "actor": "source:probe",
            "known_by": "claim",
            "outcome": "refused",
            "reason": "not_authenticated",
            "detail": {"deliveries": 1, "addresses": ["192.0.2.1"]},
        },
    ),
    (
        "a source that is not configured",
        lambda doors: doors.refused("unknown", "not_authenticated", NOW, address="192.0.2.1"),
        {"actor": "source:unknown", "known_by": "claim", "outcome": "refused", "source": "unknown"},
    ),
    (
        "a database that does not answer",
        lambda doors: doors.refused("probe", "store_slow", NOW, address="192.0.2.1", ours=True),
        {"outcome": "unavailable", "reason": "store_slow", "detail": {"deliveries": 1}},
    ),
    (
        "many, from many places",
        many,
        {"detail": {"deliveries": 7, "addresses": [f"192.0.2.{number}" for number in range(5)]}},
    ),
]


@pytest.mark.parametrize(("refuse", "expected"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_what_was_turned_away_is_one_entry_a_minute_for_each_reason(
    store: Store, refuse: Callable[[Callers], object], expected: dict[str, Any]
) -> None:
    doors = Callers(store, ["probe"])
    refuse(doors)
    doors.flush()
    (entry,) = entries(store, "refused")
    assert part_of(entry, expected) == expected


def test_what_is_our_own_fault_is_no_trouble_of_the_source(store: Store) -> None:
    doors = Callers(store, ["probe"])
    doors.refused("probe", "store_slow", NOW, ours=True)
    doors.flush()
    with store.reading() as tx:
        assert troubles(tx, {"probe": None}, after=timedelta(0), now=NOW + timedelta(minutes=5)) == []


def test_an_entry_of_a_delivery_that_came_again_is_not_written_twice(store: Store) -> None:
    library = library_of(store)
    with store.transaction() as tx:
        intake.commit(tx, [delivery_of(library, b'{"alerts": []}', sender_id="1")] * 2, NOW)
    assert [row.action for row in rows(store, log_entries)] == ["delivered"]
