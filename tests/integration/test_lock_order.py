"""Whoever takes several correlations takes them in one order, and begins again when another was quicker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest
from intake_world import NOW, PROBE, WAIT_SECONDS_MAX, alert, delivery, library_of, wait_for_a_waiter
from sqlalchemy import Connection, Select, Table, select, update

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


def both(store: Store) -> list[int]:
    """The ids of the two correlations there are, the lower one first."""
    with store.reading() as tx:
        return list(tx.execute(select(correlations.c.id).order_by(correlations.c.id)).scalars())


def locked(table: Table, row: int) -> Select[tuple[int]]:
    """Fails at once where somebody else holds the row."""
    return select(table.c.id).where(table.c.id == row).with_for_update(nowait=True)


@contextmanager
def held_up(store: Store, act: Callable[[], None], table: Table, row: int) -> Iterator[Connection]:
    """`act` is begun, and waits, while this transaction holds the row. After it `act` is over."""
    acting = threading.Thread(target=act)
    with store.transaction() as tx:
        tx.execute(locked(table, row))
        acting.start()
        wait_for_a_waiter(store)
        yield tx
    acting.join(WAIT_SECONDS_MAX)


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

    low, high = both(first)
    with held_up(first, take_both, correlations, low) as tx:
        tx.execute(locked(correlations, high))  # it waits for the lower one, and does not hold this one meanwhile
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

    low, high = both(first)
    with held_up(first, replay_both, correlations, low) as tx:
        tx.execute(locked(correlations, high))
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

    low, high = both(first)
    with held_up(first, pass_the_fence, correlations, low) as tx:
        tx.execute(locked(correlations, high))
        tx.execute(locked(incidents, held.incident.id))
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

    mine = held.correlation if waits_for is correlations else held.incident.id
    with held_up(first, pass_the_fence, waits_for, mine) as tx:
        tx.execute(update(incidents).where(incidents.c.id == held.incident.id).values(epoch=held.epoch + 1))
    assert lost
