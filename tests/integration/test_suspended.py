"""A machine that is suspended in the middle of a write: whoever comes after has sent again, so nothing more is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from publishing_world import Place
from test_wiring import eventually, place, started

from bridge import crashpoint
from bridge.simulator.server import SimulatorServer
from bridge.store.tables import intents
from bridge.wiring import Role, utc_now

__all__ = ["place"]

WAIT_SECONDS_MAX = 20


@pytest.fixture
def servicenow(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorServer]:
    """The instance of the place."""
    with SimulatorServer(clock=utc_now) as server:
        monkeypatch.setenv("NOT_NEEDED", server.password)
        config = place.folder / "bridge.yaml"
        text = config.read_text().replace("http://127.0.0.1:9", server.url)
        config.write_text(text.replace("username: a,", f"username: {server.username},"))
        yield server


def test_what_another_has_sent_again_meanwhile_is_not_sent_when_the_machine_wakes(
    place: Place, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease and the window of its write are over then, and so is its deadline, by the same clock."""
    suspended, real = {"seconds": 0.0}, time.clock_gettime
    monkeypatch.setattr(
        time, "clock_gettime", lambda which: real(which) + suspended["seconds"] * (which == time.CLOCK_BOOTTIME)
    )
    first: list[int] = []
    applied = threading.Event()

    def passed(point: str) -> None:
        if point == "intent:committed" and not first:
            first.append(threading.get_ident())
            suspended["seconds"] = 600.0
            assert applied.wait(WAIT_SECONDS_MAX)  # by another thread, as by another process
        elif point == "applied:committed":
            applied.set()

    running, lock = started(place, Role.ALL)
    with closing(lock), ExitStack() as at_the_end:
        at_the_end.callback(running.stop)
        at_the_end.callback(crashpoint.listen, None)
        crashpoint.listen(passed)
        answer = running.app.test_client().post("/hooks/probe", json={"alerts": [{"rule": "r1"}]})
        assert answer.status_code == 200
        assert eventually(lambda: [row.outcome is None for row in place.rows(intents)] == [False, False])
    writes = [method for method, _path, _status in servicenow.simulator.calls if method != "GET"]
    assert (writes, len(servicenow.simulator.records("incident"))) == (["POST"], 1)
    outcomes = [(row.outcome, row.outcome_code) for row in place.rows(intents)]
    assert outcomes == [("not_applied", "deadline_passed"), ("applied", None)]
