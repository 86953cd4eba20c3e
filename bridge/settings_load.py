"""From the text of bridge.yaml to Settings. Its vocabulary stands in literal tables; the order follows the file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from bridge.errors import Misconfigured, Problem
from bridge.settings import (
    BODY_BYTES_MAX_DEFAULT,
    CALLS_PER_HOUR_DEFAULT,
    CONCURRENT_CALLS_DEFAULT,
    SERVER_THREADS_DEFAULT,
    Instance,
    Limits,
    Reload,
    Secret,
    Settings,
    Source,
    SourceAuth,
)
from bridge.settings_section import NAME, Section
from bridge.settings_targets import target_of
from bridge.yamlfile import load_yaml

BODY_BYTES_LARGEST = 8 << 20  # what one group commit takes in
SERVER_THREADS_MAX = 512
SECRETS_MAX = 2  # the new and the old one, during rotation

# Keys and words of CONTRACT that a later version will honour. They are refused: ignoring one would break its promise.
LATER_KEYS = {
    "": ("retention", "attention"),
    "log": ("anchors",),
    "instance": ("enrichment_path", "transport"),
    "source": ("envelope", "expect_every"),
    "hmac": ("header", "prefix", "hash", "encoding", "template", "tolerance", "order"),
}
LATER_INSTANCE_SCHEMES = ("api_key", "oauth_password", "oauth_client_credentials", "oauth_jwt_bearer")
LATER_SOURCE_SCHEMES = ("basic", "sns", "oidc", "query", "mtls")

_MAPPING = re.compile(r"[a-z0-9][a-z0-9_-]*")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")  # no underscore: WSGI cannot tell it from a hyphen
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

T = TypeVar("T")


def load(path: Path) -> Settings:
    settings, problems = read(path)
    if problems:
        raise Misconfigured(problems)
    return settings


def read(path: Path) -> tuple[Settings, list[Problem]]:
    """The settings as far as they can be made out, and what is wrong. Raises Misconfigured for what is no YAML map."""
    try:
        path.stat()
    except FileNotFoundError as error:
        hint = "name it with --config or $BRIDGE_CONFIG, or make one with `bridge init`"
        raise Misconfigured([Problem(str(path), 0, 0, "there is no such file", hint)]) from error
    file = load_yaml(path)
    problems: list[Problem] = []
    if not isinstance(file.value, dict):
        raise Misconfigured(
            [file.problem((), "must hold `key: value` lines", "`bridge init` writes one to start from")]
        )
    settings = _settings(Section(file, (), problems), path)
    return settings, list(dict.fromkeys(problems))


def _settings(root: Section, path: Path) -> Settings:
    folder = path.absolute().parent
    database = _database(root, folder)
    mappings = root.section("mappings")
    mappings_path = folder / mappings.text("path", "mappings")
    reload = Reload(mappings.word("reload", tuple(Reload), Reload.AUTO))
    mappings.finish()
    server = root.section("server")
    threads = server.integer("threads", SERVER_THREADS_DEFAULT, least=1, most=SERVER_THREADS_MAX)
    server.finish()
    log = root.section("log")
    signing_key = _file(log, "signing_key", folder)
    log.finish(later=LATER_KEYS["log"])
    instances = _named(root, "instances", lambda name, section: _instance(name, section, folder))
    targets = _named(root, "targets", lambda name, section: target_of(name, section, root))
    sources = _named(root, "sources", lambda name, section: _source(name, section, folder))
    root.finish(later=LATER_KEYS[""])
    return Settings(
        file=path,
        database=database,
        mappings_path=mappings_path,
        reload=reload,
        server_threads=threads,
        signing_key=signing_key,
        instances=instances,
        targets=targets,
        sources=sources,
    )


def _named(root: Section, key: str, build: Callable[[str, Section], T]) -> dict[str, T]:
    """A section whose keys are names that the file gives: each is built, each mistake is kept."""
    section = root.section(key)
    built = {}
    for name in section.names():
        if NAME.fullmatch(name) is None:
            hint = "letters, digits, `.`, `-` and `_`, at most 64, the first a letter or digit"
            section.refuse(name, f"`{name}` cannot be a name: it stands in URLs and logs", hint, at_key=True)
        built[name] = build(name, section.section(name, required=True))
    return built


def _database(root: Section, folder: Path) -> str:
    """The SQLAlchemy URL. No mistake in it is quoted back: it may hold a password."""
    text = root.text("database", "sqlite:///var/bridge.db")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        root.refuse("database", "is not a database URL", "sqlite:///var/bridge.db or postgresql://user@host/db")
        return text
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:":
            root.refuse("database", "names no file: alerts must outlive the process", "sqlite:///var/bridge.db")
        if url.host or url.query:
            root.refuse("database", "must be sqlite:/// and a path, nothing more", "sqlite:///var/bridge.db")
        return f"sqlite:///{folder / (url.database or '')}"
    if url.drivername != "postgresql":
        hint = "sqlite:///var/bridge.db or postgresql://user@host/db"
        root.refuse("database", f"`{url.drivername}` is not a database we can use", hint)
    elif not url.database:
        root.refuse("database", "names no database", "postgresql://user@host/db")
    if url.password or "password" in url.query:
        hint = "leave it out here; set $PGPASSWORD, or write it to ~/.pgpass or the file that $PGPASSFILE names"
        root.refuse("database", "holds a password: secrets are only ever referred to", hint)
    return text


def _instance(name: str, section: Section, folder: Path) -> Instance:
    url = _instance_url(section)
    section.word("environment", ("production", "test"), "production")
    auth = section.section("auth", required=True)
    known = auth.word("scheme", ("basic",), None, later=LATER_INSTANCE_SCHEMES) == "basic"
    username: Secret | str = ""
    password = Secret(kind="env", name="")
    if known:  # the keys of another scheme are not ours to judge
        username = _text_or_secret(auth, "username", folder)
        password = _secret(auth, "password", folder) or password
        auth.finish()
    limits = section.section("limits")
    calls = limits.integer("calls_per_hour", CALLS_PER_HOUR_DEFAULT, least=1)
    concurrent = limits.integer("concurrent_calls", CONCURRENT_CALLS_DEFAULT, least=1)
    limits.finish()
    section.finish(later=LATER_KEYS["instance"])
    return Instance(
        name=name,
        url=url,
        username=username,
        password=password,
        limits=Limits(calls_per_hour=calls, concurrent_calls=concurrent),
    )


def _instance_url(section: Section) -> str:
    text = section.text("url")
    example = "https://acme.service-now.com"
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        host, port, url = "", None, urlsplit("")
    if not text:
        return ""
    if not host or url.scheme not in ("https", "http") or re.search(r"[\s\\]", text):
        section.refuse("url", "is not the URL of an instance", example)
    elif url.username or url.password:
        section.refuse("url", "holds credentials: they belong under `auth`, as references", example)
    elif url.path not in ("", "/") or "?" in text or "#" in text:
        section.refuse("url", "must end after the host: the bridge knows the paths", example)
    elif url.scheme == "http" and not is_loopback(host):
        section.refuse("url", "must be https: credentials travel over it", "plain http is for a loopback address only")
    shown = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{shown}" + (f":{port}" if port else "")


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _source(name: str, section: Section, folder: Path) -> Source:
    mapping = section.text("mapping")
    if mapping and _MAPPING.fullmatch(mapping) is None:
        section.refuse("mapping", f"`{mapping}` is not a mapping's name", "`elastic` means the file elastic.yaml")
    source = Source(
        name=name,
        mapping=mapping,
        auth=_source_auth(section.section("auth", required=True), folder),
        tenant=section.name("tenant", "default"),
        body_bytes_max=section.integer("body_bytes_max", BODY_BYTES_MAX_DEFAULT, least=1024, most=BODY_BYTES_LARGEST),
    )
    section.finish(later=LATER_KEYS["source"])
    return source


def _source_auth(auth: Section, folder: Path) -> SourceAuth:
    build = SOURCE_SCHEMES.get(auth.word("scheme", tuple(SOURCE_SCHEMES), None, later=LATER_SOURCE_SCHEMES))
    return SourceAuth(scheme="") if build is None else build(auth, folder)


def _auth_none(auth: Section, _folder: Path) -> SourceAuth:
    auth.finish()
    return SourceAuth(scheme="none")


def _auth_bearer(auth: Section, folder: Path) -> SourceAuth:
    secrets = _secrets(auth, folder)
    auth.finish()
    return SourceAuth(scheme="bearer", secrets=secrets)


def _auth_header(auth: Section, folder: Path) -> SourceAuth:
    header = auth.text("name")
    if header and _HEADER.fullmatch(header) is None:
        auth.refuse("name", f"`{header}` cannot be a header's name here", "letters, digits and `-`, as in X-Api-Key")
    secrets = _secrets(auth, folder)
    auth.finish()
    return SourceAuth(scheme="header", secrets=secrets, header=header)


def _auth_hmac(auth: Section, folder: Path) -> SourceAuth:
    preset = auth.word("preset", ("github",), None)
    secrets = _secrets(auth, folder)
    auth.finish(later=LATER_KEYS["hmac"])
    return SourceAuth(scheme="hmac", secrets=secrets, preset=preset)


def _auth_standard_webhooks(auth: Section, folder: Path) -> SourceAuth:
    secrets = _secrets(auth, folder)
    auth.finish()
    return SourceAuth(scheme="standard_webhooks", secrets=secrets)


SOURCE_SCHEMES = {
    "none": _auth_none,
    "bearer": _auth_bearer,
    "header": _auth_header,
    "hmac": _auth_hmac,
    "standard_webhooks": _auth_standard_webhooks,
}


def _file(section: Section, key: str, folder: Path) -> Path | None:
    """`{file: PATH}` where only a file will do: the log's key is two files, private and public."""
    if not section.has(key):
        return None
    secret = _secret(section, key, folder)
    if secret is not None and secret.kind != "file":
        section.refuse(key, "must be a file", "{file: var/log.key}")
    return Path(secret.name) if secret is not None else None


