"""Signed checkpoints: a tree's size and root in a signed note, with Ed25519. Pure.

The formats are C2SP's, so that any verifier reads them: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

ED25519 = b"\x01"  # the kind of signature, in key IDs and vkey lines
KEY_ID_BYTES = 4
HASH_BYTES = 32
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class BadNote(ValueError):
    """What was given is no note, no key, or was not signed by the key. The text is for people."""


def origin_of(installation: str) -> str:
    """The name of a store's log, and of the keys that sign it."""
    return f"incident-bridge/{installation}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str  # origin_of
    size: int  # leaves of the tree
    root: bytes  # 32 bytes


@dataclass(frozen=True, slots=True)
class Signer:
    name: str  # of the key: the origin of what it signs
    key: Ed25519PrivateKey

    @property
    def vkey(self) -> str:
        return vkey(self.name, self.key.public_key())


@dataclass(frozen=True, slots=True)
class Verifier:
    name: str | None  # None: the key was given without one (PEM), and the note's first line is it
    key: Ed25519PublicKey


def sign(checkpoint: Checkpoint, signers: Sequence[Signer]) -> str:
    """The note, signed by each."""
    root = base64.b64encode(checkpoint.root).decode()
    return sign_text(f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n", signers)


def opened(note: str, keys: Sequence[Verifier]) -> Checkpoint:
    """What the note says, when one of the keys has signed it. Raises BadNote."""
    return read_checkpoint(open_text(note, keys))


def read_checkpoint(text: str) -> Checkpoint:
    """A checkpoint's text, without its signatures. Raises BadNote."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise BadNote("this is no checkpoint: it has not three lines (origin, size, root)")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size):
        raise BadNote(f"this is no checkpoint: its second line is no size: {size[:40]!r}")
    hashed = _decoded(root)
    if hashed is None or len(hashed) != HASH_BYTES:
        raise BadNote("this is no checkpoint: its third line is no root hash")
    return Checkpoint(origin, int(size), hashed)


def unverified(note: str) -> Checkpoint:
    """What a signed note says, whoever has signed it. Raises BadNote."""
    return read_checkpoint(note.rpartition("\n\n")[0] + "\n")


def sign_text(text: str, signers: Sequence[Signer]) -> str:
    """Any text as a signed note; it must end with a newline."""
    signed = text.encode()
    return f"{text}\n" + "".join(_signature_line(signer, signed) for signer in signers)


def open_text(note: str, keys: Sequence[Verifier]) -> str:
    """The text of a note that at least one of the keys has signed; other people's signatures are left aside.

    Raises BadNote, also where a signature says that it is by one of the keys and is not.
    """
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise BadNote("this is no signed note: a text, an empty line and signatures were expected")
    text += "\n"
    try:
        signed = text.encode()
    except UnicodeEncodeError as error:
        raise BadNote("this is no signed note: it is not UTF-8") from error
    given = {key_id(verifier.name or text.partition("\n")[0], verifier.key): verifier for verifier in keys}
    signed_by = 0
    for line in signatures[:-1].split("\n"):
        found = _SIGNATURE.fullmatch(line)
        raw = _decoded(found[2]) if found else None
        if found is None or raw is None or len(raw) <= KEY_ID_BYTES:
            raise BadNote(f"this is no signed note: no signature is {line[:60]!r}")
        verifier = given.get(raw[:KEY_ID_BYTES])
        if verifier is None or found[1] != (verifier.name or text.partition("\n")[0]):
            continue
        try:
            verifier.key.verify(raw[KEY_ID_BYTES:], signed)
        except InvalidSignature as error:
            raise BadNote("the note was changed: its signature does not fit it") from error
        signed_by += 1
    if not signed_by:
        raise BadNote("the note is not signed by the key that was given")
    return text


def vkey(name: str, public: Ed25519PublicKey) -> str:
    """A public key as one line: name+key ID+key."""
    return f"{name}+{key_id(name, public).hex()}+{base64.b64encode(ED25519 + _raw(public)).decode()}"


def verifier(key: str) -> Verifier:
    """Of a public key, as PEM or as a vkey line. Raises BadNote."""
    if key.lstrip().startswith("-----BEGIN"):
        try:
            public = load_pem_public_key(key.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadNote("the key is no public key in PEM") from error
        if not isinstance(public, Ed25519PublicKey):
            raise BadNote("the key is not one of Ed25519")
        return Verifier(None, public)
    name, _, rest = key.strip().partition("+")
    shown, _, encoded = rest.partition("+")
    raw = _decoded(encoded)
    if not name or raw is None or raw[:1] != ED25519 or len(raw) != 1 + 32:
        raise BadNote("the key is neither PEM nor a line name+key ID+key of Ed25519")
    public = Ed25519PublicKey.from_public_bytes(raw[1:])
    if key_id(name, public).hex() != shown:
        raise BadNote("the key's line was changed: its ID is not that of its name and key")
    return Verifier(name, public)


def key_id(name: str, public: Ed25519PublicKey) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + _raw(public)).digest()[:KEY_ID_BYTES]


def _signature_line(signer: Signer, signed: bytes) -> str:
    signature = key_id(signer.name, signer.key.public_key()) + signer.key.sign(signed)
    return f"— {signer.name} {base64.b64encode(signature).decode()}\n"


def _raw(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _decoded(text: str) -> bytes | None:
    """None: it is no base64, or not what base64 makes of anything."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
