"""What one batch does to the store: folding, duplicates, settling, order, log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from intake_world import PROBE, alert, body_of, delivery, delivery_of, library_of, rows
from sqlalchemy import event, update

from bridge.library import Library
from bridge.store.engine import Store
from bridge.store.intake import DeliveryAnswer, commit
from bridge.store.prepare import PreparedDelivery
from bridge.store.tables import alerts, correlations, deliveries, log_entries


@pytest.fixture
def library(store: Store) -> Library:
    return library_of(store)


def take(store: Store, *batch: PreparedDelivery) -> list[DeliveryAnswer]:
    with store.transaction() as tx:
        return commit(tx, batch, store.now(tx))


def only(store: Store) -> Any:
    (row,) = rows(store, correlations)
    return row


def age_deliveries(store: Store, by: timedelta) -> None:
    with store.transaction() as tx:
        for row in tx.execute(deliveries.select()).all():
            tx.execute(update(deliveries).where(deliveries.c.id == row.id).values(received_at=row.received_at - by))


def set_row(store: Store, **values: Any) -> None:
    with store.transaction() as tx:
        tx.execute(update(correlations).values(**values))


def test_a_first_alert_makes_a_correlation_that_is_due(store: Store, library: Library) -> None:
    (answer,) = take(store, delivery(library, alert(level="high")))
    assert [(one.outcome, one.reason, one.correlation_id) for one in answer.alerts] == [("accepted", "new", "r1")]
    row = only(store)
    assert (row.last_seq, row.alert_count, row.severity, row.status, row.target) == (1, 1, 4, "firing", "itsm")
    assert row.due_at is not None
    assert (row.open, row.applied_seq, row.episode) == (False, 0, 0)


def test_equal_deliveries_of_one_batch_are_one(store: Store, library: Library) -> None:
    first, second = take(store, delivery(library, alert()), delivery(library, alert()))
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.alerts == second.alerts
    assert first.delivery == second.delivery
    assert only(store).alert_count == 1


def test_alerts_of_one_correlation_in_one_batch_are_folded_into_one_row(store: Store, library: Library) -> None:
    take(store, delivery(library, alert(n=1), alert(rule="R1", n=2)), delivery(library, alert(n=3)))
    assert only(store).last_seq == 3
    assert sorted(row.seq for row in rows(store, alerts)) == [1, 2, 3]


def test_with_a_senders_id_the_same_delivery_is_a_duplicate_days_later(store: Store, library: Library) -> None:
    (first,) = take(store, delivery(library, alert(), sender_id="d1"))
    age_deliveries(store, timedelta(days=4))
    (again,) = take(store, delivery(library, alert(), sender_id="d1"))
    assert again.duplicate
    assert again.alerts == first.alerts


def test_without_a_senders_id_the_same_content_is_news_after_ten_minutes(store: Store, library: Library) -> None:
    take(store, delivery(library, alert()))
    age_deliveries(store, timedelta(minutes=9))
    (soon,) = take(store, delivery(library, alert()))
    age_deliveries(store, timedelta(minutes=2))
    (later,) = take(store, delivery(library, alert()))
    assert (soon.duplicate, later.duplicate) == (True, False)
    assert only(store).alert_count == 2


def test_firing_resolved_firing_within_ten_minutes_is_three_effects(store: Store, library: Library) -> None:
    batch = [delivery(library, alert()), delivery(library, alert(state="resolved")), delivery(library, alert())]
    answers = [take(store, one)[0] for one in batch]
    assert [answer.duplicate for answer in answers] == [False, False, False]
    row = only(store)
    assert (row.alert_count, row.status, row.status_changed_seq) == (3, "firing", 3)


def test_a_delivery_that_itself_changes_the_status_is_no_news_when_sent_again(store: Store, library: Library) -> None:
    both = delivery(library, alert(), alert(state="resolved"))
    take(store, both)
    assert take(store, both)[0].duplicate


def test_what_came_late_counts_but_does_not_change_the_status(store: Store, library: Library) -> None:
    take(store, delivery(library, alert(state="resolved", at="2026-03-10T11:00:00Z")))
    take(store, delivery(library, alert(at="2026-03-10T10:00:00Z")))
    row = only(store)
    assert (row.status, row.alert_count, row.status_changed_seq) == ("resolved", 2, 1)
    assert row.first_seen.hour == 10
    assert row.last_seen.hour == 11


def test_a_time_far_ahead_gives_way_to_the_time_of_receipt(store: Store, library: Library) -> None:
    take(store, delivery(library, alert(at="2199-01-01T00:00:00Z")))
    (row,) = rows(store, alerts)
    assert row.event_time == row.received_at


def test_a_suppressed_alert_is_counted_and_wakes_nobody(store: Store, library: Library) -> None:
    (answer,) = take(store, delivery(library, alert(kind="noisy")))
    assert (answer.alerts[0].outcome, answer.alerts[0].reason) == ("suppressed", "noise")
    row = only(store)
    assert (row.alert_count, row.due_at, row.severity) == (1, None, 0)


def test_a_suppressed_alert_that_raises_an_open_episode_is_accepted(store: Store, library: Library) -> None:
    take(store, delivery(library, alert(level="low")))
    set_row(store, open=True, due_at=None)
    (same, worse) = take(
        store, delivery(library, alert(level="low", kind="noisy")), delivery(library, alert(level="high", kind="noisy"))
    )
    assert (same.alerts[0].outcome, worse.alerts[0].reason) == ("suppressed", "severity_rose")
    assert only(store).severity == 4


def test_a_dropped_alert_leaves_no_correlation(store: Store, library: Library) -> None:
    (answer,) = take(store, delivery(library, alert(kind="unwanted")))
    assert (answer.alerts[0].outcome, answer.alerts[0].correlation_id) == ("dropped", "r1")
    assert rows(store, correlations) == []
    (row,) = rows(store, alerts)
    assert (row.seq, row.correlation) == (None, None)


def test_with_an_episode_open_a_drop_is_accepted(store: Store, library: Library) -> None:
    take(store, delivery(library, alert()))
    set_row(store, open=True)
    (answer,) = take(store, delivery(library, alert(kind="unwanted")))
    assert (answer.alerts[0].outcome, answer.alerts[0].reason) == ("accepted", "route_kept")
    assert only(store).target == "itsm"


def test_a_closing_alert_is_accepted_whatever_the_route_says(store: Store, library: Library) -> None:
    (answer,) = take(store, delivery(library, alert(kind="unwanted", state="resolved")))
    assert (answer.alerts[0].outcome, answer.alerts[0].reason) == ("accepted", "resolved")


@pytest.mark.parametrize(
    "values", [{"failures": 2}, {"waits_for_person": True, "due_at": None}], ids=["failing", "waiting for a person"]
)
def test_an_alert_does_not_hasten_what_waits(store: Store, library: Library, values: dict[str, Any]) -> None:
    take(store, delivery(library, alert()))
    before = only(store).due_at + timedelta(hours=1)
    set_row(store, **({"due_at": before} | values))
    take(store, delivery(library, alert(n=2)))
    assert only(store).due_at == ({"due_at": before} | values)["due_at"]


def test_what_cannot_be_mapped_is_quarantined_beside_what_can(store: Store, library: Library) -> None:
    (answer,) = take(store, delivery(library, alert(), {"no": "rule"}))
    assert [one.outcome for one in answer.alerts] == ["accepted", "quarantined"]
    assert answer.alerts[1].correlation_id is None
    assert ": " in answer.alerts[1].reason
    assert [row.action for row in rows(store, log_entries)] == ["delivered", "quarantined"]


def test_an_undecodable_delivery_is_kept_whole(store: Store, library: Library) -> None:
    (answer,) = take(store, delivery_of(library, b'{"a": NaN}'))
    assert answer.alerts[0].reason.startswith("not_a_number: ")
    (row,) = rows(store, alerts)
    assert (row.covers_rest, row.position, row.detail is not None) == (True, 0, True)
    assert rows(store, deliveries)[0].body == b'{"a": NaN}'


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_no_statement_that_sqlite_keeps_holds_more_than_a_few_bodies(store: Store, library: Library) -> None:
    sizes = [60, 60, 1, 200, 60, 60, 60]
    batch = [delivery(library, alert(rule=f"r{n}", said="x" * size * 1024)) for n, size in enumerate(sizes)]
    held: list[list[int]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, values: tuple[Any, ...], *_more: Any) -> None:
        if statement.startswith("INSERT INTO deliveries"):
            held.append([len(value) // 1024 for value in values if isinstance(value, bytes) and len(value) >= 1024])

    event.listen(store.engine, "before_cursor_execute", listen)
    take(store, *batch)
    event.remove(store.engine, "before_cursor_execute", listen)
    assert held == [[60, 60, 1], [200], [60, 60], [60]]
    assert [row.body for row in rows(store, deliveries)] == [one.body for one in batch]


def test_thirty_deliveries_take_no_more_statements_than_two(store: Store, library: Library) -> None:
    """Of problems that are new, that are known, and of one that was sent before. (Large bodies are more, on SQLite.)"""

    def statements(many: int, first: int) -> int:
        said: list[str] = []
        known = [delivery(library, alert(rule=f"r{first + n}")) for n in range(many)]
        take(store, *known)
        batch = [
            delivery(library, alert(rule=f"r{first + n}", n="2"), alert(rule=f"new {first + n}")) for n in range(many)
        ]
        event.listen(store.engine, "before_cursor_execute", listen := lambda *call: said.append(call[2]))
        answers = take(store, *batch, known[0])
        event.remove(store.engine, "before_cursor_execute", listen)
        assert [answer.duplicate for answer in answers] == [*[False] * many, True]
        return len(said)

    few = statements(2, first=0)
    assert few < 20
    assert statements(30, first=100) == few


def test_the_log_lists_every_alert_of_a_delivery(store: Store, library: Library) -> None:
    at = "2026-03-10T11:00:00Z"
    take(store, delivery(library, alert(at=at), alert(rule="r2", kind="unwanted", at=at)))
    (row,) = rows(store, log_entries)
    entry = msgspec.json.decode(row.entry)
    assert entry["actor"] == "source:probe"
    assert entry["detail"]["alerts"] == [
        {"position": 0, "correlation_id": "r1", "outcome": "accepted", "reason": "new", "rule": "route[1]"},
        {"position": 1, "correlation_id": "r2", "outcome": "dropped", "reason": "route_drop", "rule": "route[0]"},
    ]


@pytest.mark.parametrize("place", [".alerts[]", ".alerts", ".alerts[] ?? .[]"])
def test_a_thousand_alerts_are_taken_and_the_rest_waits_as_one(store: Store, place: str) -> None:
    library = library_of(store, PROBE.replace('in: ".alerts[]"', f'in: "{place}"'))
    body = body_of(*[alert(rule=f"r{number}") for number in range(1_100)])
    (answer,) = take(store, delivery_of(library, body))
    assert len(answer.alerts) == 1_001
    assert answer.alerts[-1].reason.startswith("too_many_alerts: ")
    assert rows(store, alerts)[-1].covers_rest
