"""One mapping file of a folder: found by its name, and replaced."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from bridge.errors import Misconfigured, Problem


def file_of(folder: Path, name: str) -> Path:
    """The file of a name without .yaml: "elastic", "_shared/routes". Raises Misconfigured when there is none."""
    from bridge.mapping.language import nearest

    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(str(found.relative_to(folder).with_suffix("")) for found in folder.rglob("*.yaml"))
        raise Misconfigured([Problem(str(path), 0, 0, "there is no such file", nearest(name, known))])
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Misconfigured([Problem(str(path), 0, 0, "leads out of the mappings folder")])
    return path


def replace_file(path: Path, text: str) -> None:
    """Another text in the place of a file, all at once: a bridge that reads it meets the old one or the new one.

    Raises Misconfigured when it cannot be written.
    """
    path = path.resolve()  # a link stays one
    try:
        old = path.stat()
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(text.encode())
            Path(temporary).chmod(old.st_mode & 0o777)
            with suppress(PermissionError):  # only root may give a file away, and only then it is another's
                os.chown(temporary, old.st_uid, old.st_gid)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Misconfigured([Problem(str(path), 0, 0, f"cannot be written: {error.strerror}")]) from error
