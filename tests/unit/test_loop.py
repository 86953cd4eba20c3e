"""The threads of sync: who asks the store while nothing is due, and who goes on when one fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from bridge.sync import loop as loop_module
from bridge.sync.loop import SyncLoop
from bridge.sync.worker import Worker

THREADS = 4
WAIT_SECONDS_MAX = 20.0


class Work:
    """A worker that has so many rounds to do; it notes which thread asked, and whether that had just worked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.busy: list[bool] = []
        self.rounds: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def work(self, *, busy: bool, claimed: Callable[[], None]) -> bool:
        with self._lock:
            self.asked.append(threading.current_thread().name)
            self.busy.append(busy)
            one = self.rounds.pop() if self.rounds else None
        if one is not None:
            claimed()
            one()
        return one is not None


@contextmanager
def running(work: Work, *, alone: bool = False) -> Iterator[SyncLoop]:
    loop = SyncLoop(cast("Worker", work), threads=THREADS, alone=alone)
    loop.start()
    try:
        wait_for(lambda: len(set(work.asked)) == THREADS)  # each has looked once, and sleeps
        yield loop
    finally:
        loop.stop()


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not true():
        assert time.monotonic() < until
        time.sleep(0.001)


class Watched(threading.Condition):
    """Counts those that wait for a time and not only for a signal."""

    watchers = most = 0

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        self.watchers += 1
        self.most = max(self.most, self.watchers)
        try:
            return super().wait(timeout)
        finally:
            self.watchers -= 1


def test_while_nothing_is_due_one_thread_watches_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "IDLE_SECONDS", 0.002)
    monkeypatch.setattr(threading, "Condition", Watched)
    work = Work()
    with running(work) as loop:
        before = len(work.asked)
        wait_for(lambda: len(work.asked) >= before + 30)
        assert cast("Watched", loop._wake).most == 1


def test_a_process_that_is_alone_watches_at_its_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "IDLE_SECONDS", 1e6)
    monkeypatch.setattr(loop_module, "IDLE_SECONDS_ALONE", 0.002)
    work = Work()
    with running(work, alone=True):
        before = len(work.asked)
        wait_for(lambda: len(work.asked) >= before + 30)


def test_whoever_has_just_worked_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "IDLE_SECONDS", 0.002)
    work = Work()
    with running(work):
        work.rounds.append(lambda: None)
        wait_for(lambda: True in work.busy)
        before = len(work.asked)
        wait_for(lambda: len(work.asked) >= before + 30)
    assert work.busy.count(True) == 1


def test_while_one_works_another_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "IDLE_SECONDS", 0.002)
    work, go = Work(), threading.Event()

    def long() -> None:
        go.wait(WAIT_SECONDS_MAX)

    with running(work):
        work.rounds += [long] * (THREADS - 1)
        wait_for(lambda: not work.rounds)
        before = len(work.asked)
        wait_for(lambda: len(work.asked) >= before + 30)
        go.set()


def test_whoever_claims_something_wakes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "IDLE_SECONDS", 1e6)
    work = Work()
    with running(work) as loop:
        met = threading.Barrier(THREADS)  # passed only when all of them work at once
        work.rounds += [lambda: met.wait(WAIT_SECONDS_MAX) and None] * THREADS  # type: ignore[list-item]
        loop.notify()
        wait_for(lambda: not work.rounds and met.n_waiting == 0)
        assert not met.broken


def test_a_thread_that_fails_leaves_the_watch_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "IDLE_SECONDS", 0.002)
    monkeypatch.setattr(loop_module, "STORE_DOWN_SECONDS", 1e6)
    work = Work()

    def fails() -> None:
        raise RuntimeError("a bug")

    with running(work):
        work.rounds.append(fails)
        wait_for(lambda: not work.rounds)
        before = len(work.asked)
        wait_for(lambda: len(work.asked) >= before + 30)


def test_at_the_stop_all_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "IDLE_SECONDS", 1e6)
    with running(Work()) as loop:
        pass
    assert not any(thread.is_alive() for thread in loop._threads)
