"""What is sealed, read back: checkpoints, indices, entries in their order, and the hashes that proofs are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, func, select

from bridge.log.tree import HashAt, root_of
from bridge.store.log_tables import log_head, log_seals
from bridge.store.sealing import TILE_HASHES, TILE_LEVELS, tile, unpacked
from bridge.store.tables import log_entries

ENTRIES_AT_ONCE = 1_000  # read in one statement
TILES_AT_HAND = 256
# An entry is sealed after it was written, but by another process, whose clock may be behind.
CLOCKS_APART_MAX = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One sealing. It holds the indices from `first` up to, and without, `size`."""

    first: int
    size: int  # of the tree after it
    ids: tuple[int, ...]  # log_entries.id, by index
    root: bytes
    note: str  # the signed checkpoint
    at: datetime

    @property
    def origin(self) -> str:
        """Of the log, as the checkpoint names it."""
        return self.note.partition("\n")[0]


def newest_checkpoint(tx: Connection) -> Seal | None:
    """None: nothing is sealed yet."""
    return _seal(tx.execute(select(log_seals).order_by(log_seals.c.first_index.desc()).limit(1)).first())


def seal_holding(tx: Connection, index: int) -> Seal | None:
    """None: the tree has no such index."""
    query = select(log_seals).where(log_seals.c.first_index <= index).order_by(log_seals.c.first_index.desc()).limit(1)
    found = _seal(tx.execute(query).first())
    return found if found is not None and index < found.size else None


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
    """entry id -> index in the tree, of those that are sealed."""
    wanted, found = set(entry_ids), dict[int, int]()
    if not wanted:
        return found
    spans = log_seals.c.id_min <= max(wanted), log_seals.c.id_max >= min(wanted)
    query = select(log_seals.c.first_index, log_seals.c.ids).where(*spans).order_by(log_seals.c.id_min.desc())
    for first, ids in tx.execute(query):  # on PostgreSQL the ids of two seals may overlap
        found |= {one: first + at for at, one in enumerate(unpacked(ids)) if one in wanted}
        if len(found) == len(wanted):
            break
    return found


def signing_keys(tx: Connection) -> list[str]:
    """The public keys, as vkey lines, of those who signed the newest checkpoint."""
    return (tx.execute(select(log_head.c["keys"])).scalar() or "").split()


def entries_between(tx: Connection, first: int, end: int) -> Iterator[tuple[int, bytes | None, bytes]]:
    """(index, entry, leaf hash) from `first` up to, and without, `end`, or as far as the log is sealed. The entry is
    None once it was pruned; its hash stays.
    """
    for at, ids in _runs(tx, first, end):
        stored = {row.id: bytes(row.entry) for row in tx.execute(_entries(ids))}
        hashes = _leaf_hashes(tx, at, at + len(ids))
        for offset, one in enumerate(ids):
            yield at + offset, stored.get(one), hashes[offset]


def hash_reader(tx: Connection) -> HashAt:
    """For bridge.log.tree: the hash of a complete node of the sealed tree. Raises LookupError where there is none."""
    tile_at = lru_cache(maxsize=TILES_AT_HAND)(lambda level, number: tile(tx, level, number))

    def hash_at(level: int, index: int) -> bytes:
        row, above = divmod(level, TILE_LEVELS)
        number, at = divmod(index << above, TILE_HASHES)
        hashes = tile_at(row, number)[at : at + (1 << above)]
        if len(hashes) != 1 << above:
            raise LookupError(f"the tree has no complete node {index} at level {level}")
        return root_of(hashes)

    return hash_at


def _runs(tx: Connection, first: int, end: int) -> Iterator[tuple[int, Sequence[int]]]:
    """(index, entry ids from there on), as many at a time as are read at once."""
    held = seal_holding(tx, first)
    if held is None:
        return
    query = (
        select(log_seals.c.first_index, log_seals.c.ids)
        .where(log_seals.c.first_index >= held.first, log_seals.c.first_index < end)
        .order_by(log_seals.c.first_index)
    )
    at, gathered = first, list[int]()
    for row in tx.execute(query):
        ids = unpacked(row.ids)
        gathered += ids[max(0, first - row.first_index) : end - row.first_index]
        while len(gathered) >= ENTRIES_AT_ONCE:
            yield at, gathered[:ENTRIES_AT_ONCE]
            at, gathered = at + ENTRIES_AT_ONCE, gathered[ENTRIES_AT_ONCE:]
    if gathered:
        yield at, gathered


def _entries(ids: Sequence[int]) -> Any:
    return select(log_entries.c.id, log_entries.c.entry).where(log_entries.c.id.in_(ids))


def _leaf_hashes(tx: Connection, first: int, end: int) -> list[bytes]:
    hashes: list[bytes] = []
    for number in range(first // TILE_HASHES, (end - 1) // TILE_HASHES + 1):
        hashes += tile(tx, 0, number)
    begun = first // TILE_HASHES * TILE_HASHES
    return hashes[first - begun : end - begun]


def _seal(row: Any | None) -> Seal | None:
    if row is None:
        return None
    return Seal(
        first=row.first_index,
        size=row.size,
        ids=unpacked(row.ids),
        root=bytes(row.root),
        note=row.note,
        at=row.at,
    )
