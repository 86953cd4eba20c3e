"""The Merkle tree of RFC 6962: hashes of leaves and nodes, roots, and proofs that somebody else can check. Pure.

A *complete* node (level, index) covers 2**level leaves, from index * 2**level on. What proves something asks for the
hashes of complete nodes by `hash_at(level, index)`, wherever they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()

HashAt = Callable[[int, int], bytes]  # (level, index) of a complete node -> its 32 bytes


class BadProof(ValueError):
    """A proof does not show what it is said to show. The text is for people."""


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Of a tree over leaf hashes, or over roots of complete subtrees of one size, the last of which may be smaller."""
    row = list(hashes)
    if not row:
        return EMPTY_ROOT
    while len(row) > 1:
        pairs = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        row = pairs + row[2 * len(pairs) :]  # one that is left over rises as it is
    return row[0]


def inclusion_proof(index: int, size: int, hash_at: HashAt) -> list[bytes]:
    """That the leaf at `index` is in the tree of `size`: RFC 6962, 2.1.1. Raises ValueError when it is not."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    first, end = 0, size
    proof: list[bytes] = []  # from the root down
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            proof.append(_root_between(middle, end, hash_at))
            end = middle
        else:
            proof.append(_root_between(first, middle, hash_at))
            first = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, hash_at: HashAt) -> list[bytes]:
    """That the tree of size `old` is how the one of size `new` begins: RFC 6962, 2.1.2. Raises ValueError when `old` is
    not within `new`.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not begin with one of {old}")
    if old in (0, new):
        return []
    first, end = 0, new
    proof: list[bytes] = []  # from the root down
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            proof.append(_root_between(middle, end, hash_at))
            end = middle
        else:
            proof.append(_root_between(first, middle, hash_at))
            first = middle
    if first:  # the old tree's own root is known to whoever asks
        proof.append(_root_between(first, end, hash_at))
    return proof[::-1]


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162, 2.1.4.2. Raises BadProof when the tree of `new` is not shown to begin with that of `old`."""
    if not 0 <= old <= new:
        raise BadProof(f"a tree of {new} does not begin with one of {old}")
    if old in (0, new):
        if proof or old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise BadProof("two trees of one size differ, or a proof was given where there is nothing to prove")
        return
    path = list(proof)
    if old & (old - 1) == 0:  # a complete subtree: its root is where the path begins
        path.insert(0, old_root)
    if not path:
        raise BadProof("the proof is too short")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    was = is_now = path[0]
    for one in path[1:]:
        if last == 0:
            raise BadProof("the proof is too long")
        if at & 1 or at == last:
            was, is_now = node_hash(one, was), node_hash(one, is_now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            is_now = node_hash(is_now, one)
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("the proof is too short")
    if was != old_root or is_now != new_root:
        raise BadProof("the newer tree does not begin with the older one")


def _root_between(first: int, end: int, hash_at: HashAt) -> bytes:
    """Of the leaves from `first` on, up to `end`, that stand beside each other below one node."""
    complete = []
    while first < end:
        level = (end - first).bit_length() - 1  # `first` is a multiple of the first, largest one
        complete.append(hash_at(level, first >> level))
        first += 1 << level
    return _folded(complete)


def _folded(hashes: Sequence[bytes]) -> bytes:
    """Complete subtrees from the left, each smaller than the one before it, as one."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in hashes[-2::-1]:
        root = node_hash(left, root)
    return root


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves its left half has."""
    return 1 << ((size - 1).bit_length() - 1)
