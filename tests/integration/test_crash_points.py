"""A real process dies at each crash point, on both engines; the next goes on, and what must hold does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from multiprocessing import forkserver, get_context
from pathlib import Path

import doomed
import pytest
from doomed import DIED, INSTALLATION, SCENARIOS
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


def life(store_url: str, servicenow: SimulatorServer, commit: str, point: str, progress: Path) -> int | None:
    """The exit status of a process that lives through the scenario."""
    given = (store_url, servicenow.url, commit, point, str(progress))
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
        assert commit in SCENARIOS
        return
    assert life(store_url, servicenow, commit, point, tmp_path / "done") == DIED, "it does not come to this point"
    assert life(store_url, servicenow, commit, "", tmp_path / "done") == 0
    check_invariants(evidence(store, servicenow, twins="twin" in SCENARIOS[commit].__name__))


def test_no_crash_point_is_left_out() -> None:
    assert {point.partition(":")[0] for point in CRASHPOINTS} == set(SCENARIOS)


def evidence(store: Store, servicenow: SimulatorServer, *, twins: bool) -> Evidence:
    """Whatever people did in a scenario, they did before the bridge decided: what is left is as it should be."""
    simulator = servicenow.simulator
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
        accepted={f"{row.delivery_id}-{row.position}" for row in rows(store, tables.alerts)},
        people=people,
        twins=twins,
        attachments=simulator.records("sys_attachment"),
    )
