"""Fields that a source's alerts always had and suddenly have not: a product that changed what it sends. Pure.

A look is what a minute of a source's alerts had of the fields that its mapping reads. One that only some of them have
is a field that may be missing, and its being missing says nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

ALWAYS_LOOKS = 50  # so many in a row had it in every alert: it was always there
SUDDENLY_LOOKS = 5  # so many in a row have it in none


@dataclass(frozen=True, slots=True)
class Run:
    """Of one field: in how many looks in a row it was there, and then in how many it was not."""

    there: int = 0
    gone: int = 0

    def after(self, had: int, of: int) -> Run:
        """`had` of the look's `of` alerts have it."""
        if had == of:
            return Run(min(self.there + 1, ALWAYS_LOOKS)) if not self.gone else Run(1)
        if had or self.there < ALWAYS_LOOKS:
            return Run()
        return Run(self.there, min(self.gone + 1, SUDDENLY_LOOKS))

    @property
    def has_vanished(self) -> bool:
        return self.gone >= SUDDENLY_LOOKS


@dataclass(slots=True)
class Look:
    alerts: int = 0
    had: dict[str, int] = field(default_factory=dict)  # path, as the mapping writes it -> how many alerts have it

    def add(self, reads: Collection[str], present: Collection[str]) -> None:
        """One alert. A mapping that was changed meanwhile reads other fields: the look begins anew."""
        if self.had.keys() != set(reads):
            self.alerts, self.had = 0, dict.fromkeys(reads, 0)
        self.alerts += 1
        for path in present:
            self.had[path] += 1
