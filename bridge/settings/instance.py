"""From the text of bridge.yaml to one Instance: its address, how it knows us, its limits, how it is reached."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from bridge.mapping.model import ENRICHMENTS
from bridge.settings import (
    CALLS_PER_HOUR_DEFAULT,
    CONCURRENT_CALLS_DEFAULT,
    AuthScheme,
    Environment,
    Instance,
    InstanceAuth,
    Limits,
    Secret,
    Transport,
)
from bridge.settings.references import secret_of, text_or_secret
from bridge.settings.section import Section

API_PATH = re.compile(r"/api(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")  # of a host's name
HOST_CHARACTERS_MAX = 253
EXAMPLE = "https://acme.service-now.com"
PROXY_EXAMPLE = "http://proxy.example:3128"


def instance_of(name: str, section: Section, folder: Path) -> Instance:
    url = _url(section)
    environment = Environment(section.word("environment", tuple(Environment), Environment.PRODUCTION))
    auth = _auth(section.section("auth", required=True), folder)
    limits = section.section("limits")
    calls = limits.integer("calls_per_hour", CALLS_PER_HOUR_DEFAULT, least=1)
    concurrent = limits.integer("concurrent_calls", CONCURRENT_CALLS_DEFAULT, least=1)
    limits.finish()
    transport = _transport(section.section("transport"), folder)
    paths = _enrichment_paths(section)
    section.finish()
    return Instance(
        name=name,
        url=url,
        auth=auth,
        limits=Limits(calls_per_hour=calls, concurrent_calls=concurrent),
        transport=transport,
        environment=environment,
        enrichment_paths=paths,
    )


# --- the address


def _url(section: Section) -> str:
    text = section.text("url")
    if not text:
        return ""
    url, host, port = _split(text)
    origin = _origin(host, port)
    if not is_host(host) or port == 0 or url.scheme not in ("https", "http") or re.search(r"[\s\\]", text):
        section.refuse("url", "is not the URL of an instance", _fix(text))
    elif url.username or url.password:
        section.refuse("url", "holds credentials: they belong under `auth`, as references", EXAMPLE)
    elif url.path not in ("", "/") or "?" in text or "#" in text:
        section.refuse("url", "must end after the host: the bridge knows the paths", f"write {url.scheme}://{origin}")
    elif url.scheme == "http" and not is_loopback(host):
        hint = f"write https://{origin}; plain http is for a loopback address only"
        section.refuse("url", "must be https: credentials travel over it", hint)
    else:
        return f"{url.scheme}://{origin}"
    return ""


def _split(text: str) -> tuple[SplitResult, str, int | None]:
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        return urlsplit(""), "", None
    return url, host, port


def is_host(host: str) -> bool:
    """What a request can name: another letter than these is written as DNS has it, xn--…"""
    if ":" in host:
        return "%" not in host  # an address of one link alone, which a certificate cannot name
    return len(host) <= HOST_CHARACTERS_MAX and all(LABEL.fullmatch(label) for label in host.split("."))


def _origin(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown + (f":{port}" if port else "")


def _fix(text: str) -> str:
    """A host or an instance's name alone is what people write first."""
    if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?/?", text):
        return f"write https://{text.rstrip('/').lower()}"
    if re.fullmatch(r"[A-Za-z0-9-]+", text):
        return f"write https://{text.lower()}.service-now.com"
    return EXAMPLE


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _enrichment_paths(section: Section) -> tuple[tuple[str, str], ...]:
    """A path below which the resources have our own names, or the path of each: neither is published by ServiceNow."""
    key = "enrichment_path"
    if not section.has(key):
        return ()
    if not isinstance(section.peek(key), dict):
        base = _api_path(section, key)
        return tuple((resource, f"{base}/{resource}") for resource in ENRICHMENTS)
    each = section.section(key)
    paths = tuple((resource, _api_path(each, resource)) for resource in ENRICHMENTS if each.has(resource))
    each.finish()
    return paths


def _api_path(section: Section, key: str) -> str:
    path = section.text(key).rstrip("/")
    if path and API_PATH.fullmatch(path) is None:
        section.refuse(key, f"`{path}` is not the path of an API", "as in /api/…, without host and query")
    return path


# --- how it knows us

NO_COLON = "holds a colon, at which Basic credentials end the user name"  # RFC 7617, 2
NO_CONTROL = "holds a line break or another control character, which Basic credentials cannot"  # RFC 7617, 2


def _auth(auth: Section, folder: Path) -> InstanceAuth:
    build = SCHEMES.get(auth.word("scheme", tuple(SCHEMES), None))
    if build is None:  # the keys of an unknown scheme are not ours to judge
        return InstanceAuth(scheme=AuthScheme.BASIC)
    built = build(auth, folder)
    auth.finish()
    return built


