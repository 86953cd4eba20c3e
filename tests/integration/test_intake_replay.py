"""Quarantine drains through the functions that map new deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from intake_world import PROBE, alert, body_of, delivery, delivery_of, library_of, rows
from sqlalchemy import Connection

from bridge.library import Library
from bridge.sources.document import Document
from bridge.store import prepare as prepare_module
from bridge.store import replay as replay_module
from bridge.store.discard import discard
from bridge.store.engine import Store
from bridge.store.intake import commit
from bridge.store.prepare import PreparedAlert, PreparedDelivery, map_again
from bridge.store.replay import Replayed, quarantined, replay
from bridge.store.tables import alerts, correlations, log_entries

FIXED = PROBE.replace("rule: .rule", "rule: .rule ?? .name")
LATER = datetime(2026, 3, 11, tzinfo=UTC)


def take(store: Store, *batch: PreparedDelivery) -> None:
    with store.transaction() as tx:
        commit(tx, batch, store.now(tx))


def replay_all(store: Store, library: Library) -> Replayed:
    with store.reading() as tx:
        ids = quarantined(tx, source=None)
    return replay(store, ids, library=library, mapping_of={"probe": "probe"}, actor="cli:test")


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
    again = replay(store, ids, library=fixed, mapping_of={"probe": "probe"}, actor="cli:test")
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


def test_of_more_than_are_taken_at_once_each_replay_takes_the_next(store: Store) -> None:
    library = library_of(store, PROBE.replace('in: ".alerts[]"', 'in: ".alerts[]", limit: 2'))
    five = [alert(rule=f"r{n}") if n != 3 else {"name": "r3"} for n in range(5)]
    take(store, delivery_of(library, body_of(*five)))
    assert replay_all(store, library) == Replayed(mapped=1, waiting=2)  # r2; the broken one, and what is after it
    assert replay_all(store, library) == Replayed(mapped=1, waiting=1)  # r4; the broken one as before
    assert replay_all(store, library_of(store, FIXED)) == Replayed(mapped=1, waiting=0)
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


def test_a_rest_that_yields_nothing_for_now_is_a_rest_still(store: Store) -> None:
    take(store, delivery_of(library_of(store), b'{"events": [{"rule": "a"}, {"rule": "b"}], "none": []}'))
    replay_all(store, library_of(store, PROBE.replace(".alerts[]", ".none[]")))
    (held,) = rows(store, alerts)
    assert (held.position, held.covers_rest, held.reason) == (0, True, "no_element")
    assert replay_all(store, library_of(store, PROBE.replace(".alerts[]", ".events[]"))).mapped == 2
    assert [row.correlation_id for row in rows(store, alerts)] == ["a", "b"]


def test_what_comes_to_the_same_is_not_written_or_logged_again(store: Store) -> None:
    library = library_of(store)
    take(store, delivery(library, {"x": 1}), delivery_of(library, b"not JSON"))
    before = rows(store, alerts), rows(store, log_entries)
    assert replay_all(store, library) == Replayed(waiting=2)
    assert (rows(store, alerts), rows(store, log_entries)) == before


def unstorable_rule(mapping: Any, content: bytes, waiting: Any, *, now: datetime) -> Any:
    """As `map_again`; of the rule `poison` it makes a text that neither database stores."""
    return [tuple([poisoned(one) for one in found]) for found in map_again(mapping, content, waiting, now=now)]


def poisoned(one: PreparedAlert) -> PreparedAlert:
    if one.mapped is None or one.mapped.correlation_id != "poison":
        return one
    return msgspec.structs.replace(one, mapped=msgspec.structs.replace(one.mapped, correlation_text="\ud800"))


def test_a_delivery_that_cannot_be_stored_keeps_no_other_in_quarantine(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = library_of(store)
    for names in (["a"], ["b", "poison"], ["c"]):
        take(store, delivery(library, *({"name": name} for name in names)))
    monkeypatch.setattr(replay_module, "map_again", unstorable_rule)
    fixed = library_of(store, FIXED)
    assert replay_all(store, fixed) == Replayed(mapped=2, waiting=2)
    assert [row.correlation_id for row in rows(store, correlations)] == ["a", "c"]
    assert [row.reason for row in rows(store, alerts) if row.outcome == "quarantined"] == ["unstorable"] * 2
    assert "delivery 2 could not be replayed, it stays quarantined" in caplog.text
    logged = len(rows(store, log_entries))
    assert replay_all(store, fixed) == Replayed(waiting=2)
    assert len(rows(store, log_entries)) == logged


def test_what_was_unstorable_is_stored_once_it_can_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    take(store, delivery_of(library_of(store), b'{"events": [{"rule": "poison"}, {"rule": "b"}]}'))
    moved = library_of(store, PROBE.replace(".alerts[]", ".events[]"))
    with monkeypatch.context() as patch:
        patch.setattr(replay_module, "map_again", unstorable_rule)
        assert replay_all(store, moved) == Replayed(waiting=1)
    assert replay_all(store, moved) == Replayed(mapped=2)


def test_a_body_is_decoded_once_however_many_of_its_alerts_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = prepare_module.decode

    def counted(raw: bytes) -> Document:
        decoded.append(raw)
        return real(raw)

    take(store, delivery(library_of(store), *({"name": f"r{n}"} for n in range(20))))
    monkeypatch.setattr(prepare_module, "decode", counted)
    assert replay_all(store, library_of(store, FIXED)).mapped == 20
    assert len(decoded) == 1


@pytest.mark.parametrize(
    ("bound", "most", "batches"),
    [("BATCH_ALERTS_MAX", 2_000, [2, 1]), ("BATCH_ALERTS_MAX", 1_000, [1, 1, 1]), ("BATCH_BYTES_MAX", 1, [1, 1, 1])],
)
def test_a_transaction_is_no_longer_than_one_of_intake(
    store: Store, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, batches: list[int]
) -> None:
    library = library_of(store)
    for n in range(3):
        take(store, delivery_of(library, b'{"events": [{"rule": "r%d"}]}' % n))
    stored = []
    real = replay_module._store

    def counted(tx: Connection, page: Sequence[Any], **named: Any) -> Replayed:
        stored.append(len(page))
        return real(tx, page, **named)

    monkeypatch.setattr(replay_module, "_store", counted)
    monkeypatch.setattr(replay_module, bound, most)
    assert replay_all(store, library_of(store, PROBE.replace(".alerts[]", ".events[]"))).mapped == 3
    assert stored == batches


def test_between_two_transactions_a_replay_can_be_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    take(store, delivery(library_of(store), {"name": "a"}, {"name": "b"}))
    monkeypatch.setattr(replay_module, "BATCH_ALERTS_MAX", 1)
    asked = iter([False, True])
    with store.reading() as tx:
        ids = quarantined(tx, source=None)
    fixed = library_of(store, FIXED)
    done = replay(
        store, ids, library=fixed, mapping_of={"probe": "probe"}, actor="cli:test", stopped=lambda: next(asked)
    )
    assert done == Replayed(mapped=1)


def test_of_two_replays_at_once_one_counts_an_alert(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    take(store, delivery(library_of(store), {"name": "a"}, {"name": "b"}))
    fixed = library_of(store, FIXED)
    real, first = replay_module._store, iter([True])

    def overtaken(tx: Connection, page: Sequence[Any], **named: Any) -> Replayed:
        if next(first, False):
            real(tx, page, **named)
        return real(tx, page, **named)

    monkeypatch.setattr(replay_module, "_store", overtaken)
    assert replay_all(store, fixed) == Replayed()
    assert [row.alert_count for row in rows(store, correlations)] == [1, 1]
    assert [row.action for row in rows(store, log_entries)].count("replayed") == 1


def test_pages_go_on_after_the_last_one(store: Store) -> None:
    take(store, delivery(library_of(store), {"x": 1}, {"x": 2}, {"x": 3}))
    with store.reading() as connection:
        first = quarantined(connection, source=None, limit=2)
        rest = quarantined(connection, source=None, after=first[-1], limit=2)
    assert [position for _, position in first + rest] == [0, 1, 2]


def test_a_source_that_is_gone_keeps_its_quarantine(store: Store) -> None:
    library = library_of(store)
    take(store, delivery(library, {"x": 1}))
    with store.reading() as tx:
        ids = quarantined(tx, source=None)
    done = replay(store, ids, library=library, mapping_of={}, actor="cli:test")
    assert done == Replayed(waiting=1)
