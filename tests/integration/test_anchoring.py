"""Checkpoints leave the database: when, how often, what is told when they cannot, and an anchor ahead of the store."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update
from test_log_sealing import OURS, seal_all, write

from bridge.anchoring import Anchoring, compare_before_start
from bridge.errors import Misconfigured
from bridge.log.anchors import Anchor, FileAnchor, anchor_for, line_of
from bridge.log.note import Checkpoint, Signer, sign
from bridge.metrics import Metrics
from bridge.settings import AnchorSyslog, Settings, load_settings
from bridge.store.anchors import TURN_EVERY, AnchorState, anchors_of, claim, unanchored
from bridge.store.engine import Store
from bridge.store.log_tables import log_anchors
from bridge.store.reconciling import looks_first
from bridge.store.tables import installation, log_entries

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
INSTALLATION = OURS.name.partition("/")[2]


def seal(store: Store, entries: int) -> None:
    """So many more, sealed."""
    write(store, entries)
    seal_all(store)


def sizes_in(file: Path) -> list[int]:
    """Of the checkpoints that it has, in their order."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [int(json.loads(line)["checkpoint"].splitlines()[1]) for line in lines]


def pass_turn(store: Store) -> None:
    """As if TURN_EVERY had gone by: the clock of PostgreSQL is its own."""
    with store.transaction() as tx:
        tx.execute(update(log_anchors).where(log_anchors.c.failures == 0).values(due_at=None))


def pass_wait(store: Store) -> None:
    with store.transaction() as tx:
        tx.execute(update(log_anchors).values(due_at=None))


def row(store: Store, name: str) -> AnchorState:
    with store.reading() as tx:
        return next(state for state in anchors_of(tx) if state.name == name)


def entries_of(store: Store, action: str) -> list[dict[str, object]]:
    with store.reading() as tx:
        found = tx.execute(select(log_entries.c.entry).where(log_entries.c.action == action))
        return [msgspec.json.decode(entry) for (entry,) in found]


def is_restored(store: Store) -> bool:
    with store.reading() as tx:
        return looks_first(tx, "any", "incident", "x")


def said(store: Store, *names: str) -> str:
    with store.reading() as tx:
        return unanchored(tx, names)


@pytest.fixture
def log(store: Store) -> Store:
    """The store, with an identity and its first entries sealed."""
    with store.transaction() as tx:
        tx.execute(installation.insert().values(id=INSTALLATION, created_at=NOW))
    seal(store, 3)
    return store


@pytest.fixture
def file(tmp_path: Path) -> FileAnchor:
    return FileAnchor("file:anchors.log", tmp_path / "anchors.log")


def anchoring(store: Store, *anchors: Anchor, metrics: Metrics | None = None) -> Anchoring:
    """As a process has it that has just started."""
    return Anchoring(store, anchors, metrics or Metrics(), actor="serve")


# --- what is sent, and when


def test_the_newest_checkpoint_goes_to_each_anchor(log: Store, file: FileAnchor, tmp_path: Path) -> None:
    other = FileAnchor("file:other.log", tmp_path / "other.log")
    anchoring(log, file, other).look()
    assert (sizes_in(file.path), sizes_in(other.path)) == ([3], [3])


def test_what_is_anchored_already_is_not_sent_again(log: Store, file: FileAnchor) -> None:
    one = anchoring(log, file)
    one.look()
    pass_turn(log)
    one.look()
    assert sizes_in(file.path) == [3]


def test_an_anchor_is_sent_one_checkpoint_in_ten_seconds_and_then_the_newest(log: Store, file: FileAnchor) -> None:
    one = anchoring(log, file)
    one.look()
    for _ in range(3):
        seal(log, 2)
        one.look()
    before = sizes_in(file.path)
    pass_turn(log)
    one.look()
    assert (before, sizes_in(file.path)) == ([3], [3, 9])


