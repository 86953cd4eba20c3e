"""Our checkpoints and proofs in the hands of somebody else: sigstore, whose client reads such logs every day.

It verifies the notes of transparency logs (C2SP signed notes, Ed25519) and inclusion in the trees of RFC 6962. What
does so is not in its public face but in modules of its own; the version that is locked has them.
"""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import SignedCheckpoint
from sigstore._internal.trust import Keyring
from sigstore.errors import VerificationError
from sigstore_models.common.v1 import PublicKey, PublicKeyDetails

from bridge.log.note import Checkpoint, Signer, key_id, sign
from bridge.log.tree import inclusion_proof, leaf_hash, root_of

NAME = "incident-bridge/0a1b2c3d"
OURS = Signer(NAME, Ed25519PrivateKey.from_private_bytes(bytes(32)))
NEXT = Signer(NAME, Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
ENTRIES = [f'{{"action":"decided","number":{number}}}'.encode() for number in range(300)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def keyring(signer: Signer) -> Any:
    der = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    given = PublicKey(raw_bytes=base64.b64encode(der), key_details=PublicKeyDetails.PKIX_ED25519)
    return Keyring([given])


def note_of(size: int, *signers: Signer) -> str:
    return sign(Checkpoint(NAME, size, root_of(LEAVES[:size])), signers)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 300])
def test_a_checkpoint_is_read_and_verified(size: int) -> None:
    read = SignedCheckpoint.from_text(note_of(size, OURS))
    read.signed_note.verify(keyring(OURS), key_id(NAME, OURS.key.public_key()))
    found = read.checkpoint
    assert (found.origin, found.log_size, found.log_hash) == (NAME, size, root_of(LEAVES[:size]).hex())


@pytest.mark.parametrize("signer", [OURS, NEXT], ids=["the old key", "the new key"])
def test_each_of_two_signatures_is_verified(signer: Signer) -> None:
    read = SignedCheckpoint.from_text(note_of(300, NEXT, OURS))
    read.signed_note.verify(keyring(signer), key_id(NAME, signer.key.public_key()))


def test_a_checkpoint_that_was_changed_is_refused() -> None:
    read = SignedCheckpoint.from_text(note_of(300, OURS).replace("\n300\n", "\n299\n"))
    with pytest.raises(VerificationError, match="invalid signature"):
        read.signed_note.verify(keyring(OURS), key_id(NAME, OURS.key.public_key()))


def test_a_checkpoint_of_another_key_is_refused() -> None:
    read = SignedCheckpoint.from_text(note_of(300, NEXT))
    with pytest.raises(VerificationError, match="Signature not found"):
        read.signed_note.verify(keyring(OURS), key_id(NAME, OURS.key.public_key()))


def hash_at(level: int, index: int) -> bytes:
    return root_of(LEAVES[index << level : (index + 1) << level])


def rekor_entry(index: int, size: int, entry: bytes) -> Any:
    """What sigstore's verifier looks at of an entry of its own log."""
    proof = SimpleNamespace(
        log_index=index,
        tree_size=size,
        hashes=inclusion_proof(index, size, hash_at),
        root_hash=root_of(LEAVES[:size]),
    )
    return SimpleNamespace(_inner=SimpleNamespace(inclusion_proof=proof, canonicalized_body=entry))


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 300), (2, 3), (254, 255), (255, 256), (256, 257), (299, 300)])
def test_an_inclusion_proof_is_verified(index: int, size: int) -> None:
    verify_merkle_inclusion(rekor_entry(index, size, ENTRIES[index]))


def test_another_entry_is_not_proved() -> None:
    with pytest.raises(VerificationError, match="invalid root hash"):
        verify_merkle_inclusion(rekor_entry(7, 300, ENTRIES[8]))
