"""A file that is there whole or not at all: written beside its place, and put there once it is released."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from bridge.errors import Permanent

STDOUT = Path("-")
# A folder that one may write to and not read, and file systems that cannot be told to keep a name.
NAMES_NOT_KEPT = {errno.EACCES, errno.EINVAL, errno.ENOTSUP}


class OutputFile:
    """`write` as to a file; `release` when all is there that should be. What is not released is gone."""

    def __init__(self, path: Path, file: IO[bytes], temporary: Path | None) -> None:
        self._path = path
        self._file = file
        self._temporary = temporary  # None: the file has no name, and its content goes where `path` leads

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def release(self) -> None:
        self._file.flush()
        if self._temporary is None:
            self._file.seek(0)
            _pour(self._file, self._path)
            return
        os.fsync(self._file.fileno())
        _put(self._temporary, self._path)


@contextlib.contextmanager
def output_file(path: Path, *, replace: bool) -> Iterator[OutputFile]:
    """To a path, or stdout (`-`), or what is no regular file: a pipe, a device. Only the owner can read a new file.

    Raises click.UsageError for a file that is there, unless `replace`; Permanent when it cannot be written.
    """
    _refuse_present(path, replace=replace)
    path = path if path == STDOUT else path.resolve()  # a link stays one
    through = path == STDOUT or (path.exists() and not path.is_file())
    try:
        with contextlib.ExitStack() as stack:
            if through:
                yield OutputFile(path, stack.enter_context(tempfile.TemporaryFile()), None)
            else:
                temporary, file = _beside(path, stack)
                yield OutputFile(path, file, temporary)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Permanent("output_failed", f"{_shown(path)} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def output_path(path: Path, *, replace: bool) -> Iterator[Path]:
    """For what writes to a name, and durably: to that of an empty file beside `path`, which takes its place when the
    block ends well. A pipe or a device is refused. Else as `output_file`.
    """
    _refuse_present(path, replace=replace)
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise click.UsageError(f"{path} is no regular file: name another one")
    try:
        with contextlib.ExitStack() as stack:
            temporary, _ = _beside(path, stack)
            yield temporary
            _put(temporary, path)
    except OSError as error:
        raise Permanent("output_failed", f"{path} cannot be written: {error.strerror or error}") from error


def _refuse_present(path: Path, *, replace: bool) -> None:
    if path.is_file() and not replace:
        raise click.UsageError(f"{path} is there already: name another file, or say --replace")


def _put(temporary: Path, path: Path) -> None:
    """Durably: else a power cut may take the name away again."""
    temporary.replace(path)
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in NAMES_NOT_KEPT:
            raise


def _beside(path: Path, stack: contextlib.ExitStack) -> tuple[Path, IO[bytes]]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".unfinished")
    temporary = Path(name)
    stack.callback(temporary.unlink, missing_ok=True)  # released, it has another name
    return temporary, stack.enter_context(os.fdopen(handle, "wb"))


def _pour(file: IO[bytes], path: Path) -> None:
    if path == STDOUT:
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with path.open("wb") as target:
        shutil.copyfileobj(file, target)


def _shown(path: Path) -> str:
    return "the output" if path == STDOUT else str(path)
