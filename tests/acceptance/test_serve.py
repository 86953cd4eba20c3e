"""A bridge that serves: what it refuses, what it keeps, and what it does on each signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import requests
from machine import Machine, direct, machine

BRIDGE = (sys.executable, "-m", "bridge.cli")
SOURCES = """\
  try: {mapping: try, auth: {scheme: none}}
  locked: {mapping: try, auth: {scheme: bearer, secret: {file: var/simulator.password}}}
"""
BODY_BYTES_MAX = 1_048_576
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """For tests that leave it running as they found it."""
    with machine(tmp_path_factory.mktemp("serve") / "bridge", SOURCES) as running:
        yield running


@pytest.fixture
def own_bridge(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "bridge", SOURCES) as running:
        yield running


def alert(rule: str) -> bytes:
    text = {"rule": rule, "host": "web-01", "severity": "high", "status": "firing", "message": "x"}
    return json.dumps(text).encode()


def only_child(pid: int) -> int:
    """The worker of a master."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_wrong_credentials_and_an_unknown_source_look_alike(bridge: Machine) -> None:
    wrong = bridge.post("locked", alert("Wrong"), Authorization="Bearer no")
    unknown = bridge.post("nobody", alert("Wrong"), Authorization="Bearer no")
    assert (wrong.status_code, wrong.text) == (unknown.status_code, unknown.text)
    assert wrong.status_code == 401


def test_a_body_over_the_limit_is_413(bridge: Machine) -> None:
    answer = bridge.post("try", b" " * (BODY_BYTES_MAX + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"rule": ', "not_json"),
        (b'{"rule": NaN}', "not_a_number"),
        (b'{"rule": "a", "rule": "b"}', "duplicate_key"),
        (b'{"rule": "a", "deep": ' + b"[" * 33 + b"]" * 33 + b"}", "too_deep"),
    ],
)
def test_what_cannot_be_read_is_kept_and_its_reason_is_in_the_answer(bridge: Machine, body: bytes, reason: str) -> None:
    answer = bridge.post("try", body)
    (told,) = answer.json()["alerts"]
    assert answer.status_code == 200
    assert (told["outcome"], told["reason"].partition(":")[0]) == ("quarantined", reason)


def test_a_second_bridge_on_the_same_database_waits_and_says_so_and_is_refused(bridge: Machine) -> None:
    line = [*BRIDGE, "serve", "--config", str(bridge.config), "--bind", "127.0.0.1:0"]
    second = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    waits, refused = second.stderr.splitlines()
    assert "waiting 10 s for it to stop" in waits
    assert "another bridge serves this database" in refused


def test_one_correlation_is_told_from_delivery_to_incident_in_the_log(bridge: Machine) -> None:
    bridge.post("try", alert("Story"))
    bridge.wait_until_in_step()
    entries = bridge.command("log", "show", "--limit", "1000")
    told = [entry["action"] for entry in entries if "try:Story:web-01" in json.dumps(entry)]
    assert told[-3:] == ["decided", "intended", "written"]


