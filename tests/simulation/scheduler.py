"""Who runs, and when: a virtual clock, events on it, and tasks that take turns at the points where they sleep.

A task is a thread, but only the one whose turn it is runs, and whose turn it is wake-up times alone decide: a run with
the same seed is the same run.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NEVER = float("inf")
SLEEPS_MAX = 8_000  # of all tasks of a seed: several times what any takes that comes to rest


class Died(BaseException):
    """The process dies here. Nothing of it is tidied up but what Python cannot leave open."""


class Timeline:
    """`seconds` is true time: what a process calls monotonic. The wall clock may be wrong by `offset`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.offset = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return BEGIN + timedelta(seconds=round(self.seconds + self.offset, 6))

    def true(self) -> datetime:
        return BEGIN + timedelta(seconds=round(self.seconds, 6))


class Task:
    def __init__(self, name: str, body: Callable[[], None], now: float) -> None:
        self.name = name
        self.wake_at = now
        self.doomed = False
        self.alive = True
        self.parked = False  # it has nothing to do: new work wakes it
        self.round_began = 0.0  # when it last claimed something
        self.error: BaseException | None = None
        self.go = threading.Lock()
        self.go.acquire()
        self._body = body
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        self.go.acquire()
        try:
            self._body()
        except Died:
            pass
        except BaseException as error:  # noqa: BLE001 (told by the scheduler, in the main thread)
            self.error = error
        self.alive = False
        self.back.release()

    back: threading.Lock  # given by the scheduler


class Scheduler:
    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.current: Task | None = None
        self._tasks: list[Task] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._until = 0.0
        self.sleeps = 0
        self._back = threading.Lock()
        self._back.acquire()

    def at(self, time: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (max(time, self.timeline.seconds), self._order, what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.timeline.seconds + seconds, what)

    def spawn(self, name: str, body: Callable[[], None]) -> Task:
        task = Task(name, body, self.timeline.seconds)
        task.back = self._back
        self._tasks.append(task)
        task.thread.start()
        return task

    def run(self, until: float) -> None:
        """Let everything that is due by `until` happen."""
        self._until = until
        while True:
            task = min(self._tasks, key=lambda one: one.wake_at, default=None)
            wake = task.wake_at if task is not None else NEVER
            event = self._events[0][0] if self._events else NEVER
            if min(wake, event) > until:
                self.timeline.seconds = max(self.timeline.seconds, until)
                return
            self.timeline.seconds = max(self.timeline.seconds, min(wake, event))
            if task is None or event <= wake:
                heapq.heappop(self._events)[2]()
            else:
                self._turn(task)
            assert self.sleeps <= SLEEPS_MAX, f"it does not come to rest: {SLEEPS_MAX:,} steps were taken"

    def sleep(self, seconds: float) -> None:
        """The running task goes on so much later; others may run meanwhile. Raises Died if killed meanwhile."""
        task = self._running()
        self.sleeps += 1
        if self.sleeps > SLEEPS_MAX:
            raise Died  # so that `run` goes on, and tells it
        task.wake_at = self.timeline.seconds + seconds
        others = min((one.wake_at for one in self._tasks if one is not task), default=NEVER)
        event = self._events[0][0] if self._events else NEVER
        if task.wake_at < others and task.wake_at < event and task.wake_at <= self._until:
            self.timeline.seconds = task.wake_at
            return
        self._back.release()
        task.go.acquire()
        if task.doomed:
            raise Died

    def park(self, seconds: float) -> None:
        """The same, but new work ends the sleep."""
        task = self._running()
        task.parked = True
        try:
            self.sleep(seconds)
        finally:
            task.parked = False

    def wake_parked(self, *, one: random.Random | None = None) -> None:
        """All that have nothing to do; or any one of them, as a process wakes one of its threads."""
        parked = [task for task in self._tasks if task.parked]
        for task in [one.choice(parked)] if one is not None and parked else parked:
            task.wake_at = min(task.wake_at, self.timeline.seconds)

    def kill(self, task: Task) -> None:
        """From the main thread: it unwinds at once."""
        task.doomed = True
        if task.alive:
            self._turn(task)

    def kill_all(self) -> None:
        for task in list(self._tasks):
            self.kill(task)

    def _running(self) -> Task:
        if self.current is None:
            raise RuntimeError("only a task can sleep")
        return self.current

    def _turn(self, task: Task) -> None:
        self.current = task
        task.go.release()
        self._back.acquire()
        self.current = None
        if not task.alive:
            task.thread.join()
            self._tasks.remove(task)
            if task.error is not None:
                raise task.error