def test_the_turn_lasts_ten_seconds(log: Store) -> None:
    with log.transaction() as tx:
        turns = [claim(tx, "a", 3, NOW), claim(tx, "a", 3, NOW + TURN_EVERY / 2), claim(tx, "a", 3, NOW + TURN_EVERY)]
    assert (turns, TURN_EVERY) == ([True, False, True], timedelta(seconds=10))


def test_at_the_end_the_newest_is_sent_at_once(log: Store, file: FileAnchor) -> None:
    one = anchoring(log, file)
    one.look()
    seal(log, 2)
    one.finish()
    assert sizes_in(file.path) == [3, 5]


def test_of_two_processes_one_sends(log: Store, file: FileAnchor) -> None:
    for _ in range(2):
        anchoring(log, file).look()
    assert sizes_in(file.path) == [3]


def test_what_a_process_left_that_died_with_its_turn_another_sends(log: Store, file: FileAnchor) -> None:
    with log.transaction() as tx:
        assert claim(tx, file.name, 3, log.now(tx))
    other = anchoring(log, file)
    other.look()
    before = sizes_in(file.path)
    pass_turn(log)
    other.look()
    assert (before, sizes_in(file.path)) == ([], [3])


def test_of_many_that_claim_a_turn_at_once_one_gets_it(log: Store) -> None:
    together = threading.Barrier(6)

    def claims() -> bool:
        together.wait(20)
        return log.in_transaction(lambda tx: claim(tx, "a", 3, log.now(tx)))

    with ThreadPoolExecutor(6) as pool:
        turns = [pool.submit(claims) for _ in range(6)]
    assert [one.result() for one in turns].count(True) == 1


def test_nothing_sealed_nothing_sent(store: Store, file: FileAnchor) -> None:
    anchoring(store, file).finish()
    assert not file.path.exists()


def test_the_metrics_say_how_far_each_anchor_is(log: Store, file: FileAnchor) -> None:
    metrics = Metrics()
    anchoring(log, file, metrics=metrics).look()
    text = metrics.text().decode()
    assert 'bridge_log_anchored_size{anchor="file:anchors.log"} 3.0' in text
    assert 'bridge_log_anchor_failures_total{anchor="file:anchors.log"} 0.0' in text


# --- an anchor that fails


def full() -> FileAnchor:
    return FileAnchor("file:/dev/full", Path("/dev/full"))


def refusing() -> Anchor:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    return anchor_for(AnchorSyslog(name=f"syslog:127.0.0.1:{port}", host="127.0.0.1", port=port, transport="tcp"))


def test_an_anchor_that_fails_keeps_the_others_from_nothing(log: Store, file: FileAnchor) -> None:
    anchoring(log, full(), refusing(), file).look()
    assert sizes_in(file.path) == [3]


def test_what_fails_is_told_with_its_remedy(log: Store, file: FileAnchor) -> None:
    metrics = Metrics()
    disk = full()
    anchoring(log, disk, file, metrics=metrics).look()
    text = said(log, disk.name, file.name)
    assert text.startswith("No checkpoint has reached file:/dev/full since 20")
    assert text.endswith("cannot be appended to: No space left on device; free space on its disk.")
    assert 'bridge_log_anchor_failures_total{anchor="file:/dev/full"} 1.0' in metrics.text().decode()


def test_an_anchor_that_is_named_no_more_is_not_told(log: Store, file: FileAnchor) -> None:
    anchoring(log, full()).look()
    assert said(log, file.name) == ""


def test_it_is_tried_again_after_ever_longer_waits(log: Store) -> None:
    one, disk = anchoring(log, full()), full()
    waits = []
    for _ in range(8):
        pass_wait(log)
        one.look()
        with log.reading() as tx:
            due: datetime = tx.execute(select(log_anchors.c.due_at)).scalar_one()
            waits.append((due - log.now(tx)).total_seconds())
    assert (row(log, disk.name).size, waits[0] < waits[-1] < 301) == (0, True)