def test_the_log_of_a_problem_is_exported_beside_a_bridge_that_serves_and_verifies_by_the_public_key_alone(
    bridge: Machine, tmp_path: Path
) -> None:
    bridge.post("try", alert("Audited"))
    bridge.wait_until_in_step()
    export = tmp_path / "log.jsonl"
    words = ["log", "export", "--correlation", "try:Audited:web-01", "--output", str(export), "--replace"]

    def whole_story() -> bool:  # what was written is sealed within about a second
        subprocess.run([*BRIDGE, *words, "--config", str(bridge.config)], check=True, capture_output=True, timeout=60)
        lines = [json.loads(line) for line in export.read_text().splitlines()]
        return [line["entry"]["action"] for line in lines if "entry" in line][-3:] == ["decided", "intended", "written"]

    bridge.wait_for(whole_story)
    key = bridge.config.parent / "var/log.pub"
    verifier = [sys.executable, str(ROOT / "deploy/verify_log.py"), str(export), "--key", str(key)]
    verdict = subprocess.run(verifier, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (verdict.returncode, verdict.stdout.split()[0]) == (0, "VERIFIED"), verdict.stdout


def test_a_mapping_fixed_on_disk_empties_the_quarantine_by_itself(own_bridge: Machine) -> None:
    bridge = own_bridge
    body = b'{"title": "Renamed", "host": "web-01", "severity": "high", "status": "firing", "message": "x"}'
    assert bridge.post("try", body).json()["alerts"][0]["outcome"] == "quarantined"
    mapping = bridge.folder / "mappings/try.yaml"
    sample = bridge.folder / "mappings/samples/try.json"  # the mapping's tests must pass before it is used
    sample.write_text(sample.read_text().replace('"rule"', '"title"'))
    mapping.write_text(mapping.read_text().replace(".rule", ".title").replace("rule|exists", "title|exists"))
    bridge.wait_for(lambda: bridge.command("quarantine", "list") == [])
    bridge.wait_for(lambda: len(bridge.records()) == 1)


def test_a_rollback_is_in_use_at_once_and_stays_until_the_files_change_again(own_bridge: Machine) -> None:
    bridge = own_bridge
    mapping = bridge.folder / "mappings/try.yaml"
    text = mapping.read_text()

    def opens(rule: str, title: str) -> None:
        """Alerts of this rule open incidents with such a title."""
        bridge.post("try", alert(rule))
        bridge.wait_for(lambda: any(rule in row["short_description"] for row in bridge.records()))
        assert [row["short_description"] for row in bridge.records() if rule in row["short_description"]] == [title]

    mapping.write_text(text.replace('{{ rule }} on {{ host }}"', '{{ rule }} at {{ host }}"').partition("tests:")[0])
    bridge.wait_for(lambda: len(bridge.command("mapping", "revisions", "try")) == 2)
    first = bridge.command("mapping", "revisions", "try")[1]["revision"]
    bridge.command("mapping", "rollback", "try", first, "--note", "too soon")
    bridge.wait_for(lambda: "other than the disk's" in requests.get(f"{bridge.url}/readyz", timeout=10).text)
    opens("Rolled back", "[High] Rolled back on web-01")
    mapping.write_text(mapping.read_text() + "# another word\n")
    bridge.wait_for(lambda: "other than the disk's" not in requests.get(f"{bridge.url}/readyz", timeout=10).text)
    opens("Saved again", "[High] Saved again at web-01")


def test_a_worker_that_is_killed_is_replaced_and_loses_nothing(own_bridge: Machine) -> None:
    bridge = own_bridge
    accepted = bridge.post("try", alert("Killed")).json()["alerts"][0]["alert"]
    master = bridge.pid("serve")
    killed = only_child(master)
    os.kill(killed, signal.SIGKILL)
    bridge.wait_for(lambda: bridge.answers() and only_child(master) != killed)
    bridge.wait_for(lambda: len(bridge.records()) == 1)
    assert [row["id"] for row in bridge.command("alerts", "list")] == [accepted]


def test_a_master_that_is_killed_takes_its_worker_along_and_the_next_bridge_waits_for_that(own_bridge: Machine) -> None:
    bridge = own_bridge
    accepted = bridge.post("try", alert("Orphaned")).json()["alerts"][0]["alert"]
    master = bridge.pid("serve")
    orphan = only_child(master)
    try:
        os.kill(master, signal.SIGKILL)
        assert bridge.exit_status("serve") == -signal.SIGKILL
        bridge.start_bridge()
        bridge.wait_for(lambda: not Path(f"/proc/{orphan}/exe").exists())
        bridge.wait_for(bridge.answers)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(master, signal.SIGKILL)
    bridge.wait_for(lambda: len(bridge.records()) == 1)
    assert [row["id"] for row in bridge.command("alerts", "list")] == [accepted]


def unfinished_posts(bridge: Machine, source: str, headers: str = "") -> ExitStack:
    """One more than the bridge has threads, each with a body of which half a word arrives."""
    host, port = bridge.url.removeprefix("http://").split(":")
    stack = ExitStack()
    for _ in range(33):
        sender = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
        sender.sendall(
            f"POST /hooks/{source} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: 9\r\n\r\n{{".encode()
        )
    return stack


def test_senders_that_never_finish_hold_the_bridge_up_for_seconds_and_are_answered_408(own_bridge: Machine) -> None:
    bridge = own_bridge
    with unfinished_posts(bridge, "try"):
        bridge.wait_for(lambda: accepts(bridge, "Behind the slow ones"))
        count = 'bridge_deliveries_refused_total{reason="body_incomplete",source="try"}'
        bridge.wait_for(lambda: count in requests.get(f"{bridge.url}/metrics", timeout=10).text)


def test_senders_that_never_finish_do_not_hold_up_a_stop(own_bridge: Machine) -> None:
    bridge = own_bridge
    with unfinished_posts(bridge, "try"):
        assert bridge.stop("serve") == 0  # within the minute that `stop` waits


def accepts(bridge: Machine, rule: str) -> bool:
    try:
        return bridge.post("try", alert(rule)).status_code == 200
    except requests.Timeout:
        return False


@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2])
def test_no_signal_starts_a_second_worker(bridge: Machine, number: signal.Signals) -> None:
    master = bridge.pid("serve")
    before = only_child(master)
    os.kill(master, number)
    assert bridge.post("try", alert(f"Signal {number}")).status_code == 200
    assert only_child(master) == before


def test_the_log_is_read_with_a_token_beside_deliveries_and_who_was_refused_is_told_at_the_stop(
    own_bridge: Machine,
) -> None:
    bridge = own_bridge
    words = ["token", "create", "siem", "--role", "auditor", "--config", str(bridge.config)]
    made = subprocess.run([*BRIDGE, *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    assert bridge.post("try", alert("Read")).status_code == 200
    with direct() as http:
        refused = http.get(f"{bridge.url}/api/v1/log", timeout=10)
        read = http.get(f"{bridge.url}/api/v1/log", headers={"Authorization": f"Bearer {made}"}, timeout=10)
    assert (refused.status_code, read.status_code) == (401, 200)
    assert "delivered" in {one["entry"]["action"] for one in read.json()["entries"]}
    assert bridge.stop("serve") == 0
    told = bridge.command("log", "show", "--action", "sign_in_refused")
    assert [(entry["reason"], entry["detail"]["requests"]) for entry in told] == [("no_token", 1)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_stops_it_in_order(own_bridge: Machine, number: signal.Signals) -> None:
    bridge = own_bridge
    rules = [f"Stopped {n}" for n in range(20)]
    for rule in rules:
        assert bridge.post("try", alert(rule)).status_code == 200
    os.killpg(bridge.pid("serve"), number)
    assert bridge.exit_status("serve") == 0
    with closing(sqlite3.connect(bridge.folder / "var/bridge.db")) as store:
        assert store.execute("select count(*) from alerts").fetchone() == (len(rules),)
        assert store.execute("select count(*) from incidents where lease_until is not null").fetchone() == (0,)
        (last,) = store.execute("select action from log_entries order by id desc limit 1").fetchone()
    assert last == "stopped"
    with pytest.raises(requests.ConnectionError):
        bridge.post("try", alert("Too late"))
