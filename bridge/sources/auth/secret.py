"""Verifiers of a secret that the request carries itself: in a header, in Basic credentials, in the URL."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from bridge.sources.auth.verifier import matches, octets, refusal

PARAMETERS_MAX = 100


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """Schemes `bearer` and `header`: the secret itself stands in a header."""

    needs_body: ClassVar[bool] = False

    header: str
    prefix: str  # "bearer " in lower case, or ""
    secrets: tuple[bytes, ...]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        value = headers.get(self.header, "")
        prefixed = value[: len(self.prefix)].lower() == self.prefix
        if not matches(octets(value[len(self.prefix) :].strip()), self.secrets) or not prefixed:
            raise refusal()


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """Scheme `basic` (RFC 7617), in UTF-8; also what a sender makes of https://user:secret@host/."""

    needs_body: ClassVar[bool] = False

    right: tuple[bytes, ...]  # user:secret

    @classmethod
    def of(cls, username: str, secrets: tuple[bytes, ...]) -> BasicCredentials:
        return cls(tuple([username.encode() + b":" + secret for secret in secrets]))

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(octets(encoded.strip()), validate=True)
        except binascii.Error:
            given = b""
        if not matches(given, self.right) or scheme.lower() != "basic":
            raise refusal()


@dataclass(frozen=True, slots=True)
class QuerySecret:
    """Scheme `query`: the secret is a parameter of the URL, once. URLs end up in the logs of proxies; ours hold none.

    `+` stays what it is: tokens in Base64 have it, and no secret has a blank.
    """

    needs_body: ClassVar[bool] = False

    name: bytes
    secrets: tuple[bytes, ...]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        pairs = [part.partition(b"=") for part in octets(query).split(b"&", PARAMETERS_MAX)]
        values = [unquote_to_bytes(value) for name, _, value in pairs if unquote_to_bytes(name) == self.name]
        if not matches(values[0] if values else b"", self.secrets) or len(values) != 1:
            raise refusal()
