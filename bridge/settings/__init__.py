"""bridge.yaml as one frozen value. Every problem is reported at once, with file:line:col; nothing starts on a bad file.

Only what the bridge honours today is taken: a key of a later version is refused by name, never ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from bridge.correlation.policy import CloseWhen
from bridge.errors import Problem
from bridge.settings.configuration import Configuration

BODY_BYTES_MAX_DEFAULT = 1 << 20
DECODED_BYTES_MAX_DEFAULT = 8 << 20
CREATES_PER_HOUR_DEFAULT = 200
LATE_COMMIT_LEAST = timedelta(minutes=5)  # as below; an instance at a loopback address is a simulated one
LATE_COMMIT_MOST = timedelta(hours=1)  # for so long an incident whose write had no answer is not sent again
LATE_COMMIT_DEFAULT = timedelta(seconds=310)  # its load balancer cuts at 5 minutes; a write may land until then
CORRELATION_ID = "correlation_id"
ATTENTION_AFTER_DEFAULT = timedelta(minutes=15)
CALLS_PER_HOUR_DEFAULT = 20_000
CONCURRENT_CALLS_DEFAULT = 8
SERVER_THREADS_DEFAULT = 32
TOLERANCE_DEFAULT = timedelta(seconds=300)
BODIES_KEPT_DEFAULT = timedelta(days=30)
BODIES_KEPT_LEAST = timedelta(days=1)
LOG_KEPT_DEFAULT = timedelta(days=365)
LOG_KEPT_LEAST = timedelta(days=4)  # deliveries are remembered for as long, so that one sent again is a duplicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A reference to a secret, never the secret. `read()` fetches it; the value is not kept here or printed."""

    kind: str  # "env" or "file"
    name: str  # variable name, or absolute path

    def read(self) -> bytes:
        """The secret's bytes, a trailing newline removed. Raises KeyError or OSError when it is not there."""
        if self.kind == "env":
            return os.fsencode(os.environ[self.name]).removesuffix(b"\n")
        return Path(self.name).read_bytes().removesuffix(b"\n").removesuffix(b"\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a product signs with a shared secret: scheme `hmac`."""

    header: str  # carries one signature, or several with commas or blanks between them
    prefix: str = ""  # before each signature
    hash: str = "sha256"  # sha1 | sha256 | sha384 | sha512
    encoding: str = "hex"  # hex | base64
    template: str = "{body}"  # what is signed: {body} once, {timestamp} and {id} at most once
    timestamp_header: str | None = None  # with {timestamp}: seconds or milliseconds since 1970, or ISO 8601
    id_header: str | None = None  # with {id}
    tolerance: timedelta = TOLERANCE_DEFAULT  # how far the signed time may be from ours, both ways


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """Whose tokens are taken, and of whom: scheme `oidc`."""

    issuer: str  # `iss`, exactly
    keys_url: str  # its JWKS
    audience: str  # `aud` is it, or has it
    subjects: tuple[str, ...]  # one of them stands in one of `subject_claims`
    subject_claims: tuple[str, ...]  # `email` counts only where `email_verified` is true


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAuth:
    """How a source proves itself. Which of the optional fields are set depends on the scheme."""

    scheme: str
    secrets: tuple[Secret, ...] = ()  # one, or two during rotation
    header: str | None = None  # `header`, `mtls`: the header's name
    prefix: str = ""  # `header`: stands before the secret
    username: str | None = None  # `basic`
    parameter: str | None = None  # `query`: the parameter's name
    preset: str | None = None  # `hmac`: whose way of signing it is; None: the file says it all
    signature: Signature | None = None  # `hmac`
    topics: tuple[str, ...] = ()  # `sns`: ARNs
    token: TokenIssuer | None = None  # `oidc`
    trusted_proxies: tuple[str, ...] = ()  # `mtls`: addresses and networks
    subjects: tuple[str, ...] = ()  # `mtls`: what the header must say, one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    name: str  # in the URL: /hooks/<name>
    mapping: str  # mappings/<mapping>.yaml
    auth: SourceAuth
    envelope: str | None = None  # how alerts are wrapped; None: as `auth` suggests
    tenant: str = "default"
    body_bytes_max: int = BODY_BYTES_MAX_DEFAULT
    decoded_bytes_max: int = DECODED_BYTES_MAX_DEFAULT  # of a body that came compressed
    expect_every: timedelta | None = None  # silence for longer than this is told; None: it may be silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    calls_per_hour: int = CALLS_PER_HOUR_DEFAULT
    concurrent_calls: int = CONCURRENT_CALLS_DEFAULT


class Environment(StrEnum):
    """What an instance is for."""

    PRODUCTION = "production"
    TEST = "test"  # `bridge doctor --write-probe` may write to it without its name being typed


class AuthScheme(StrEnum):
    """How the bridge proves itself to an instance."""

    BASIC = "basic"
    API_KEY = "api_key"
    OAUTH_PASSWORD = "oauth_password"  # noqa: S105 (the name of a scheme)
    OAUTH_CLIENT_CREDENTIALS = "oauth_client_credentials"
    OAUTH_JWT_BEARER = "oauth_jwt_bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceAuth:
    """The scheme and its references to secrets. Which of the optional fields are set depends on the scheme."""

    scheme: AuthScheme
    username: Secret | str | None = None  # basic, oauth_password
    password: Secret | None = None
    key: Secret | None = None  # api_key
    client_id: Secret | str | None = None  # oauth_*
    client_secret: Secret | None = None  # None with oauth_jwt_bearer: the client is a public one
    key_id: str | None = None  # oauth_jwt_bearer: the `kid` that ServiceNow's verifier map knows the key by
    private_key: Secret | None = None  # PEM, RSA or P-256
    private_key_password: Secret | None = None
    user: str | None = None  # whom the assertion is about: its `sub`

    def secrets(self) -> Iterator[tuple[str, Secret]]:
        """Every reference to a secret, by its key."""
        for name in self.__dataclass_fields__:
            if isinstance(value := getattr(self, name), Secret):
                yield name, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How an instance is reached, where the public network's ways will not do."""

    ca: Path | None = None  # PEM certificates: these are trusted, instead of the public ones
    client_cert: Path | None = None  # PEM; with its key, unless `client_key` has that
    client_key: Path | None = None
    proxy: Secret | str | None = None  # http://host:port; a Secret where the URL holds a password


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One ServiceNow instance."""

    name: str
    url: str  # https://host[:port] without path or trailing slash; http for a loopback address only
    auth: InstanceAuth
    limits: Limits = Limits()
    transport: Transport = Transport()
    environment: Environment = Environment.PRODUCTION
    # (resource, path) of the SecOps Integration Capabilities, which ServiceNow publishes nowhere
    enrichment_paths: tuple[tuple[str, str], ...] = ()

    def enrichment_path(self, resource: str) -> str | None:
        """Where this instance takes `ci_enrichment`, `observable_enrichment` or `threat_lookup`; None: not known."""
        return dict(self.enrichment_paths).get(resource)


class Reload(StrEnum):
    """What a serving process does about mapping files that change."""

    AUTO = "auto"  # it publishes what it finds
    PUBLISH_ONLY = "publish_only"  # nothing: it serves what was published by a command


class Mode(StrEnum):
    OBSERVE = "observe"  # decide and log, call nothing that writes
    WRITE = "write"


class Write(StrEnum):
    """How records are written. What each promises stands in docs/architecture.md."""

    TABLE = "table"  # the Table API
    IMPORT_SET = "import_set"  # a staging table, whose transform map writes the record
    UNIQUE = "unique"  # the Table API, and a unique index on `key_field`


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """Where `import_set` writes to."""

    table: str
    prefix: str = "u_"  # before each field's name
    coalesces: bool = True  # its map finds the record by the target's key_field; False: only creates go through it
    record_column: str | None = None  # carries the record's sys_id on an update, without the prefix
    carries_values: bool = False  # its map is known to carry choices as they are; False: it may translate them
    app: str | None = None  # scope of Elastic's app, which has a health check and links observables

    def column(self, field: str) -> str:
        """With the prefix, but for a field of the staging table's own, which has it already."""
        return field if self.prefix and field.startswith(self.prefix) else self.prefix + field


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """How an incident is closed at this target. `code` is never guessed: None means we do not close."""

    state: str  # "6" on incident, "3" on sn_si_incident
    code: str | None
    notes: str
    when: CloseWhen = CloseWhen.UNTOUCHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    name: str
    instance: str
    table: str  # incident | sn_si_incident
    mode: Mode = Mode.WRITE
    tenant: str = "default"
    defaults: tuple[tuple[str, str], ...] = ()  # fields of every create
    close: Close | None = None
    reopen_state: str | None = None  # None: the state the record had before we closed it
    false_positive_codes: tuple[str, ...] = ()
    max_creates_per_hour: int = CREATES_PER_HOUR_DEFAULT
    late_commit: timedelta = LATE_COMMIT_DEFAULT
    adopt_any: bool = False  # `adopt: any`: write to a foreign record that carries our ID (migration)
    write: Write = Write.TABLE
    key_field: str = CORRELATION_ID  # the column by which ServiceNow itself tells one record from another
    staging: Staging | None = None  # with `import_set`

    @property
    def may_translate(self) -> bool:
        """Whether a transform map stands before the table of which it is not known what it makes of a value."""
        return self.staging is not None and not self.staging.carries_values

    @property
    def one_record_per_id(self) -> bool:
        """ServiceNow takes every episode of a correlation for the same record: a return can only reopen."""
        coalesces = self.staging is not None and self.staging.coalesces
        return self.key_field == CORRELATION_ID and (coalesces or self.write is Write.UNIQUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorFile:
    """A file of ours that checkpoints of the log are appended to."""

    name: str  # `file:` and the path as bridge.yaml has it
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSyslog:
    """A collector that checkpoints of the log are sent to."""

    name: str  # `syslog:` and HOST:PORT
    host: str
    port: int
    transport: str  # "udp", "tcp", or "tls": TLS over TCP
    ca: Path | None = None  # with TLS: PEM certificates, trusted instead of the public ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Whom the bridge tells what is wrong with its sources."""

    target: str
    assignment_group: str  # "": ServiceNow's rules decide
    after: timedelta  # how long it must have lasted


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how long what is over is kept. What is still needed stays however old it is: see store/pruning.py."""

    deliveries: timedelta = BODIES_KEPT_DEFAULT  # bodies, as received and as unwrapped
    log: timedelta = LOG_KEPT_DEFAULT  # entries of the correlation log, rows of deliveries and alerts, values written


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    file: Path
    database: str  # SQLAlchemy URL; SQLite paths absolute
    mappings_path: Path
    reload: Reload
    server_threads: int
    server_proxy: Secret | str | None = (
        None  # for what intake asks the network for; a Secret where the URL holds a password
    )
    # Ed25519 private keys of the correlation log: one, or two during rotation, newest first; empty: it is not sealed
    signing_keys: tuple[Path, ...]
    instances: dict[str, Instance]
    targets: dict[str, Target]
    sources: dict[str, Source]
    attention: Attention | None = None  # None: there are no incidents about sources
    anchors: tuple[AnchorFile | AnchorSyslog, ...] = ()  # where the log's checkpoints go besides the database
    configuration: Configuration = field(default_factory=Configuration)  # for the log
    retention: Retention = Retention()


def load_settings(path: Path) -> Settings:
    """Read bridge.yaml. Raises Misconfigured with every problem at once. Secrets are not looked at: `check_secrets`."""
    from bridge.settings.load import load  # reading YAML costs a quarter of a second: only those who load pay it

    return load(path)


def check_secrets(settings: Settings) -> list[Problem]:
    """What is wrong with the secrets that bridge.yaml refers to: missing, empty, or a key that others can read."""
    from bridge.settings.secrets import problems_of

    return problems_of(settings)


def open_secrets(settings: Settings) -> list[Problem]:
    """Of the files that bridge.yaml refers to for secrets, those that others can read: a warning, no more."""
    from bridge.settings.secrets import open_to_others

    return open_to_others(settings)
