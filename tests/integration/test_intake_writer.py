"""The group commit under threads, poison, overload and several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from intake_world import NOW, alert, delivery, library_of, rows, running_writer
from msgspec import structs
from sqlalchemy import Connection

from bridge.errors import Rejected, Transient
from bridge.library import Library
from bridge.store import writer as writer_module
from bridge.store.engine import Store, open_store
from bridge.store.intake import DeliveryAnswer
from bridge.store.prepare import PreparedDelivery
from bridge.store.tables import alerts, correlations, deliveries
from bridge.store.writer import Writer, _Ticket


@pytest.fixture
def library(store: Store) -> Library:
    return library_of(store)


def poisonous(library: Library, text: str = "\ud800") -> PreparedDelivery:
    """Its mapping made of it what cannot be stored as text: unless told otherwise, in either database."""
    healthy = delivery(library, alert(rule="poison"))
    mapped = healthy.alerts[0].mapped
    assert mapped is not None
    broken = structs.replace(healthy.alerts[0], mapped=structs.replace(mapped, correlation_text=text))
    return replace(healthy, alerts=(broken,))


def test_the_same_delivery_in_parallel_threads_has_one_effect_and_one_first_answer(
    store: Store, library: Library
) -> None:
    with running_writer(store) as writer, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: writer.submit(delivery(library, alert())), range(48)))
    assert [answer.duplicate for answer in answers].count(False) == 1
    assert len({answer.alerts for answer in answers}) == 1
    assert len(rows(store, alerts)) == 1


def test_what_goes_wrong_after_a_commit_does_not_end_the_writer(store: Store, library: Library) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    writer = Writer(store, on_commit=broken, observe_queue=lambda _: None, observe_commit=lambda _: None)
    writer.start()
    for n in range(2):
        assert writer.submit(delivery(library, alert(n=n))).alerts[0].outcome == "accepted"
    assert writer.problem() == ""
    writer.stop()
    assert "restart the bridge" in writer.problem()


def test_a_store_that_refuses_is_a_problem_until_a_write_succeeds(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Transient("store_unavailable", "the disk is full (free space)")

    with running_writer(store) as writer:
        monkeypatch.setattr(writer_module, "commit", full)
        monkeypatch.setattr(store, "probe", full)
        with pytest.raises(Rejected):
            writer.submit(delivery(library, alert()))
        assert writer.problem() == "the disk is full (free space)"
        monkeypatch.undo()
        assert writer.problem() == ""


def test_a_poisonous_delivery_does_not_hurt_its_neighbours(store: Store, library: Library) -> None:
    batch = [delivery(library, alert(n=1)), poisonous(library), delivery(library, alert(n=2))]
    writer = Writer(store, on_commit=lambda: None, observe_queue=lambda _: None, observe_commit=lambda _: None)
    with ThreadPoolExecutor(3) as pool:
        writer._running = True  # accept before the thread runs, so that the three are one batch
        futures = [pool.submit(writer.submit, one) for one in batch]
        while len(writer._queue) < 3:
            time.sleep(0.001)
        writer.start()
        answers = [future.result() for future in futures]
    writer.stop()
    assert [answer.alerts[0].outcome for answer in answers] == ["accepted", "quarantined", "accepted"]
    assert answers[1].alerts[0].reason.startswith("unstorable: ")
    assert [row.last_seq for row in rows(store, correlations)] == [2]


@pytest.mark.parametrize("text", ["a\0b", "\\\0", "\\u0000", "\\\\u0000"])
def test_a_zero_character_is_refused_where_it_cannot_be_stored_and_one_that_is_only_spelled_is_not(
    store: Store, library: Library, text: str
) -> None:
    with running_writer(store) as writer:
        answer = writer.submit(poisonous(library, text))
    stored = store.is_sqlite or "\0" not in text
    assert answer.alerts[0].outcome == ("accepted" if stored else "quarantined")
    assert [row.correlation_text for row in rows(store, correlations)] == ([text] if stored else [])


def test_a_refusal_of_the_database_is_logged_with_its_code_and_place(
    store: Store, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    with running_writer(store) as writer, pytest.raises(Rejected):
        writer.submit(replace(delivery(library, alert(rule="secret")), source=None))  # type: ignore[arg-type]
    code = "SQLITE_CONSTRAINT_NOTNULL" if store.is_sqlite else "23502"
    assert f"refused by the database, {code}\n" in caplog.text
    assert "in insert_deliveries" in caplog.text
    assert "secret" not in caplog.text
    assert b"secret".hex() not in caplog.text


def test_a_bug_is_not_put_down_to_the_database(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = writer_module.commit

    def bug(tx, batch, now):  # type: ignore[no-untyped-def]
        return real(tx, batch, now) if batch[0].alerts[0].mapped is None else {}["no such key"]

    monkeypatch.setattr(writer_module, "commit", bug)
    with running_writer(store) as writer:
        assert writer.submit(delivery(library, alert())).alerts[0].outcome == "quarantined"
    assert "a delivery of probe could not be stored: a fault of the bridge, KeyError\n" in caplog.text


def test_seqs_are_gap_free_under_eight_threads_and_two_writers(store: Store, store_url: str, library: Library) -> None:
    each, threads, keys = 20, 8, 5
    with ExitStack() as stack:
        other = open_store(store_url, lambda: NOW)
        stack.callback(other.close)
        # SQLite has one writing process; two writers of one Store share its lock.
        writers = [
            stack.enter_context(running_writer(store)),
            stack.enter_context(running_writer(store if store.is_sqlite else other)),
        ]

        def post(thread: int) -> None:
            for turn in range(each):
                order = range(keys) if thread % 2 else reversed(range(keys))
                batch = [alert(rule=f"r{key}", thread=thread, turn=turn) for key in order]
                writers[thread % 2].submit(delivery(library, *batch))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(post, range(threads)))
    for row in rows(store, correlations):
        seqs = sorted(one.seq for one in rows(store, alerts) if one.correlation == row.id)
        assert seqs == list(range(1, each * threads + 1))
        assert row.last_seq == row.alert_count == each * threads


def test_two_processes_given_the_same_delivery_store_it_once(store: Store, store_url: str, library: Library) -> None:
    if store.is_sqlite:
        return  # one process writes a SQLite store; the lock file sees to it
    with ExitStack() as stack:
        other = open_store(store_url, lambda: NOW)
        stack.callback(other.close)
        writers = [stack.enter_context(running_writer(one)) for one in (store, other)]
        pool = stack.enter_context(ThreadPoolExecutor(8))
        for turn in range(30):
            same = delivery(library, alert(rule=f"r{turn % 3}", turn=turn))
            answers = list(pool.map(lambda n, same=same: writers[n % 2].submit(same), range(8)))
            assert [answer.duplicate for answer in answers].count(False) == 1
            assert len({(answer.delivery, answer.alerts) for answer in answers}) == 1
    assert len(rows(store, deliveries)) == 30


def test_a_store_that_does_not_answer_is_a_503_with_retry_after(store: Store, library: Library) -> None:
    class Down(Store):
        def transaction(self, _name: str = ""):  # type: ignore[no-untyped-def]
            raise Transient("store_unavailable", "down")

    prepared = delivery(library, alert())
    with running_writer(Down(store.engine, lambda: NOW)) as writer, pytest.raises(Rejected) as caught:
        writer.submit(prepared)
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "store_unavailable", 2)


class Hanging(Store):
    """Its commits wait until they are let go."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine, lambda: NOW)
        self.go = threading.Event()

    def now(self, tx: Connection) -> datetime:
        self.go.wait(10)
        return super().now(tx)


