"""Records that a mapping names by their columns, such as a group by its name: looked up, and remembered for a while."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Protocol

from bridge.mapping.rendered import Find

REMEMBERED_SECONDS = 300.0  # a group that was just made is seen after this long
REMEMBERED_MAX = 10_000
SEVERAL = ""  # in place of a sys_id
COLUMN = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
ALSO = {"sys_user_group": (("active", "true"),)}  # a retired group takes no incidents


class Rows(Protocol):
    def __call__(
        self, table: str, query: str, fields: Iterable[str], limit: int, deadline: float, /
    ) -> list[dict[str, str]]: ...


class LookUps:
    """Thread-safe. Two threads may ask for the same at once; both get the same answer."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._lock = threading.Lock()
        self._known: dict[Find, tuple[float, str | None]] = {}  # until when, and the sys_id

    def look_up(self, find: Find, *, now: float, deadline: float) -> str | None:
        """The sys_id; None where nothing matches, and SEVERAL where more than one does: it is not guessed which."""
        with self._lock:
            known = self._known.get(find)
        if known is not None and now < known[0]:
            return known[1]
        sys_id = self._one(find, deadline)
        if not sys_id and find.otherwise is not None:
            sys_id = self.look_up(find.otherwise, now=now, deadline=deadline) or sys_id
        with self._lock:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[find] = (now + REMEMBERED_SECONDS, sys_id)
        return sys_id

    def _one(self, find: Find, deadline: float) -> str | None:
        if not find.by or not all(can_be_asked(column, value) for column, value in find.by):
            return None
        by = (*find.by, *ALSO.get(find.table, ()))
        query = "^".join(f"{column}={value}" for column, value in by)
        rows = self._rows(find.table, query, ("sys_id", *(column for column, _ in by)), 2, deadline)
        # A column that the table lacks is ignored by ServiceNow: what does not match was not asked for.
        if not rows or not all(same(row.get(column, ""), value) for row in rows for column, value in by):
            return None
        return SEVERAL if len(rows) > 1 else rows[0].get("sys_id") or None


def can_be_asked(column: str, value: str) -> bool:
    """`^` would begin another condition and `javascript:` would be run by ServiceNow; neither can be escaped."""
    if not COLUMN.fullmatch(column) or not value.strip() or not value.isprintable():
        return False
    return "^" not in value and not value.strip().lower().startswith("javascript:")


def same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
