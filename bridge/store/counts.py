"""How many rows of each kind something was done to: adds up over batches, and is false where there are none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What inherits it has fields of whole numbers, 0 by default."""

    def __add__(self, other: Self) -> Self:
        theirs = asdict(other)
        return type(self)(**{name: count + theirs[name] for name, count in asdict(self).items()})

    def __bool__(self) -> bool:
        return bool(self.counts)

    @property
    def counts(self) -> dict[str, int]:
        """Those that are not zero."""
        return {name: count for name, count in asdict(self).items() if count}
