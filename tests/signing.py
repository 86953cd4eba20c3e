"""Signers of the tests' own: a certificate as SNS has one, a provider of tokens, and what stands outside."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:alerts"
HOST = "https://sns.eu-central-1.amazonaws.com"
CERTIFICATE_URL = f"{HOST}/SimpleNotificationService-0123456789abcdef.pem"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: rsa.RSAPrivateKey = KEY, *, begins: datetime = NOW - timedelta(days=1)) -> bytes:
    """Valid for 30 days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, begins, begins + timedelta(days=30))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


class Stub:
    """An Outside of fixed documents; it tells what was asked for."""

    def __init__(self, documents: dict[str, bytes]) -> None:
        self.documents = documents
        self.asked: list[tuple[str, bool]] = []
        self.visited: list[str] = []

    def document(self, url: str, *, again: bool = False) -> bytes | None:
        self.asked.append((url, again))
        return self.documents.get(url)

    def visit(self, url: str) -> bool:
        self.visited.append(url)
        return True


def sns(text: str = "{}", **changes: str | None) -> dict[str, Any]:
    """A message of SNS, not signed yet; what is None is left out."""
    message = {
        "Type": "Notification",
        "MessageId": "5a1c0b6e-0001",
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": "2026-03-10T11:59:58.123Z",
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE_URL,
    }
    if "Confirmation" in (changes.get("Type") or ""):
        message |= {"Token": "t0k3n", "SubscribeURL": subscribe_url()}
    return {key: value for key, value in (message | changes).items() if value is not None}


def subscribe_url(topic: str = TOPIC, token: str = "t0k3n") -> str:
    return f"{HOST}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}"


def signed(message: dict[str, Any], key: rsa.RSAPrivateKey = KEY) -> bytes:
    """Signed as AWS documents it, written independently of the verifier."""
    if message["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    content = "".join(name + "\n" + message[name] + "\n" for name in names if name in message)
    algorithm = SHA1() if message["SignatureVersion"] == "1" else SHA256()
    signature = key.sign(content.encode(), padding.PKCS1v15(), algorithm)
    return json.dumps(message | {"Signature": base64.b64encode(signature).decode()}).encode()


GOOGLE, GOOGLE_KEYS = "https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs"


def jwks(**keys: rsa.RSAPrivateKey) -> bytes:
    found = [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": "RS256"}
        for kid, key in keys.items()
    ]
    return json.dumps({"keys": found}).encode()


def token(key: Any = KEY, kid: str | None = "k1", algorithm: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": GOOGLE,
        "aud": "https://bridge.example/hooks/scc",
        "sub": "1234567890",
        "email": "push@project.iam.gserviceaccount.com",
        "email_verified": True,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else {})
