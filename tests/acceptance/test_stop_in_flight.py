"""Told to stop while ServiceNow has not answered yet: the answer is waited for and noted before the process ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from endurance import database_of
from fleet import HEADERS, Fleet
from machine import direct
from sqlalchemy import select

from bridge.store.tables import correlations, incidents, intents

PROCESSES = {"sqlite": ("serve",), "postgresql": ("intake-1", "worker-1")}
SLOW = {"kind": "latency", "method": ["POST"], "seconds": 3, "times": "always"}


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fleet(engine: str, tmp_path: Path) -> Iterator[Fleet]:
    with database_of(engine, tmp_path) as database, closing(Fleet(tmp_path / "bridge", database)) as running:
        running.start_simulator()
        running.start(*PROCESSES[engine])
        yield running


def fire(url: str) -> None:
    alert = {"rule": "Slow", "host": "web-01", "severity": "high", "status": "firing", "message": "x"}
    with direct() as http:
        assert http.post(f"{url}/hooks/try", json.dumps(alert).encode(), headers=HEADERS, timeout=10).status_code == 200


def creates(fleet: Fleet) -> int:
    """POSTs that have come to ServiceNow, answered or not."""
    with direct() as http:
        (slow,) = http.get(f"{fleet.simulator}/simulator/state", timeout=10).json()["faults"]
    return int(slow["struck"])


def outcomes(fleet: Fleet) -> list[str | None]:
    with fleet.store.reading() as tx:
        return list(tx.execute(select(intents.c.outcome)).scalars())


def test_a_create_under_way_at_a_stop_is_applied_once_and_settled_before_the_end(fleet: Fleet, engine: str) -> None:
    fleet.faults(SLOW)
    fire(fleet.url_of(PROCESSES[engine][0]))
    fleet.wait_for(lambda: creates(fleet) == 1)
    assert outcomes(fleet) == [None]
    fleet.stop_all(*PROCESSES[engine])
    assert outcomes(fleet) == ["applied"]
    with fleet.store.reading() as tx:
        row = tx.execute(select(correlations)).one()
        incident = tx.execute(select(incidents)).one()
    assert (row.open, row.applied_seq, row.failure) == (True, row.last_seq, None)
    assert (incident.state, incident.lease_until) == ("open", None)
    assert (creates(fleet), [record["sys_id"] for record in fleet.records()]) == (1, [incident.sys_id])
