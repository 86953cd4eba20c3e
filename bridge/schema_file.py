"""The schema of an instance on disk, beside the database: `bridge doctor --refresh` writes it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from sqlalchemy.engine import make_url

from bridge.dictionary.reading import Reading
from bridge.errors import Misconfigured, Problem
from bridge.settings import Settings
from bridge.typed import decode

_log = logging.getLogger(__name__)


def schema_path(settings: Settings, instance: str) -> Path:
    """`schema-<instance>.json` beside an SQLite database; in `var`, beside bridge.yaml, with another."""
    database = make_url(settings.database)
    folder = settings.file.absolute().parent / "var"
    if database.drivername == "sqlite" and database.database:
        folder = Path(database.database).parent
    return folder / f"schema-{instance}.json"


def save(path: Path, reading: Reading) -> None:
    """In one step: a reader sees the old file or the new one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(reading, order="deterministic"), indent=1))
    fresh.replace(path)


def load(path: Path) -> Reading | None:
    """None when there is none. Raises Misconfigured when it cannot be read."""
    try:
        return decode(path.read_bytes(), Reading)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        hint = "`bridge doctor --refresh` writes it anew"
        raise Misconfigured([Problem(str(path), 0, 0, "is not a schema that can be read", hint)]) from error


class ReadingFiles:
    """What instances have told, as their files are at each call; nothing where there is no usable file. Thread-safe."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths  # by instance
        self._known: dict[str, tuple[int, Reading]] = {}  # when its file was changed, and what it held

    def __call__(self, instance: str) -> Reading:
        try:
            changed = self._paths[instance].stat().st_mtime_ns
        except OSError:
            return Reading()
        known = self._known.get(instance)
        if known is None or known[0] != changed:
            known = self._known[instance] = changed, _usable(self._paths[instance])
        return known[1]


def _usable(path: Path) -> Reading:
    try:
        return load(path) or Reading()
    except Misconfigured as error:
        _log.warning("%s", error.message)
        return Reading()