def test_a_failing_anchor_waits_its_time_out_at_the_end_too(log: Store) -> None:
    metrics = Metrics()
    one = anchoring(log, full(), metrics=metrics)
    one.look()
    one.finish()
    assert 'bridge_log_anchor_failures_total{anchor="file:/dev/full"} 1.0' in metrics.text().decode()


def test_since_when_it_fails_stays_while_it_fails(log: Store) -> None:
    one, disk = anchoring(log, full()), full()
    one.look()
    first = row(log, disk.name).failed_at
    pass_wait(log)
    one.look()
    assert row(log, disk.name).failed_at == first is not None


def test_the_service_log_tells_a_change_and_no_try(
    log: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    anchor = FileAnchor("file:mount/anchors.log", tmp_path / "mount" / "anchors.log")
    one = anchoring(log, anchor)
    with caplog.at_level("INFO", "bridge.anchoring"):
        for _ in range(3):
            pass_wait(log)
            one.look()
        anchor.path.parent.mkdir()
        for _ in range(2):
            pass_wait(log)
            one.look()
            seal(log, 1)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"the anchor {anchor.name} has not taken the log's checkpoint: {anchor.path} cannot be appended to: "
        "No such file or directory; make its folder, or mount its disk",
        f"the anchor {anchor.name} takes checkpoints again",
    ]


def test_what_works_again_is_told_no_more(log: Store, tmp_path: Path) -> None:
    anchor = FileAnchor("file:mount/anchors.log", tmp_path / "mount" / "anchors.log")
    one = anchoring(log, anchor)
    one.look()
    anchor.path.parent.mkdir()
    pass_wait(log)
    one.look()
    assert (said(log, anchor.name), row(log, anchor.name).size) == ("", 3)


# --- an anchor that is ahead


def settings_with(folder: Path, file: FileAnchor) -> Settings:
    text = f"log:\n  signing_key: {{file: log.key}}\n  anchors:\n    - {{file: {file.path.name}}}\n"
    (folder / "bridge.yaml").write_text(text)
    return load_settings(folder / "bridge.yaml")


def put(file: FileAnchor, size: int, *, root: bytes = bytes(32), name: str = OURS.name) -> str:
    note = note_of(size, root=root, name=name)
    file.send(note, NOW)
    return note


def note_of(size: int, *, root: bytes = bytes(32), name: str = OURS.name) -> str:
    return sign(Checkpoint(name, size, root), [Signer(name, Ed25519PrivateKey.generate())])


def start(store: Store, tmp_path: Path, file: FileAnchor) -> None:
    compare_before_start(settings_with(tmp_path, file), store, actor="serve")


def test_a_store_that_its_anchor_knows_is_as_it_was(log: Store, file: FileAnchor, tmp_path: Path) -> None:
    anchoring(log, file).look()
    seal(log, 600)
    start(log, tmp_path, file)
    assert (is_restored(log), entries_of(log, "restored")) == (False, [])


def test_a_store_whose_anchor_has_more_is_restored(log: Store, file: FileAnchor, tmp_path: Path) -> None:
    note = put(file, 4)
    start(log, tmp_path, file)
    (entry,) = entries_of(log, "restored")
    assert is_restored(log)
    assert (entry["actor"], entry["reason"]) == ("serve", "anchor_ahead")
    assert entry["detail"] == {"anchor": file.name, "anchored_size": 4, "checkpoint": note, "size": 3}


@pytest.mark.parametrize("grown", [0, 1, 600])
def test_a_store_with_another_history_is_restored_however_long_it_is(
    log: Store, file: FileAnchor, tmp_path: Path, grown: int
) -> None:
    put(file, 3)
    if grown:
        seal(log, grown)
    start(log, tmp_path, file)
    assert [entry["reason"] for entry in entries_of(log, "restored")] == ["anchor_differs"]
    assert is_restored(log)


