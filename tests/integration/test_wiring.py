"""A serving process in its parts: it starts whatever waits, and closes what it opened whatever goes wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from publishing_world import Place

from bridge import reloader
from bridge.errors import Transient
from bridge.servicenow.breaker import FAILURES_MAX
from bridge.servicenow.client import Client
from bridge.settings import Secret, SourceAuth
from bridge.store.engine import Store, open_store
from bridge.store.schema import upgrade_store
from bridge.wiring import Role, Running, prepare, run, utc_now


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("NOT_NEEDED", "x")
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    store = open_store(url, utc_now)
    upgrade_store(store)
    yield Place(store, tmp_path / "place", url, "auto")
    store.close()


def started(place: Place, role: Role = Role.INTAKE) -> tuple[Running, Any]:
    """With the lock, to be closed at the end."""
    prepared = prepare(place.settings, Role.ALL)
    return run(place.settings, prepared, role), prepared.lock


def test_a_start_warns_of_a_secret_that_others_can_read(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "token").write_text("canary")
    (tmp_path / "token").chmod(0o644)
    auth = SourceAuth(scheme="bearer", secrets=(Secret(kind="file", name=str(tmp_path / "token")),))
    (name, source), *_ = place.settings.sources.items()
    prepared = prepare(replace(place.settings, sources={name: replace(source, auth=auth)}), Role.ALL)
    assert prepared.lock is not None
    prepared.lock.close()
    assert f"sources.{name}.auth.secret: others can read " in caplog.text
    assert "canary" not in caplog.text


def test_what_changed_on_disk_since_the_preparation_is_looked_at_before_it_listens(place: Place) -> None:
    prepared = prepare(place.settings, Role.ALL)
    place.write("mapping: probe\nno_such_key: 1\n")
    running = run(place.settings, prepared, Role.INTAKE)
    answer = running.app.test_client().get("/readyz")
    running.stop()
    assert prepared.lock is not None
    prepared.lock.close()
    assert (answer.status_code, "no_such_key" in answer.text) == (200, True)


def test_a_quarantine_that_takes_long_to_replay_does_not_delay_the_start(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def long(*_given: Any, **_named: Any) -> int:
        begun.set()
        go_on.wait(20)
        return 0

    monkeypatch.setattr(reloader, "replay_quarantine", long)
    running, lock = started(place)
    answer = running.app.test_client().post("/hooks/probe", json={"alerts": [{"rule": "r1"}]})
    assert begun.wait(20)
    go_on.set()
    running.stop()
    lock.close()
    assert answer.status_code == 200


def test_a_quarantine_that_cannot_be_replayed_does_not_stop_the_start(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_given: Any, **_named: Any) -> int:
        raise Transient("store_away", "The store is away.")

    monkeypatch.setattr(reloader, "replay_quarantine", away)
    running, lock = started(place)
    assert running.app.test_client().get("/readyz").status_code == 200
    running.stop()
    lock.close()


def test_a_stop_that_cannot_be_logged_closes_clients_and_store_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_given: Any) -> None:
        raise Transient("store_away", "The store is away.")

    closed = []
    for kind in (Client, Store):
        real = kind.close

        def close(self: Any, real: Any = real) -> None:
            closed.append(type(self))
            real(self)

        monkeypatch.setattr(kind, "close", close)
    running, lock = started(place, Role.ALL)
    closed.clear()  # the store of `prepare`
    monkeypatch.setattr("bridge.beginning.append", away)
    with pytest.raises(Transient):
        running.stop()
    lock.close()
    assert closed == [Client, Store]


def test_a_process_that_a_newer_version_has_overtaken_serves_on_and_says_so(place: Place) -> None:
    running, lock = started(place)
    with place.store.transaction() as tx:
        tx.exec_driver_sql("update alembic_version set version_num = '9999'")
    client = running.app.test_client()
    accepted = client.post("/hooks/probe", json={"alerts": [{"rule": "r1"}]})
    answer = client.get("/readyz")
    running.stop()
    lock.close()
    assert (accepted.status_code, answer.status_code) == (200, 200)
    (problem,) = answer.get_json()["problems"]
    assert (problem["name"], "restart this one as that version" in problem["problem"]) == ("schema", True)


def test_an_instance_that_is_left_alone_is_told_and_its_work_waits(place: Place) -> None:
    running, lock = started(place, Role.ALL)
    client = running.app.test_client()
    alerts = [{"rule": f"r{number}"} for number in range(FAILURES_MAX + 1)]
    assert client.post("/hooks/probe", json={"alerts": alerts}).status_code == 200

    def told() -> bool:
        return "127.0.0.1:9 is left alone for now" in client.get("/readyz").text

    assert eventually(told)
    answer = client.get("/readyz")
    metrics = client.get("/metrics").text
    running.stop()
    lock.close()
    (problem,) = [found for found in answer.get_json()["problems"] if found["name"] == "instances"]
    assert (answer.status_code, problem["refuses_deliveries"]) == (200, False)
    assert problem["problem"].startswith("corp: 127.0.0.1:9 is left alone for now. ServiceNow at 127.0.0.1:9 was not")
    assert re.search(r'bridge_servicenow_held\{instance="corp"\} (1\.0|0\.5)', metrics)


def eventually(holds: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(holds() or pause.wait(0.05) for _ in range(400))
