"""Advisory locks of PostgreSQL by what they are for: their keys are numbers, and no two uses may meet."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection


def key_of(*words: str | int) -> int:
    """The key of a lock: 64 bits, signed, the same in every process."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def hold(tx: Connection, *words: str | int) -> None:
    """Hold the lock until the transaction ends. On SQLite its own write lock serves."""
    if tx.dialect.name != "sqlite":
        tx.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key_of(*words),))
