"""What must hold of the correlation log: each entry sealed once, no index left out, all as its checkpoints say; it
and the store tell the same, and no secret is in either.
"""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from tree_judge import Frontier

from bridge.audit import audit
from bridge.log.note import BadNote, Checkpoint, Signer, opened, verifier
from bridge.log.tree import leaf_hash, root_of
from bridge.store import pruning, tables
from bridge.store.engine import Store
from bridge.store.log_tables import log_head, log_seals, log_tiles
from bridge.store.sealing import seal, unpacked, waiting

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
BATCH = 1_000
EVER = datetime(2000, 1, 1, tzinfo=UTC)
TRIES = 500  # while a process that serves holds the head
Ids = Sequence[int]


def log_wrongs(store: Store, installation: str, *, at_rest: bool) -> list[str]:
    """All that is wrong. At rest, what waits is sealed first."""
    signer = Signer(f"incident-bridge/{installation}", KEY)
    before = _entry_ids(store)
    if at_rest:
        seal_all(store, signer)
    with store.reading() as tx:
        head = tx.execute(select(log_head)).one_or_none()
        seals = tx.execute(select(log_seals).order_by(log_seals.c.first_index)).all()
        tiles = {(row.level, row.number): bytes(row.hashes) for row in tx.execute(select(log_tiles))}
        query = select(tables.log_entries.c.id, tables.log_entries.c.entry)
        entries = {row.id: bytes(row.entry) for row in tx.execute(query)}
        pruned_to = pruning.pruned_to(tx)
    sealed = [one for row in seals for one in unpacked(row.ids)]
    wrong = [f"entry {one} is sealed twice" for one, times in Counter(sealed).items() if times > 1]
    kept = sealed[pruned_to:]
    wrong += [f"entry {one} is sealed and is not there" for one in sorted(set(kept) - set(entries))]
    if at_rest and (left := sorted(set(before) - set(sealed))):
        wrong.append(f"entries {left} are never sealed")
    if wrong or head is None:
        return wrong
    if head.size != len(sealed):
        wrong.append(f"the head says {head.size}, and {len(sealed)} entries are sealed")
    leaves = [
        leaf_hash(entries[one]) if one in entries else _hash_of_pruned(tiles, at) for at, one in enumerate(sealed)
    ]
    keys = [verifier(one) for one in {signer.vkey, *head.keys.split("\n"), *_former_keys(entries.values())} if one]
    return [*wrong, *_seals(seals, leaves, signer.name, keys), *_tiles(tiles, leaves)]


def record_wrongs(store: Store) -> list[str]:
    """At rest: log and store tell the same, as `bridge log audit` compares them. Of a store that nobody pruned."""
    ahead = store.moment() + timedelta(days=1)  # clocks may have been
    stated = audit(store, since=EVER, until=ahead, expected={}, kept_from=None)
    return [f"the record and the store differ: {one.code}: {one.about}" for one in stated.differences]


def secret_wrongs(store: Store, secrets: Collection[str], said: Collection[Path]) -> list[str]:
    """In which rows and which processes' logs one stands, also within what Basic authentication makes of it."""
    secrets = [*secrets, *(_basic(one) for one in secrets)]
    wrong = []
    with store.reading() as tx:
        for table in tables.metadata.sorted_tables if secrets else ():
            rows = tx.execution_options(stream_results=True).execute(select(table))
            wrong += [f"a secret is in {table.name}: {row}" for row in rows if any(one in repr(row) for one in secrets)]
    for file in said:
        with file.open(encoding="utf-8", errors="replace") as lines:
            wrong += [f"a secret is in {file.name}: {line}" for line in lines if any(one in line for one in secrets)]
    return wrong


def _basic(secret: str) -> str:
    """As the end of a name of the simulator's account, a colon and the secret, in base64."""
    return base64.b64encode(f"bridge:{secret}".encode()).decode()


def _hash_of_pruned(tiles: dict[tuple[int, int], bytes], index: int) -> bytes:
    """All that is left of an entry that was pruned."""
    number, place = divmod(index, 256)
    return tiles[0, number][32 * place : 32 * place + 32]


def seal_all(store: Store, signer: Signer) -> None:
    for _ in range(TRIES):
        with store.transaction() as tx:
            sealed = seal(tx, [signer], store.now(tx), BATCH)
        if sealed is None:
            with store.reading() as tx:
                if waiting(tx, 1).entries == 0:
                    return
            threading.Event().wait(0.01)  # a process that serves is about to
    raise AssertionError("entries of the log wait to be sealed, and cannot be")


def _entry_ids(store: Store) -> Ids:
    with store.reading() as tx:
        return list(tx.execute(select(tables.log_entries.c.id)).scalars())


def _former_keys(entries: Any) -> Iterator[str]:
    for entry in entries:
        if b'"key_changed"' in entry:
            yield from msgspec.json.decode(entry)["detail"]["old"]


def _seals(seals: Sequence[Any], leaves: Sequence[bytes], origin: str, keys: Any) -> Iterator[str]:
    grown = Frontier()
    for row in seals:
        ids = unpacked(row.ids)
        if (row.first_index, row.size) != (grown.size, grown.size + len(ids)):
            yield f"a seal of {len(ids)} says it is {row.first_index} to {row.size}, after {grown.size}"
            return
        if (row.id_min, row.id_max) != (min(ids), max(ids)):
            yield f"the seal at {row.first_index} holds other ids than it says"
        for leaf in leaves[row.first_index : row.size]:
            grown.add(leaf)
        try:
            said = opened(row.note, keys)
        except BadNote as error:
            yield f"the checkpoint of {row.size}: {error}"
            continue
        if not said == Checkpoint(origin, row.size, grown.root()) == Checkpoint(origin, row.size, bytes(row.root)):
            yield f"the checkpoint of {row.size} says {said}, and the entries are {grown.root().hex()}"


def _tiles(tiles: dict[tuple[int, int], bytes], leaves: Sequence[bytes]) -> Iterator[str]:
    level, hashes, due = 0, list(leaves), {}
    while hashes:
        parts = [hashes[at : at + 256] for at in range(0, len(hashes), 256)]
        due |= {(level, number): b"".join(part) for number, part in enumerate(parts)}
        hashes = [root_of(part) for part in parts if len(part) == 256]
        level += 1
    if due != tiles:
        differ = sorted(one for one in due | tiles if due.get(one) != tiles.get(one))
        yield f"tiles are not what the entries make: {differ}"
