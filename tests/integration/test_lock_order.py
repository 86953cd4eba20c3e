"""Whoever takes several correlations takes them in one order, and begins again when another was quicker."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from intake_world import NOW, PROBE, WAIT_SECONDS_MAX, alert, delivery, library_of, wait_for_a_waiter
from sqlalchemy import Connection, Table, select, update

from bridge.store import intake_sql, settle
from bridge.store.correlation_state import CorrelationState
from bridge.store.engine import Conflict, Store, open_store
from bridge.store.held import Held
from bridge.store.intake import commit
from bridge.store.replay import Replayed, quarantined, replay
from bridge.store.settle import LeaseLost
from bridge.store.tables import correlations, incidents, metadata
from bridge.store.work import claim, hold


@pytest.fixture
def stores(postgres_url: str) -> Iterator[tuple[Store, Store]]:
    """Of two processes."""
    with ExitStack() as stack:
        first, second = (open_store(postgres_url, lambda: NOW) for _ in range(2))
        for one in (first, second):
            stack.callback(one.close)
        metadata.drop_all(first.engine)
        metadata.create_all(first.engine)
        stack.callback(metadata.drop_all, first.engine)
        yield first, second


def test_more_keys_than_one_statement_takes_are_locked_in_the_order_of_ids(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stores
    library = library_of(first)
    for rule in ("b", "a"):  # the order of their keys is not that of their ids
        with first.transaction() as tx:
            commit(tx, [delivery(library, alert(rule))], NOW)
    monkeypatch.setattr(intake_sql, "ROWS_PER_STATEMENT", 1)

    def take_both() -> None:
        with second.transaction() as tx:
            commit(tx, [delivery(library, alert("a", n=1), alert("b", n=1))], NOW)

    taking = threading.Thread(target=take_both)
    with first.transaction() as tx:
        low, high = tx.execute(select(correlations.c.id).order_by(correlations.c.id)).scalars()
        tx.execute(select(correlations.c.id).where(correlations.c.id == low).with_for_update())
        taking.start()
        wait_for_a_waiter(first)
        # It waits for the lower one, and does not hold the higher one meanwhile.
        tx.execute(select(correlations.c.id).where(correlations.c.id == high).with_for_update(nowait=True))
    taking.join(WAIT_SECONDS_MAX)
    with first.reading() as tx:
        assert list(tx.execute(select(correlations.c.last_seq)).scalars()) == [2, 2]


def test_a_replay_locks_the_correlations_of_many_deliveries_in_the_order_of_ids(stores: tuple[Store, Store]) -> None:
    first, second = stores
    library = library_of(first)
    for rule in ("a", "b"):
        with first.transaction() as tx:
            commit(tx, [delivery(library, alert(rule))], NOW)
    for name in ("b", "a"):  # the order of the deliveries is not that of the correlations
        with first.transaction() as tx:
            commit(tx, [delivery(library, {"name": name})], NOW)
    fixed = library_of(first, PROBE.replace("rule: .rule", "rule: .rule ?? .name"))
    with first.reading() as tx:
        ids = quarantined(tx, source=None)
    done: list[Replayed] = []

    def replay_both() -> None:
        done.append(replay(second, ids, library=fixed, mapping_of={"probe": "probe"}, actor="test"))

    replaying = threading.Thread(target=replay_both)
    with first.transaction() as tx:
        low, high = tx.execute(select(correlations.c.id).order_by(correlations.c.id)).scalars()
        tx.execute(select(correlations.c.id).where(correlations.c.id == low).with_for_update())
        replaying.start()
        wait_for_a_waiter(first)
        tx.execute(select(correlations.c.id).where(correlations.c.id == high).with_for_update(nowait=True))
    replaying.join(WAIT_SECONDS_MAX)
    assert done == [Replayed(mapped=2)]


def test_a_replay_that_lost_a_race_is_begun_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    library = library_of(store)
    with store.transaction() as tx:
        commit(tx, [delivery(library, {"name": "a"})], NOW)
    fixed = library_of(store, PROBE.replace("rule: .rule", "rule: .rule ?? .name"))
    real, lost = intake_sql.insert_correlations, iter([True])

    def once_slower(tx: Connection, states: Sequence[CorrelationState]) -> None:
        if next(lost, False):
            raise Conflict
        real(tx, states)

    monkeypatch.setattr(intake_sql, "insert_correlations", once_slower)
    with store.reading() as tx:
        ids = quarantined(tx, source=None)
    assert replay(store, ids, library=fixed, mapping_of={"probe": "probe"}, actor="test") == Replayed(mapped=1)


def held_of_two(first: Store) -> Held:
    """A round of an incident that another correlation shares."""
    library = library_of(first)
    for rule in ("a", "b"):
        with first.transaction() as tx:
            commit(tx, [delivery(library, alert(rule))], NOW)
    with first.transaction() as tx:
        lease = claim(tx, first.now(tx), paused=())
        held = hold(tx, lease) if lease is not None else None
    assert held is not None
    return held


def test_a_fence_locks_no_incident_before_all_of_its_correlations(stores: tuple[Store, Store]) -> None:
    first, second = stores
    held, passed = held_of_two(first), []

    def pass_the_fence() -> None:
        with second.transaction() as tx:
            settle.fence(tx, held, but_also=(low, high))
            passed.append(True)

    passing = threading.Thread(target=pass_the_fence)
    with first.transaction() as tx:
        low, high = tx.execute(select(correlations.c.id).order_by(correlations.c.id)).scalars()
        tx.execute(select(correlations.c.id).where(correlations.c.id == low).with_for_update())
        passing.start()
        wait_for_a_waiter(first)
        tx.execute(select(correlations.c.id).where(correlations.c.id == high).with_for_update(nowait=True))
        tx.execute(select(incidents.c.id).where(incidents.c.id == held.incident.id).with_for_update(nowait=True))
    passing.join(WAIT_SECONDS_MAX)
    assert passed


@pytest.mark.parametrize("waits_for", [correlations, incidents], ids=lambda table: table.name)
def test_who_loses_the_lease_while_it_waits_at_the_fence_does_not_pass(
    stores: tuple[Store, Store], waits_for: Table
) -> None:
    first, second = stores
    held, lost = held_of_two(first), []

    def pass_the_fence() -> None:
        with pytest.raises(LeaseLost), second.transaction() as tx:
            settle.fence(tx, held)
        lost.append(True)

    passing = threading.Thread(target=pass_the_fence)
    with first.transaction() as tx:
        mine = held.correlation if waits_for is correlations else held.incident.id
        tx.execute(select(waits_for.c.id).where(waits_for.c.id == mine).with_for_update())
        passing.start()
        wait_for_a_waiter(first)
        tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(epoch=held.epoch + 1))
    passing.join(WAIT_SECONDS_MAX)
    assert lost
