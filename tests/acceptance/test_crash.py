"""Killed in mid-load, an answered alert is still there, and each problem has one incident."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import requests
from endurance import judged
from machine import Machine, machine

from bridge.store.engine import open_store
from bridge.wiring import utc_now

TRY = "  try: {mapping: try, auth: {scheme: none}}\n"
PROBLEMS = 30
ALERTS = 240
SENDERS = 4


class Senders:
    """Each sends its share, and sends again what was not answered 200, as a good sender does."""

    def __init__(self, bridge: Machine) -> None:
        self._bridge = bridge
        self.accepted: list[str] = []  # the ids that the answers named
        self._threads = [threading.Thread(target=self._send, args=(first,)) for first in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _send(self, first: int) -> None:
        for number in range(first, ALERTS, SENDERS):
            body = json.dumps(
                {
                    "rule": f"Rule {number % PROBLEMS}",
                    "host": "web-01",
                    "severity": "high",
                    "status": "firing",
                    "message": f"alert {number}",
                }
            ).encode()
            while not self._sent(body):
                time.sleep(0.05)

    def _sent(self, body: bytes) -> bool:
        try:
            answer = self._bridge.post("try", body)
        except requests.RequestException:
            return False
        if answer.status_code != 200:
            return False
        self.accepted += [alert["alert"] for alert in answer.json()["alerts"]]
        return True


def assert_all_of_it_is_there(bridge: Machine, senders: Senders) -> None:
    """Every delivery, once, and of every problem one incident."""
    bridge.wait_until_in_step()
    with closing(open_store(f"sqlite:///{bridge.folder}/var/bridge.db", utc_now)) as store:
        assert judged(bridge, store, senders.accepted, ALERTS) == ""
    carried = Counter(record["correlation_id"] for record in bridge.records())
    assert carried == {f"try:Rule {number}:web-01": 1 for number in range(PROBLEMS)}


def test_killed_twice_in_mid_load_nothing_answered_is_lost_and_no_problem_has_two_incidents(tmp_path: Path) -> None:
    with machine(tmp_path / "bridge", TRY) as bridge:
        senders = Senders(bridge)
        senders.start()
        for share in (0.25, 0.6):
            bridge.wait_for(lambda share=share: len(senders.accepted) >= share * ALERTS)  # type: ignore[misc]
            bridge.kill("serve")
            bridge.start_bridge()
        senders.join()
        assert_all_of_it_is_there(bridge, senders)


def test_stopped_under_load_it_finishes_what_it_took_and_hands_its_leases_back(tmp_path: Path) -> None:
    with machine(tmp_path / "bridge", TRY) as bridge:
        senders = Senders(bridge)
        senders.start()
        bridge.wait_for(lambda: len(senders.accepted) >= ALERTS / 2)
        assert bridge.stop("serve") == 0
        bridge.start_bridge()
        senders.join()
        assert_all_of_it_is_there(bridge, senders)


def test_while_servicenow_is_down_alerts_are_accepted_and_the_waiting_is_told(tmp_path: Path) -> None:
    with machine(tmp_path / "bridge", TRY) as bridge:
        bridge.kill("simulator")
        body = b'{"rule": "Down", "host": "web-01", "severity": "high", "status": "firing", "message": "x"}'
        assert bridge.post("try", body).status_code == 200
        bridge.wait_for(lambda: bridge.command("incidents", "list")[0]["failure"] == "connect_failed")
        ready = requests.get(f"{bridge.url}/readyz", timeout=10)
        assert (ready.status_code, "connect_failed" in ready.text) == (200, True)
        bridge.start_simulator()
        bridge.wait_until_in_step()
        assert len(bridge.records()) == 1


def test_a_mistake_in_a_mapping_keeps_the_old_one_in_use_and_is_told(tmp_path: Path) -> None:
    with machine(tmp_path / "bridge", TRY) as bridge:
        (bridge.folder / "mappings/try.yaml").write_text("mapping: try\nno_such_key: 1\n")
        bridge.wait_for(lambda: "no_such_key" in requests.get(f"{bridge.url}/readyz", timeout=10).text)
        body = b'{"rule": "Still mapped", "host": "web-01", "severity": "high", "status": "firing", "message": "x"}'
        assert bridge.post("try", body).json()["alerts"][0]["outcome"] == "accepted"


def test_servicenow_away_in_mid_load_refuses_no_alert_and_all_of_it_drains_afterwards(tmp_path: Path) -> None:
    with machine(tmp_path / "bridge", TRY) as bridge:
        senders = Senders(bridge)
        senders.start()
        bridge.wait_for(lambda: len(senders.accepted) >= ALERTS / 4)
        bridge.freeze("simulator")  # calls in flight hang: their outcome is not known
        senders.join()
        assert len(senders.accepted) == ALERTS
        bridge.thaw("simulator")
        assert_all_of_it_is_there(bridge, senders)


def test_a_worker_that_dies_while_a_mapping_is_broken_comes_back_with_the_one_that_worked(tmp_path: Path) -> None:
    with machine(tmp_path / "bridge", TRY) as bridge:
        (bridge.folder / "mappings/try.yaml").write_text("mapping: try\nno_such_key: 1\n")
        bridge.wait_for(lambda: "no_such_key" in requests.get(f"{bridge.url}/readyz", timeout=10).text)
        master = bridge.pid("serve")
        worker = int(Path(f"/proc/{master}/task/{master}/children").read_text("ascii").split()[0])
        os.kill(worker, signal.SIGKILL)
        bridge.wait_for(lambda: bridge.answers() and not Path(f"/proc/{worker}").exists())
        assert "no_such_key" in requests.get(f"{bridge.url}/readyz", timeout=10).text
        body = b'{"rule": "Still mapped", "host": "web-01", "severity": "high", "status": "firing", "message": "x"}'
        assert bridge.post("try", body).json()["alerts"][0]["outcome"] == "accepted"


def test_chunks_that_are_none_are_the_senders_mistake(tmp_path: Path) -> None:
    with machine(tmp_path / "bridge", TRY) as bridge:
        host, port = bridge.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sender:
            sender.sendall(b"POST /hooks/try HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            sender.sendall(b"ZZ\r\nabc\r\n0\r\n\r\n")
            assert sender.recv(4096).startswith(b"HTTP/1.1 400 ")
