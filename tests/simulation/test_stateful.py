"""The same world, with hypothesis in the place of chance: what it finds it makes as short as it can."""

from __future__ import annotations

import logging
import random
from contextlib import ExitStack
from functools import cache

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.settings import AuthScheme
from simulation import database
from simulation.actors import HOSTS, WHEN_OPEN, WHEN_OVER, Persons, Senders
from simulation.fake import WRITE_FAULTS, is_over
from simulation.mappings import MAPPINGS
from simulation.runner import LEVELS, come_to_rest
from simulation.world import Engine, World, simulated

RULES = ["r1", "r2"]
rules, states = st.sampled_from(RULES), st.sampled_from(["firing", "resolved"])


@cache
def on_sqlite() -> Engine:
    return Engine()


class Bridge(RuleBasedStateMachine):
    def __init__(self, engine: Engine | None = None) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.engine, self.held = engine or on_sqlite(), ExitStack()

    @initialize(level=st.sampled_from(sorted(set(LEVELS))), mapping=st.sampled_from(sorted(MAPPINGS)))
    def begin(self, level: str, mapping: str) -> None:
        self.world = World(self.engine, 0, level, mapping, processes=2, scheme=AuthScheme.BASIC)
        self.held.enter_context(simulated(self.world))
        self.senders, self.persons = Senders(self.world, RULES), Persons(self.world, RULES)
        self.world.start()

    def pass_seconds(self, seconds: float) -> None:
        self.world.scheduler.run(self.world.timeline.seconds + seconds)

    @rule(
        name=rules,
        state=states,
        level=st.sampled_from(["low", "critical"]),
        late=st.sampled_from([0, 60, 900]),
        host=st.sampled_from([None, *HOSTS]),
    )
    def deliver(self, name: str, state: str, level: str, late: int, host: str | None) -> None:
        """`late`: seconds by which it is out of order. `host`: what it may be joined by."""
        at = self.world.timeline.wall().timestamp() - late
        alert = {"rule": name, "state": state, "level": level} | ({"at": str(at)} if late else {})
        if host is not None and self.world.mapping == "joining":
            alert["host"] = host
        self.senders.deliver([self.senders.new((name,), [alert])])

    @precondition(lambda self: bool(self.world.sent))
    @rule(which=st.integers(0, 50))
    def deliver_again(self, which: int) -> None:
        sent = list(self.world.sent.values())
        self.senders.deliver([sent[which % len(sent)]])

    @rule(seconds=st.sampled_from([0.2, 2.0, 40.0, 130.0, 400.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_seconds(seconds)

    @rule(fault=st.sampled_from(sorted(WRITE_FAULTS)))
    def next_write_meets(self, fault: str) -> None:
        self.world.fake.next_writes.append(fault)

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        task = self.world.processes[which].task
        if task is not None and task.alive:
            self.world.tell(f"{task.name} is killed")
            self.world.scheduler.kill(task)

    @precondition(lambda self: self.world.fake.pending_late == 0)
    @rule(step=st.sampled_from([0.0, 3600.0, -3600.0]))
    def power_cut(self, step: float) -> None:
        self.world.power_cut(30.0, step)

    @rule(what=st.sampled_from(sorted({*WHEN_OPEN, *WHEN_OVER})), which=st.integers(0, 5))
    def person(self, what: str, which: int) -> None:
        simulator, table = self.world.fake.simulator, self.world.target.table
        rows = [row for row in simulator.rows.rows(table) if self.world.people.is_ours(row)]
        if rows:
            row = rows[which % len(rows)]
            if what in (WHEN_OVER if is_over(row, table) else WHEN_OPEN):
                self.persons.act(what, row)

    @rule()
    def reconciler_looks(self) -> None:
        self.world.look()

    def teardown(self) -> None:
        with self.held:
            self.world.fake.next_writes.clear()
            come_to_rest(self.world, self.senders, self.persons, random.Random(0))


SETTINGS = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
Bridge.TestCase.settings = SETTINGS
TestBridge = Bridge.TestCase


def test_the_same_holds_on_postgresql() -> None:
    with database.postgresql() as url:
        engine = Engine(url)
        try:
            run_state_machine_as_test(lambda: Bridge(engine), settings=settings(SETTINGS, max_examples=12))
        finally:
            engine.store.close()
