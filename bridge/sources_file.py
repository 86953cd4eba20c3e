"""The `sources` of bridge.yaml while a process serves: what changed there is taken without a restart.

All else of the file is read at a start only. A file that is refused is read again at every look: the secret that it
lacked may be there by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from bridge.errors import Misconfigured
from bridge.settings import Settings, Source, check_secrets, load_settings

# Builds the doors of these settings' sources; what it returns opens them. Raises Misconfigured.
Opening: TypeAlias = Callable[[Settings], Callable[[], None]]
_Stamp: TypeAlias = tuple[int, int, int]

_log = logging.getLogger(__name__)


class SourcesFile:
    """`started`: the settings that the process began with."""

    def __init__(self, started: Settings, opening: Opening) -> None:
        self.opening = opening
        self._started = started
        self._sources: Mapping[str, Source] = started.sources
        self._seen: _Stamp | None = None
        self._refused = False

    def wanted(self, current: Settings) -> Settings | None:
        """The settings with the sources that the file has now; None where those are `current`. Raises Misconfigured."""
        stamp = self._stamp()
        if stamp is not None and (self._refused or stamp != self._seen):
            self._refused = True
            self._read()
            self._seen, self._refused = stamp, False
        wanted = replace(current, sources=dict(self._sources))
        return wanted if wanted.sources != current.sources else None

    def _read(self) -> None:
        found = load_settings(self._started.file)
        problems = check_secrets(replace(found, instances={}, signing_keys=(), anchors=()))
        if problems:
            raise Misconfigured(problems)
        self._sources = found.sources
        if replace(found, sources=self._started.sources) != self._started:
            _log.warning("%s: what changed beside `sources` is used after a restart", self._started.file)

    def _stamp(self) -> _Stamp | None:
        """None while it is not there: it may be about to be replaced."""
        try:
            stat = self._started.file.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def still_there(started: Settings) -> Settings:
    """Without the sources that the file no longer has as they were: their secrets may be gone.

    For a process that takes the place of one that died, and so begins with settings of long ago.
    """
    try:
        now = load_settings(started.file).sources
    except Misconfigured:
        return started
    return replace(started, sources={name: one for name, one in started.sources.items() if now.get(name) == one})
