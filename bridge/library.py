"""The mappings in use: one immutable set at a time, swapped whole; older revisions on demand from the store."""

from __future__ import annotations

import threading
from collections.abc import Mapping as MappingType
from dataclasses import dataclass

from bridge.mapping.compile import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A compiled mapping and the row that names its revision in the store."""

    mapping: Mapping
    revision_id: int


class Library:
    """What intake and sync ask for a mapping. Reading takes no lock: a swap replaces one reference."""

    def __init__(self, current: MappingType[str, Published]) -> None:
        self._current = dict(current)
        self._lock = threading.Lock()
        # Why the files on disk are not what is in use; "" while they are. Shown by /readyz and the metrics.
        self.refused = ""

    def __getitem__(self, name: str) -> Published:
        return self._current[name]

    def swap(self, current: MappingType[str, Published]) -> set[str]:
        """Put a new set into use. Returns the names whose revision changed."""
        with self._lock:
            before, self._current = self._current, dict(current)
            self.refused = ""
        return {name for name, new in current.items() if before.get(name) != new}
