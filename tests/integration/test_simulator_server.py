"""The simulator on a real socket: keep-alive, resets, outages, and the command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection

import pytest
import requests

from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=lambda: NOON) as started:
        yield started


@pytest.fixture
def session(server: SimulatorServer) -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        opened.auth = (server.username, server.password)
        opened.headers.update(HEADERS)
        yield opened


def create(session: requests.Session, server: SimulatorServer) -> requests.Response:
    return session.post(f"{server.url}/api/now/table/incident", json={"correlation_id": "a"}, timeout=10)


def test_one_connection_carries_many_requests(server: SimulatorServer) -> None:
    account = b64encode(f"{server.username}:{server.password}".encode()).decode()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    with closing(connection):
        connection.connect()
        socket = connection.sock
        for _ in range(3):
            connection.request("GET", "/api/now/table/incident", headers={"Authorization": f"Basic {account}"})
            assert connection.getresponse().read() == b'{"result":[]}'
            assert connection.sock is socket


def test_a_reset_is_a_reset_and_the_record_is_there(server: SimulatorServer, session: requests.Session) -> None:
    server.simulator.faults.add(Fault(kind=FaultKind.RESET_AFTER_COMMIT))
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        create(session, server)
    assert len(server.simulator.records("incident")) == 1


def test_a_closed_connection_gives_no_answer(server: SimulatorServer, session: requests.Session) -> None:
    server.simulator.faults.add(Fault(kind=FaultKind.CLOSED))
    with pytest.raises(requests.ConnectionError, match="without response"):
        create(session, server)


def test_an_answer_that_never_comes_is_waited_for_until_the_caller_hangs_up(
    server: SimulatorServer, session: requests.Session
) -> None:
    server.simulator.faults.add(Fault(kind=FaultKind.NO_ANSWER))
    with pytest.raises(requests.ReadTimeout):
        session.post(f"{server.url}/api/now/table/incident", json={"correlation_id": "a"}, timeout=0.2)
    assert len(server.simulator.records("incident")) == 1
    assert create(session, server).status_code == 201


def test_an_instance_that_is_down_refuses_and_comes_back_with_its_records(
    server: SimulatorServer, session: requests.Session
) -> None:
    create(session, server)
    server.down()
    with pytest.raises(requests.ConnectionError, match="refused"):
        create(session, server)
    server.up()
    assert create(session, server).json()["result"]["number"] == "INC0010002"


def test_an_outage_by_route_ends_by_itself(server: SimulatorServer, session: requests.Session) -> None:
    assert session.post(f"{server.url}/simulator/down", json={"seconds": 0.2}, timeout=10).status_code == 202
    for outage in server._outages:
        outage.join()
    assert create(session, server).status_code == 201


def test_stopping_wakes_who_waits(session: requests.Session) -> None:
    with SimulatorServer(clock=lambda: NOON) as server, ThreadPoolExecutor(1) as pool:
        struck = threading.Event()
        strike = server.simulator.faults.strike

        def telling(method: str, path: str, table: str) -> tuple[float, Fault | None]:
            struck.set()
            return strike(method, path, table)

        server.simulator.faults.strike = telling  # type: ignore[method-assign]
        server.simulator.faults.add(Fault(kind=FaultKind.LATENCY, seconds=600))
        answer = pool.submit(create, session, server)
        struck.wait(10)
        server.simulator.stopping.set()
        assert answer.result(10).status_code == 201


def test_an_oversized_body_is_answered(server: SimulatorServer, session: requests.Session) -> None:
    body = b"x" * (11 * 1024 * 1024)
    assert session.post(f"{server.url}/api/now/table/incident", data=body, timeout=30).status_code == 413


def test_answers_are_dated_by_a_clock_that_may_be_wrong(server: SimulatorServer, session: requests.Session) -> None:
    def dated() -> datetime:
        return parsedate_to_datetime(session.get(f"{server.url}/", timeout=10).headers["Date"])

    before = dated()
    assert session.post(f"{server.url}/simulator/scenario", json={"clock_offset": 3600}, timeout=10).status_code == 204
    assert timedelta(0) <= dated() - before - timedelta(hours=1) < timedelta(minutes=1)
    assert create(session, server).json()["result"]["sys_created_on"] == "2026-03-01 13:00:00"


def test_a_token_is_asked_for_and_carries_an_import(server: SimulatorServer, session: requests.Session) -> None:
    scenario = {"access": {"clients": {"app": {"secret": "s", "user": server.username}}}}
    session.post(f"{server.url}/simulator/scenario", json=scenario, timeout=10)
    form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s"}
    session.auth = None
    answer = requests.post(f"{server.url}/oauth_token.do", data=form, timeout=10)
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    path = "/api/now/import/x_elas2_inc_int_elastic_incident"
    done = session.post(f"{server.url}{path}", json={"u_correlation_id": "a"}, timeout=10).json()
    assert done["result"][0]["status"] == "inserted"
    session.post(f"{server.url}/simulator/tokens", json={"revoke": ""}, timeout=10)
    assert create(session, server).status_code == 401


def test_threads_do_not_lose_records(server: SimulatorServer) -> None:
    def ten() -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.auth = (server.username, server.password)
            session.headers.update(HEADERS)
            for _ in range(10):
                assert create(session, server).status_code == 201

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(ten) for _ in range(8)]:
            done.result()
    numbers = {row["number"] for row in server.simulator.records("incident")}
    assert len(numbers) == 80


def test_the_command_says_where_it_listens_and_stops_on_interrupt() -> None:
    command = [sys.executable, "-c", "from bridge.cli.simulator import simulator; simulator()", "--no-sir"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert url is not None
            table = f"{url[0]}/api/now/table/sn_si_incident"
            answer = requests.get(table, auth=("bridge", "bridge"), timeout=10)
            assert answer.json()["error"]["message"] == "Invalid table sn_si_incident"
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
