"""Whether the secrets that bridge.yaml refers to are there. Their values are looked at and forgotten, never shown."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bridge.errors import Misconfigured, Problem
from bridge.settings import AnchorSyslog, AuthScheme, InstanceAuth, Secret, Settings, Transport
from bridge.settings.instance import is_proxy, wrong_with_username
from bridge.yamlfile import YamlFile, load_yaml, type_path

MOUNTED = "give it the mode 0440, and the group of the bridge's user"
KEY_HINT = "`bridge init DIR` in an empty folder makes a new pair"
PROXY_HINT = "http://user:password@proxy.example:3128; in user and password write a blank as %20, / as %2F, # as %23"


def problems_of(settings: Settings) -> list[Problem]:
    file = places(settings.file)
    problems = []
    for path, secret in _references(settings):
        if (wrong := _wrong_with(secret)) is not None:
            problems.append(file.problem(path, f"{'.'.join(map(str, path))}: {wrong[0]}", wrong[1]))
    for path, wrong in _wrong_with_instances(settings):
        problems.append(file.problem(path, f"{'.'.join(map(str, path))}: {wrong[0]}", wrong[1]))
    for path, wrong in _wrong_with_log(settings):
        problems.append(file.problem(path, f"{'.'.join(map(str, path))}: {wrong[0]}", wrong[1]))
    return problems


def open_to_others(settings: Settings) -> list[Problem]:
    """Files of secrets that more than the bridge's user may read. Nothing is refused for it: where secrets are mounted
    somebody else decides on their modes, and they work.
    """
    file = places(settings.file)
    references = [(path, Path(secret.name)) for path, secret in _references(settings) if secret.kind == "file"]
    for name, instance in settings.instances.items():
        transport = instance.transport
        if (key := transport.client_key or transport.client_cert) is not None:
            where = "client_key" if transport.client_key else "client_cert"
            references.append((("instances", name, "transport", where), key))
    found = []
    for path, secret in references:
        with suppress(OSError):  # told as a secret that is not there
            status = secret.stat()
            mode = stat.S_IMODE(status.st_mode)
            # A group may have to: so does a service read a file that is not its own, and that it cannot change.
            mine = status.st_uid == os.geteuid()
            if mode & (0o077 if mine else 0o007):
                told = f"{'.'.join(map(str, path))}: others can read {secret} (mode {mode:04o})"
                found.append(file.problem(path, told, f"chmod 600 {secret}" if mine else MOUNTED))
    return found


def places(path: Path) -> YamlFile:
    """The file again, for the places of its references; without places should it have changed meanwhile."""
    try:
        return load_yaml(path)
    except Misconfigured:
        return YamlFile(name=str(path), value=None, places={}, key_places={}, source="")


def _references(settings: Settings) -> Iterator[tuple[type_path, Secret]]:
    for name, instance in settings.instances.items():
        for key, secret in instance.auth.secrets():
            yield ("instances", name, "auth", key), secret
        if isinstance(instance.transport.proxy, Secret):
            yield ("instances", name, "transport", "proxy"), instance.transport.proxy
    if isinstance(settings.server_proxy, Secret):
        yield ("server", "proxy"), settings.server_proxy
    for name, source in settings.sources.items():
        several = len(source.auth.secrets) > 1
        for index, secret in enumerate(source.auth.secrets):
            yield ("sources", name, "auth", "secret", *((index,) if several else ())), secret


def _wrong_with_instances(settings: Settings) -> Iterator[tuple[type_path, tuple[str, str]]]:
    """Keys, certificates and proxies that are there and cannot be used."""
    proxy = settings.server_proxy
    if isinstance(proxy, Secret) and (wrong := _wrong_with_proxy(proxy)) is not None:
        yield ("server", "proxy"), wrong
    for name, instance in settings.instances.items():
        if (wrong := _wrong_with_private_key(instance.auth)) is not None:
            yield ("instances", name, "auth", "private_key"), wrong
        if (wrong := _wrong_with_username(instance.auth)) is not None:
            yield ("instances", name, "auth", "username"), wrong
        proxy = instance.transport.proxy
        if isinstance(proxy, Secret) and (wrong := _wrong_with_proxy(proxy)) is not None:
            yield ("instances", name, "transport", "proxy"), wrong
        for key, wrong in _wrong_with_transport(instance.transport):
            yield ("instances", name, "transport", key), wrong


def _wrong_with_log(settings: Settings) -> Iterator[tuple[type_path, tuple[str, str]]]:
    """What signs the log, and what its anchors are verified with. Whether they answer is told while serving."""
    several = len(settings.signing_keys) > 1
    for index, key in enumerate(settings.signing_keys):
        if (wrong := _wrong_with_key(key)) is not None:
            yield ("log", "signing_key", *((index,) if several else ())), wrong
    for index, anchor in enumerate(settings.anchors):
        if isinstance(anchor, AnchorSyslog) and anchor.ca is not None and (wrong := _wrong_with_ca(anchor.ca)):
            yield ("log", "anchors", index, "ca"), wrong


def _wrong_with_username(auth: InstanceAuth) -> tuple[str, str] | None:
    if auth.scheme is not AuthScheme.BASIC or not isinstance(auth.username, Secret):
        return None
    with suppress(KeyError, OSError):  # told as a secret that is not there
        if wrong := wrong_with_username(auth.username.read().decode(errors="replace")):
            return f"what {_shown(auth.username)} {wrong}", "take the user's User ID, or another scheme"
    return None


def _wrong_with_private_key(auth: InstanceAuth) -> tuple[str, str] | None:
    from bridge.assertion_key import load

    if auth.private_key is None:
        return None
    try:
        load(auth.private_key.read(), auth.private_key_password.read() if auth.private_key_password else None)
    except (KeyError, OSError):
        return None  # told as a secret that is not there
    except ValueError as error:
        return f"{_shown(auth.private_key)} {error}", "ServiceNow must hold the certificate of the same key"
    return None


def _wrong_with_transport(transport: Transport) -> Iterator[tuple[str, tuple[str, str]]]:
    if transport.ca is not None and (wrong := _wrong_with_ca(transport.ca)) is not None:
        yield "ca", wrong
    if transport.client_cert is not None:
        try:
            # A key with a password would be asked for on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                transport.client_cert, transport.client_key, password=""
            )
        except ssl.SSLError:
            where = f"{transport.client_key}" if transport.client_key else "the same file"
            hint = "PEM without a password; the key must be the certificate's"
            yield "client_cert", (f"{transport.client_cert} and its key in {where} cannot be used", hint)
        except OSError as error:
            what = f"{transport.client_cert} or its key cannot be read: {error.strerror}"
            yield "client_cert", (what, "correct the paths, or let the bridge's user read them")


def _wrong_with_ca(ca: Path) -> tuple[str, str] | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
    except ssl.SSLError:
        return f"{ca} holds no certificate", "PEM, as in -----BEGIN CERTIFICATE-----"
    except OSError as error:
        return f"{ca} cannot be read: {error.strerror}", "give your authority's file"
    return None


def proxy_url(proxy: Secret) -> str:
    """What the secret holds. Raises KeyError or OSError when it is not there, ValueError when it is no proxy's URL."""
    read = proxy.read().decode()
    if not is_proxy(read):
        raise ValueError("not the URL of a proxy")  # without the URL: it holds a password
    return read


