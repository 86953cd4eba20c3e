"""The `access` of a scenario: users and their roles, API keys, OAuth clients, client certificates, and the ACL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bridge.alert import Json
from bridge.simulator.access import (
    CLIENT,
    GRANTS,
    JWT,
    PASSWORD,
    PATHS,
    PROOFS,
    ApiKey,
    Group,
    OAuthClient,
    Policy,
    User,
)
from bridge.simulator.acl import Needs
from bridge.simulator.reading import Reader
from bridge.simulator.seed import GROUPS
from bridge.yamlfile import type_path

T = TypeVar("T")

FLAGS = ("key_plugin", "basic_restricted", "client_credentials")
ACCESS_KEYS = ("users", "api_keys", "clients", "certificates", "acl", "policies", "groups", "release", *FLAGS)
USER_FLAGS = {
    "mfa": False,
    "active": True,
    "locked_out": False,
    "password_needs_reset": False,
    "web_service_only": False,
}
USER_KEYS = ("password", "roles", "email", *USER_FLAGS)
API_KEY_KEYS = ("user", "apis", "name", "active", "expires")
POLICY_KEYS = ("api", "profiles", "active")
GROUP_KEYS = ("roles", "members")
CLIENT_KEYS = ("secret", "active", "grants", "user", "keys", "issuer", "subject", "access_seconds", "refresh_seconds")
GRANT_WORDS = {"password": PASSWORD, "client_credentials": CLIENT, "jwt_bearer": JWT}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGiven:
    """What a scenario says of it. None: it does not say, and what is in force stays."""

    users: tuple[User, ...] | None = None  # beside the account of the command line
    api_keys: Mapping[str, ApiKey] | None = field(default=None, repr=False)
    clients: Mapping[str, OAuthClient] | None = None
    certificates: Mapping[str, str] | None = None
    acl: Mapping[str, Needs] | None = None
    policies: Mapping[str, Policy] | None = None
    groups: Mapping[str, Group] | None = None
    release: str | None = None
    flags: Mapping[str, bool] = field(default_factory=dict)  # of FLAGS


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
            policies=told("policies", self._policy),
            groups=told("groups", self._group),
            release=self.reader.text(given["release"], (*path, "release")).lower() if "release" in given else None,
            flags={name: self.reader.flag(given[name], (*path, name)) for name in FLAGS if name in given},
        )

    def _user(self, value: Json, path: type_path) -> User:
        given = self.reader.mapping(value, path, USER_KEYS, "a user")
        return User(
            name=str(path[-1]),
            password=self.reader.text(given.get("password", ""), (*path, "password")),
            roles=frozenset(self.reader.texts(given["roles"], (*path, "roles"))) if "roles" in given else None,
            email=self.reader.text(given.get("email", ""), (*path, "email")),
            **{name: self.reader.flag(given.get(name, usual), (*path, name)) for name, usual in USER_FLAGS.items()},
        )

    def _policy(self, value: Json, path: type_path) -> Policy | None:
        given = self.reader.mapping(value, path, POLICY_KEYS, "an API access policy")
        api = self.reader.text(given.get("api"), (*path, "api"))
        if api not in PATHS:
            self.reader.refuse((*path, "api"), f"api must be one of {', '.join(PATHS)}")
            return None
        profiles = self.reader.texts(given.get("profiles", list(PROOFS)), (*path, "profiles"))
        if unknown := [name for name in profiles if name not in PROOFS]:
            self.reader.refuse((*path, "profiles"), f"unknown profile {unknown[0]!r}", f"known: {', '.join(PROOFS)}")
        active = self.reader.flag(given.get("active", True), (*path, "active"))
        return Policy(api=api, profiles=frozenset(profiles), active=active)

    def _group(self, value: Json, path: type_path) -> Group | None:
        given = self.reader.mapping(value, path, GROUP_KEYS, "a group")
        if path[-1] not in GROUPS:
            self.reader.refuse(path, f"there is no group {path[-1]!r}", f"known: {', '.join(GROUPS)}")
            return None
        roles, members = (self.reader.texts(given.get(name, []), (*path, name)) for name in GROUP_KEYS)
        return Group(roles=frozenset(roles), members=frozenset(members))

    def _api_key(self, value: Json, path: type_path) -> ApiKey:
        """The user's name alone, or with the APIs that take the key."""
        if isinstance(value, str):
            return ApiKey(user=value)
        given = self.reader.mapping(value, path, API_KEY_KEYS, "an API key")
        return ApiKey(
            user=self.reader.text(given.get("user"), (*path, "user")),
            apis=frozenset(self.reader.texts(given.get("apis", []), (*path, "apis"))),
            name=self.reader.text(given.get("name", "Bridge"), (*path, "name")),
            active=self.reader.flag(given.get("active", True), (*path, "active")),
            expires=self.reader.text(given.get("expires", ""), (*path, "expires")),
        )

    def _client(self, value: Json, path: type_path) -> OAuthClient:
        given = self.reader.mapping(value, path, CLIENT_KEYS, "an OAuth client")
        words = self.reader.texts(given.get("grants", list(GRANT_WORDS)), (*path, "grants"))
        if unknown := [word for word in words if word not in GRANT_WORDS]:
            self.reader.refuse((*path, "grants"), f"unknown grant {unknown[0]!r}", f"known: {', '.join(GRANT_WORDS)}")
        grants = frozenset(GRANT_WORDS[word] for word in words if word in GRANT_WORDS)
        return OAuthClient(
            secret=self.reader.text(given.get("secret", ""), (*path, "secret")),
            active=self.reader.flag(given.get("active", True), (*path, "active")),
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
