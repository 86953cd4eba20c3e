"""The `access` of a scenario: users and their roles, API keys, OAuth clients, client certificates, and the ACL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bridge.alert import Json
from bridge.simulator.access import CLIENT, GRANTS, JWT, PASSWORD, ApiKey, OAuthClient, User
from bridge.simulator.acl import Needs
from bridge.simulator.reading import Reader
from bridge.yamlfile import type_path

T = TypeVar("T")

ACCESS_KEYS = ("users", "api_keys", "clients", "certificates", "acl")
USER_KEYS = ("password", "roles", "email", "mfa", "active")
API_KEY_KEYS = ("user", "apis")
CLIENT_KEYS = ("secret", "grants", "user", "keys", "issuer", "subject", "access_seconds", "refresh_seconds")
GRANT_WORDS = {"password": PASSWORD, "client_credentials": CLIENT, "jwt_bearer": JWT}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGiven:
    """What a scenario says of it. None: it does not say, and what is in force stays."""

    users: tuple[User, ...] | None = None  # beside the account of the command line
    api_keys: Mapping[str, ApiKey] | None = field(default=None, repr=False)
    clients: Mapping[str, OAuthClient] | None = None
    certificates: Mapping[str, str] | None = None
    acl: Mapping[str, Needs] | None = None


@dataclass(frozen=True, slots=True)
class AccessReader:
    """Reads with the scenario's reader, which keeps the problems."""

    reader: Reader

    def access(self, value: Json, path: type_path) -> AccessGiven:
        given = self.reader.mapping(value, path, ACCESS_KEYS, "access")

        def told(key: str, read: Callable[[Json, type_path], T | None]) -> dict[str, T] | None:
            return self.reader.named(given[key], (*path, key), read) if key in given else None

        users = told("users", self._user)
        return AccessGiven(
            users=None if users is None else tuple(users.values()),
            api_keys=told("api_keys", self._api_key),
            clients=told("clients", self._client),
            certificates=told("certificates", self.reader.text),
            acl=told("acl", self._needs),
        )

    def _user(self, value: Json, path: type_path) -> User:
        given = self.reader.mapping(value, path, USER_KEYS, "a user")
        return User(
            name=str(path[-1]),
            password=self.reader.text(given.get("password", ""), (*path, "password")),
            roles=frozenset(self.reader.texts(given["roles"], (*path, "roles"))) if "roles" in given else None,
            email=self.reader.text(given.get("email", ""), (*path, "email")),
            mfa=self.reader.flag(given.get("mfa", False), (*path, "mfa")),
            active=self.reader.flag(given.get("active", True), (*path, "active")),
        )

    def _api_key(self, value: Json, path: type_path) -> ApiKey:
        """The user's name alone, or with the APIs that take the key."""
        if isinstance(value, str):
            return ApiKey(user=value)
        given = self.reader.mapping(value, path, API_KEY_KEYS, "an API key")
        return ApiKey(
            user=self.reader.text(given.get("user"), (*path, "user")),
            apis=frozenset(self.reader.texts(given.get("apis", []), (*path, "apis"))),
        )

    def _client(self, value: Json, path: type_path) -> OAuthClient:
        given = self.reader.mapping(value, path, CLIENT_KEYS, "an OAuth client")
        words = self.reader.texts(given.get("grants", list(GRANT_WORDS)), (*path, "grants"))
        if unknown := [word for word in words if word not in GRANT_WORDS]:
            self.reader.refuse((*path, "grants"), f"unknown grant {unknown[0]!r}", f"known: {', '.join(GRANT_WORDS)}")
        grants = frozenset(GRANT_WORDS[word] for word in words if word in GRANT_WORDS)
        return OAuthClient(
            secret=self.reader.text(given.get("secret", ""), (*path, "secret")),
            grants=grants or frozenset(GRANTS),
            user=self.reader.text(given.get("user", ""), (*path, "user")),
            keys=self.reader.named(given.get("keys", {}), (*path, "keys"), self._key),
            issuer=self.reader.text(given.get("issuer", ""), (*path, "issuer")),
            subject=self.reader.text(given.get("subject", "user_name"), (*path, "subject")),
            access_seconds=self.reader.whole(given.get("access_seconds", 1800), (*path, "access_seconds")),
            refresh_seconds=self.reader.whole(given.get("refresh_seconds", 8_640_000), (*path, "refresh_seconds")),
        )

    def _key(self, value: Json, path: type_path) -> str:
        """A public key or a certificate, PEM."""
        pem = self.reader.text(value, path)
        try:
            if "BEGIN CERTIFICATE" in pem:
                x509.load_pem_x509_certificate(pem.encode())
            else:
                load_pem_public_key(pem.encode())
        except ValueError:
            self.reader.refuse(path, f"{path[-1]} is no public key or certificate in PEM")
        return pem

    def _needs(self, value: Json, path: type_path) -> Needs:
        given = self.reader.mapping(value, path, ("read", "write"), "an ACL")
        return Needs(
            read=frozenset(self.reader.texts(given.get("read", []), (*path, "read"))),
            write=frozenset(self.reader.texts(given.get("write", []), (*path, "write"))),
        )
