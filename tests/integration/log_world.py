"""What the tests of the log's entries share: an entry holds at least what a table says of it."""

from __future__ import annotations

from typing import Any

import msgspec
from intake_world import rows

from bridge.store.engine import Store
from bridge.store.tables import log_entries


def entries(store: Store, action: str) -> list[dict[str, Any]]:
    """Of one kind, oldest first, as they are stored."""
    return [msgspec.json.decode(row.entry) for row in rows(store, log_entries) if row.action == action]


def part_of(entry: Any, expected: Any) -> Any:
    """So much of the entry as the table speaks of: compared with `expected`, it shows what differs."""
    if isinstance(expected, dict) and isinstance(entry, dict):
        return {name: part_of(entry.get(name), value) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(entry, list) and len(expected) == len(entry):
        return [part_of(one, other) for one, other in zip(entry, expected, strict=True)]
    return entry
