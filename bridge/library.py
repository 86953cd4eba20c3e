"""The mappings in use: one immutable set at a time, swapped whole; older revisions on demand from the store."""

from __future__ import annotations

import threading
from collections.abc import Mapping as MappingType
from dataclasses import dataclass

from bridge.mapping.compile import Mapping

REVISION_DIGITS = 12  # of a revision's digest: enough to name it


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A compiled mapping and the row that names its revision in the store."""

    mapping: Mapping
    revision_id: int

    @property
    def revision(self) -> str:
        """As the log names it, and people."""
        return self.mapping.digest[:REVISION_DIGITS]


class Library:
    """What intake and sync ask for a mapping. Reading takes no lock: a swap replaces one reference."""

    def __init__(self, current: MappingType[str, Published], own: MappingType[str, Published] | None = None) -> None:
        """`own`: the bridge's own mappings, which nobody publishes and no swap takes away."""
        self._own = dict(own or {})
        self._current = dict(current)
        self._lock = threading.Lock()
        # Why a change is not in use although somebody made it; "" while all are. Shown by /readyz and the metrics.
        self.refused = ""
        # Which mappings are at a revision that is not the disk's, as after a rollback; "" while none is.
        self.apart = ""

    @property
    def problem(self) -> str:
        """What /readyz says of the mappings; "" when all is well."""
        return "; ".join(part for part in (self.refused, self.apart) if part)

    def __getitem__(self, name: str) -> Published:
        return self._own[name] if name in self._own else self._current[name]

    @property
    def current(self) -> MappingType[str, Published]:
        """The set in use, as it is now."""
        return self._current

    def swap(self, current: MappingType[str, Published]) -> set[str]:
        """Put a new set into use. Returns the names whose revision changed."""
        with self._lock:
            before, self._current = self._current, dict(current)
        return {name for name, new in current.items() if before.get(name) != new}
