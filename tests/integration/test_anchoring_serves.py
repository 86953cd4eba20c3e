"""A serving process with anchors: what it compares before its start, what it tells, and what it leaves at its end."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from publishing_world import Place
from test_anchor_syslog import reads_all

from bridge.errors import Misconfigured
from bridge.log import syslog
from bridge.log.anchors import FileAnchor
from bridge.log.note import Checkpoint, Signer, sign
from bridge.store.anchors import unanchored
from bridge.store.engine import open_store
from bridge.store.logbook import newest_checkpoint
from bridge.store.schema import upgrade_store
from bridge.store.start import installation_id
from bridge.wiring import Role, prepare, run, utc_now


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("NOT_NEEDED", "x")
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    store = open_store(url, utc_now)
    upgrade_store(store)
    made = Place(store, tmp_path / "place", url, "auto")
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (made.folder / "log.key").touch(0o600)
    (made.folder / "log.key").write_bytes(key)
    yield made
    store.close()


def anchor(place: Place, path: str) -> FileAnchor:
    """Named in its bridge.yaml."""
    name_anchor(place, f"file: {path}")
    return FileAnchor(f"file:{path}", place.folder / path)


def name_anchor(place: Place, written: str) -> None:
    file = place.folder / "bridge.yaml"
    log = f"log: {{signing_key: {{file: log.key}}, anchors: [{{{written}}}]}}\n"
    file.write_text(file.read_text() + log)


def ahead(place: Place, there: FileAnchor, *, of: str | None = None) -> None:
    """It has seen a thousand entries."""
    with place.store.transaction() as tx:
        origin = f"incident-bridge/{of or installation_id(tx, utc_now())}"
    signer = Signer(origin, Ed25519PrivateKey.generate())
    there.send(sign(Checkpoint(origin, 1_000, bytes(32)), [signer]), utc_now())


def test_the_end_of_a_process_is_sealed_and_anchored(place: Place) -> None:
    there = anchor(place, "anchors.log")
    prepared = prepare(place.settings, Role.INTAKE)
    run(place.settings, prepared, Role.INTAKE).stop()
    assert prepared.lock is not None
    prepared.lock.close()
    newest = there.newest()
    with place.store.reading() as tx:
        sealed = newest_checkpoint(tx)
    assert newest is not None
    assert sealed is not None
    assert (newest.note, len(place.log("stopped"))) == (sealed.note, 1)


def test_readyz_names_an_anchor_that_fails_and_is_ready(place: Place) -> None:
    there = anchor(place, "mount/anchors.log")
    prepared = prepare(place.settings, Role.INTAKE)
    running = run(place.settings, prepared, Role.INTAKE)
    for _ in range(600):  # until its own threads have sealed, and tried: seconds
        with place.store.reading() as tx:
            if unanchored(tx, [there.name]):
                break
        threading.Event().wait(0.05)
    answer = running.app.test_client().get("/readyz")
    running.stop()
    assert prepared.lock is not None
    prepared.lock.close()
    (problem,) = json.loads(answer.data)["problems"]
    assert (answer.status_code, problem["name"], problem["refuses_deliveries"]) == (200, "anchors", False)
    assert f"No checkpoint has reached {there.name} since " in problem["problem"]
    assert "make its folder, or mount its disk." in problem["problem"]


def test_a_collector_that_says_nothing_holds_up_neither_intake_nor_sealing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "SECONDS_MAX", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(60)
        name_anchor(place, f"syslog: tcp://127.0.0.1:{collector.getsockname()[1]}")
        prepared = prepare(place.settings, Role.INTAKE)
        running = run(place.settings, prepared, Role.INTAKE)
        connection, _ = collector.accept()
        connection.settimeout(60)
        assert connection.recv(1)  # the checkpoint has come, and its sender waits
        with place.store.reading() as tx:
            before = newest_checkpoint(tx)
        answer = running.app.test_client().post("/hooks/probe", data=b'{"alerts": [{"rule": "r1"}]}')
        sealed = grown(place, before.size if before else 0)
        reads_all(connection)
        connection.close()
        monkeypatch.setattr(syslog, "SECONDS_MAX", 0.1)  # of the last one, at the stop
        running.stop()
    assert prepared.lock is not None
    prepared.lock.close()
    assert (answer.status_code, sealed) == (200, True)


def grown(place: Place, size: int) -> bool:
    """Whether the tree grows beyond `size` within seconds."""
    for _ in range(600):
        with place.store.reading() as tx:
            newest = newest_checkpoint(tx)
        if newest is not None and newest.size > size:
            return True
        threading.Event().wait(0.05)
    return False


def test_a_start_beside_an_anchor_that_is_ahead_marks_the_store(place: Place) -> None:
    ahead(place, anchor(place, "anchors.log"))
    prepared = prepare(place.settings, Role.ALL)
    assert prepared.lock is not None
    prepared.lock.close()
    assert [entry["actor"] for entry in place.log("restored")] == ["serve"]


def test_a_start_beside_another_installations_anchor_is_refused(place: Place) -> None:
    ahead(place, anchor(place, "anchors.log"), of="ffffffff")
    with pytest.raises(
        Misconfigured, match=r"bridge\.yaml:[0-9]+:[0-9]+: .*another installation's, incident-bridge/ff"
    ):
        prepare(place.settings, Role.ALL)
