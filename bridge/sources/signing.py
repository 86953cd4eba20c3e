"""What a sender would send beside a body to prove itself: the other side of `auth`, for `bridge sources test`. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from bridge.settings import Signature, SourceAuth
from bridge.sources.auth.standard_webhooks import PUBLIC_KEY, SECRET


class CannotSign(Exception):
    """Only the real sender can prove itself so; the text says who."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""  # of the URL, without its `?`


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is to be signed. `secret` is the newest of the source's; b"" where its scheme has none."""

    body: bytes
    secret: bytes
    message_id: str
    now: datetime

    @property
    def timestamp(self) -> str:
        return str(int(self.now.timestamp()))


def proof_of(auth: SourceAuth, message: Message) -> Proof:
    """Raises CannotSign."""
    return _PROOFS[auth.scheme](auth, message)


def _none(_auth: SourceAuth, _message: Message) -> Proof:
    return Proof()


def _bearer(_auth: SourceAuth, message: Message) -> Proof:
    return Proof(headers={"Authorization": f"Bearer {message.secret.decode('latin-1')}"})


def _header(auth: SourceAuth, message: Message) -> Proof:
    return Proof(headers={auth.header or "": auth.prefix + message.secret.decode("latin-1")})


def _query(auth: SourceAuth, message: Message) -> Proof:
    return Proof(query=f"{quote(auth.parameter or '', safe='')}={quote(message.secret, safe='')}")


def _basic(auth: SourceAuth, message: Message) -> Proof:
    credentials = base64.b64encode((auth.username or "").encode() + b":" + message.secret).decode()
    return Proof(headers={"Authorization": f"Basic {credentials}"})


def _hmac(auth: SourceAuth, message: Message) -> Proof:
    assert auth.signature is not None, "the settings were read"  # noqa: S101
    shape = auth.signature
    headers = {shape.header: shape.prefix + _signature(shape, message)}
    if shape.timestamp_header is not None:
        headers[shape.timestamp_header] = message.timestamp
    if shape.id_header is not None:
        headers[shape.id_header] = message.message_id
    return Proof(headers=headers)


def _signature(shape: Signature, message: Message) -> str:
    before, _, after = shape.template.partition("{body}")
    signed = b"".join((_filled(before, message), message.body, _filled(after, message)))
    digest = hmac.digest(message.secret, signed, shape.hash)
    return (binascii.hexlify(digest) if shape.encoding == "hex" else base64.b64encode(digest)).decode()


def _filled(text: str, message: Message) -> bytes:
    return text.replace("{timestamp}", message.timestamp).replace("{id}", message.message_id).encode()


def _standard_webhooks(_auth: SourceAuth, message: Message) -> Proof:
    if message.secret.startswith(PUBLIC_KEY):
        raise CannotSign("the source knows the sender's public key (whpk_…) alone: only the sender has the private one")
    key = base64.b64decode(message.secret.removeprefix(SECRET))
    head = f"{message.message_id}.{message.timestamp}.".encode()
    signature = base64.b64encode(hmac.digest(key, head + message.body, "sha256")).decode()
    return Proof(
        headers={
            "webhook-id": message.message_id,
            "webhook-timestamp": message.timestamp,
            "webhook-signature": f"v1,{signature}",
        }
    )


def _sns(_auth: SourceAuth, _message: Message) -> Proof:
    raise CannotSign("only Amazon SNS has the key that it signs with: publish a message to the topic")


def _oidc(auth: SourceAuth, _message: Message) -> Proof:
    issuer = auth.token.issuer if auth.token is not None else "the issuer"
    raise CannotSign(f"only {issuer} can sign its tokens: let the product send something")


def _graph(_auth: SourceAuth, _message: Message) -> Proof:
    raise CannotSign("only Microsoft Graph writes the secret into what it posts: let the product send something")


def _mtls(auth: SourceAuth, _message: Message) -> Proof:
    """As a proxy would say it: believed only where this machine is one of `trusted_proxies`."""
    return Proof(headers={auth.header or "": auth.subjects[0]})


_PROOFS: dict[str, Callable[[SourceAuth, Message], Proof]] = {
    "none": _none,
    "bearer": _bearer,
    "header": _header,
    "query": _query,
    "basic": _basic,
    "hmac": _hmac,
    "standard_webhooks": _standard_webhooks,
    "sns": _sns,
    "oidc": _oidc,
    "mtls": _mtls,
    "graph": _graph,
}
