"""Sealing: entries that wait are given gap-free indices, put into the tree, and a checkpoint of it is signed.

Exact, not nearly: an entry is sealed once, whatever the order in which transactions commit. On SQLite there is one
writer, so ids are in the order of commits. PostgreSQL shows ids out of order, so what is sealed is remembered as a
snapshot: transactions that had ended when the last seal looked. What it could not see then, it has not sealed.

No entry is ever updated: a seal is one row with the ids it took, a rewritten last tile of each level, and the head.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, text, update

from bridge.log.entries import Action, Entry, encode
from bridge.log.note import Checkpoint, Signer, sign
from bridge.log.tree import EMPTY_ROOT, leaf_hash, root_of
from bridge.store.columns import from_us
from bridge.store.log_tables import log_head, log_seals, log_tiles
from bridge.store.tables import log_entries
from bridge.typed import decode

TILE_HASHES = 256
TILE_LEVELS = 8  # of the tree, that a level of tiles spans: 256 is 2**8
HASH_BYTES = 32
COUNTED_MAX = 10_000  # entries that wait; more are told as so many


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """Which entries are sealed: those before `end`, but for those of `running`; and what is named besides.

    SQLite counts by entry ids, PostgreSQL by transactions.
    """

    end: int = 0
    running: tuple[int, ...] = ()  # transactions before `end` that had not ended, or are sealed in part
    parts: tuple[tuple[int, int], ...] = ()  # (transaction, id): of one in `running`, entries up to this id are sealed
    beyond: tuple[tuple[int, int], ...] = ()  # (transaction, id): sealed, though the rest here says that it is not

    def holds(self, number: int) -> bool:
        return number < self.end and number not in self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    first: int  # index of the first entry it took
    size: int  # of the tree now
    note: str  # the checkpoint
    oldest_at: datetime  # when the oldest of its entries was written: now less this is the lag
    more: bool  # it took as many as it may: others wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is not sealed yet."""

    entries: int
    oldest_at: datetime | None


def seal(tx: Connection, signers: Sequence[Signer], now: datetime, at_most: int) -> Sealed | None:
    """Seal up to `at_most` of the entries that wait. None: there are none, or another process seals.

    The first signer's name is the log's origin. Where others sign than signed last, an entry tells it first.
    """
    head = _locked_head(tx)
    if head is None:
        return None
    before: Horizon = decode(head.horizon, Horizon)
    rows = _unsealed(tx, before, at_most, _ENTRIES)
    if not rows:
        return None
    after = _horizon_after(tx, before, rows, at_most)
    ids, leaves = [row[0] for row in rows], [leaf_hash(row[3]) for row in rows]
    keys = "\n".join(signer.vkey for signer in signers)
    if head.keys not in ("", keys):
        told, number, entry = _tell_of_keys(tx, head.keys, keys, now)
        after = replace(after, beyond=(*after.beyond, (number, told)))
        ids, leaves = [told, *ids], [leaf_hash(entry), *leaves]  # before what the new keys sign
    root = _grow(tx, head.size, leaves)
    size = head.size + len(ids)
    note = sign(Checkpoint(signers[0].name, size, root), signers)
    spans = {"first_index": head.size, "size": size, "id_min": min(ids), "id_max": max(ids)}
    tx.execute(_SEAL, spans | {"ids": packed(ids), "root": root, "note": note, "at": now})
    horizon = msgspec.json.encode(after).decode()
    tx.execute(_HEAD, {"size": size, "horizon": horizon, "keys": keys, "sealed_at": now})
    oldest_at = from_us(min(row[2] for row in rows))
    return Sealed(first=head.size, size=size, note=note, oldest_at=oldest_at, more=len(rows) == at_most)


_SEAL, _HEAD = insert(log_seals), update(log_head)


def waiting(tx: Connection, at_most: int) -> Waiting:
    """What a seal would find, counted up to `at_most`."""
    horizon = tx.execute(select(log_head.c.horizon)).scalar()
    before = decode(horizon, Horizon) if horizon else Horizon()
    rows = _unsealed(tx, before, at_most, _TIMES)
    return Waiting(entries=len(rows), oldest_at=from_us(min(row[2] for row in rows)) if rows else None)


def _locked_head(tx: Connection) -> Any | None:
    """None: somebody else has it. SQLite's one write lock is held already."""
    query = select(log_head).with_for_update(skip_locked=True)
    head = tx.execute(query).one_or_none()
    if head is not None or tx.execute(select(log_head.c.id)).first() is not None:
        return head
    first = {"size": 0, "horizon": msgspec.json.encode(Horizon()).decode(), "keys": ""}
    tx.execute(
        text(
            "INSERT INTO log_head (id, size, horizon, keys) VALUES (1, :size, :horizon, :keys) ON CONFLICT DO NOTHING"
        ),
        first,
    )
    return tx.execute(query).one_or_none()


def _tell_of_keys(tx: Connection, old: str, new: str, now: datetime) -> tuple[int, int, bytes]:
    """(id, what the horizon counts by, entry)"""
    detail: dict[str, Any] = {"old": old.split("\n"), "new": new.split("\n")}
    entry = encode(Entry(at=now, action=Action.KEY_CHANGED, actor="sealer", detail=detail))
    row = {"at": now, "action": Action.KEY_CHANGED.value, "entry": entry}
    stored = tx.execute(insert(log_entries).values(**row).returning(log_entries.c.id, log_entries.c.xact)).one()
    return stored.id, stored.id if stored.xact is None else stored.xact, entry


# --- which entries wait: the one place where the engines differ


