"""What all verifiers have in common: how they are called, their one refusal, and comparing in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Protocol

from bridge.errors import Misconfigured, Problem, Rejected


class Verifier(Protocol):
    # False: the headers decide alone, and a sender that is refused is not listened to. Whoever asks for nothing but a
    # refusal can tell a source that signs its bodies from one that does not exist: a name in a URL is no secret.
    needs_body: ClassVar[bool]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:
        """Returns when the request is the source's; raises Rejected(401) when that is not proven.

        `headers` is read without regard to case; `remote` is the address of the TCP peer; `query` is what follows the
        `?`, as it came; `body` is b"" when it is not needed. A verifier that needs keys of somebody else's raises
        Rejected(503) while they cannot be had: many senders give up on a 401.
        """


def refusal() -> Rejected:
    """The one answer to everything that is not authenticated: it does not tell an unknown source from a bad secret."""
    return Rejected(401, "not_authenticated", "Not authenticated: check the source's name in the URL and its secret.")


def matches(given: bytes, right: tuple[bytes, ...] | list[bytes]) -> bool:
    """Equal to one of `right`; every one is compared, so that time does not tell which."""
    return sum(hmac.compare_digest(given, one) for one in right) > 0


def octets(value: str) -> bytes:
    """A header's bytes as they came: WSGI hands them over as Latin-1. Text that never was a header matches nothing."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def misconfigured(source: str, message: str, hint: str) -> Misconfigured:
    return Misconfigured([Problem(f"sources.{source}.auth", 0, 0, message, hint)])
