"""One seed's world: a store, processes that run the engine, a fake ServiceNow, and what may go wrong between them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from sqlalchemy.exc import OperationalError

from bridge import crashpoint
from bridge.attention import attention_mapping
from bridge.dictionary.reading import Reading
from bridge.errors import Transient
from bridge.library import Library, Published
from bridge.mapping.load import compile_files
from bridge.metrics import Metrics
from bridge.servicenow import connection
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import (
    CALLS_PER_HOUR_DEFAULT,
    AuthScheme,
    Instance,
    InstanceAuth,
    Secret,
)
from bridge.simulator import records as simulated_records
from bridge.simulator.state import Simulator
from bridge.store import reconciler_tables
from bridge.store.columns import from_us
from bridge.store.engine import Store
from bridge.store.revisions import register
from bridge.store.start import void_leases
from bridge.store.writer import Writer
from bridge.sync import speech, twins
from bridge.sync.alert import Alerts
from bridge.sync.lamps import Lamps
from bridge.sync.reconciler import Reconciler
from bridge.sync.worker import Worker
from simulation import database, fake
from simulation.fake import Fake
from simulation.mappings import MAPPINGS
from simulation.people import People
from simulation.scheduler import BEGIN, Died, Scheduler, Task, Timeline
from simulation.targets import ATTENTION, SOURCES, TARGETS

INSTALLATION = "0a1b2c3d"
PASSWORD_VARIABLE = "SIMULATION_PASSWORD"
SECRET_VARIABLE = "SIMULATION_SECRET"
POLL_SECONDS = (0.5, 60.0)


class Engine:
    """One database for all seeds of a process: statements are compiled once. Emptied before each."""

    def __init__(self, url: str = database.SQLITE) -> None:
        self.timeline = Timeline()
        self.store = database.opened(url, lambda: self.timeline.wall())
        reconciler_tables.metadata.create_all(self.store.engine)
        self.published: dict[str, Published] = {}
        for name, text in MAPPINGS.items():
            mapping = compile_files("probe", {"probe.yaml": text})
            with self.store.transaction() as tx:
                revision = register(tx, mapping="probe", digest=mapping.digest, files=mapping.files, now=BEGIN)
            self.published[name] = Published(mapping=mapping, revision_id=revision)
        own = attention_mapping(["itsm"])
        with self.store.transaction() as tx:
            revision = register(tx, mapping=own.name, digest=own.digest, files=own.files, now=BEGIN)
        self.own = {own.name: Published(mapping=own, revision_id=revision)}
        self._emptied = database.emptying(self.store)

    def fresh(self, timeline: Timeline) -> Store:
        self.timeline = timeline
        with self.store.transaction() as tx:
            for statement in self._emptied:
                tx.exec_driver_sql(statement)
        return self.store


@dataclass(slots=True)
class Trouble:
    """What may happen at a point, each a probability."""

    dies: float = 0.0
    pauses: float = 0.0  # longer than its lease
    refuses: float = 0.0  # the store, before the commit
    forgets: float = 0.0  # the store's answer to a commit that happened
    lags: float = 0.0  # it stands still with ServiceNow's answer in its hands, and there is news meanwhile


@dataclass(slots=True)
class Process:
    name: str
    client: Client
    worker: Worker
    reconciler: Reconciler
    task: Task | None = None


@dataclass(slots=True)
class Sent:
    """One delivery of a sender, until it is answered 2xx and after."""

    sender_id: str
    rules: tuple[str, ...]
    body: bytes
    poison: bool = False
    tries: int = 0
    answers: list[Any] = field(default_factory=list)  # store.intake.DeliveryAnswer, in order


class World:
    def __init__(
        self,
        engine: Engine,
        seed: int,
        level: str,
        mapping: str,
        *,
        processes: int,
        scheme: AuthScheme,
        creates_max: int | None = None,  # an hour
        lit: bool = False,  # the bridge tells of its own troubles
        closes_max: int | None = None,  # of twins, an hour; None: what is promised is kept, and there are none
    ) -> None:
        self.chance = random.Random(seed)
        self.timeline = Timeline()
        self.scheduler = Scheduler(self.timeline)
        self.store = engine.fresh(self.timeline)
        self.published = engine.published[mapping]
        self.level, self.mapping = level, mapping
        self.target = TARGETS[level]
        if creates_max is not None:
            self.target = replace(self.target, max_creates_per_hour=creates_max)
        self.lit, self.released, self.closes_max = lit, False, closes_max
        self.story: list[str] = []
        self.trouble = Trouble()
        self.wrongs: list[str] = []
        self.sent: dict[str, Sent] = {}
        self.asks: dict[str, int] = {}
        self._ids = random.Random(seed + 1)
        simulator = Simulator(clock=self.timeline.true, accounts={fake.USER: fake.PASSWORD})
        self.people = People(target=self.target, installation=INSTALLATION)
        self.fake = Fake(
            scheduler=self.scheduler,
            chance=self.chance,
            target=self.target,
            people=self.people,
            tell=self.tell,
            simulator=simulator,
        )
        fake.instance(simulator, self.target)
        self.library = Library({"probe": self.published}, engine.own)
        self.writer = Writer(
            self.store, on_commit=self.scheduler.wake_parked, observe_queue=_ignore, observe_commit=_ignore
        )
        self._scheme = scheme
        self.size = processes
        self.news: Callable[[], None] = self.scheduler.wake_parked  # something happens at a sender
        self.looks = 0  # that the reconciler is to take; by itself it would, every 45 seconds, for days
        self.processes: list[Process] = []

    # --- telling

    def tell(self, what: str) -> None:
        task = self.scheduler.current
        who = task.name if task is not None else "-"
        self.story.append(f"{self.timeline.seconds:10.3f} {who:3} {what}")

    # --- processes

    def _process(self, name: str) -> Process:
        instance = Instance(name="test", url=fake.URL, auth=_auth(self._scheme))
        client = Client(instance, clock=self.timeline.wall, monotonic=self.timeline.monotonic)
        client._session = self.fake.session()  # type: ignore[assignment]
        shared: dict[str, Any] = {
            "store": self.store,
            "targets": {"itsm": self.target},
            "tables": {"test": TableApi(client)},
            "reading_of": lambda _name: Reading(),
            "installation": INSTALLATION,
            "monotonic": self.timeline.monotonic,
            "jitter": self.chance.random,
            "held": lambda: frozenset(["itsm"]) if client.held else frozenset(),
        }
        worker = Worker(alerts=Alerts(self.store, self.library), metrics=Metrics(), **shared)
        return Process(name=name, client=client, worker=worker, reconciler=_reconciler(shared))

    def start(self) -> None:
        self.processes = [self._process(f"p{number + 1}") for number in range(self.size)]
        for number in range(self.size):
            self._start(number)

    def _start(self, number: int) -> None:
        process = self.processes[number]
        if process.task is not None and process.task.alive:
            return
        if process.task is not None:  # it died: nothing of it is left
            process = self.processes[number] = self._process(process.name)
        process.task = self.scheduler.spawn(process.name, lambda: self._serve(number, process))

    def _serve(self, number: int, process: Process) -> None:
        try:
            if process.task is not None and process.task.doomed:
                raise Died  # before it did anything
            self._loop(process)
        except Died:
            self.scheduler.after(self.chance.uniform(0.5, 150.0), lambda: self._start(number))
            raise

    def _loop(self, process: Process) -> None:
        poll = POLL_SECONDS[0]
        woken = False
        while True:
            if woken and not self.looks and (wait := self._until_due()) > 0:  # another was quicker
                self.scheduler.park(wait)
                continue
            woken = False
            try:
                worked = self._look(process) or process.worker.work(claimed=self._wake_next)
            except Transient as error:
                self.tell(f"sync pauses: {error.code}")
                self.scheduler.sleep(2.0)
                continue
            if worked:
                poll = POLL_SECONDS[0]
                continue
            wait = self._until_due()
            if wait > 0:
                poll = POLL_SECONDS[0]
                self.scheduler.park(wait)
            else:  # due, and not to be had: the instance is left alone
                self.scheduler.park(poll)
                poll = min(POLL_SECONDS[1], poll * 2)
            woken = True

    def _look(self, process: Process) -> bool:
        if self.looks == 0:
            return False
        self.looks -= 1
        process.reconciler.sweep()
        return True

    def _wake_next(self) -> None:
        """There may be more to do: whoever has claimed something wakes another, as threads do."""
        self.scheduler.wake_parked(one=self.chance)

    def look(self) -> None:
        """Whoever is awake first sees what people have changed."""
        self.looks += 1
        self.scheduler.wake_parked(one=self.chance)

    def look_at_lamps(self) -> None:
        """Any process would, every half minute."""
        Lamps(
            store=self.store,
            library=self.library,
            targets={"itsm": self.target},
            sources=SOURCES,
            attention=ATTENTION,
        ).look()
        self.scheduler.wake_parked(one=self.chance)

    def _until_due(self) -> float:
        with self.store.reading() as tx:
            found = tx.exec_driver_sql(NEXT_DUE.format(later="max" if self.store.is_sqlite else "greatest")).scalar()
        if found is None:
            return float("inf")
        return (from_us(found) - self.timeline.wall()).total_seconds()

    def power_cut(self, seconds: float, step: float) -> None:
        """Every process dies at once, and the clock may be another when they come back: one machine, SQLite."""
        self.tell(f"the power goes, for {seconds:.0f} s" + (f", the clock is set by {step:+.0f} s" if step else ""))
        for process in self.processes:
            if process.task is not None and process.task.alive:
                self.scheduler.kill(process.task)
        self.timeline.offset += step
        if self.store.is_sqlite:  # elsewhere others may go on
            with self.store.transaction() as tx:
                void_leases(tx)
        self.scheduler.wake_parked()

    # --- points

    def at_point(self, name: str) -> None:
        task = self.scheduler.current
        if task is None:
            self._at_intake(name)
            return
        if task.doomed:
            raise Died
        if name == "write:answered" and self.chance.random() < self.trouble.lags:
            self._lag()
        trouble, roll = self.trouble, self.chance.random()
        if name in ("claim:committed", "stray:committed"):
            task.round_began = self.timeline.seconds
        if roll < trouble.dies:
            self.tell(f"dies at {name}")
            self.scheduler.wake_parked()
            raise Died
        roll = self.chance.random()
        if name.endswith(":commit"):
            if roll < trouble.refuses:
                self.tell(f"the store refuses {name}")
                raise OperationalError("COMMIT", None, Exception("disk I/O error"))
            return
        if name.endswith(":committed") and roll < trouble.forgets:
            self.tell(f"the store's answer to {name} is lost")
            raise Transient("store_unavailable", "the connection broke at the commit", retry_after=2)
        if self.chance.random() < trouble.pauses:
            seconds = self.chance.uniform(100.0, 900.0)
            self.tell(f"stands still at {name} for {seconds:.0f} s")
            self.scheduler.wake_parked()
            self.scheduler.sleep(seconds)
        else:
            self.scheduler.sleep(self.chance.uniform(0.0005, 0.02))

    def _lag(self) -> None:
        """Longer than its lease: what it has learned is old by then."""
        seconds = self.chance.uniform(150.0, 900.0)
        self.tell(f"stands still with the answer for {seconds:.0f} s")
        self.scheduler.after(self.chance.uniform(1.0, seconds - 10.0), self.news)
        self.scheduler.wake_parked()
        self.scheduler.sleep(seconds)

    def _at_intake(self, name: str) -> None:
        if not name.startswith("intake:"):
            return
        roll = self.chance.random()
        if roll < self.trouble.dies:
            self.tell(f"intake dies at {name}")
            raise Died
        if name == "intake:commit" and roll < self.trouble.dies + self.trouble.refuses:
            raise OperationalError("COMMIT", None, Exception("disk I/O error"))


NEXT_DUE = """
SELECT min(at) FROM (
  SELECT {later}(c.due_at, coalesce(i.lease_until, 0)) AS at FROM correlations c
    LEFT JOIN episodes e ON e.correlation = c.id AND e.number = c.episode
    LEFT JOIN incidents i ON i.id = e.incident WHERE c.due_at IS NOT NULL
  UNION ALL
  SELECT {later}(due_at, coalesce(lease_until, 0)) FROM additions WHERE due_at IS NOT NULL) due
