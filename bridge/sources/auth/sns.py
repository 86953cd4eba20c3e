"""Scheme `sns`: what Amazon SNS posts is signed by a certificate that it names itself, inside of the body.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. AWS signs anybody's topic: only the
topics of `topics` are taken. A raw delivery is not signed, and so it is refused here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.x509 import load_pem_x509_certificate

from bridge.errors import Unmappable
from bridge.sources.auth.verifier import refusal
from bridge.sources.document import decode
from bridge.sources.outside import Outside
from bridge.sources.topic import host_of

# A delivery is remembered for four days at least, so an older message that is sent again could be taken for new.
# SNS itself tries for an hour at most.
AGE_MAX = timedelta(days=4)
AHEAD_MAX = timedelta(seconds=300)

# What is signed of each type, in this order; `Subject` only where it is there.
CONFIRMED = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED: dict[str, tuple[str, ...]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": CONFIRMED,
    "UnsubscribeConfirmation": CONFIRMED,
}
OPTIONAL = "Subject"
HASHES: dict[str, type[HashAlgorithm]] = {"1": SHA1, "2": SHA256}

_CERTIFICATE_PATH = re.compile(r"/[A-Za-z0-9_-]{1,100}\.pem")


@dataclass(frozen=True, slots=True)
class SnsSignature:
    needs_body: ClassVar[bool] = True

    topics: frozenset[str]
    outside: Outside | None

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        message = _texts_of(body)
        topic, url = message.get("TopicArn", ""), message.get("SigningCertURL", "")
        # Whatever costs a look outside comes last, and only for a topic of ours at its region's own host.
        if topic not in self.topics or not _is_timely(message.get("Timestamp", ""), now) or self.outside is None:
            raise refusal()
        content, algorithm = _signed_content(message), HASHES.get(message.get("SignatureVersion", ""))
        if content is None or algorithm is None or not _is_certificate(url, topic):
            raise refusal()
        pem = self.outside.document(url)
        if pem is None or not _holds(pem, message.get("Signature", ""), content, algorithm(), now):
            raise refusal()


def _texts_of(body: bytes) -> dict[str, str]:
    """The texts of the message; a key that stands twice makes it none: which one was signed could not be told."""
    try:
        message = decode(body).value
    except Unmappable:
        return {}
    if not isinstance(message, dict):
        return {}
    return {key: value for key, value in message.items() if isinstance(value, str)}


def _signed_content(message: dict[str, str]) -> bytes | None:
    keys = SIGNED.get(message.get("Type", ""), ())
    if not keys or any(key not in message for key in keys if key != OPTIONAL):
        return None
    return "".join([f"{key}\n{message[key]}\n" for key in keys if key in message]).encode()


def _is_certificate(url: str, topic: str) -> bool:
    start = f"https://{host_of(topic)}"
    return url.startswith(start) and _CERTIFICATE_PATH.fullmatch(url, len(start)) is not None


def _is_timely(text: str, now: datetime) -> bool:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return at.tzinfo is not None and -AHEAD_MAX <= now - at <= AGE_MAX


def _holds(pem: bytes, signature: str, content: bytes, algorithm: HashAlgorithm, now: datetime) -> bool:
    signer = _signer(pem)
    if signer is None or not signer.begins <= now <= signer.ends:
        return False
    try:
        signer.key.verify(base64.b64decode(signature, validate=True), content, PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError):  # of which binascii.Error is one
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Signer:
    key: RSAPublicKey
    begins: datetime
    ends: datetime


@lru_cache(maxsize=32)
def _signer(pem: bytes) -> _Signer | None:
    try:
        certificate = load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, RSAPublicKey):
        return None
    return _Signer(key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
