"""Salted digests: what an entry holds in place of a value. Once its salt is erased, a digest says nothing any more."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Mapping

from bridge.alert import Json
from bridge.canonical import canonical

SALT_BYTES = 16
DIGEST_CHARS = 22  # of base64, which is more than 128 bits


def new_salt() -> bytes:
    """Of one write: equal values of two writes do not look alike."""
    return secrets.token_bytes(SALT_BYTES)


def digest(salt: bytes, name: str, value: Json) -> str:
    """SHA-256 over the salt, the field's name, a zero byte and the value as canonical JSON."""
    return shortened(b"".join((salt, name.encode(), b"\0", canonical(value))))


def shortened(salted: bytes) -> str:
    """SHA-256 in base64, as much of it as entries hold."""
    return b64encode(hashlib.sha256(salted).digest())[:DIGEST_CHARS].decode()


def changes(salt: bytes, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Of each field in `after`: its digest, and where it was read before, that of what it held."""
    return {
        name: ({"before": digest(salt, name, before[name])} if name in before else {})
        | {"after": digest(salt, name, value)}
        for name, value in sorted(after.items())
    }
