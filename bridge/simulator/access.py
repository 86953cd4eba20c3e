"""Who may come in: users, API keys, OAuth clients and client certificates, and how a call shows which it is."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bridge.simulator import answers
from bridge.simulator.request import ApiRequest
from bridge.simulator.tokens import Tokens

PASSWORD = "password"  # noqa: S105  # the name of a grant
REFRESH = "refresh_token"
CLIENT = "client_credentials"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANTS = (PASSWORD, CLIENT, JWT)  # a client that may take passwords may refresh too


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    password: str = field(default="", repr=False)  # "": no Basic authentication and no password grant
    roles: frozenset[str] | None = None  # None: everything is allowed
    email: str = ""
    mfa: bool = False  # a password alone is refused
    active: bool = True

    def is_password(self, given: str) -> bool:
        return bool(self.password) and hmac.compare_digest(self.password.encode(), given.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    user: str
    apis: frozenset[str] = frozenset()  # the APIs whose access policy takes it; empty: all


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    secret: str = field(default="", repr=False)  # "": a public client, for JWT only
    grants: frozenset[str] = frozenset(GRANTS)
    user: str = ""  # the OAuth application user: who a client_credentials token is
    keys: Mapping[str, str] = field(default_factory=dict)  # kid -> public key or certificate, PEM
    issuer: str = ""  # of assertions; "": the client's ID
    subject: str = "user_name"  # the sys_user column that an assertion's `sub` names
    access_seconds: int = 1800  # [OFFICIAL]
    refresh_seconds: int = 8_640_000  # 100 days [UNVERIFIED]


@dataclass(slots=True, kw_only=True)
class Access:
    users: dict[str, User]
    api_keys: dict[str, ApiKey] = field(default_factory=dict, repr=False)
    clients: dict[str, OAuthClient] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)  # common name -> user
    tokens: Tokens = field(default_factory=Tokens)

    def active_user(self, name: str) -> User | None:
        user = self.users.get(name)
        return user if user is not None and user.active else None


def authenticate(access: Access, request: ApiRequest, *, now: datetime) -> User:
    """The user whose call this is; raises Refused. Authorization is looked at first, alone when it is there."""
    if request.authorization:
        scheme, _, credentials = request.authorization.partition(" ")
        user = _by_header(access, scheme.lower(), credentials, now=now)
    elif request.api_key:
        user = _by_key(access, request)
    else:
        user = access.active_user(access.certificates.get(request.certificate, ""))
    if user is None:
        raise answers.not_authenticated()
    return user


def _by_header(access: Access, scheme: str, credentials: str, *, now: datetime) -> User | None:
    if scheme == "bearer":
        return access.active_user(access.tokens.user_of(credentials, now=now))
    if scheme != "basic":
        return None
    name, password = basic_pair(credentials)
    user = access.active_user(name)
    if user is None or not user.is_password(password):
        return None
    if user.mfa:
        raise answers.second_factor_missing()
    return user


def basic_pair(credentials: str) -> tuple[str, str]:
    """The name and the password of Basic credentials; empty when they cannot be read."""
    try:
        name, _, password = b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _by_key(access: Access, request: ApiRequest) -> User | None:
    key = access.api_keys.get(request.api_key)
    if key is None or (key.apis and request.place.api not in key.apis):
        return None
    return access.active_user(key.user)