def _wrong_with_proxy(proxy: Secret) -> tuple[str, str] | None:
    try:
        proxy_url(proxy)
    except (KeyError, OSError):
        return None  # told as a secret that is not there
    except ValueError:
        return f"{_shown(proxy)} is not the URL of a proxy", PROXY_HINT
    return None


def _wrong_with(secret: Secret) -> tuple[str, str] | None:
    """(what is wrong, what to do)"""
    try:
        value = secret.read()
    except (KeyError, OSError) as error:
        return not_there(secret, error)
    if not value.strip():
        return f"{_shown(secret)} is empty", "an empty secret protects nothing: put its value there"
    return None


def not_there(secret: Secret, error: KeyError | OSError) -> tuple[str, str]:
    """(what is wrong, what to do), of a secret whose `read` raised this."""
    if isinstance(error, OSError):
        return f"{secret.name} cannot be read: {error.strerror}", "write the secret into it, mode 0600"
    return f"the environment variable {secret.name} is not set", f"export {secret.name}=…"


def _shown(secret: Secret) -> str:
    return f"the environment variable {secret.name}" if secret.kind == "env" else secret.name


def _wrong_with_key(path: Path) -> tuple[str, str] | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        raw = path.read_bytes()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}", KEY_HINT
    if mode & 0o077:
        return f"others can read {path} (mode {mode:04o})", f"chmod 600 {path}"
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return f"{path} is not a private key", KEY_HINT
    if not isinstance(key, Ed25519PrivateKey):
        return f"{path} is not an Ed25519 key", KEY_HINT
    return None
