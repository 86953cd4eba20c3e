"""A synchronous standby takes over: what was answered 2xx is there, and senders and workers find the new primary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from endurance import Load, judged
from fleet import HEADERS, Fleet
from machine import WAIT_SECONDS_MAX, direct
from postgres import Postgres, postgres, standby

INTAKES = ("intake-1", "intake-2")


@dataclass(frozen=True, slots=True)
class Pair:
    primary: Postgres
    standby: Postgres
    fleet: Fleet


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """docs/many.md: both servers in `database`, and no commit is confirmed that is not on both."""
    with postgres(tmp_path / "one") as primary, standby(primary, tmp_path / "two") as other:
        database = f"postgresql://postgres@/postgres?host={primary.socket}&host={other.socket}"
        with closing(Fleet(tmp_path / "bridge", database)) as fleet:
            fleet.start_simulator()
            fleet.start(*INTAKES, "worker-1", "worker-2")
            yield Pair(primary, other, fleet)


def test_the_standby_takes_over_and_nothing_that_was_answered_is_lost(pair: Pair) -> None:
    fleet = pair.fleet
    load = Load([fleet.url_of(name) for name in INTAKES], pause=0.05)
    load.start(seed=1)
    fleet.wait_for(lambda: len(load.accepted) >= 60)
    pair.primary.stop()
    away = answered(fleet)
    pair.standby.promote()
    fleet.wait_for(lambda: answered(fleet) == 200)
    load.sent += 1
    taken = len(load.accepted)
    fleet.wait_for(lambda: len(load.accepted) >= taken + 40)
    load.stop()
    fleet.let_leases_run_out()
    assert away == 503
    assert judged(fleet, fleet.store, load.accepted, load.sent) == ""


def answered(fleet: Fleet) -> int:
    """The status of always the same delivery: it is stored once, whichever of the tries succeeds."""
    text = {"rule": "Always", "host": "web-01", "severity": "high", "status": "firing", "message": "the same"}
    text |= {"source": "load", "id": "same"}
    url = f"{fleet.url_of(INTAKES[0])}/hooks/try"
    with direct() as http:
        return http.post(url, json.dumps(text).encode(), headers=HEADERS, timeout=WAIT_SECONDS_MAX).status_code
