"""Scheme `standard_webhooks` 1.0 (https://www.standardwebhooks.com): signatures over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridge.settings import TOLERANCE_DEFAULT
from bridge.sources.auth.signed_body import SIGNATURES_MAX
from bridge.sources.auth.verifier import matches, misconfigured, octets, refusal

TIMESTAMP_DIGITS_MAX = 12
SECRET, PUBLIC_KEY = b"whsec_", b"whpk_"


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """Several signatures in one header, `v1` (HMAC SHA-256) and `v1a` (Ed25519); the time must be near ours.

    Svix, which the standard comes from, may call its three headers `svix-…` (https://docs.svix.com/receiving). The id
    tells which are meant, to the envelope as well: one that was not signed must not make a replay a new delivery.
    """

    needs_body: ClassVar[bool] = True

    secrets: tuple[bytes, ...]
    public_keys: tuple[Ed25519PublicKey, ...]

    @classmethod
    def of(cls, source: str, secrets: tuple[bytes, ...]) -> StandardWebhooks:
        """Of the secrets as they are shown: whsec_… for v1, whpk_… for v1a. Raises Misconfigured."""
        hint = "copy it whole: whsec_… or whpk_…"
        try:
            keys = tuple([_decoded(secret) for secret in secrets if not secret.startswith(PUBLIC_KEY)])
            public_keys = [_decoded(secret) for secret in secrets if secret.startswith(PUBLIC_KEY)]
        except binascii.Error as error:
            raise misconfigured(source, "the secret is not Base64", hint) from error
        if not all(keys):
            raise misconfigured(source, "a secret is empty", hint)
        try:
            return cls(keys, tuple([Ed25519PublicKey.from_public_bytes(key) for key in public_keys]))
        except ValueError as error:
            raise misconfigured(source, "a public key has not the length of one of Ed25519", hint) from error

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        names = "webhook" if "webhook-id" in headers else "svix"
        message_id, sent = headers.get(f"{names}-id", ""), headers.get(f"{names}-timestamp", "")
        head = b"".join((octets(message_id), b".", octets(sent), b"."))
        right = [_signature(secret, head, body) for secret in self.secrets]
        given = [part.partition(",") for part in headers.get(f"{names}-signature", "").split(" ")[:SIGNATURES_MAX]]
        signed = sum([matches(octets(signature), right) for version, _, signature in given if version == "v1"]) > 0
        if not signed and self.public_keys:
            signed = any(self._holds(octets(one), head + body) for version, _, one in given if version == "v1a")
        if not signed or not message_id or not _is_recent(sent, now):
            raise refusal()

    def _holds(self, signature: bytes, content: bytes) -> bool:
        try:
            raw = base64.b64decode(signature, validate=True)
        except binascii.Error:
            return False
        return any(_signed_by(key, raw, content) for key in self.public_keys)


def _decoded(secret: bytes) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET).removeprefix(PUBLIC_KEY), validate=True)


def _signature(secret: bytes, head: bytes, body: bytes) -> bytes:
    """Without a copy of the body."""
    mac = hmac.new(secret, head, "sha256")
    mac.update(body)
    return base64.b64encode(mac.digest())


def _signed_by(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _is_recent(sent: str, now: datetime) -> bool:
    if not (sent.isascii() and sent.isdigit() and len(sent) <= TIMESTAMP_DIGITS_MAX):
        return False
    return abs(now.timestamp() - int(sent)) <= TOLERANCE_DEFAULT.total_seconds()