@pytest.fixture
def hanging(store: Store, monkeypatch: pytest.MonkeyPatch) -> Hanging:
    monkeypatch.setattr(writer_module, "ANSWER_SECONDS_MAX", 0.05)
    return Hanging(store)


def send_until_it_is_told(writer: Writer, prepared: PreparedDelivery) -> None:
    """Senders come, one after the other, and are refused. One alone may be given up before its batch is begun."""
    until = time.monotonic() + 30
    while not writer.problem():
        assert time.monotonic() < until
        with pytest.raises(Rejected):
            writer.submit(prepared)


def test_a_store_that_hangs_is_a_503_in_time(hanging: Hanging, library: Library) -> None:
    prepared = delivery(library, alert())
    with running_writer(hanging) as writer:
        with pytest.raises(Rejected, match="in time"):
            writer.submit(prepared)
        hanging.go.set()


def test_while_the_store_hangs_nobody_is_kept_waiting_and_it_is_told(hanging: Hanging, library: Library) -> None:
    prepared = delivery(library, alert())
    with running_writer(hanging) as writer:
        send_until_it_is_told(writer, prepared)
        began = len(writer._queue)
        with pytest.raises(Rejected, match="does not confirm deliveries"):
            writer.submit(prepared)
        assert len(writer._queue) == began
        assert "has not confirmed a batch" in writer.problem()
        hanging.go.set()