def wrong_with_username(username: str) -> str:
    """Why Basic cannot carry it; "" when it can."""
    if ":" in username:
        return NO_COLON
    return NO_CONTROL if re.search(r"[\x00-\x1f\x7f]", username) else ""


def _basic(auth: Section, folder: Path) -> InstanceAuth:
    username = text_or_secret(auth, "username", folder)
    if isinstance(username, str) and (wrong := wrong_with_username(username)):
        auth.refuse("username", f"`username` {wrong}", "take the user's User ID, or another scheme")
    return InstanceAuth(
        scheme=AuthScheme.BASIC,
        username=username,
        password=secret_of(auth, "password", folder),
    )


def _api_key(auth: Section, folder: Path) -> InstanceAuth:
    return InstanceAuth(scheme=AuthScheme.API_KEY, key=secret_of(auth, "key", folder))


def _oauth_password(auth: Section, folder: Path) -> InstanceAuth:
    return InstanceAuth(
        scheme=AuthScheme.OAUTH_PASSWORD,
        client_id=text_or_secret(auth, "client_id", folder),
        client_secret=secret_of(auth, "client_secret", folder),
        username=text_or_secret(auth, "username", folder),
        password=secret_of(auth, "password", folder),
    )


def _oauth_client_credentials(auth: Section, folder: Path) -> InstanceAuth:
    return InstanceAuth(
        scheme=AuthScheme.OAUTH_CLIENT_CREDENTIALS,
        client_id=text_or_secret(auth, "client_id", folder),
        client_secret=secret_of(auth, "client_secret", folder),
    )


def _oauth_jwt_bearer(auth: Section, folder: Path) -> InstanceAuth:
    return InstanceAuth(
        scheme=AuthScheme.OAUTH_JWT_BEARER,
        client_id=text_or_secret(auth, "client_id", folder),
        client_secret=_optional_secret(auth, "client_secret", folder),
        key_id=auth.text("key_id"),
        private_key=secret_of(auth, "private_key", folder),
        private_key_password=_optional_secret(auth, "private_key_password", folder),
        user=auth.text("user"),
    )


SCHEMES: dict[str, Callable[[Section, Path], InstanceAuth]] = {
    AuthScheme.BASIC: _basic,
    AuthScheme.API_KEY: _api_key,
    AuthScheme.OAUTH_PASSWORD: _oauth_password,
    AuthScheme.OAUTH_CLIENT_CREDENTIALS: _oauth_client_credentials,
    AuthScheme.OAUTH_JWT_BEARER: _oauth_jwt_bearer,
}


def _optional_secret(auth: Section, key: str, folder: Path) -> Secret | None:
    return secret_of(auth, key, folder) if auth.has(key) else None


# --- how it is reached


def _transport(transport: Section, folder: Path) -> Transport:
    built = Transport(
        ca=_path(transport, "ca", folder),
        client_cert=_path(transport, "client_cert", folder),
        client_key=_path(transport, "client_key", folder),
        proxy=proxy_of(transport, folder),
    )
    if built.client_key is not None and built.client_cert is None:
        transport.refuse("client_key", "is a key without its certificate", "give `client_cert` too", at_key=True)
    transport.finish()
    return built


def _path(section: Section, key: str, folder: Path) -> Path | None:
    return folder / section.text(key) if section.has(key) else None


def proxy_of(transport: Section, folder: Path) -> Secret | str | None:
    if not transport.has("proxy"):
        return None
    proxy = text_or_secret(transport, "proxy", folder)
    if not isinstance(proxy, str):
        return proxy
    url, _host, _port = _split(proxy)
    if url.username or url.password:
        hint = "put the whole URL into a secret: proxy: {file: PATH} or {env: NAME}"
        transport.refuse("proxy", "holds credentials, which never stand in this file", hint)
    elif proxy and not is_proxy(proxy):
        transport.refuse("proxy", "is not the URL of a proxy", PROXY_EXAMPLE)
    return proxy


def is_proxy(text: str) -> bool:
    """Whether it is http[s]://[USER:PASSWORD@]HOST[:PORT], and each part such as a request can carry."""
    url, host, port = _split(text)
    try:
        f"{unquote(url.username or '')}{unquote(url.password or '')}".encode("latin-1")  # as Basic is sent
    except UnicodeEncodeError:
        return False
    return (
        url.scheme in ("http", "https")
        and is_host(host)
        and port != 0
        and url.path in ("", "/")
        and re.search(r"[\s\\?#\x00-\x1f\x7f]", text) is None
    )
