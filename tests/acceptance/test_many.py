"""Two intakes and three workers of one PostgreSQL: killed, restarted one by one, and without their database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests
from endurance import judged
from fleet import HEADERS, Fleet, Load
from machine import WAIT_SECONDS_MAX, direct
from postgres import Postgres, postgres
from sqlalchemy import func, select

from bridge.store.reconciler_tables import call_minutes

BRIDGE = (sys.executable, "-m", "bridge.cli")
INTAKES = ("intake-1", "intake-2")
WORKERS = ("worker-1", "worker-2", "worker-3")
REFUSED_SECONDS_MAX = 2.0  # what is promised to a sender while the database is away
BACK_SECONDS_MAX = 5.0  # and after it has come back
TRIES = 3


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres(tmp_path_factory.mktemp("many") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def fleet(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """All five begin at once, on an empty database: one of them makes the schema."""
    with closing(Fleet(tmp_path_factory.mktemp("fleet") / "bridge", database.url)) as running:
        running.start_simulator()
        running.start(*INTAKES, *WORKERS)
        yield running


def incidents_of(fleet: Fleet, load: Load) -> Counter[str]:
    return Counter(row["correlation_id"] for row in fleet.records() if row["correlation_id"] in load.ids)


def test_killed_in_mid_load_nothing_answered_is_lost_and_no_problem_has_two_incidents(fleet: Fleet) -> None:
    load = Load(fleet, "Killed", problems=42)  # not a multiple of the senders': each sends all of them
    fleet.wait_for(lambda: len(load.accepted) >= 50)
    fleet.kill("worker-1")
    os.kill(fleet.only_child("worker-2"), signal.SIGKILL)  # its master makes another
    fleet.kill("intake-1")
    fleet.start("worker-1", "intake-1")
    fleet.wait_for(lambda: len(load.accepted) >= 150)
    load.end()
    fleet.let_leases_run_out()
    fleet.wait_until_in_step()
    assert judged(fleet, fleet.store, load.accepted) == ""
    assert incidents_of(fleet, load) == dict.fromkeys(load.ids, 1)


def test_restarted_one_after_the_other_under_load_no_sender_is_told_no(fleet: Fleet) -> None:
    load = Load(fleet, "Rolled", problems=10)
    for names in (("intake-1", "worker-1"), ("intake-2",)):
        before = len(load.accepted)
        fleet.wait_for(lambda before=before: len(load.accepted) >= before + 20)  # type: ignore[misc]
        fleet.stop_all(*names)
        fleet.start(*names)
    load.end()
    fleet.wait_until_in_step()
    assert load.errors == []
    assert judged(fleet, fleet.store, load.accepted) == ""
    assert incidents_of(fleet, load) == dict.fromkeys(load.ids, 1)


def test_a_worker_that_is_told_to_stop_hands_its_leases_back(fleet: Fleet) -> None:
    load = Load(fleet, "Stopped", problems=42)
    fleet.wait_for(lambda: fleet.leased() > 0)
    fleet.stop_all(*WORKERS)
    assert fleet.leased() == 0
    fleet.start("worker-1")
    load.end()
    fleet.wait_until_in_step()
    assert judged(fleet, fleet.store, load.accepted) == ""
    assert set(incidents_of(fleet, load).values()) == {1}


def test_a_worker_is_looked_after_over_http_and_receives_nothing(fleet: Fleet) -> None:
    url = fleet.url_of("worker-1")
    with direct() as http:
        assert http.get(f"{url}/livez", timeout=10).status_code == 200
        assert http.get(f"{url}/readyz", timeout=10).json()["ready"] is True
        metrics = http.get(f"{url}/metrics", timeout=10).text
        assert http.post(f"{url}/hooks/try", b"{}", timeout=10).status_code == 404
    assert "bridge_correlations_due 0.0" in metrics
    assert 'bridge_servicenow_held{instance="simulator"} 0.0' in metrics


def test_the_calls_of_all_workers_are_counted_together(fleet: Fleet) -> None:
    with fleet.store.reading() as tx:
        counted = tx.execute(select(func.sum(call_minutes.c.calls))).scalar_one()
    assert counted >= len(fleet.records())  # each was a call


# --- without the database


@pytest.fixture(params=["stopped", "paused", "read-only"])
def away(
    request: pytest.FixtureRequest, fleet: Fleet, database: Postgres
) -> Iterator[tuple[str, Callable[[], None], str]]:
    """How the database has gone; what brings it back, at the latest at the end; the alert that was answered last."""
    read_only = "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
    writable = "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"
    go, come = {
        "stopped": (database.stop, database.start),
        "paused": (database.pause, database.resume),
        "read-only": (lambda: database.order(*read_only), lambda: database.order(*writable)),
    }[request.param]
    last = alert_of(post(fleet, "Away", timeout=10))
    with ExitStack() as at_the_end:
        at_the_end.callback(come)
        go()
        yield request.param, at_the_end.close, last


def post(fleet: Fleet, rule: str, *, timeout: float) -> requests.Response:
    text = {"rule": rule, "host": "web-01", "severity": "high", "status": "firing", "message": str(time.monotonic())}
    with direct() as http:
        return http.post(
            f"{fleet.url_of('intake-1')}/hooks/try", json.dumps(text).encode(), headers=HEADERS, timeout=timeout
        )


def alert_of(answer: requests.Response) -> str:
    assert answer.status_code == 200
    (alert,) = answer.json()["alerts"]
    return str(alert["alert"])


def refused(fleet: Fleet) -> tuple[int, str | None, float]:
    """(status, Retry-After, seconds) of the next delivery."""
    began = time.monotonic()
    answer = post(fleet, "Away", timeout=10)
    return answer.status_code, answer.headers.get("Retry-After"), time.monotonic() - began


def readiness(fleet: Fleet) -> tuple[int, Any]:
    with direct() as http:
        answer = http.get(f"{fleet.url_of('intake-1')}/readyz", timeout=10)
    return answer.status_code, answer.json()


NAMED = {"stopped": "does not answer", "paused": "hangs", "read-only": "read-only"}


def test_without_its_database_intake_says_not_now_and_why_and_all_come_back_with_it(
    fleet: Fleet, away: tuple[str, Callable[[], None], str]
) -> None:
    how, come_back, last = away
    answers = [refused(fleet) for _ in range(TRIES)]
    status, ready = readiness(fleet)
    come_back()
    back = time.monotonic()
    while (accepted := post(fleet, f"Back, {how}", timeout=10)).status_code != 200:
        assert time.monotonic() - back < WAIT_SECONDS_MAX, fleet.logs()
        time.sleep(0.05)
    assert time.monotonic() - back <= BACK_SECONDS_MAX
    assert {answer[:2] for answer in answers} == {(503, "2")}
    assert max(seconds for *_, seconds in answers) <= REFUSED_SECONDS_MAX
    assert status == 503
    assert any(NAMED[how] in problem["problem"] for problem in ready["problems"]), ready
    fleet.wait_for(lambda: readiness(fleet)[0] == 200)
    fleet.wait_for(lambda: f"try:Back, {how}:web-01" in [row["correlation_id"] for row in fleet.records()])
    fleet.let_leases_run_out()  # whoever was cut off in the middle of a round could not hand it back
    assert judged(fleet, fleet.store, [last, alert_of(accepted)]) == ""


def test_a_worker_on_sqlite_is_refused_with_the_reason_and_the_remedy(tmp_path: Path) -> None:
    subprocess.run([*BRIDGE, "init", str(tmp_path / "b")], check=True, capture_output=True, timeout=60)
    config = tmp_path / "b/bridge.yaml"
    line = [*BRIDGE, "worker", "--config", str(config), "--bind", "127.0.0.1:0"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert told.startswith(f"{config}:")
    assert "needs PostgreSQL" in told
    assert "`bridge serve` syncs as well" in told
