"""Every auth scheme: the secrets on our side, and what the simulated instance knows of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bridge.settings import AuthScheme, InstanceAuth, Secret

KEYS = {"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP256R1())}
PASSWORD = b"open sesame"


def put_secrets(folder: Path) -> Path:
    values = {"password": b"s3cret", "key": b"k-1", "client": b"c-secret", "wrong": b"nope", "opens": PASSWORD}
    values["rsa"] = KEYS["rsa"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    values["ec"] = KEYS["ec"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, value in values.items():
        (folder / name).write_bytes(value + b"\n")
    return folder


def given_access(**more: Any) -> dict[str, Any]:
    pem = {
        name: key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        for name, key in KEYS.items()
    }
    return {
        "access": {
            "users": {"siem": {"password": "s3cret", "email": "siem@example.com"}},
            "api_keys": {"k-1": "siem"},
            "clients": {"app": {"secret": "c-secret", "user": "siem", "keys": pem, "subject": "email"}},
        },
        **more,
    }


def auth_of(scheme: str, secrets: Path) -> InstanceAuth:
    def secret(name: str) -> Secret:
        return Secret(kind="file", name=str(secrets / name))

    signed = InstanceAuth(
        scheme=AuthScheme.OAUTH_JWT_BEARER,
        client_id="app",
        client_secret=secret("client"),
        user="siem@example.com",
    )
    return {
        "basic": InstanceAuth(scheme=AuthScheme.BASIC, username="siem", password=secret("password")),
        "api_key": InstanceAuth(scheme=AuthScheme.API_KEY, key=secret("key")),
        "oauth_password": InstanceAuth(
            scheme=AuthScheme.OAUTH_PASSWORD,
            client_id="app",
            client_secret=secret("client"),
            username="siem",
            password=secret("password"),
        ),
        "oauth_client_credentials": InstanceAuth(
            scheme=AuthScheme.OAUTH_CLIENT_CREDENTIALS, client_id="app", client_secret=secret("client")
        ),
        "oauth_jwt_bearer, RS256": replace(
            signed, key_id="rsa", private_key=secret("rsa"), private_key_password=secret("opens")
        ),
        "oauth_jwt_bearer, ES256": replace(signed, key_id="ec", private_key=secret("ec")),
    }[scheme]


SCHEMES = (
    "basic",
    "api_key",
    "oauth_password",
    "oauth_client_credentials",
    "oauth_jwt_bearer, RS256",
    "oauth_jwt_bearer, ES256",
)
OAUTH = SCHEMES[2:]
