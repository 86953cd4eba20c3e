"""How a source proves itself: verifiers over the raw bytes, before anything parses them.

A verifier raises Rejected(401) and nothing else, whatever it is sent. It compares in constant time, tries every secret
that is valid during a rotation, and takes the time as an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

from bridge.errors import Misconfigured, Problem, Rejected
from bridge.settings import SourceAuth

TOLERANCE = timedelta(seconds=300)  # how far a signed time may be from ours, both ways
TIMESTAMP_DIGITS_MAX = 12
# A browser says where a request comes from; a proxy whom it passes one on for. A command line tool says neither.
BROWSER_HEADERS = frozenset({"origin", "sec-fetch-site"})
FORWARDING_HEADERS = frozenset({"forwarded", "via", "cf-ray", "x-amzn-trace-id"})
FORWARDING_PREFIXES = ("x-forwarded-", "x-original-", "x-envoy-", "x-appengine-", "x-azure-")
FORWARDING_SUFFIXES = ("real-ip", "client-ip", "connecting-ip", "clientip", "user-ip")


class Verifier(Protocol):
    # False: the headers decide alone, and a sender that is refused is not listened to. Whoever asks for nothing but a
    # refusal can tell a source that signs its bodies from one that does not exist: a name in a URL is no secret.
    needs_body: ClassVar[bool]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, now: datetime) -> None:
        """Returns when the request is the source's; raises Rejected(401) when that is not proven.

        `headers` is read without regard to case; `remote` is the address of the TCP peer; `body` is b"" when it is not
        needed.
        """


def refusal() -> Rejected:
    """The one answer to everything that is not authenticated: it does not tell an unknown source from a bad secret."""
    return Rejected(401, "not_authenticated", "Not authenticated: check the source's name in the URL and its secret.")


def verifier_for(source: str, auth: SourceAuth, secrets: tuple[bytes, ...]) -> Verifier:
    """Built once, at start. Raises Misconfigured when the scheme is unknown or a secret cannot serve it."""
    build = SCHEMES.get(auth.scheme)
    if build is None:
        raise _misconfigured(source, f"unknown scheme {auth.scheme!r}", f"one of {', '.join(SCHEMES)}")
    if auth.scheme != "none" and (not secrets or not all(secrets)):
        raise _misconfigured(source, "a secret is missing or empty", "put a long random value behind its reference")
    return build(source, auth, secrets)


@dataclass(frozen=True, slots=True)
class LoopbackOnly:
    """Scheme `none`: a try-out on this machine, by hand. Neither a proxy nor a page in a browser is that."""

    needs_body: ClassVar[bool] = False

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, now: datetime) -> None:  # noqa: ARG002
        here = _is_loopback(remote) and _names_loopback(headers.get("host", ""))
        if not here or any(map(_tells_of_somebody_else, headers.keys())):
            raise refusal()


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """Schemes `bearer` and `header`: the secret itself stands in a header."""

    needs_body: ClassVar[bool] = False

    header: str
    prefix: str  # "bearer " in lower case, or ""
    secrets: tuple[bytes, ...]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, now: datetime) -> None:  # noqa: ARG002
        value = headers.get(self.header, "")
        prefixed = value[: len(self.prefix)].lower() == self.prefix
        if not _matches(_octets(value[len(self.prefix) :].strip()), self.secrets) or not prefixed:
            raise refusal()


@dataclass(frozen=True, slots=True)
class BodySignature:
    """Scheme `hmac`: a hexadecimal HMAC SHA-256 of the body. It carries no time: replays are told by delivery."""

    needs_body: ClassVar[bool] = True

    header: str
    prefix: bytes
    secrets: tuple[bytes, ...]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, now: datetime) -> None:  # noqa: ARG002
        given = _octets(headers.get(self.header, ""))
        right = [self.prefix + hmac.digest(secret, body, "sha256").hex().encode() for secret in self.secrets]
        if not _matches(given, right):
            raise refusal()


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """Scheme `standard_webhooks` 1.0: several `v1` signatures over id, time and body; the time must be near ours."""

    needs_body: ClassVar[bool] = True

    secrets: tuple[bytes, ...]

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, now: datetime) -> None:  # noqa: ARG002
        message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        content = b".".join((_octets(message_id), _octets(sent), body))
        right = [base64.b64encode(hmac.digest(secret, content, "sha256")) for secret in self.secrets]
        versioned = (part.partition(",") for part in headers.get("webhook-signature", "").split(" "))
        given = [_octets(signature) for version, _, signature in versioned if version == "v1"]
        signed = sum(_matches(signature, right) for signature in given) > 0
        if not signed or not message_id or not _is_recent(sent, now):
            raise refusal()


@dataclass(frozen=True, slots=True)
class UnknownSource:
    """Stands in for a source that is not configured: the work of a comparison, and always the same refusal."""

    needs_body: ClassVar[bool] = False

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, now: datetime) -> None:  # noqa: ARG002
        _matches(_octets(headers.get("authorization", "")), [b"unknown"])
        raise refusal()


def _header(source: str, auth: SourceAuth, secrets: tuple[bytes, ...]) -> Verifier:
    if not auth.header:
        raise _misconfigured(source, "the scheme `header` needs `header`", "name the header that carries the secret")
    return SharedSecret(auth.header, "", secrets)


def _hmac(source: str, auth: SourceAuth, secrets: tuple[bytes, ...]) -> Verifier:
    if auth.preset is None or auth.preset not in HMAC_PRESETS:
        known = ", ".join(HMAC_PRESETS)
        raise _misconfigured(source, f"unknown hmac preset {auth.preset!r}", f"one of {known}")
    header, prefix = HMAC_PRESETS[auth.preset]
    return BodySignature(header, prefix, secrets)


def _standard_webhooks(source: str, auth: SourceAuth, secrets: tuple[bytes, ...]) -> Verifier:  # noqa: ARG001
    try:
        keys = tuple(base64.b64decode(secret.removeprefix(b"whsec_"), validate=True) for secret in secrets)
    except binascii.Error as error:
        raise _misconfigured(source, "the secret is not Base64", "copy it whole: whsec_…") from error
    if not all(keys):
        raise _misconfigured(source, "a secret is empty", "copy it whole: whsec_…")
    return StandardWebhooks(keys)


HMAC_PRESETS: dict[str, tuple[str, bytes]] = {"github": ("X-Hub-Signature-256", b"sha256=")}

SCHEMES: dict[str, Callable[[str, SourceAuth, tuple[bytes, ...]], Verifier]] = {
    "none": lambda _source, _auth, _secrets: LoopbackOnly(),
    "bearer": lambda _source, _auth, secrets: SharedSecret("Authorization", "bearer ", secrets),
    "header": _header,
    "hmac": _hmac,
    "standard_webhooks": _standard_webhooks,
}


def _matches(given: bytes, right: tuple[bytes, ...] | list[bytes]) -> bool:
    """Equal to one of `right`; every one is compared, so that time does not tell which."""
    return sum(hmac.compare_digest(given, one) for one in right) > 0


def _octets(value: str) -> bytes:
    """A header's bytes as they came: WSGI hands them over as Latin-1. Text that never was a header matches nothing."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def _is_recent(sent: str, now: datetime) -> bool:
    if not (sent.isascii() and sent.isdigit() and len(sent) <= TIMESTAMP_DIGITS_MAX):
        return False
    return abs(now.timestamp() - int(sent)) <= TOLERANCE.total_seconds()


def _is_loopback(remote: str) -> bool:
    try:
        return ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False


def _names_loopback(host: str) -> bool:
    """Whether a Host header means this machine by name or number: a page whose name was bent to 127.0.0.1 does not."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").lower()
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _tells_of_somebody_else(name: str) -> bool:
    name = name.lower()
    if name in BROWSER_HEADERS or name in FORWARDING_HEADERS:
        return True
    return name.startswith(FORWARDING_PREFIXES) or name.endswith(FORWARDING_SUFFIXES)


def _misconfigured(source: str, message: str, hint: str) -> Misconfigured:
    return Misconfigured([Problem(f"sources.{source}.auth", 0, 0, message, hint)])