def _text_or_secret(section: Section, key: str, folder: Path) -> Secret | str:
    if isinstance(section.peek(key), dict):
        return _secret(section, key, folder) or ""
    return section.text(key)


def _secrets(section: Section, folder: Path) -> tuple[Secret, ...]:
    value = section.peek("secret")
    if not isinstance(value, list):
        secret = _secret(section, "secret", folder)
        return (secret,) if secret is not None else ()
    section.take("secret")
    if not 1 <= len(value) <= SECRETS_MAX:
        section.refuse("secret", f"holds {len(value)} references; one is used, or two during rotation", "newest first")
    found = (_reference(section, ("secret", index), item, folder) for index, item in enumerate(value))
    return tuple(secret for secret in found if secret is not None)


def _secret(section: Section, key: str, folder: Path) -> Secret | None:
    if not section.has(key):
        section.missing(key, "{env: NAME} or {file: PATH}")
        return None
    return _reference(section, (key,), section.take(key), folder)


def _reference(section: Section, path: tuple[str | int, ...], value: object, folder: Path) -> Secret | None:
    """One `{env: NAME}` or `{file: PATH}`. What stands there instead is never quoted: it may be the secret."""
    hint = "write {env: NAME} or {file: PATH}"
    if not isinstance(value, dict):
        section.refuse(path, "a secret is never written in this file, only where it is", hint)
        return None
    if len(value) != 1 or not value.keys() <= {"env", "file"}:
        section.refuse(path, "is not a reference to a secret", hint)
        return None
    ((kind, name),) = value.items()
    if not isinstance(name, str) or not name or (kind == "env" and _VARIABLE.fullmatch(name) is None):
        what = "an environment variable's name" if kind == "env" else "a file's path"
        section.refuse((*path, kind), f"is not {what}", hint)
        return None
    return Secret(kind=kind, name=name if kind == "env" else str(folder / name))
