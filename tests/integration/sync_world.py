"""A small world for the sync half: a store, a simulated ServiceNow, one worker driven by hand, and a clock to move."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from intake_world import alert, delivery, library_of, rows, undocumented
from simulation.invariants import Evidence, check_invariants
from sqlalchemy import select, update

from bridge.dictionary.reading import Reading
from bridge.mapping.model import ENRICHMENTS
from bridge.metrics import Metrics
from bridge.servicenow.client import Client
from bridge.servicenow.ownership import display_of
from bridge.servicenow.table import TableApi
from bridge.servicenow.token import PATH as TOKEN_PATH
from bridge.settings import AuthScheme, Close, Instance, InstanceAuth, Mode, Secret, Target, Transport
from bridge.simulator.enrichment_maps import PATH_DEFAULT
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.scenario import Scenario
from bridge.simulator.server import SimulatorServer
from bridge.simulator.tls import Authority
from bridge.store import intake, orders, queries
from bridge.store.engine import Store
from bridge.store.reconciler_tables import reconcilers
from bridge.store.tables import correlations, log_entries
from bridge.sync.alert import Alerts
from bridge.sync.reconciler import Reconciler
from bridge.sync.worker import Worker

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
INSTALLATION = "0a1b2c3d"
PASSWORD_VARIABLE = "SYNC_WORLD_PASSWORD"
ROUNDS_MAX = 300  # a world that is not idle by then spins

PROBE = """
mapping: probe
version: 1
owner: tests@corp.example
each: {in: ".alerts[]"}
extract:
  rule: .rule
  level: .level
  team: .team ?? "Service Desk"
time: .at
severity:
  from: level
  table: {critical: critical, high: high, low: low}
  default: medium
correlation:
  id: "{{ rule }}"
  display: Probe
  close_when: {.state: resolved}
route:
  - {to: itsm, assignment_group: "{{ team }}"}
fields:
  create:
    short_description: "{{ rule }}"
    impact: {by: severity, table: {critical: 1, high: 2}, default: 3}
  update:
    description: "Last level: {{ level ?? \\"none\\" }}"
