"""Who may come in: users, API keys, OAuth clients and client certificates, and how a call shows which it is."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.simulator import answers
from bridge.simulator.request import ApiRequest
from bridge.simulator.tokens import Tokens

PASSWORD = "password"  # noqa: S105  # the name of a grant
REFRESH = "refresh_token"
CLIENT = "client_credentials"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANTS = (PASSWORD, CLIENT, JWT)  # a client that may take passwords may refresh too
PROOFS = ("basic", "oauth", "api_key")  # that an API access policy may name
RELEASE = "yokohama"
KEYS_SINCE = "washingtondc"  # the release that brings API keys [OFFICIAL]
BASIC_ROLE = "snc_basic_auth_api_access"  # lets a user in by Basic where that is restricted [OFFICIAL]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    password: str = field(default="", repr=False)  # "": no Basic authentication and no password grant
    roles: frozenset[str] | None = None  # None: everything is allowed
    email: str = ""
    mfa: bool = False  # a password alone is refused
    active: bool = True
    locked_out: bool = False
    password_needs_reset: bool = False
    web_service_only: bool = False

    def is_password(self, given: str) -> bool:
        return bool(self.password) and hmac.compare_digest(self.password.encode(), given.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    user: str
    apis: frozenset[str] = frozenset()  # the APIs of its scope; empty: all
    name: str = "Bridge"
    active: bool = True
    expires: str = ""  # UTC, YYYY-MM-DD HH:MM:SS; "": never


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A REST API access policy: once an API has one, it takes what its profiles name and nothing else."""

    api: str  # a key of api.APIS
    profiles: frozenset[str] = frozenset(PROOFS)
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What its members may do beside their own roles."""

    roles: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()  # user names


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    secret: str = field(default="", repr=False)  # "": a public client, for JWT only
    active: bool = True
    grants: frozenset[str] = frozenset(GRANTS)
    user: str = ""  # the OAuth application user: who a client_credentials token is
    keys: Mapping[str, str] = field(default_factory=dict)  # kid -> public key or certificate, PEM
    issuer: str = ""  # of assertions; "": the client's ID
    subject: str = "user_name"  # the sys_user column that an assertion's `sub` names
    access_seconds: int = 1800  # [OFFICIAL]
    refresh_seconds: int = 8_640_000  # 100 days [UNVERIFIED]


PATHS = {"table": "now/table", "import": "now/import", "attachment": "now/attachment"}  # api_path of policies
# Those whose names and paths are known; they take everything until a scenario says otherwise.
POLICIES = {
    "Table API": Policy(api="table"),
    "Import Set API": Policy(api="import"),
    "Attachment API": Policy(api="attachment"),
}
FIRST_OF_OLD = "b"  # after Zurich came Australia; of the first round, Berlin to Vancouver are old


@dataclass(slots=True, kw_only=True)
class Access:
    users: dict[str, User]
    api_keys: dict[str, ApiKey] = field(default_factory=dict, repr=False)
    clients: dict[str, OAuthClient] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)  # common name -> user
    tokens: Tokens = field(default_factory=Tokens)
    groups: dict[str, Group] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=lambda: dict(POLICIES))
    key_plugin: bool | None = True  # com.glide.tokenbased_auth is active; None: it is not on the instance
    release: str = RELEASE
    basic_restricted: bool = False
    client_credentials: bool = True  # the property of that grant

    def active_user(self, name: str) -> User | None:
        """With the roles of its groups."""
        user = self.users.get(name)
        if user is None or not user.active or user.locked_out:
            return None
        if user.roles is None:
            return user
        inherited = (group.roles for group in self.groups.values() if name in group.members)
        return replace(user, roles=user.roles.union(*inherited))

    @property
    def has_keys(self) -> bool:
        """Whether the plugin is on the instance. Releases are in the alphabet's order, which began anew after Z."""
        return self.key_plugin is not None and (self.release >= KEYS_SINCE or self.release < FIRST_OF_OLD)

    def takes(self, proof: str, api: str) -> bool:
        """Whether the policies of an API take a proof. An API without any takes all but keys; those whose path is not
        known take keys, too, which no instance does.
        """
        of_it = [policy for policy in self.policies.values() if policy.active and policy.api == api]
        if proof == "api_key" and not of_it and api in {policy.api for policy in POLICIES.values()}:
            return False
        return not of_it or any(proof in policy.profiles for policy in of_it)


def authenticate(access: Access, request: ApiRequest, *, now: datetime) -> User:
    """The user whose call this is; raises Refused. Authorization is looked at first, alone when it is there."""
    if request.authorization:
        scheme, _, credentials = request.authorization.partition(" ")
        user = _by_header(access, scheme.lower(), credentials, request.place.api, now=now)
    elif request.api_key:
        user = _by_key(access, request, now=now)
    else:
        user = access.active_user(access.certificates.get(request.certificate, ""))
    if user is None:
        raise answers.not_authenticated()
    return user


def _by_header(access: Access, scheme: str, credentials: str, api: str, *, now: datetime) -> User | None:
    if scheme == "bearer":
        user = access.active_user(access.tokens.user_of(credentials, now=now))
        return user if access.takes("oauth", api) else None
    if scheme != "basic" or not access.takes("basic", api):
        return None
    name, password = basic_pair(credentials)
    user = access.active_user(name)
    if user is None or not user.is_password(password) or user.password_needs_reset:
        return None
    if access.basic_restricted and not (user.web_service_only or BASIC_ROLE in (user.roles or {BASIC_ROLE})):
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


def _by_key(access: Access, request: ApiRequest, *, now: datetime) -> User | None:
    key = access.api_keys.get(request.api_key)
    api = request.place.api
    if key is None or not key.active or (key.apis and api not in key.apis):
        return None
    if not (access.has_keys and access.key_plugin and access.takes("api_key", api)):
        return None
    if key.expires and key.expires <= f"{now:%Y-%m-%d %H:%M:%S}":
        return None
    return access.active_user(key.user)