"""


def _reconciler(shared: dict[str, Any]) -> Reconciler:
    return Reconciler(calls_per_hour={"test": CALLS_PER_HOUR_DEFAULT}, **shared)


def _ignore(_seconds: float) -> None: ...


def _auth(scheme: AuthScheme) -> InstanceAuth:
    password = Secret(kind="env", name=PASSWORD_VARIABLE)
    if scheme is AuthScheme.BASIC:
        return InstanceAuth(scheme=scheme, username=fake.USER, password=password)
    secret = Secret(kind="env", name=SECRET_VARIABLE)
    return InstanceAuth(scheme=scheme, client_id=fake.CLIENT_ID, client_secret=secret)


class NoTimer:
    """The watchdog of a call: the fake keeps the deadline itself, on the virtual clock."""

    daemon = True

    def __init__(self, _seconds: float, _what: Callable[[], None]) -> None: ...

    def start(self) -> None: ...

    def cancel(self) -> None: ...


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """Chance, time and crash points are the world's while this lasts."""
    ids = world._ids
    kept = (connection.threading, simulated_records.uuid4, speech.new_ref, twins.CLOSES_PER_HOUR_MAX)
    real = connection.threading
    os.environ[PASSWORD_VARIABLE], os.environ[SECRET_VARIABLE] = fake.PASSWORD, fake.CLIENT_SECRET
    connection.threading = SimpleNamespace(Timer=NoTimer, Lock=real.Lock)  # type: ignore[assignment]
    simulated_records.uuid4 = lambda: SimpleNamespace(hex=f"{ids.getrandbits(128):032x}")  # type: ignore[assignment, return-value]
    speech.new_ref = lambda: f"{ids.getrandbits(32):08x}"
    if world.closes_max is not None:
        twins.CLOSES_PER_HOUR_MAX = world.closes_max  # type: ignore[misc]
    crashpoint.listen(world.at_point)
    try:
        yield
    finally:
        crashpoint.listen(None)
        world.scheduler.kill_all()
        connection.threading, simulated_records.uuid4, speech.new_ref, twins.CLOSES_PER_HOUR_MAX = kept  # type: ignore[misc]