"""


class Clock:
    """Stands still until it is moved. Monotonic time goes on, for the calls, and is moved along."""

    def __init__(self) -> None:
        self.now = NOW

    def monotonic(self) -> float:
        return time.monotonic() + (self.now - NOW).total_seconds()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


def itsm(**changes: Any) -> Target:
    closes = Close(state="6", code="Solution provided", notes="The source reports this resolved.")
    return replace(Target(name="itsm", instance="test", table="incident", close=closes), **changes)


BASIC = InstanceAuth(scheme=AuthScheme.BASIC, username="bridge", password=Secret(kind="env", name=PASSWORD_VARIABLE))


class World:
    def __init__(
        self,
        store: Store,
        servicenow: SimulatorServer,
        clock: Clock,
        auth: InstanceAuth = BASIC,
        transport: Transport = Transport(),  # noqa: B008  # frozen
    ) -> None:
        self.store, self.servicenow, self.clock = store, servicenow, clock
        self.simulator = servicenow.simulator
        self.library = library_of(store, PROBE)
        paths = tuple((resource, f"{PATH_DEFAULT}/{resource}") for resource in ENRICHMENTS)
        self.instance = Instance(
            name="test", url=servicenow.url, auth=auth, transport=transport, enrichment_paths=paths
        )
        self._client = Client(self.instance, clock=clock, monotonic=clock.monotonic)
        self._sent = 0
        self.made_for_us: set[str] = set()  # numbers of records in our name that a test has made
        self.meant = ""  # the violation that a test is about, by its code
        self.reading = Reading()  # what the instance has told of its tables
        self.aim(itsm())

    def close(self) -> None:
        self._client.close()

    def reconnect(self, instance: Instance) -> None:
        """Work goes on with the instance configured so, as after a restart."""
        self._client.close()
        self.instance = instance
        self._client = Client(instance, clock=self.clock, monotonic=self.clock.monotonic)
        self.aim(self.target)

    def aim(self, target: Target) -> None:
        """Work goes on with this target, as after a restart."""
        self.target, self.table = target, target.table
        self.worker = self.another_worker(target)
        self.reconciler = self.another_reconciler(target)

    def another_reconciler(
        self, target: Target, *, calls_per_hour: int = 20_000, stopping: Callable[[], bool] = bool
    ) -> Reconciler:
        return Reconciler(
            store=self.store,
            targets={target.name: target},
            tables={"test": TableApi(self._client)},
            calls_per_hour={"test": calls_per_hour},
            reading_of=lambda _instance: self.reading,
            installation=INSTALLATION,
            monotonic=self.clock.monotonic,
            jitter=lambda: 0.0,
            held=lambda: frozenset([target.name]) if self._client.held else frozenset(),
            stopping=stopping,
        )

    def aim_at(self, *targets: Target) -> None:
        """Work goes on with these; the reconciler goes on with what it had."""
        self.worker = self.another_worker(*targets)

    def another_worker(self, *targets: Target) -> Worker:
        return Worker(
            store=self.store,
            alerts=Alerts(self.store, self.library),
            targets={target.name: target for target in targets},
            tables={"test": TableApi(self._client)},
            reading_of=lambda _instance: self.reading,
            installation=INSTALLATION,
            metrics=Metrics(),
            monotonic=self.clock.monotonic,
            jitter=lambda: 0.0,
            held=lambda: frozenset([target.name for target in targets]) if self._client.held else frozenset(),
        )

    # --- what happens to it

    def fire(self, rule: str = "r1", **more: Any) -> None:
        """One delivery of one alert."""
        self._sent += 1
        one = delivery(self.library, alert(rule, **more), sender_id=str(self._sent))
        with self.store.transaction() as tx:
            (answer,) = intake.commit(tx, [one], self.store.now(tx))
        assert answer.alerts[0].outcome == "accepted", answer

    def resolve(self, rule: str = "r1", **more: Any) -> None:
        self.fire(rule, state="resolved", **more)

    def idle(self) -> None:
        """Work until nothing is due now."""
        for _ in range(ROUNDS_MAX):
            if not self.worker.work():
                return
        raise AssertionError("the worker does not come to rest")

    def pass_time(self, *, step: float = 60, **span: float) -> None:
        """Time goes by in steps of so many seconds; at each the worker does what is due."""
        until = self.clock.now + timedelta(**span)
        while self.clock.now < until:
            self.clock.now = min(until, self.clock.now + timedelta(seconds=step))
            self.idle()

    def watch(self, *, step: float = 45, **span: float) -> None:
        """As `pass_time`, with the reconciler looking."""
        until = self.clock.now + timedelta(**span)
        while self.clock.now < until:
            self.clock.now = min(until, self.clock.now + timedelta(seconds=step))
            self.reconciler.sweep()
            self.idle()

    def turn(self, *, sweeps: bool = False) -> None:
        """The reconciler's next turn, whatever the time is, and what comes of it."""
        with self.store.transaction() as tx:
            now = self.store.now(tx)
            tx.execute(update(reconcilers).values(due_at=now, **({"sweep_at": now} if sweeps else {})))
        self.reconciler.sweep()
        self.idle()

    def fail(self, kind: FaultKind, *methods: str, **more: Any) -> None:
        self.simulator.faults.add(
            Fault(kind=kind, methods=frozenset(methods), **({"path": f"/table/{self.table}"} | more))
        )

    def person(self, **fields: str) -> None:
        """An edit of the first record at its form."""
        self.simulator.edit_as_person(self.table, self.records()[0]["sys_id"], fields, user="analyst")

    def ask_sync(self, words: str = "r1") -> None:
        with self.store.transaction() as tx:
            found = queries.find_correlations(tx, words)
            assert found
            orders.ask_sync(tx, found, actor="test", now=self.store.now(tx))

    def wake(self) -> None:
        """Everything is due now, whatever it waited for."""
        with self.store.transaction() as tx:
            tx.execute(update(correlations).values(due_at=self.store.now(tx)))

    # --- what there is to see

    def records(self) -> list[dict[str, str]]:
        return self.simulator.records(self.table)

    def record(self) -> dict[str, str]:
        (only,) = self.records()
        return only

    def notes(self, number: int = 0) -> list[str]:
        journal = self.simulator.journal(self.records()[number]["sys_id"])
        return [entry["value"] for entry in journal if entry["element"] == "work_notes"]

    def evidence(self) -> Evidence:
        """Whatever a test leaves undone: what must hold at every moment is looked at."""
        self.simulator.faults.clear()
        return Evidence(
            store=self.store,
            installation=INSTALLATION,
            table=self.table,
            records=self.records(),
            journal=self.simulator.journal,
            violations=[one for one in self.simulator.violations if one.code != self.meant],
            at_rest=False,
            written=self.taken(),
            beside=len(self.other_writes()),
            not_ours=self.made_for_us,
        )

    def writes(self) -> list[str]:
        """Of records: to their table, or to a staging table."""
        return [method for method, path in self._written() if is_of_record(path, self.table)]

    def taken(self) -> int:
        """Writes of records but for those turned away with 401: with a new token the same one goes out once more."""
        calls = [(path, status) for method, path, status in self.simulator.calls if method not in ("GET", "HEAD")]
        return len([path for path, status in calls if is_of_record(path, self.table) and status != 401])

    def other_writes(self) -> list[str]:
        return [path for _method, path in self._written() if not is_of_record(path, self.table)]

    def story(self) -> list[str]:
        """The calls that tell it, in order. A look-up that is made again right after counts once."""
        told: list[str] = []
        for method, path, _status in self.simulator.calls:
            word = word_of(method, path, self.table)
            if word and not (word == "look-up" and told[-1:] == [word]):
                told.append(word)
        return told

    def reads(self) -> int:
        return len([method for method, _path, _status in self.simulator.calls if method in ("GET", "HEAD")])

    def _written(self) -> list[tuple[str, str]]:
        called = [(method, path) for method, path, _status in self.simulator.calls if path != TOKEN_PATH]
        return [(method, path) for method, path in called if method not in ("GET", "HEAD")]

    def row(self, rule: str = "r1") -> Any:
        with self.store.reading() as tx:
            return tx.execute(select(correlations).where(correlations.c.correlation_id == rule)).one()

    def log(self, action: str) -> list[dict[str, Any]]:
        entries = [row for row in rows(self.store, log_entries) if row.action == action]
        return [msgspec.json.decode(row.entry) | ({"said": row.said} if row.said else {}) for row in entries]

    def decisions(self) -> list[str]:
        return [f"{entry['outcome']}: {entry['reason']}" for entry in self.log("decided")]


