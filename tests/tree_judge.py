"""What the tests hold the log's tree against: a tree that grows leaf by leaf, and the root that a proof leads to.

The bridge keeps its tree in tiles, its verifier has the proofs by RFC 6962's definitions; these are RFC 9162's loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from bridge.log.tree import EMPTY_ROOT, BadProof, node_hash


class Frontier:
    """A tree that grows, as the roots of its complete subtrees: a few hashes, however many leaves."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)  # from the left, one for each bit that is set in `size`: the largest subtree first

    def add(self, leaf: bytes) -> None:
        """`leaf`: its hash."""
        complete, bits = leaf, self.size
        while bits & 1:  # a subtree as large as this one stands to the left: they are one from now on
            complete = node_hash(self.hashes.pop(), complete)
            bits >>= 1
        self.hashes.append(complete)
        self.size += 1

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        return reduce(lambda right, left: node_hash(left, right), reversed(self.hashes))


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a leaf's hash and its proof lead to: RFC 9162, 2.1.3.2. Raises BadProof when it has not the length
    that it must have.
    """
    if not 0 <= index < size:
        raise BadProof(f"a tree of {size} has no leaf {index}")
    found, at, last = leaf, index, size - 1
    for one in proof:
        if last == 0:
            raise BadProof("the proof is too long")
        if at & 1 or at == last:
            found = node_hash(one, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("the proof is too short")
    return found