def _horizon_after(tx: Connection, before: Horizon, rows: Sequence[Any], at_most: int) -> Horizon:
    """Once these rows are sealed."""
    last = rows[-1]
    if tx.dialect.name == "sqlite":
        after = Horizon(end=last.id + 1)
    else:
        cut = (last.number, last.id) if len(rows) == at_most else None
        after = advanced(before, snapshot=last.snapshot, mine=last.mine, cut=cut)
    return replace(after, beyond=tuple([one for one in before.beyond if not after.holds(one[0])]))


def advanced(before: Horizon, *, snapshot: str, mine: int, cut: tuple[int, int] | None) -> Horizon:
    """PostgreSQL's horizon after a seal took, by transaction and id, what `snapshot` shows and `before` does not hold.

    `snapshot`: as pg_snapshot prints it, "xmin:xmax:running,…". `mine`: the sealing transaction, of which the seal
    takes nothing. `cut`: the last (transaction, id) that it took, where others may follow; None: it took all. Pure.
    """
    _, end, listed = snapshot.split(":")
    running = {int(one) for one in listed.split(",") if one} | {mine}
    if cut is None:
        return Horizon(end=int(end), running=_sorted(one for one in running if one < int(end)))
    last = cut[0]
    # Up to `last` everything that had ended is taken; after it all is as before; `last` itself is taken in part.
    left = {one for one in before.running if one > last or one in running}
    left |= {one for one in running if before.end <= one < last} | {last}
    parts = (*[part for part in before.parts if part[0] in left - {last}], cut)
    return Horizon(end=max(before.end, last + 1), running=_sorted(left), parts=parts)


def _sorted(numbers: Any) -> tuple[int, ...]:
    return tuple(sorted(numbers))


def _unsealed(tx: Connection, before: Horizon, at_most: int, statements: tuple[Any, Any]) -> Sequence[Any]:
    """Rows: id; `number`, what the horizon counts by; `at` in microseconds; the entry, where it is asked for. On
    PostgreSQL also the snapshot that shows them, and this transaction, whose own entries it leaves to the next seal.
    """
    beyond = [one for _, one in before.beyond]
    if tx.dialect.name == "sqlite":
        return tx.execute(statements[0], {"end": before.end, "most": at_most, "beyond": beyond or [0]}).all()
    values = {
        "end": before.end,
        "most": at_most,
        "beyond": beyond,
        "running": list(before.running),
        "parts": [number for number, _ in before.parts],
        "part_ids": [one for _, one in before.parts],
    }
    return tx.execute(statements[1], values).all()


_SQLITE = """
SELECT id, id AS number, {columns} FROM log_entries WHERE id >= :end AND id NOT IN :beyond ORDER BY id LIMIT :most
"""
# Two ranges of one index. The snapshot is that of this very statement: what it says is what the rows were chosen by.
_POSTGRESQL = """
WITH mine AS MATERIALIZED (SELECT coalesce(pg_current_xact_id_if_assigned()::text::bigint, -1) AS mine)
SELECT id, xact AS number, {columns}, pg_current_snapshot()::text AS snapshot, mine FROM mine, (
    (SELECT * FROM log_entries WHERE xact = ANY(CAST(:running AS bigint[]))
        AND NOT EXISTS (SELECT 1 FROM unnest(CAST(:parts AS bigint[]), CAST(:part_ids AS bigint[])) AS part (xact, id)
            WHERE part.xact = log_entries.xact AND log_entries.id <= part.id) AND id <> ALL(CAST(:beyond AS bigint[]))
        AND xact <> (SELECT mine FROM mine) ORDER BY xact, id LIMIT :most)
    UNION ALL
    (SELECT * FROM log_entries WHERE xact >= :end AND id <> ALL(CAST(:beyond AS bigint[]))
        AND xact <> (SELECT mine FROM mine) ORDER BY xact, id LIMIT :most)
) AS unsealed ORDER BY xact, id LIMIT :most
"""


def _statements(columns: str) -> tuple[Any, Any]:
    """SQLite's and PostgreSQL's."""
    sqlite = text(_SQLITE.format(columns=columns)).bindparams(bindparam("beyond", expanding=True))
    return sqlite, text(_POSTGRESQL.format(columns=columns))


_TIMES, _ENTRIES = _statements("at"), _statements("at, entry")


def packed(ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(ids)}q", *ids)


def unpacked(ids: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(ids) // 8}q", ids)


# --- the tree


def _grow(tx: Connection, size: int, leaves: Sequence[bytes]) -> bytes:
    """Append leaf hashes to the tiles of a tree of `size`. Returns the new root."""
    root: bytes | None = None  # of what no full tile holds yet, at the levels so far
    added, level = list(leaves), 0
    while added or size >> (TILE_LEVELS * level):
        number, kept = divmod(size >> (TILE_LEVELS * level), TILE_HASHES)
        hashes = (tile(tx, level, number) if kept else []) + added
        tiles = [hashes[at : at + TILE_HASHES] for at in range(0, len(hashes), TILE_HASHES)]
        if added:
            rows = [{"level": level, "number": number + at, "hashes": b"".join(one)} for at, one in enumerate(tiles)]
            tx.execute(_UPSERT, rows)
        added = [root_of(one) for one in tiles if len(one) == TILE_HASHES]
        rest = hashes[TILE_HASHES * len(added) :]
        if rest:
            root = root_of(rest if root is None else [*rest, root])
        level += 1
    return EMPTY_ROOT if root is None else root


_UPSERT = text(
    "INSERT INTO log_tiles (level, number, hashes) VALUES (:level, :number, :hashes)"
    " ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
)


def tile(tx: Connection, level: int, number: int) -> list[bytes]:
    """The hashes of one tile; empty when there is none."""
    query = select(log_tiles.c.hashes).where(log_tiles.c.level == level, log_tiles.c.number == number)
    stored = bytes(tx.execute(query).scalar() or b"")
    return [stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)]