@contextlib.contextmanager
def world_of(
    store: Store,
    clock: Clock,
    *,
    auth: InstanceAuth = BASIC,
    scenario: Scenario = Scenario(),  # noqa: B008  # frozen
    authority: Authority | None = None,  # None: without TLS
) -> Iterator[World]:
    """ServiceNow's clock is the store's: what one stamps the other understands."""
    tls = authority.context() if authority is not None else None
    transport = Transport(ca=authority.certificate_file) if authority is not None else Transport()
    with SimulatorServer(clock=store.moment, scenario=scenario, tls=tls) as servicenow:
        world = World(store, servicenow, clock, auth, transport)
        yield world
        world.close()
        check_invariants(world.evidence())
        assert undocumented(store) == set()


def word_of(method: str, path: str, table: str) -> str:
    """What a call is in the story of one incident; "" when it tells nothing: a probe, a group, an app's health."""
    place, _, query = path.partition("?")
    if place == TOKEN_PATH:
        return "token"
    if method == "POST":
        return "create" if is_of_record(path, table) else ""
    if f"/table/{table}/" in place:
        return "update" if method == "PATCH" else "read"
    return "look-up" if place.endswith(f"/table/{table}") and "sysparm_query=correlation_id=" in query else ""


def is_of_record(path: str, table: str) -> bool:
    return f"/table/{table}" in path.partition("?")[0] or "/api/now/import/" in path


OBSERVE = Mode.OBSERVE
DISPLAY = display_of("Probe", INSTALLATION)
