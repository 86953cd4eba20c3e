"""Anchors: where checkpoints of the log go besides the database, so that nobody who holds that can rewrite it unseen.

An anchor takes a checkpoint as one line of JSON, {"at": time, "checkpoint": note}, and never gives one back: what it
took stands against the database for good. Here is the file; the collector is in bridge.log.syslog.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from bridge.canonical import at_text
from bridge.errors import Transient
from bridge.log.note import BadNote, Checkpoint, unverified
from bridge.settings import AnchorFile, AnchorSyslog

FILE_MODE = 0o640  # a group of auditors may read it
TAIL_BYTES = 64 * 1024  # of a file, in which its newest checkpoint is looked for; a line has less than one
LINE_BEGINS = b'{"at":"'

NO_SPACE = "free space on its disk"
NO_RIGHT = "let the bridge's user read it and append to it"
REMEDIES = {
    errno.ENOSPC: NO_SPACE,
    errno.EDQUOT: NO_SPACE,
    errno.EFBIG: NO_SPACE,
    errno.EACCES: NO_RIGHT,
    errno.EPERM: NO_RIGHT,
    errno.EROFS: NO_RIGHT,
    # The folder is not made here: where a disk is not mounted, the file would come to lie beside the database.
    errno.ENOENT: "make its folder, or mount its disk",
    errno.ENOTDIR: "name a file",
    errno.EISDIR: "name a file",
}


class Anchor(Protocol):
    @property
    def name(self) -> str:
        """file:var/anchors.log, syslog:host:6514"""

    def send(self, note: str, at: datetime) -> None:
        """Returns when it has the checkpoint, as far as can be known. Raises Transient, with a remedy."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """What an anchor has, read back."""

    note: str
    checkpoint: Checkpoint


def anchor_for(setting: AnchorFile | AnchorSyslog) -> Anchor:
    from bridge.log.syslog import Syslog  # ssl costs a start that needs none of it

    return FileAnchor(setting.name, setting.path) if isinstance(setting, AnchorFile) else Syslog(setting)


def line_of(note: str, at: datetime) -> bytes:
    """ASCII, so that no collector's idea of letters touches what is signed."""
    return json.dumps({"at": at_text(at), "checkpoint": note}, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, slots=True)
class FileAnchor:
    """A file of lines. It is opened anew for each, so that it may be moved away at any time."""

    name: str
    path: Path

    def send(self, note: str, at: datetime) -> None:
        line = line_of(note, at) + b"\n"
        with self._opened(os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            size = os.fstat(file).st_size
            # A line that a crash or a full disk cut off is ended first: it stays alone in its damage.
            left = line if size == 0 or os.pread(file, 1, size - 1) == b"\n" else b"\n" + line
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
            # The line is durable. A crash here only sends it again.
            if size == 0:
                self._sync_folder()

    def newest(self) -> Anchored | None:
        """The last whole line's checkpoint, its signature not looked at; None: the file is empty or not there.

        Raises Transient when it cannot be read, or holds something else.
        """
        try:
            with self._opened(os.O_RDONLY) as file:
                size = os.fstat(file).st_size
                start = max(0, size - TAIL_BYTES)
                tail = os.pread(file, size - start, start)
        except Transient as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        lines = tail.split(b"\n")
        return self._newest_of((lines[1:] or lines) if start else lines)

    def _newest_of(self, lines: list[bytes]) -> Anchored | None:
        foreign = False
        for line in reversed(lines):
            try:
                return _anchored(line)
            except (ValueError, RecursionError):
                torn = line.startswith(LINE_BEGINS) or LINE_BEGINS.startswith(line)
                foreign = foreign or not torn
        if foreign:
            remedy = "give the anchor a file of its own"
            raise Transient("anchor_not_ours", f"{self.path} holds something else than checkpoints: {remedy}")
        return None

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        try:
            file = os.open(self.path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, FILE_MODE)
            try:
                yield file
            finally:
                os.close(file)
        except OSError as error:
            remedy = REMEDIES.get(error.errno or 0, "look at its disk, and at the system's log")
            doing = "read" if flags == os.O_RDONLY else "appended to"
            text = f"{self.path} cannot be {doing}: {error.strerror}; {remedy}"
            raise Transient("anchor_file", text) from error

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _anchored(line: bytes) -> Anchored:
    """Raises ValueError."""
    document = json.loads(line)
    note = document.get("checkpoint") if isinstance(document, dict) else None
    if not isinstance(note, str):
        raise BadNote("this line holds no checkpoint")
    return Anchored(note, unverified(note))
