"""How an instance knows us. A scheme does no I/O: it is headers, or a grant that a token is had for.

`credentials` reads the secrets as they are at that moment; two readings are equal when no secret has changed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import quote, quote_plus
from uuid import uuid4

from bridge.errors import Misconfigured, Problem
from bridge.settings import AuthScheme, Instance, Secret

# ServiceNow takes assertions from clocks that differ from its own by as much; so a clock of ours that is late by all of
# it still makes one that has not expired.
ASSERTION_SECONDS = 300
SECRET_IN_FORM = ("client_secret", "password", "assertion", "refresh_token")
IN_HEADER = re.compile(rb"[\x21-\x7e]+")


class Header(Protocol):
    """A scheme without tokens."""

    def headers(self) -> dict[str, str]:
        """What one request must carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    username: str
    password: bytes = field(repr=False)

    def headers(self) -> dict[str, str]:
        pair = self.username.encode() + b":" + self.password
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    key: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        return {"x-sn-apikey": self.key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the token endpoint is asked with."""

    client_id: str
    client_secret: str | None = field(repr=False)  # None: a public client

    def parameters(self, now: datetime) -> dict[str, str]:  # noqa: ARG002
        """What the request carries beside the client."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials(Grant):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Password(Grant):
    username: str
    password: str = field(repr=False)

    def parameters(self, now: datetime) -> dict[str, str]:  # noqa: ARG002
        return {"username": self.username, "password": self.password}


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtBearer(Grant):
    key_id: str
    private_key: bytes = field(repr=False)  # PEM
    private_key_password: bytes | None = field(repr=False)
    user: str

    def parameters(self, now: datetime) -> dict[str, str]:
        """A new assertion each time: ServiceNow takes a `jti` only once. Raises ValueError for a key it cannot use."""
        import jwt

        from bridge.assertion_key import load

        key, algorithm = load(self.private_key, self.private_key_password)
        issued = int(now.timestamp())
        claims = {
            "iss": self.client_id,
            "sub": self.user,
            "aud": self.client_id,
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
            "jti": uuid4().hex,
        }
        return {"assertion": jwt.encode(claims, key, algorithm, headers={"kid": self.key_id})}


def secrets_in(headers: Mapping[str, str], form: Mapping[str, str]) -> frozenset[str]:
    """What of a request must never be told should its answer repeat it, also as it stands in a URL."""
    scheme, _, shown = headers.get("Authorization", "").rpartition(" ")
    found = {shown, headers.get("x-sn-apikey", ""), *(form[name] for name in SECRET_IN_FORM if name in form)}
    if scheme == "Basic":
        found.add(base64.b64decode(shown).decode(errors="replace").partition(":")[2])
    found.discard("")
    return frozenset(found | {quote(one, safe="") for one in found} | {quote_plus(one) for one in found})


def credentials(instance: Instance) -> Header | Grant:
    """Read the instance's secrets as they are now. Raises Misconfigured when one is not there or cannot be used."""
    auth, read = instance.auth, _Reading(instance)
    if auth.scheme is AuthScheme.BASIC:
        return Basic(username=read.text("username"), password=read.secret("password"))
    if auth.scheme is AuthScheme.API_KEY:
        return ApiKey(key=read.header("key"))
    client_id, client_secret = read.text("client_id"), read.optional_text("client_secret")
    if auth.scheme is AuthScheme.OAUTH_CLIENT_CREDENTIALS:
        return ClientCredentials(client_id=client_id, client_secret=client_secret)
    if auth.scheme is AuthScheme.OAUTH_PASSWORD:
        username, password = read.text("username"), read.text("password")
        return Password(client_id=client_id, client_secret=client_secret, username=username, password=password)
    return JwtBearer(
        client_id=client_id,
        client_secret=client_secret,
        key_id=read.text("key_id"),
        private_key=read.secret("private_key"),
        private_key_password=read.secret("private_key_password") if auth.private_key_password else None,
        user=read.text("user"),
    )


class _Reading:
    """The values of one instance's `auth`, by key."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def secret(self, name: str) -> bytes:
        value = getattr(self._instance.auth, name)
        if not isinstance(value, Secret):
            return str(value or "").encode()
        try:
            read = value.read()
        except (KeyError, OSError) as error:
            raise self._wrong(f"the {name} cannot be read from {value.kind} {value.name}") from error
        if not read.strip():  # also while somebody writes the file anew
            raise self._wrong(f"the {name} in {value.kind} {value.name} is empty")
        return read

    def text(self, name: str) -> str:
        try:
            return self.secret(name).decode()
        except UnicodeDecodeError as error:
            raise self._wrong(f"the {name} is not UTF-8") from error

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if getattr(self._instance.auth, name) is not None else None

    def header(self, name: str) -> str:
        read = self.secret(name)
        if IN_HEADER.fullmatch(read) is None:
            raise self._wrong(f"the {name} holds what no header can carry, such as a blank or a letter outside ASCII")
        return read.decode("ascii")

    def _wrong(self, message: str) -> Misconfigured:
        place = f"instances.{self._instance.name}.auth"
        return Misconfigured([Problem(place, 0, 0, message, "set it, or correct the reference")])
