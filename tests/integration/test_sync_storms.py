"""Everything at once, by chance and in parallel: at the end each problem has one incident, and it is in step."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from crashing import Crash
from sync_world import World, itsm

from bridge.servicenow.table import TableApi
from bridge.simulator.faults import FaultKind
from bridge.simulator.seed import fixed_id

CHECKS_MAX = 400  # of a twentieth of a second
RULES = ("r1", "r2", "r3")
EDITS = (
    {"state": "2"},
    {"state": "8"},
    {"assigned_to": fixed_id("sys_user", "fred")},
    {"assigned_to": ""},
    {"state": "7", "close_code": "Solution provided", "close_notes": "fixed"},
    {"impact": "3", "description": "as I see it"},
)
# Those that an administrator must mend leave the work waiting for a person: test_sync_faults has them.
KINDS = [kind for kind in FaultKind if kind not in (FaultKind.ACL, FaultKind.BUSINESS_RULE, FaultKind.LATENCY)]


class Storm:
    def __init__(self, world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.chance, self.monkeypatch = world, random.Random(seed), monkeypatch
        self.story: list[str] = []  # shown when the test fails
        self.last: dict[str, str] = {}

    def rage(self) -> None:
        acts = (self._alert, self._alert, self._alert, self._edit, self._fault, self._time, self._crash)
        for _ in range(40):
            act = self.chance.choice(acts)
            act()
            self._work()

    def calm(self) -> None:
        """Nothing goes wrong any more, and all windows pass."""
        self.world.simulator.faults.clear()
        self.world.pass_time(hours=1, step=30)
        for rule, state in self.last.items():
            self.world.fire(rule, level="critical", state=state)  # what each says now, once more
        self.world.pass_time(minutes=30, step=30)

    def _work(self) -> None:
        for _ in range(self.chance.randrange(4)):
            self.world.worker.work()

    def _alert(self) -> None:
        rule, state = self.chance.choice(RULES), self.chance.choice(("firing", "firing", "resolved"))
        self.last[rule] = state
        self.story.append(f"{rule} {state}")
        self.world.fire(rule, level=self.chance.choice(("low", "high", "critical")), state=state)

    def _edit(self) -> None:
        records = self.world.records()
        if records:
            record, edit = self.chance.choice(records), self.chance.choice(EDITS)
            self.story.append(f"a person edits {record['number']}: {edit}")
            self.world.simulator.edit_as_person("incident", record["sys_id"], dict(edit), user="analyst")

    def _fault(self) -> None:
        kind = self.chance.choice(KINDS)
        self.story.append(f"fault {kind}")
        method = self.chance.choice(("POST", "PATCH", "GET"))
        self.world.fail(kind, method, seconds=self.chance.choice((1, 30, 300)))

    def _time(self) -> None:
        span = timedelta(seconds=self.chance.choice((5, 60, 400, 3600, 8 * 86_400)))
        self.story.append(f"{span} pass")
        self.world.clock.now += span

    def _crash(self) -> None:
        method, sent = self.chance.choice(("create", "update")), self.chance.random() < 0.5
        self.story.append(f"dies in {method}, sent: {sent}")
        real = getattr(TableApi, method)

        def dies(*args: object, **more: object) -> None:
            if sent:
                real(*args, **more)
            raise Crash

        with self.monkeypatch.context() as patched:
            patched.setattr(TableApi, method, dies)
            try:
                self._work()
            except Crash:
                return


@pytest.mark.parametrize("seed", range(25))
def test_after_a_storm_every_problem_is_shown_once_and_truly(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    storm = Storm(world, seed, monkeypatch)
    storm.rage()
    storm.calm()
    for rule, state in storm.last.items():
        row = world.row(rule)
        assert (row.failure, row.applied_seq) == (None, row.last_seq), storm.story
        shown = [r for r in world.records() if r["correlation_id"] == rule and r["state"] in ("1", "2", "3")]
        if row.last_decision.startswith(("create", "update", "reopen")):  # else nobody has looked since people did
            assert shown, storm.story
        if state == "firing" and row.last_decision != "nothing: closed_by_person":
            assert row.open, storm.story
        refs = [note.rsplit("[", 1)[-1] for n in range(len(world.records())) for note in world.notes(n)]
        assert len(refs) == len(set(refs)), "a note was written twice"


def test_many_workers_make_one_incident_of_each_problem(anywhere: World) -> None:
    rules = [f"r{number}" for number in range(12)]
    for rule in rules * 3:
        anywhere.fire(rule)
    done = threading.Event()
    workers = [anywhere.another_worker(itsm()) for _ in range(4)]
    threads = [threading.Thread(target=_until, args=(worker.work, done)) for worker in workers]
    for thread in threads:
        thread.start()
    for rule in rules * 2:
        anywhere.fire(rule, level="critical")
    for _ in range(CHECKS_MAX):
        if all((row := anywhere.row(rule)).applied_seq == row.last_seq for rule in rules):
            break
        done.wait(0.05)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(record["correlation_id"] for record in anywhere.records()) == sorted(rules)
    assert {record["impact"] for record in anywhere.records()} == {"1"}


def _until(work: Callable[[], bool], done: threading.Event) -> None:
    while not done.is_set():
        if not work():
            done.wait(0.01)
