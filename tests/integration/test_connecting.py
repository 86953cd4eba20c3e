"""`bridge sources test` and `add --wait` before a bridge that runs, in this process, with a door over a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from bridge import wiring
from bridge.cli import main, sources_watch
from bridge.settings import load_settings

WAIT_SECONDS_MAX = 20.0
CONFIG = """\
database: sqlite:///bridge.db
instances:
  here: {url: "http://127.0.0.1:9", auth: {scheme: basic, username: u, password: {file: password}}}
targets:
  itsm: {instance: here, table: incident, mode: observe}
sources: {}
"""
MAPPING = """\
mapping: doorman
version: 1
owner: o
product:
  name: Doorman
  sends: door alerts
  unconfirmed: written from its documentation
  calls_from: network
  auth: [{scheme: hmac, preset: grafana, timestamp_header: X-Time}, {scheme: query, name: code, envelope: form}]
  retries: never
  setup: ["Add the webhook {{ url }} with the secret {{ secret }}"]
match: {.door|exists: true}
correlation: {id: "{{ .door }}"}
route: [{to: itsm}]
fields: {create: {short_description: "{{ .door }}"}}
tests: [{name: a door, alert: samples/door.json, expect: {action: create}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    (tmp_path / "mappings/samples").mkdir(parents=True)
    (tmp_path / "mappings/doorman.yaml").write_text(MAPPING)
    (tmp_path / "mappings/samples/door.json").write_text('{"door": "door 12"}')
    (tmp_path / "password").write_text("x")
    (tmp_path / "bridge.yaml").write_text(CONFIG)
    return tmp_path


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The bridge, whole; where it listens."""
    settings = load_settings(folder / "bridge.yaml")
    prepared = wiring.prepare(settings, wiring.Role.ALL)
    bridge = wiring.run(settings, prepared, wiring.Role.ALL)
    server = make_server("127.0.0.1", 0, bridge.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        bridge.stop()
        assert prepared.lock is not None
        prepared.lock.close()


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["sources", *words]) == status, capsys.readouterr()
    printed = capsys.readouterr()
    return printed.err if status else printed.out


@pytest.mark.parametrize("way", ["grafana", "query"])
def test_a_source_that_is_added_takes_a_sample_without_a_restart(
    folder: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    with running(folder) as url:
        said(capsys, "add", "doorman", "--auth", way, "--url", url)
        shown: Any = json.loads(said(capsys, "test", "doorman", "--url", url, "--json"))
        again = said(capsys, "test", "doorman", "--url", url)
    (alert,) = shown["alerts"]
    assert (alert["outcome"], alert["correlation_id"], alert["decision"]) == (
        "accepted",
        "door 12",
        "would_create: first_alert",
    )
    assert "The same was posted within ten minutes: it counts once." in again
    assert "would_create: first_alert" in again


def test_a_sample_that_is_quarantined_is_told_with_its_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(folder) as url:
        said(capsys, "add", "doorman", "--url", url)
        said(capsys, "test", "doorman", "--url", url)
        (folder / "mappings/samples/door.json").write_text('{"window": "3"}')
        told = said(capsys, "test", "doorman", "--url", url)
    assert "does not match the mapping doorman" in told
    assert "waits for a mended mapping: `bridge alerts show 2-0`" in told


def test_what_keeps_the_bridge_from_taking_the_source_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(folder) as url:
        said(capsys, "add", "doorman", "--url", url)
        (folder / "mappings/samples/door.json").write_text('{"window": "3"}')
        told = said(capsys, "test", "doorman", "--url", url, status=1)
    assert "refuses it (401)" in told
    assert "the test `a door` fails at step 1" in told


def test_a_bridge_that_holds_another_secret_refuses(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cli.sources_test.TRIES_AFTER_401", 0)
    said(capsys, "add", "doorman")
    with running(folder) as url:
        (folder / "var/doorman.secret").write_text("another")
        told = said(capsys, "test", "doorman", "--url", url, status=1)
    assert "refuses it (401)" in told


def test_a_bridge_that_does_not_run_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "add", "doorman")
    with running(folder) as url:
        pass
    assert f"no bridge answers at {url}/hooks/doorman" in said(capsys, "test", "doorman", "--url", url, status=1)


def test_waiting_shows_what_the_first_delivery_became(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statuses: list[int] = []
    words = ["sources", "add", "doorman", "--auth", "query", "--wait"]
    with running(folder) as url:
        said(capsys, "add", "doorman", "--url", url)
        said(capsys, "test", "doorman", "--url", url)  # of a source of this name that was there before
        (folder / "bridge.yaml").write_text(CONFIG)
        (folder / "var/doorman.secret").unlink()
        waiting = threading.Thread(target=lambda: statuses.append(main([*words, "--url", url])))
        waiting.start()
        wait_for(lambda: (folder / "bridge.yaml").read_text() != CONFIG)
        secret = (folder / "var/doorman.secret").read_text().strip()
        form = {"payload": '{"door": "door 7"}'}

        def taken() -> bool:
            return requests.post(f"{url}/hooks/doorman?code={secret}", data=form, timeout=10).status_code == 200

        wait_for(taken)
        waiting.join(WAIT_SECONDS_MAX)
    printed = capsys.readouterr()
    assert statuses == [0]
    assert "Waiting for the first delivery of doorman" in printed.err
    assert "door 7" in printed.out
    assert "would_create: first_alert" in printed.out


def test_whoever_stops_waiting_keeps_the_source(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources_watch, "wait_for_first", interrupted)
    with running(folder) as url:
        told = said(capsys, "add", "doorman", "--wait", "--url", url, status=130)
    assert "Not waiting any longer. The source doorman stays." in told
    assert "doorman" in load_settings(folder / "bridge.yaml").sources


def test_whoever_waits_where_nobody_listens_is_warned(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources_watch, "wait_for_first", interrupted)
    with running(folder) as url:
        pass
    told = said(capsys, "add", "doorman", "--wait", "--url", url, status=130)
    assert f"warning: nothing answers at {url}" in told


def test_what_is_turned_away_while_one_waits_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_watch, "PROGRESS_SECONDS", 0.1)
    said(capsys, "add", "doorman", "--auth", "query")
    with running(folder) as url:
        assert requests.post(f"{url}/hooks/doorman?code=wrong", data={"payload": "{}"}, timeout=10).status_code == 401
    told: list[object] = []  # it is stored at the stop, else once a minute

    def stop_at(refused: object) -> None:
        told.append(refused)
        raise KeyboardInterrupt

    store = wiring.open_for_command(load_settings(folder / "bridge.yaml"))
    with pytest.raises(KeyboardInterrupt):
        sources_watch.wait_for_first(store, "doorman", 0, stop_at)
    store.close()
    assert told[0].reasons == {"not_authenticated": 1}  # type: ignore[attr-defined]


def test_a_ping_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    from bridge.store.arrivals import Arrival
    from bridge.wiring import utc_now

    sources_watch.show(Arrival(delivery=3, received_at=utc_now(), alerts=()), [])
    assert "Delivery 3 holds no alert: it is a ping" in capsys.readouterr().out
