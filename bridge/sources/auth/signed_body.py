"""Scheme `hmac`: a product's own signature with a shared secret, over the body alone or a time and an id as well."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from bridge.settings import Signature
from bridge.sources.auth.verifier import matches, octets, refusal

SIGNATURES_MAX = 8  # of one header; more are no rotation
TIME_CHARACTERS_MAX = 40
MILLISECONDS_FROM = 100_000_000_000  # a whole number above this counts milliseconds: in seconds it is the year 5138

_HOLE = re.compile(r"\{(timestamp|id|body)\}")
_ENCODED: dict[str, Callable[[bytes], bytes]] = {"hex": binascii.hexlify, "base64": base64.b64encode}


@dataclass(frozen=True, slots=True)
class BodySignature:
    """Over the body alone. It carries no time: replays are told by delivery."""

    needs_body: ClassVar[bool] = True

    shape: Signature
    secrets: tuple[bytes, ...]

    @classmethod
    def of(cls, shape: Signature, secrets: tuple[bytes, ...]) -> BodySignature | None:
        return cls(shape, secrets) if shape.template == "{body}" else None

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        shape = self.shape
        encode = _ENCODED[shape.encoding]
        right = [encode(hmac.digest(secret, body, shape.hash)) for secret in self.secrets]
        if not _one_matches(shape, headers.get(shape.header, ""), right):
            raise refusal()


@dataclass(frozen=True, slots=True)
class TemplateSignature:
    """Over what its template says. A time that is signed must be near ours."""

    needs_body: ClassVar[bool] = True

    shape: Signature
    secrets: tuple[bytes, ...]
    before: tuple[str, ...]  # what is signed before the body: texts, "{timestamp}", "{id}"
    after: tuple[str, ...]

    @classmethod
    def of(cls, shape: Signature, secrets: tuple[bytes, ...]) -> TemplateSignature:
        before, _, after = shape.template.partition("{body}")
        return cls(shape, secrets, _parts(before), _parts(after))

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        shape = self.shape
        sent = headers.get(shape.timestamp_header, "") if shape.timestamp_header else ""
        message_id = headers.get(shape.id_header, "") if shape.id_header else ""
        holes = {"{timestamp}": octets(sent), "{id}": octets(message_id)}
        before = b"".join([holes[part] if part in holes else part.encode() for part in self.before])
        after = b"".join([holes[part] if part in holes else part.encode() for part in self.after])
        right = [_ENCODED[shape.encoding](_digest(secret, before, body, after, shape.hash)) for secret in self.secrets]
        signed = _one_matches(shape, headers.get(shape.header, ""), right)
        timely = shape.timestamp_header is None or is_near(sent, now, shape.tolerance)
        if not signed or not timely or (shape.id_header is not None and not message_id):
            raise refusal()


def is_near(sent: str, now: datetime, tolerance: timedelta) -> bool:
    """Whether a time in seconds or milliseconds since 1970, or in ISO 8601 with its zone, is that near to ours."""
    at = _time_of(sent)
    return at is not None and abs(now - at) <= tolerance


def _time_of(sent: str) -> datetime | None:
    if len(sent) > TIME_CHARACTERS_MAX:
        return None
    try:
        if sent.isascii() and sent.isdigit():
            number = int(sent)
            return datetime.fromtimestamp(number / 1000 if number > MILLISECONDS_FROM else number, UTC)
        at = datetime.fromisoformat(sent)
    except (ValueError, OverflowError, OSError):  # the last two: years beyond what the platform knows
        return None
    return at if at.tzinfo is not None else None


def _parts(text: str) -> tuple[str, ...]:
    found, at = [], 0
    for hole in _HOLE.finditer(text):
        found += [text[at : hole.start()], hole[0]]
        at = hole.end()
    return tuple([part for part in (*found, text[at:]) if part])


def _digest(secret: bytes, before: bytes, body: bytes, after: bytes, name: str) -> bytes:
    """Without a copy of the body."""
    mac = hmac.new(secret, before, name)
    mac.update(body)
    mac.update(after)
    return mac.digest()


def _one_matches(shape: Signature, value: str, right: list[bytes]) -> bool:
    """Whether one of the signatures in the header is right: several stand there while the sender rotates its secret."""
    if "," not in value and " " not in value:
        return _is_right(shape, value, right)
    several = value.replace(",", " ").split(maxsplit=SIGNATURES_MAX)[:SIGNATURES_MAX]
    return sum([_is_right(shape, one, right) for one in (value.strip(), *several)]) > 0


def _is_right(shape: Signature, given: str, right: list[bytes]) -> bool:
    signature = octets(given.removeprefix(shape.prefix))
    if shape.encoding == "hex":
        signature = signature.lower()
    return matches(signature, right) and given.startswith(shape.prefix)
