"""Quarantine drains through the functions that map new deliveries."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from intake_world import PROBE, alert, body_of, delivery, delivery_of, library_of, rows

from bridge.library import Library
from bridge.store.discard import discard
from bridge.store.engine import Store
from bridge.store.intake import commit
from bridge.store.prepare import PreparedDelivery
from bridge.store.replay import Replayed, quarantined, replay
from bridge.store.tables import alerts, correlations, log_entries

FIXED = PROBE.replace("rule: .rule", "rule: .rule ?? .name")
LATER = datetime(2026, 3, 11, tzinfo=UTC)


def take(store: Store, *batch: PreparedDelivery) -> None:
    with store.transaction() as tx:
        commit(tx, batch, store.now(tx))


def replay_all(store: Store, library: Library) -> Replayed:
    with store.transaction() as tx:
        return replay(
            tx,
            quarantined(tx, source=None),
            library=library,
            mapping_of={"probe": "probe"},
            actor="cli:test",
            now=LATER,
        )


def test_a_fixed_mapping_lets_the_quarantine_go(store: Store) -> None:
    take(store, delivery(library_of(store), alert(), {"name": "r9", "level": "high"}))
    assert replay_all(store, library_of(store, FIXED)) == Replayed(mapped=1, waiting=0)
    row = rows(store, alerts)[1]
    assert (row.outcome, row.correlation_id, row.seq, row.detail) == ("accepted", "r9", 1, None)
    assert rows(store, correlations)[1].due_at is not None
    entry = msgspec.json.decode(rows(store, log_entries)[-1].entry)
    assert (entry["action"], entry["actor"], entry["detail"]["alerts"][0]["position"]) == ("replayed", "cli:test", 1)


def test_a_mapping_that_is_not_fixed_keeps_it_waiting(store: Store) -> None:
    library = library_of(store)
    take(store, delivery(library, {"name": "r9"}))
    assert replay_all(store, library) == Replayed(mapped=0, waiting=1)
    assert rows(store, correlations) == []


def test_what_left_quarantine_is_not_replayed_again(store: Store) -> None:
    take(store, delivery(library_of(store), {"name": "r9"}))
    fixed = library_of(store, FIXED)
    with store.reading() as connection:
        ids = quarantined(connection, source="probe")
    replay_all(store, fixed)
    with store.transaction() as tx:
        again = replay(tx, ids, library=fixed, mapping_of={"probe": "probe"}, actor="cli:test", now=LATER)
    assert again == Replayed()
    assert rows(store, correlations)[0].alert_count == 1


def test_a_delivery_that_was_kept_whole_is_split_when_it_can_be(store: Store) -> None:
    take(store, delivery_of(library_of(store), b'{"events": [{"rule": "a"}, {"rule": "b"}]}'))
    moved = library_of(store, PROBE.replace(".alerts[]", ".events[]"))
    assert replay_all(store, moved) == Replayed(mapped=2, waiting=0)
    assert [(row.position, row.covers_rest) for row in rows(store, alerts)] == [(0, False), (1, False)]


def test_a_remainder_is_taken_from_where_it_began(store: Store) -> None:
    few = PROBE.replace('in: ".alerts[]"', 'in: ".alerts[]", limit: 2')
    take(store, delivery_of(library_of(store, few), body_of(*[alert(rule=f"r{n}") for n in range(5)])))
    assert replay_all(store, library_of(store)) == Replayed(mapped=3, waiting=0)
    assert [row.correlation_id for row in rows(store, alerts)] == [f"r{n}" for n in range(5)]


def test_only_what_is_still_quarantined_is_discarded(store: Store) -> None:
    take(store, delivery(library_of(store), {"name": "r9"}))
    with store.reading() as connection:
        ids = quarantined(connection, source=None)
    replay_all(store, library_of(store, FIXED))
    with store.transaction() as tx:
        assert discard(tx, ids, reason="a test", actor="cli:test", now=LATER) == 0
    assert rows(store, alerts)[0].outcome == "accepted"
    assert msgspec.json.decode(rows(store, log_entries)[-1].entry)["action"] == "replayed"


def test_pages_go_on_after_the_last_one(store: Store) -> None:
    take(store, delivery(library_of(store), {"x": 1}, {"x": 2}, {"x": 3}))
    with store.reading() as connection:
        first = quarantined(connection, source=None, limit=2)
        rest = quarantined(connection, source=None, after=first[-1], limit=2)
    assert [position for _, position in first + rest] == [0, 1, 2]


def test_a_source_that_is_gone_keeps_its_quarantine(store: Store) -> None:
    library = library_of(store)
    take(store, delivery(library, {"x": 1}))
    with store.transaction() as tx:
        done = replay(tx, quarantined(tx, source=None), library=library, mapping_of={}, actor="cli:test", now=LATER)
    assert done == Replayed(waiting=1)
