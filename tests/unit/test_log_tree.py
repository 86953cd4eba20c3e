"""The tree of RFC 6962: the published vectors, and proofs against a second reading of the RFC's definitions."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tree_judge import Frontier, root_from_inclusion

from bridge.log.tree import (
    EMPTY_ROOT,
    BadProof,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
)

# The eight leaves, and the roots of the trees of their first n, of the test vectors that Certificate Transparency's own
# implementations share (google/certificate-transparency, merkletree/merkle_tree_test.cc).
LEAVES = [
    bytes.fromhex(one)
    for one in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = st.integers(1, 300)


def hash_at(level: int, index: int) -> bytes:
    """Of leaves that are their own number."""
    if level == 0:
        return leaf_hash(str(index).encode())
    return root_of([hash_at(0, at) for at in range(index << level, (index + 1) << level)])


def root_at(size: int) -> bytes:
    """RFC 6962, 2.1, word for word."""
    return _mth([str(index).encode() for index in range(size)])


def _mth(entries: list[bytes]) -> bytes:
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return sha256(b"\x01" + _mth(entries[:k]) + _mth(entries[k:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_a_root_is_the_published_one(size: int) -> None:
    assert root_of([leaf_hash(leaf) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


@given(st.integers(0, 300))
def test_a_tree_that_grows_leaf_by_leaf_has_the_root_of_one_built_whole(size: int) -> None:
    frontier = Frontier()
    for index in range(size):
        frontier.add(hash_at(0, index))
    assert (frontier.size, frontier.root()) == (size, root_at(size))


@given(st.integers(0, 200), st.integers(0, 100))
def test_a_tree_goes_on_from_its_frontier(size: int, more: int) -> None:
    begun = Frontier()
    for index in range(size):
        begun.add(hash_at(0, index))
    going_on = Frontier(begun.size, begun.hashes)
    for index in range(size, size + more):
        going_on.add(hash_at(0, index))
    assert going_on.root() == root_at(size + more)


@given(st.data(), SIZES)
def test_an_inclusion_proof_leads_to_the_root(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, hash_at)
    assert root_from_inclusion(hash_at(0, index), index, size, proof) == root_at(size)


@given(st.data(), st.integers(2, 100))
def test_an_inclusion_proof_leads_nowhere_else(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda one: one != index))
    proof = inclusion_proof(index, size, hash_at)
    wrong = data.draw(st.sampled_from([(hash_at(0, other), index), (hash_at(0, index), other)]))
    try:
        led = root_from_inclusion(wrong[0], wrong[1], size, proof)
    except BadProof:
        return
    assert led != root_at(size)


@given(st.data(), SIZES)
def test_a_consistency_proof_holds(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(0, new))
    verify_consistency(old, new, root_at(old), root_at(new), consistency_proof(old, new, hash_at))


@given(st.data(), st.integers(2, 100))
def test_a_consistency_proof_with_one_bit_changed_does_not_hold(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new - 1))
    proof = consistency_proof(old, new, hash_at)
    at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    changed = int.from_bytes(proof[at], "big") ^ (1 << bit)
    proof[at] = changed.to_bytes(32, "big")
    with pytest.raises(BadProof):
        verify_consistency(old, new, root_at(old), root_at(new), proof)


NO_PROOFS = {
    "an index beyond the tree": lambda: root_from_inclusion(EMPTY_ROOT, 3, 3, []),
    "an inclusion proof that is too short": lambda: root_from_inclusion(
        hash_at(0, 1), 1, 5, inclusion_proof(1, 5, hash_at)[:-1]
    ),
    "an inclusion proof that is too long": lambda: root_from_inclusion(
        hash_at(0, 1), 1, 5, [*inclusion_proof(1, 5, hash_at), EMPTY_ROOT]
    ),
    "an older tree that is larger": lambda: verify_consistency(5, 4, root_at(5), root_at(4), []),
    "two trees of one size": lambda: verify_consistency(4, 4, root_at(4), root_at(5), []),
    "a proof of nothing": lambda: verify_consistency(4, 4, root_at(4), root_at(4), [EMPTY_ROOT]),
    "an empty tree that had a root": lambda: verify_consistency(0, 4, root_at(1), root_at(4), []),
    "a consistency proof that is not there": lambda: verify_consistency(3, 7, root_at(3), root_at(7), []),
    "a consistency proof that is too short": lambda: verify_consistency(
        3, 7, root_at(3), root_at(7), consistency_proof(3, 7, hash_at)[:-1]
    ),
    "a consistency proof that is too long": lambda: verify_consistency(
        3, 7, root_at(3), root_at(7), [*consistency_proof(3, 7, hash_at), EMPTY_ROOT]
    ),
}


@pytest.mark.parametrize("what", NO_PROOFS)
def test_what_proves_nothing_is_refused(what: str) -> None:
    with pytest.raises(BadProof):
        NO_PROOFS[what]()


def test_no_proof_is_made_of_what_is_not_in_the_tree() -> None:
    with pytest.raises(ValueError, match="a tree of 4 has no leaf 4"):
        inclusion_proof(4, 4, hash_at)


def test_no_proof_is_made_from_a_larger_tree() -> None:
    with pytest.raises(ValueError, match="a tree of 4 does not begin with one of 5"):
        consistency_proof(5, 4, hash_at)
