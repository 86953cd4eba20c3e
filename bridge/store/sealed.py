"""Which seals hold what: their checkpoints, where a time begins, the indices of entries. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from bridge.store.log_tables import log_anchors, log_head, log_seals
from bridge.store.sealing import unpacked

# An entry is sealed after it was written, but by another process, whose clock may be behind.
CLOCKS_APART_MAX = timedelta(days=1)


def notes_between(tx: Connection, first: int, end: int) -> Iterator[tuple[int, str]]:
    """(size, note) of every checkpoint whose tree ends after the index `first`, and at `end` at the latest."""
    query = select(log_seals.c.size, log_seals.c.note).where(
        log_seals.c.first_index < end, log_seals.c.size > first, log_seals.c.size <= end
    )
    return ((size, note) for size, note in tx.execute(query))


def first_since(tx: Connection, since: datetime) -> int:
    """An index before which no entry of `since` or later is. The size of the tree, when there is none at all."""
    after = select(func.min(log_seals.c.first_index)).where(log_seals.c.at >= since - CLOCKS_APART_MAX)
    found: int | None = tx.execute(after).scalar()
    if found is None:
        found = tx.execute(select(func.max(log_seals.c.size))).scalar()
    return found or 0


def indices_of(tx: Connection, entry_ids: Collection[int]) -> dict[int, int]:
    """entry id -> index, of those that are sealed."""
    if not entry_ids:
        return {}
    wanted, found = set(entry_ids), dict[int, int]()
    spans = log_seals.c.id_min <= max(wanted), log_seals.c.id_max >= min(wanted)
    for first, ids in tx.execute(select(log_seals.c.first_index, log_seals.c.ids).where(*spans)):
        found |= {one: first + at for at, one in enumerate(unpacked(ids)) if one in wanted}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """How far an anchor has got."""

    name: str
    size: int  # of the last checkpoint that it took; 0: none
    at: datetime | None  # when; None: never
    failed_at: datetime | None  # since when it fails; None: it works
    error: str | None


def anchored(tx: Connection) -> list[Anchored]:
    columns = [log_anchors.c[name] for name in Anchored.__slots__]
    return [Anchored(**row._mapping) for row in tx.execute(select(*columns).order_by(log_anchors.c.name))]


def signing_keys(tx: Connection) -> list[str]:
    """The public keys, as vkey lines, of those who signed the newest checkpoint."""
    return (tx.execute(select(log_head.c["keys"])).scalar() or "").split()
