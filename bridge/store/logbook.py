"""What is sealed, read back: checkpoints, indices, entries in their order, and the hashes that proofs are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, select

from bridge.log.tree import HashAt, root_of
from bridge.store.log_tables import log_seals
from bridge.store.sealing import TILE_HASHES, TILE_LEVELS, tile, unpacked
from bridge.store.tables import log_entries

ENTRIES_AT_ONCE = 1_000  # read in one statement
TILES_AT_HAND = 256


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


def index_of(tx: Connection, entry_id: int) -> int | None:
    """Where the tree holds the entry; None: it is not sealed yet, or there never was one."""
    query = (
        select(log_seals)
        .where(log_seals.c.id_min <= entry_id, log_seals.c.id_max >= entry_id)
        .order_by(log_seals.c.id_min.desc())
    )
    for row in tx.execute(query):  # on PostgreSQL the ids of two seals may overlap
        seal = _seal(row)
        if seal is not None and entry_id in seal.ids:
            return seal.first + seal.ids.index(entry_id)
    return None


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
