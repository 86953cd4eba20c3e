"""An instance's limits over all processes: PostgreSQL counts the calls under way, and those of the hour."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta

import pytest
from intake_world import NOW, WAIT_SECONDS_MAX, wait_for_a_waiter
from sqlalchemy import create_engine, select, text
from sync_world import PASSWORD_VARIABLE

from bridge.errors import Transient
from bridge.servicenow.breaker import FAILURES_MAX
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Instance, InstanceAuth, Secret
from bridge.simulator.server import SimulatorServer
from bridge.store import calls
from bridge.store.calls import CallShare, Slots, reserve
from bridge.store.engine import Store, open_store
from bridge.store.reconciler_tables import call_minutes
from bridge.store.tables import metadata

HOUR = timedelta(hours=1)


class Process:
    """What one process has of the limits."""

    def __init__(self, store: Store, *, concurrent: int = 2, per_hour: int = 20_000) -> None:
        self.store = store
        self.now = 1000.0  # its monotonic clock
        self.slots = Slots(store)
        self.share = CallShare(
            store, self.slots, "prod", concurrent=concurrent, per_hour=per_hour, monotonic=lambda: self.now
        )


@pytest.fixture
def stores(postgres_url: str) -> Iterator[tuple[Store, Store]]:
    with ExitStack() as stack:
        first, second = (open_store(postgres_url, lambda: NOW) for _ in range(2))
        for one in (first, second):
            stack.callback(one.close)
        metadata.drop_all(first.engine)
        metadata.create_all(first.engine)
        stack.callback(metadata.drop_all, first.engine)
        yield first, second


@pytest.fixture
def two(stores: tuple[Store, Store]) -> Iterator[tuple[Process, Process]]:
    first, second = Process(stores[0]), Process(stores[1])
    yield first, second
    for one in (first, second):
        one.slots.close()


def held_slots(store: Store) -> int:
    with store.reading() as tx:
        return int(tx.execute(text("select count(*) from pg_locks where locktype = 'advisory'")).scalar_one())


def end_sessions(process: Process) -> None:
    """As an administrator does, or a failover."""
    session = process.slots._session
    assert session is not None
    pid = session.exec_driver_sql("select pg_backend_pid()").scalar_one()
    with process.store.transaction() as tx:
        tx.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def test_two_processes_together_make_no_more_calls_at_a_time_than_allowed(two: tuple[Process, Process]) -> None:
    first, second = two
    slots = [first.share.take(0), second.share.take(0)]
    assert None not in slots
    assert (first.share.take(0), second.share.take(0)) == (None, None)


def test_a_call_that_ends_lets_another_process_in(two: tuple[Process, Process]) -> None:
    first, second = two
    taken = [first.share.take(0) for _ in range(2)]
    assert second.share.take(0) is None
    assert taken[0] is not None
    first.share.give_back(taken[0])
    assert second.share.take(0) is not None


def test_a_call_of_this_process_that_ends_is_not_polled_for(
    two: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "POLL_SECONDS", 1e6)
    first, _ = two
    taken = [first.share.take(0) for _ in range(2)]
    found: list[int | None] = []
    waiting = threading.Thread(target=lambda: found.append(first.share.take(1e6)))
    waiting.start()
    assert taken[0] is not None
    first.share.give_back(taken[0])
    waiting.join(WAIT_SECONDS_MAX)
    assert found == [taken[0]]


def test_however_many_threads_of_two_processes_call_at_once_the_limit_holds(two: tuple[Process, Process]) -> None:
    counting, under_way, most, made = threading.Lock(), 0, 0, 0

    def call(process: Process) -> None:
        nonlocal under_way, most, made
        share = CallShare(process.store, process.slots, "prod", concurrent=2, per_hour=20_000, monotonic=time.monotonic)
        for _ in range(15):
            slot = share.take(WAIT_SECONDS_MAX)
            assert slot is not None
            with counting:
                under_way, made = under_way + 1, made + 1
                most = max(most, under_way)
            time.sleep(0.001)  # the call
            with counting:
                under_way -= 1
            share.give_back(slot)

    threads = [threading.Thread(target=call, args=(two[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * WAIT_SECONDS_MAX)
    assert (most, made) == (2, 90)


def test_whether_a_call_waits_for_those_of_others_is_known(two: tuple[Process, Process]) -> None:
    first, second = two
    taken = [second.share.take(0) for _ in range(2)]
    assert not first.share.waits
    found: list[int | None] = []
    waiting = threading.Thread(target=lambda: found.append(first.share.take(1e6)))
    waiting.start()
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not first.share.waits:
        assert time.monotonic() < until
        time.sleep(0.001)
    assert taken[0] is not None
    second.share.give_back(taken[0])
    waiting.join(WAIT_SECONDS_MAX)
    assert (found, first.share.waits) == ([taken[0]], False)


def test_one_instance_takes_nothing_from_another(two: tuple[Process, Process]) -> None:
    first, _ = two
    other = CallShare(first.store, first.slots, "other", concurrent=1, per_hour=10, monotonic=time.monotonic)
    assert other.take(0) is not None
    assert first.share.take(0) is not None


def test_what_a_process_held_that_was_killed_is_free(stores: tuple[Store, Store], postgres_url: str) -> None:
    code = (
        "import sys, time\n"
        "from bridge.store.calls import CallShare, Slots\n"
        "from bridge.store.engine import open_store\n"
        "from bridge.wiring import utc_now\n"
        "store = open_store(sys.argv[1], utc_now)\n"
        "share = CallShare(store, Slots(store), 'prod', concurrent=1, per_hour=10, monotonic=time.monotonic)\n"
        "assert share.take(0) is not None\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    mine = Process(stores[0], concurrent=1)
    with subprocess.Popen([sys.executable, "-c", code, postgres_url], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert mine.share.take(0) is None
        holder.kill()
    share = CallShare(stores[0], mine.slots, "prod", concurrent=1, per_hour=10, monotonic=time.monotonic)
    assert share.take(WAIT_SECONDS_MAX) is not None
    mine.slots.close()


def test_a_session_that_was_ended_is_opened_again(two: tuple[Process, Process]) -> None:
    first, _ = two
    slot = first.share.take(0)
    assert slot is not None
    first.share.give_back(slot)
    end_sessions(first)
    assert first.share.take(0) is not None


def test_calls_under_way_when_the_session_is_lost_are_counted_by_the_next(two: tuple[Process, Process]) -> None:
    first, second = two
    assert first.share.take(0) is not None
    end_sessions(first)
    assert first.share.take(0) is not None  # the second slot, over a new session
    assert second.share.take(0) is None


def test_a_call_that_ends_after_its_session_was_lost_frees_its_slot(two: tuple[Process, Process]) -> None:
    first, second = two
    slot = first.share.take(0)
    assert slot is not None
    end_sessions(first)
    first.share.give_back(slot)
    assert [second.share.take(0) is not None for _ in range(2)] == [True, True]


def test_at_the_end_nothing_is_held(two: tuple[Process, Process]) -> None:
    first, _ = two
    assert first.share.take(0) is not None
    first.slots.close()
    assert held_slots(first.store) == 0


@contextmanager
def client_of(share: CallShare, servicenow: SimulatorServer) -> Iterator[TableApi]:
    auth = InstanceAuth(
        scheme=AuthScheme.BASIC, username=servicenow.username, password=Secret(kind="env", name=PASSWORD_VARIABLE)
    )
    client = Client(
        Instance(name="prod", url=servicenow.url, auth=auth), clock=lambda: NOW, monotonic=time.monotonic, share=share
    )
    try:
        yield TableApi(client)
    finally:
        client.close()


def find(api: TableApi) -> None:
    api.find("incident", "r1", deadline=time.monotonic() + WAIT_SECONDS_MAX)


def test_a_call_is_counted_and_its_slot_is_free_when_it_is_over(
    two: tuple[Process, Process], sync_password: None
) -> None:
    first, second = two
    with SimulatorServer(clock=first.store.moment) as servicenow, client_of(first.share, servicenow) as api:
        find(api)
        assert len(servicenow.simulator.calls) == 1
    with first.store.reading() as tx:
        assert tx.execute(select(call_minutes.c.calls)).scalar_one() == 1
    assert [second.share.take(0) is not None for _ in range(2)] == [True, True]


@pytest.fixture
def away() -> Iterator[Store]:
    """A store that is not there."""
    engine = create_engine("postgresql+psycopg://127.0.0.1:9/none", connect_args={"connect_timeout": 2})
    yield Store(engine, lambda: NOW)
    engine.dispose()


def test_without_the_store_there_is_no_call_and_the_instance_is_not_blamed(away: Store, sync_password: None) -> None:
    with SimulatorServer(clock=lambda: NOW) as servicenow, client_of(Process(away).share, servicenow) as api:
        for _ in range(FAILURES_MAX + 1):
            with pytest.raises(Transient) as caught:
                find(api)
            assert caught.value.code == "store_unavailable"
        assert (servicenow.simulator.calls, api.client.held) == ([], False)


def test_without_the_store_nothing_is_spent(away: Store) -> None:
    with pytest.raises(Transient):
        Process(away).share.spend()


def test_processes_that_reserve_at_once_get_what_is_left_and_not_one_more(stores: tuple[Store, Store]) -> None:
    first, second = stores
    found: list[int] = []

    def ask() -> None:
        with second.transaction() as tx:
            found.append(reserve(tx, "prod", 6, per_hour=10, now=second.now)[0])

    asking = threading.Thread(target=ask)
    with first.transaction() as tx:
        found.append(reserve(tx, "prod", 6, per_hour=10, now=first.now)[0])
        asking.start()
        wait_for_a_waiter(first)
    asking.join(WAIT_SECONDS_MAX)
    assert found == [6, 4]


def test_a_process_that_is_busy_asks_seldom(stores: tuple[Store, Store]) -> None:
    process = Process(stores[0], per_hour=100_000)
    asked = []
    real = stores[0].in_transaction

    def counted(work: object, *named: object) -> object:
        asked.append(work)
        return real(work, *named)  # type: ignore[arg-type]

    stores[0].in_transaction = counted  # type: ignore[method-assign, assignment]
    for _ in range(1 + 2 + 4 + 8 + 16 + 10 * calls.BATCH_MAX):
        assert process.share.spend() == 0
    assert len(asked) == 5 + 10


def test_a_process_that_idles_reserves_one_call_at_a_time(stores: tuple[Store, Store]) -> None:
    idle, other = Process(stores[0], per_hour=4), Process(stores[1], per_hour=4)
    for _ in range(3):
        assert idle.share.spend() == 0
        idle.now += calls.BATCH_SECONDS
    assert other.share.spend() == 0
    assert other.share.spend() > 0


def test_what_was_reserved_and_not_spent_in_its_minute_is_lost(stores: tuple[Store, Store]) -> None:
    process = Process(stores[0], per_hour=300)
    for _ in range(2):  # one, then the first of two
        assert process.share.spend() == 0
    process.now += calls.BATCH_SECONDS
    spent = 0
    while process.share.spend() == 0:
        spent += 1
    assert spent == 300 - 3


def test_a_process_that_was_told_to_wait_does_not_ask_again_before(stores: tuple[Store, Store]) -> None:
    process = Process(stores[0], per_hour=1)
    assert process.share.spend() == 0
    wait = process.share.spend()
    stores[0].in_transaction = None  # type: ignore[method-assign, assignment]
    process.now += wait - 1
    assert process.share.spend() == pytest.approx(1.0)


def test_the_wait_ends_when_the_first_of_the_hours_calls_is_over_an_hour_old(store: Store) -> None:
    at = NOW

    def ask(wanted: int) -> tuple[int, float]:
        with store.transaction() as tx:
            return reserve(tx, "prod", wanted, per_hour=10, now=lambda _tx, at=at: at)

    assert ask(6) == (6, 0.0)
    at += timedelta(minutes=5, seconds=30)
    assert ask(6) == (4, 0.0)
    none, wait = ask(1)
    at += timedelta(seconds=wait - 0.001)
    assert (none, ask(1)[0]) == (0, 0)
    at += timedelta(seconds=0.001)
    assert at - NOW >= HOUR
    assert ask(10) == (6, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_no_hour_holds_more_calls_than_allowed_wherever_it_begins(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    made: list[datetime] = []
    at = NOW
    for _ in range(150):
        at += timedelta(seconds=chance.expovariate(1 / 60))
        with store.transaction() as tx:
            count, _ = reserve(tx, "prod", chance.choice([1, 5, 20]), per_hour=100, now=lambda _tx, at=at: at)
        made += [at + timedelta(seconds=chance.uniform(0, calls.BATCH_SECONDS)) for _ in range(count)]
    made.sort()
    worst = max(sum(1 for time in made if first <= time < first + HOUR) for first in made)
    assert 90 <= worst <= 100  # and it is not wasted


def test_minutes_that_are_over_leave_no_rows(store: Store) -> None:
    for hours in range(3):
        with store.transaction() as tx:
            reserve(tx, "prod", 1, per_hour=10, now=lambda _tx, hours=hours: NOW + 2 * hours * HOUR)
    with store.reading() as tx:
        assert len(tx.execute(call_minutes.select()).all()) == 1
