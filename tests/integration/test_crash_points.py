"""A real process dies at each crash point, on both engines; the next goes on, and what must hold does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from multiprocessing import forkserver, get_context
from pathlib import Path

import doomed
import msgspec
import pytest
from doomed import DIED, INSTALLATION, LIVES, SCENARIOS, Progress
from intake_world import rows
from simulation.invariants import Evidence, check_invariants
from simulation.people import Facts, People

from bridge.crashpoint import CRASHPOINTS
from bridge.simulator.access import OAuthClient
from bridge.simulator.server import SimulatorServer
from bridge.store import tables
from bridge.store.engine import Store

ON_POSTGRESQL = ("calls",)  # SQLite has one process, which counts for itself
LIFE_SECONDS_MAX = 60.0
# What the first passing of a point does not reach, the create: (life, point, passing, what is under way).
LATER = [
    ("returning", "write:send", 2, "add"),
    ("returning", "write:answered", 2, "add"),
    ("returning", "intent:commit", 2, "update"),
    ("returning", "intent:committed", 2, "update"),
    ("returning", "write:send", 3, "update"),
    ("returning", "write:answered", 3, "update"),
    ("returning", "applied:commit", 2, "update"),
    ("returning", "applied:committed", 2, "update"),
    ("returning", "intent:committed", 3, "close"),
    ("returning", "write:send", 4, "close"),
    ("returning", "write:answered", 4, "close"),
    ("returning", "applied:commit", 3, "close"),
    ("returning", "intent:committed", 4, "reopen"),
    ("returning", "write:send", 5, "reopen"),
    ("returning", "write:answered", 5, "reopen"),
    ("returning", "applied:commit", 4, "reopen"),
    ("stray", "write:send", 3, "close"),  # of a twin
    ("stray", "write:answered", 3, "close"),
    ("joined", "write:answered", 3, "update"),  # which tells of the one that joined
    ("joined", "applied:commit", 2, "update"),
    ("failed", "not_applied:commit", 2, "create"),  # whose outcome is not known
    ("failed", "write:send", 5, "create"),  # again, after its window
    ("failed", "not_applied:commit", 3, "close"),  # that is refused
    ("failed", "not_applied:committed", 3, "close"),
]
# Correlation IDs of the records that a life leaves in ServiceNow, where it is not r1 alone.
MADE = {
    "failing": ["r1", "r2"],
    "beside": ["r1", "r2"],
    "counted": [],
    "joined": ["r1", "r4"],
    "let_go": ["r1", "r2"],
    "twins": ["r1", "r1"],
    "twin_taken": ["r1", "r1"],
    "twin_kept": ["r1", "r1"],
    "orphan": ["r9"],
}
processes = get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def nursery() -> None:
    """The server that forks them has all imported already; it takes our path from the environment alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        processes.set_forkserver_preload(["doomed"])
        forkserver.ensure_running()


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=lambda: doomed.datetime.now(doomed.UTC)) as server:
        server.simulator.access.clients[doomed.CLIENT_ID] = OAuthClient(secret="secret", user="bridge")
        yield server


def life(
    store_url: str, servicenow: SimulatorServer, lived: str, point: str, progress: Path, nth: int = 1
) -> int | None:
    """The exit status of a process that lives through the scenario, or dies at the nth passing of the point."""
    given = (store_url, servicenow.url, lived, point, nth, str(progress))
    process = processes.Process(target=doomed.run, args=given)
    process.start()
    process.join(LIFE_SECONDS_MAX)
    return process.exitcode


@pytest.mark.parametrize("point", CRASHPOINTS)
def test_a_process_that_dies_there_is_followed_by_one_that_goes_on(
    store: Store, store_url: str, servicenow: SimulatorServer, tmp_path: Path, point: str
) -> None:
    commit = point.partition(":")[0]
    if commit in ON_POSTGRESQL and store.is_sqlite:
        assert life(store_url, servicenow, commit, point, tmp_path / "done") == 0, "it comes to this point"
    else:
        assert life(store_url, servicenow, commit, point, tmp_path / "done") == DIED, "it does not come to this point"
        assert life(store_url, servicenow, commit, "", tmp_path / "done") == 0
    judge(store, servicenow, tmp_path / "done", commit)


@pytest.mark.parametrize(("lived", "point", "nth", "operation"), LATER)
def test_so_is_one_that_dies_there_in_a_later_operation(
    store: Store,
    store_url: str,
    servicenow: SimulatorServer,
    tmp_path: Path,
    lived: str,
    point: str,
    nth: int,
    operation: str,
) -> None:
    assert life(store_url, servicenow, lived, point, tmp_path / "done", nth) == DIED, "it is not passed so often"
    begun = len(intended(store)) - (point != "intent:commit")
    assert life(store_url, servicenow, lived, "", tmp_path / "done") == 0
    assert intended(store)[begun] == operation
    judge(store, servicenow, tmp_path / "done", lived)


def test_no_crash_point_is_left_out() -> None:
    assert {point.partition(":")[0] for point in CRASHPOINTS} == set(SCENARIOS)


def intended(store: Store) -> list[str]:
    """What was about to be done at ServiceNow, in order."""
    entries = [row.entry for row in rows(store, tables.log_entries) if row.action == "intended"]
    return [msgspec.json.decode(entry)["outcome"] for entry in entries]


def judge(store: Store, servicenow: SimulatorServer, progress: Path, lived: str) -> None:
    name = LIVES[lived].__name__
    check_invariants(evidence(store, servicenow, Progress(progress), twins="twin" in name))
    made = sorted(row["correlation_id"] for row in servicenow.simulator.records("incident"))
    assert made == MADE.get(name, ["r1"])


def evidence(store: Store, servicenow: SimulatorServer, progress: Progress, *, twins: bool) -> Evidence:
    """Whatever people did in a scenario, they did before the bridge decided: what is left is as it should be."""
    simulator = servicenow.simulator
    answered = progress.answered()
    people = People(target=doomed.TARGET, installation=INSTALLATION)
    for row in simulator.records("incident"):
        by_person = row["sys_updated_by"] == "analyst" or row["closed_by"] == simulator.rows.user_id("analyst")
        if by_person:
            people.of[row["sys_id"]] = Facts(ended_at=0.0, taken_at=0.0)
    return Evidence(
        store=store,
        installation=INSTALLATION,
        table="incident",
        records=simulator.records("incident"),
        journal=simulator.journal,
        violations=simulator.violations,
        accepted={alert for alerts in answered.values() for alert in alerts},
        deliveries=len(answered),
        people=people,
        twins=twins,
        attachments=simulator.records("sys_attachment"),
    )
