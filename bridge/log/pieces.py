"""From the store to an export: what is sealed, in the order of its indices, a page at a time.

A page is read in a transaction of its own, so however long an export takes it holds nothing, and memory is bounded.
What is sealed does not change meanwhile; what is pruned meanwhile is told as pruned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import Connection

from bridge.errors import Permanent
from bridge.log.export import PRUNED_RUN_MAX, Kept, Passed, Piece, Pruned, Sieve
from bridge.log.tree import HashAt, inclusion_proof
from bridge.log.verify import pruned_to
from bridge.store.engine import Store
from bridge.store.logbook import entries_between, hash_reader, notes_between

PAGE = 1_024  # indices
NODES_AT_HAND = 1 << 15  # of a tree: 32 bytes each, and what Python needs around them
PRUNING = b'"action":"pruned"'
PASSED_EVERY = 256  # indices, at least, between two checkpoints on the way: each costs the verifier a signature


@dataclass(slots=True)
class Tally:
    """What an export met, counted while it is made."""

    entries: int = 0  # that are in it
    pruned: int = 0
    unreadable: list[int] = field(default_factory=list)  # indices at which no entry is stored, but something else
    told_to: int = 0  # entries below are told to be pruned, by an entry that is in it
    gone: list[tuple[int, int]] = field(default_factory=list)  # (first, end) of runs that it has by hash only

    def untold(self) -> int | None:
        """The first index that a whole export has by hash only, though no entry in it tells that it was pruned."""
        return next((max(first, self.told_to) for first, end in self.gone if end > self.told_to), None)

    def take(self, index: int, entry: bytes | None) -> None:
        """Of a whole export."""
        if entry is not None:
            self.entries += 1
            if PRUNING in entry:
                self.told_to = max(self.told_to, _told_by(entry))
            return
        self.pruned += 1
        joins = bool(self.gone) and self.gone[-1][1] == index
        first = self.gone.pop()[0] if joins else index
        self.gone.append((first, index + 1))


def whole(store: Store, size: int, tally: Tally, done: Callable[[int], None]) -> Iterator[Piece]:
    """Every index below `size`, the size of a checkpoint. Raises Permanent("log_damaged")."""
    passed = 0
    for first in range(0, size, PAGE):
        end = min(first + PAGE, size)
        run = _Run(first)
        with store.reading() as tx:
            notes = dict(notes_between(tx, first, end))
            for index, entry, leaf in _every(entries_between(tx, first, end), first, end):
                tally.take(index, entry)
                if entry is None:
                    yield from run.add(index, leaf)
                else:
                    yield from run.end()
                    yield Kept(index, entry)
                reached = index + 1
                if reached in notes and reached < size and reached - passed >= PASSED_EVERY:
                    passed = reached
                    yield from run.end()
                    yield Passed(notes[reached])
            yield from run.end()
        done(end - first)


def selected(
    store: Store, first: int, size: int, sieve: Sieve, tally: Tally, done: Callable[[int], None]
) -> Iterator[Kept]:
    """What the sieve lets through of the indices from `first` up to `size`, each with its proof in the tree of `size`.

    What was pruned is counted only: nobody knows any more whether it would have been let through.
    """
    nodes = Nodes()
    for start in range(first, size, PAGE):
        end = min(start + PAGE, size)
        with store.reading() as tx:
            hash_at = nodes.read_in(tx)
            for index, entry, _ in _every(entries_between(tx, start, end), start, end):
                if entry is None:
                    tally.pruned += 1
                elif _takes(sieve, index, entry, tally):
                    tally.entries += 1
                    yield Kept(index, entry, inclusion_proof(index, size, hash_at))
        done(end - start)


class Nodes:
    """Hashes of the tree's complete nodes, which never change: proofs of entries near each other share most of them."""

    def __init__(self) -> None:
        self._reader: HashAt | None = None
        self._at_hand = lru_cache(maxsize=NODES_AT_HAND)(self._read)

    def read_in(self, tx: Connection) -> HashAt:
        """What is not at hand is read in this transaction, from now on."""
        self._reader = hash_reader(tx)
        return self._at_hand

    def _read(self, level: int, index: int) -> bytes:
        assert self._reader is not None  # noqa: S101
        return self._reader(level, index)


def _told_by(entry: bytes) -> int:
    try:
        told = json.loads(entry)
    except ValueError:  # somebody wrote into the database: the verifier says what
        return 0
    return pruned_to(told) if isinstance(told, dict) else 0


def _takes(sieve: Sieve, index: int, entry: bytes, tally: Tally) -> bool:
    try:
        return sieve.takes(entry)
    except ValueError:  # somebody wrote into the database: a whole export shows what
        tally.unreadable.append(index)
        return False


class _Run:
    """Pruned entries that follow one another, as few lines as may be."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._hashes: list[bytes] = []

    def add(self, index: int, leaf: bytes) -> Iterator[Pruned]:
        if not self._hashes:
            self._first = index
        self._hashes.append(leaf)
        if len(self._hashes) == PRUNED_RUN_MAX:
            yield from self.end()

    def end(self) -> Iterator[Pruned]:
        if self._hashes:
            yield Pruned(self._first, tuple(self._hashes))
        self._hashes = []


Stored = tuple[int, bytes | None, bytes]


def _every(found: Iterator[Stored], first: int, end: int) -> Iterator[Stored]:
    """Each index from `first` up to `end`: an export in which one is silently missing would be a lie."""
    due = first
    try:
        for one in found:
            if one[0] != due:
                break
            yield one
            due += 1
    except (IndexError, LookupError) as error:  # a tile that is not there, or not whole
        raise _damaged(due) from error
    if due != end:
        raise _damaged(due)


def _damaged(index: int) -> Permanent:
    text = f"what is stored of the log's tree at index {index} is not whole: something other than the bridge changed it"
    return Permanent("log_damaged", text)