def test_what_a_torn_line_stands_behind_counts(log: Store, file: FileAnchor, tmp_path: Path) -> None:
    put(file, 4)
    with file.path.open("ab") as torn:
        torn.write(b'{"at":"2026-03-10T12:0')
    start(log, tmp_path, file)
    assert is_restored(log)


def test_another_installations_anchor_is_a_mistake_with_its_place(log: Store, file: FileAnchor, tmp_path: Path) -> None:
    put(file, 4, name="incident-bridge/ffffffff")
    with pytest.raises(Misconfigured) as caught:
        start(log, tmp_path, file)
    (problem,) = caught.value.problems
    assert str(problem) == (
        f"{tmp_path / 'bridge.yaml'}:4:14: {file.path}: its checkpoints are another installation's, incident-bridge/"
        "ffffffff: give this one an anchor of its own, or bring the database back that it belongs to"
    )
    assert not is_restored(log)


def test_a_new_store_beside_an_old_anchor_is_a_mistake_too(store: Store, file: FileAnchor, tmp_path: Path) -> None:
    put(file, 4)
    with pytest.raises(Misconfigured, match="another installation's"):
        start(store, tmp_path, file)


@pytest.fixture
def unreadable(file: FileAnchor) -> FileAnchor:
    """It is ahead, but nobody can say so."""
    put(file, 4)
    file.path.rename(file.path.with_suffix(".kept"))
    file.path.write_text("not ours\n")
    return file


def test_a_file_that_cannot_be_read_keeps_nobody_from_starting(
    log: Store, unreadable: FileAnchor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start(log, tmp_path, unreadable)
    assert f"whether the store was restored is not known by the anchor {unreadable.name}: " in caplog.text
    assert not is_restored(log)


def test_nothing_is_added_to_a_file_that_could_not_be_read(log: Store, unreadable: FileAnchor) -> None:
    anchoring(log, unreadable).look()
    assert unreadable.path.read_text() == "not ours\n"
    assert "holds something else than checkpoints" in said(log, unreadable.name)


def test_a_file_that_can_be_read_again_is_compared_then(log: Store, unreadable: FileAnchor) -> None:
    one = anchoring(log, unreadable)
    one.look()
    unreadable.path.with_suffix(".kept").rename(unreadable.path)
    pass_wait(log)
    one.look()
    assert (is_restored(log), sizes_in(unreadable.path)) == (True, [4, 3])


def test_a_database_that_falls_back_while_it_is_served_is_noticed(log: Store, file: FileAnchor) -> None:
    one = anchoring(log, file)
    one.look()
    put(file, 40)  # of entries that the standby had not got
    seal(log, 2)
    pass_turn(log)
    one.look()
    assert (is_restored(log), sizes_in(file.path)) == (True, [3, 40, 5])


def test_a_file_that_is_ahead_and_takes_no_more_marks_the_store_once(log: Store) -> None:
    kept = os.memfd_create("anchors", os.MFD_ALLOW_SEALING)
    there = FileAnchor("file:kept", Path(f"/proc/self/fd/{kept}"))
    os.write(kept, line_of(note_of(40), NOW) + b"\n")
    fcntl.fcntl(kept, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    one = anchoring(log, there)
    for _ in range(2):
        pass_wait(log)
        one.look()
    os.close(kept)
    assert len(entries_of(log, "restored")) == 1
    assert "Operation not permitted; let the bridge's user read it and append to it" in said(log, there.name)


def test_a_store_that_goes_on_from_a_backup_is_marked_once(log: Store, file: FileAnchor, tmp_path: Path) -> None:
    put(file, 40)
    start(log, tmp_path, file)
    seal(log, 1)
    anchoring(log, file).look()
    start(log, tmp_path, file)
    assert len(entries_of(log, "restored")) == 2  # at the start, and by the process that sent the next line
