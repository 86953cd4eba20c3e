"""Signed notes and checkpoints: what is signed can be opened by its key, and by nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.note import BadNote, Checkpoint, Signer, Verifier, open_text, opened, sign, verifier, vkey

NAME = "incident-bridge/0a1b2c3d"
OURS = Signer(NAME, Ed25519PrivateKey.from_private_bytes(bytes(32)))
NEXT = Signer(NAME, Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
KEY = Verifier(NAME, OURS.key.public_key())
CHECKPOINT = Checkpoint(NAME, 7, bytes(range(32)))
NOTE = sign(CHECKPOINT, [OURS])

# The note and the key of the example in Go's documentation of signed notes (golang.org/x/mod/sumdb/note), and the
# checkpoint that sum.golang.org has served.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def pem(signer: Signer) -> str:
    return signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_go_s_own_note_opens_with_go_s_own_key() -> None:
    assert open_text(GO_NOTE, [verifier(GO_KEY)]).startswith("If you think cryptography")


def test_a_checkpoint_is_three_lines_and_a_signature() -> None:
    lines = NOTE.split("\n")
    assert lines[:4] == [NAME, "7", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", ""]
    assert lines[4].startswith(f"— {NAME} ")


@given(st.text("abc/-", min_size=1), st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_what_was_signed_is_what_is_read(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin, size, root)
    signer = Signer(origin, OURS.key)
    assert opened(sign(checkpoint, [signer]), [verifier(signer.vkey)]) == checkpoint


@pytest.mark.parametrize("key", [pem(OURS), OURS.vkey, f"\n{OURS.vkey}\n"], ids=["PEM", "vkey", "vkey in a file"])
def test_a_key_is_taken_as_people_have_it(key: str) -> None:
    assert opened(NOTE, [verifier(key)]) == CHECKPOINT


def test_a_note_of_two_keys_opens_with_either() -> None:
    both = sign(CHECKPOINT, [NEXT, OURS])
    assert [opened(both, [verifier(one.vkey)]) for one in (OURS, NEXT)] == [CHECKPOINT] * 2


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_a_note_with_one_byte_changed_does_not_open(at: int, change: int) -> None:
    changed = bytearray(NOTE.encode())
    changed[at] ^= change
    with pytest.raises(BadNote):
        opened(changed.decode(errors="surrogateescape"), [KEY])


@given(st.integers(0, len(NOTE) - 1))
def test_a_note_that_was_cut_does_not_open(length: int) -> None:
    with pytest.raises(BadNote):
        opened(NOTE[:length], [KEY])


NOT_OURS = {
    "of another key": (NOTE, [verifier(NEXT.vkey)], "not signed by the key"),
    "of another name": (NOTE, [Verifier("incident-bridge/ffffffff", OURS.key.public_key())], "not signed by the key"),
    "with nothing to verify it by": (NOTE, [], "not signed by the key"),
    "that was changed": (NOTE.replace("\n7\n", "\n8\n"), [KEY], "the note was changed"),
    "without signatures": (f"{NAME}\n7\nx\n", [KEY], "no signed note"),
    "with a signature that is none": (NOTE + "— x\n", [KEY], "no signature is"),
    "with a signature that is no base64": (NOTE + "— x a\n", [KEY], "no signature is"),
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_a_note_does_not_open(what: str) -> None:
    note, keys, said = NOT_OURS[what]
    with pytest.raises(BadNote, match=said):
        opened(note, keys)


NO_CHECKPOINTS = {
    "a size with a leading zero": (f"{NAME}\n07\n{'A' * 43}=\n", "no size"),
    "a negative size": (f"{NAME}\n-7\n{'A' * 43}=\n", "no size"),
    "a short root": (f"{NAME}\n7\nAAAA\n", "no root hash"),
    "a root that is no base64": (f"{NAME}\n7\n!\n", "no root hash"),
    "a fourth line": (f"{NAME}\n7\n{'A' * 43}=\nmore\n", "has not three lines"),
    "no origin": (f"\n7\n{'A' * 43}=\n", "has not three lines"),
}


@pytest.mark.parametrize("what", NO_CHECKPOINTS)
def test_a_signed_note_need_not_be_a_checkpoint(what: str) -> None:
    from bridge.log.note import sign_text

    text, said = NO_CHECKPOINTS[what]
    with pytest.raises(BadNote, match=said):
        opened(sign_text(text, [OURS]), [KEY])


NO_KEYS = {
    "another kind of PEM": ("-----BEGIN NOTHING-----\n-----END NOTHING-----\n", "no public key in PEM"),
    "nothing": ("", "neither PEM nor a line"),
    "a line with another name": (OURS.vkey.replace("0a1b", "ffff"), "its ID is not that"),
    "a line that was cut": (OURS.vkey[:-4], "neither PEM nor a line"),
    "another kind of key": (f"{NAME}+00000000+Ag==", "neither PEM nor a line"),
}


@pytest.mark.parametrize("what", NO_KEYS)
def test_a_key_that_is_none_is_refused(what: str) -> None:
    key, said = NO_KEYS[what]
    with pytest.raises(BadNote, match=said):
        verifier(key)


def test_a_vkey_line_is_as_go_writes_it() -> None:
    read = verifier(GO_KEY)
    assert read.name is not None
    assert vkey(read.name, read.key) == GO_KEY
