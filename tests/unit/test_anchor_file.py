"""The anchor that is a file: what it takes, what it gives back, and what it says where it cannot."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.errors import Transient
from bridge.log.anchors import TAIL_BYTES, FileAnchor, line_of
from bridge.log.note import Checkpoint, Signer, opened, sign, verifier

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
ORIGIN = "incident-bridge/0a1b2c3d"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.generate())


def note(size: int) -> str:
    return sign(Checkpoint(ORIGIN, size, bytes([size % 256]) * 32), [SIGNER])


def size_of(anchor: FileAnchor) -> int | None:
    return None if (newest := anchor.newest()) is None else newest.checkpoint.size


@pytest.fixture
def anchor(tmp_path: Path) -> FileAnchor:
    return FileAnchor("file:anchors.log", tmp_path / "anchors.log")


def test_what_it_took_it_gives_back_with_its_signature(anchor: FileAnchor) -> None:
    anchor.send(note(7), NOW)
    newest = anchor.newest()
    assert newest is not None
    assert opened(newest.note, [verifier(SIGNER.vkey)]) == newest.checkpoint == Checkpoint(ORIGIN, 7, b"\x07" * 32)


def test_the_last_line_is_the_newest(anchor: FileAnchor) -> None:
    for size in (7, 9, 8):
        anchor.send(note(size), NOW)
    assert size_of(anchor) == 8


def test_each_line_is_json_with_its_time_and_stands_for_itself(anchor: FileAnchor) -> None:
    for size in (7, 9):
        anchor.send(note(size), NOW)
    lines = [json.loads(line) for line in anchor.path.read_text("ascii").splitlines()]
    assert lines == [{"at": "2026-03-10T12:00:00.000000Z", "checkpoint": note(size)} for size in (7, 9)]


def test_a_file_that_is_not_there_has_nothing(anchor: FileAnchor) -> None:
    assert anchor.newest() is None


def test_a_file_that_was_moved_away_begins_anew(anchor: FileAnchor) -> None:
    anchor.send(note(7), NOW)
    anchor.path.rename(anchor.path.with_suffix(".1"))
    anchor.send(note(9), NOW)
    assert size_of(anchor) == 9
    assert len(anchor.path.read_bytes().splitlines()) == 1


def test_a_group_may_read_it_and_nobody_else(anchor: FileAnchor) -> None:
    anchor.send(note(7), NOW)
    assert anchor.path.stat().st_mode & 0o137 == 0


@pytest.mark.parametrize("cut", range(1, len(line_of(note(9), NOW))))
def test_a_line_that_was_cut_off_hides_nothing_and_harms_no_other(anchor: FileAnchor, cut: int) -> None:
    anchor.send(note(7), NOW)
    with anchor.path.open("ab") as file:
        file.write(line_of(note(9), NOW)[:cut])
    before = size_of(anchor)
    anchor.send(note(11), NOW)
    assert (before, size_of(anchor)) == (7, 11)


def test_a_file_of_one_line_that_was_cut_off_has_nothing(anchor: FileAnchor) -> None:
    anchor.path.write_bytes(line_of(note(9), NOW)[:40])
    assert anchor.newest() is None


def test_of_a_long_file_the_end_is_read(anchor: FileAnchor) -> None:
    anchor.path.write_bytes(b"".join(line_of(note(size), NOW) + b"\n" for size in range(1_000)))
    assert anchor.path.stat().st_size > TAIL_BYTES
    assert size_of(anchor) == 999


OTHERS = {
    "a log": b"Mar 10 12:00:00 host daemon: started\n",
    "a long line": b"x" * (TAIL_BYTES + 1),
    "other JSON": b'{"a": 1}\n',
    "JSON without end": b"[" * 60_000,
    "a checkpoint that is none": json.dumps({"checkpoint": "x"}).encode(),
    "a note of another kind": json.dumps({"checkpoint": "a\nb\n\n— c d\n"}).encode(),
    "no text": b"\xff\xfe\n",
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_a_file_of_something_else_is_not_taken_for_an_empty_one(anchor: FileAnchor, content: bytes) -> None:
    anchor.path.write_bytes(content)
    with pytest.raises(Transient, match="holds something else than checkpoints: give the anchor a file of its own"):
        anchor.newest()


def test_a_line_is_durable_when_it_is_taken_and_so_is_the_file_that_begins(
    anchor: FileAnchor, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def noted(file: int) -> None:
        status = os.fstat(file)
        synced.append((status.st_ino, status.st_size if stat.S_ISREG(status.st_mode) else 0))
        sync(file)

    monkeypatch.setattr(os, "fsync", noted)
    anchor.send(note(7), NOW)
    anchor.send(note(9), NOW)
    file, folder = anchor.path.stat().st_ino, anchor.path.parent.stat().st_ino
    line = len(line_of(note(7), NOW)) + 1
    assert synced == [(file, line), (folder, 0), (file, 2 * line)]


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    anchor = FileAnchor("file:x", tmp_path / "mount" / "anchors.log")
    with pytest.raises(Transient, match="No such file or directory; make its folder, or mount its disk"):
        anchor.send(note(7), NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="cannot be appended to: Is a directory; name a file"):
        FileAnchor("file:x", tmp_path).send(note(7), NOW)


def test_a_full_disk_is_told() -> None:
    with pytest.raises(Transient, match="/dev/full cannot be appended to: No space left on device; free space"):
        FileAnchor("file:/dev/full", Path("/dev/full")).send(note(7), NOW)


@pytest.fixture
def _room_for_a_line_and_a_half() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(line_of(note(7), NOW)) * 3 // 2, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.usefixtures("_room_for_a_line_and_a_half")
def test_a_line_that_had_room_only_in_part_is_told_and_the_one_before_it_stays(anchor: FileAnchor) -> None:
    anchor.send(note(7), NOW)
    with pytest.raises(Transient, match="File too large; free space on its disk"):
        anchor.send(note(9), NOW)
    assert size_of(anchor) == 7
    assert anchor.path.stat().st_size > len(line_of(note(7), NOW)) + 1


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    anchor = FileAnchor("file:x", tmp_path / "var" / "anchors.log")
    with pytest.raises(Transient, match="cannot be read: Not a directory; name a file"):
        anchor.newest()