def test_a_store_that_hung_and_came_back_takes_deliveries_again(
    hanging: Hanging, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_writer(hanging) as writer:
        send_until_it_is_told(writer, delivery(library, alert(n=1)))
        monkeypatch.setattr(writer_module, "ANSWER_SECONDS_MAX", 10)
        hanging.go.set()
        assert writer.submit(delivery(library, alert(n=2))).alerts[0].outcome == "accepted"


@dataclass
class Senders:
    """Who sends through one writer, which would wait ten seconds for those whom it answered."""

    writer: Writer
    pool: Executor
    library: Library
    sizes: list[int]  # of the batches, in order
    sent: int = 0

    def send(self, many: int) -> list[Future[DeliveryAnswer]]:
        """When these are answered, or wait."""
        self.sent += many
        new = range(self.sent - many, self.sent)
        return [self.pool.submit(self.writer.submit, delivery(self.library, alert(n=n))) for n in new]

    def wait_until(self, so: Callable[[], bool]) -> None:
        until = time.monotonic() + 5
        while not so():
            assert time.monotonic() < until, (self.sizes, len(self.writer._queue), self.writer._awaited)
            time.sleep(0.001)

    def queue(self, many: int) -> list[Future[DeliveryAnswer]]:
        before = len(self.writer._queue)
        sent = self.send(many)
        self.wait_until(lambda: len(self.writer._queue) >= before + many)
        return sent

    def begin(self, many: int) -> list[Future[DeliveryAnswer]]:
        """Accepted before the writer runs, so that they are its first batch."""
        self.writer._running = True
        sent = self.queue(many)
        self.writer.start()
        return sent


@pytest.fixture
def senders(store: Store, library: Library, monkeypatch: pytest.MonkeyPatch) -> Iterator[Senders]:
    monkeypatch.setattr(writer_module, "GATHER_SHARE", 1e9)
    monkeypatch.setattr(writer_module, "GATHER_SECONDS_MAX", 10)
    real, sizes = writer_module.commit, list[int]()

    def sized(tx: Connection, batch: Sequence[PreparedDelivery], now: datetime) -> list[DeliveryAnswer]:
        sizes.append(len(batch))
        return real(tx, batch, now)

    monkeypatch.setattr(writer_module, "commit", sized)
    writer = Writer(store, on_commit=lambda: None, observe_queue=lambda _: None, observe_commit=lambda _: None)
    with ThreadPoolExecutor(8) as pool:
        yield Senders(writer, pool, library, sizes)
        writer.stop()


def accepted(sent: Sequence[Future[DeliveryAnswer]]) -> bool:
    return all(one.result().alerts[0].outcome == "accepted" for one in sent)


def test_those_who_are_answered_together_and_come_again_are_one_batch(senders: Senders) -> None:
    assert accepted(senders.begin(3))
    senders.wait_until(lambda: senders.writer._awaited == 3)
    two = senders.queue(2)
    assert senders.sizes == [3]
    assert accepted(two + senders.send(1))
    assert senders.sizes == [3, 3]


def test_who_stood_behind_a_batch_waits_for_those_whom_it_answered(
    senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = one_comes_during_a_commit(senders, monkeypatch)
    assert accepted(senders.begin(2))
    senders.wait_until(lambda: senders.writer._awaited == 3)
    assert accepted(senders.send(2) + behind)
    assert senders.sizes == [2, 3]


def test_who_has_come_again_before_the_writer_waits_is_not_waited_for_twice(
    senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = one_comes_during_a_commit(senders, monkeypatch)

    def they_come_again(_seconds: float) -> None:
        if senders.sizes == [2]:
            behind.extend(senders.queue(2))

    senders.writer._observe_commit = they_come_again
    assert accepted(senders.begin(2))
    senders.wait_until(lambda: len(behind) == 3)
    assert accepted(behind)


def one_comes_during_a_commit(senders: Senders, monkeypatch: pytest.MonkeyPatch) -> list[Future[DeliveryAnswer]]:
    """During the first one. It is in the list then."""
    sized, came = writer_module.commit, list[Future[DeliveryAnswer]]()

    def slow(tx: Connection, batch: Sequence[PreparedDelivery], now: datetime) -> list[DeliveryAnswer]:
        if not came:
            came.extend(senders.queue(1))
        return sized(tx, batch, now)

    monkeypatch.setattr(writer_module, "commit", slow)
    return came


def test_who_comes_after_somebody_alone_is_not_kept_waiting(senders: Senders) -> None:
    senders.writer.start()
    for _ in range(3):
        assert accepted(senders.send(1))


def test_nobody_is_waited_for_where_a_batch_is_full_without_them(
    senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "BATCH_ALERTS_MAX", 2)
    assert accepted(senders.begin(5)[:4])
    senders.wait_until(lambda: senders.writer._awaited == 2)
    assert senders.sizes == [2, 2]


def test_nobody_is_waited_for_who_was_refused(senders: Senders, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = writer_module.commit

    def refuses_once(*_: object) -> None:
        monkeypatch.setattr(writer_module, "commit", stores)
        raise Transient("store_unavailable", "the disk is full (free space)")

    monkeypatch.setattr(writer_module, "commit", refuses_once)
    assert all(one.exception() for one in senders.begin(3))
    assert accepted(senders.send(1))


def test_those_who_do_not_come_again_are_waited_for_a_short_time_only(
    senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "GATHER_SECONDS_MAX", 0.01)
    assert accepted(senders.begin(3))
    senders.wait_until(lambda: senders.writer._awaited == 1)
    assert accepted(senders.send(1))


def test_a_stop_waits_for_nobody_to_come_again_and_stores_who_did(senders: Senders) -> None:
    assert accepted(senders.begin(3))
    senders.wait_until(lambda: senders.writer._awaited == 3)
    one = senders.queue(1)
    senders.writer.stop()
    assert accepted(one)


def test_a_batch_that_nobody_waits_for_any_more_is_no_sign_that_the_store_answers(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Transient("store_unavailable", "the disk is full (free space)")

    stores = writer_module.commit
    monkeypatch.setattr(writer_module, "commit", full)
    monkeypatch.setattr(store, "probe", full)
    with running_writer(store) as writer:
        with pytest.raises(Rejected):
            writer.submit(delivery(library, alert()))
        monkeypatch.setattr(writer_module, "commit", stores)
        given_up = _Ticket(delivery(library, alert(n=2)))
        given_up.abandoned = True
        writer._store_batch([given_up])
        assert writer.problem() == "the disk is full (free space)"


def test_a_full_queue_is_a_503(store: Store, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_DELIVERIES_MAX", 0)
    with running_writer(store) as writer, pytest.raises(Rejected) as caught:
        writer.submit(delivery(library, alert()))
    assert (caught.value.status, caught.value.code) == (503, "overloaded")


def test_stopping_answers_what_was_handed_in_and_refuses_the_rest(store: Store, library: Library) -> None:
    with running_writer(store) as writer, ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(writer.submit, delivery(library, alert(n=n))) for n in range(40)]
        assert len([future.result() for future in futures]) == 40
    with pytest.raises(Rejected) as caught:
        writer.submit(delivery(library, alert()))
    assert caught.value.code == "stopping"


DIES_AFTER_THE_COMMIT = """
import os, sys
from intake_world import NOW, alert, delivery, library_of
from bridge.store.engine import open_store
from bridge.store.writer import Writer

class Dying(Writer):
    def _commit(self, deliveries):
        super()._commit(deliveries)
        os._exit(9)

store = open_store(sys.argv[1], lambda: NOW)
writer = Dying(store, on_commit=lambda: None, observe_queue=lambda _: None, observe_commit=lambda _: None)
writer.start()
writer.submit(delivery(library_of(store), alert()))
"""


def test_a_death_between_commit_and_answer_is_a_duplicate_when_sent_again(
    store: Store, store_url: str, library: Library
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    dead = subprocess.run([sys.executable, "-c", DIES_AFTER_THE_COMMIT, store_url], env=environment, check=False)
    assert dead.returncode == 9
    with running_writer(store) as restarted:
        again = restarted.submit(delivery(library, alert()))
    assert (again.duplicate, again.alerts[0].outcome) == (True, "accepted")
    assert len(rows(store, alerts)) == 1
