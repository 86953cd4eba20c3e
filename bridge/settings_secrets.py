"""Whether the secrets that bridge.yaml refers to are there. Their values are looked at and forgotten, never shown."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from bridge.errors import Misconfigured, Problem
from bridge.settings import Secret, Settings
from bridge.yamlfile import YamlFile, load_yaml, type_path

KEY_HINT = "`bridge init DIR` in an empty folder makes a new pair"


def problems_of(settings: Settings) -> list[Problem]:
    file = _places(settings.file)
    problems = []
    for path, secret in _references(settings):
        if (wrong := _wrong_with(secret)) is not None:
            problems.append(file.problem(path, f"{'.'.join(map(str, path))}: {wrong[0]}", wrong[1]))
    if settings.signing_key is not None and (wrong := _wrong_with_key(settings.signing_key)) is not None:
        problems.append(file.problem(("log", "signing_key"), f"log.signing_key: {wrong[0]}", wrong[1]))
    return problems


def _places(path: Path) -> YamlFile:
    """The file again, for the places of its references; without places should it have changed meanwhile."""
    try:
        return load_yaml(path)
    except Misconfigured:
        return YamlFile(name=str(path), value=None, places={}, key_places={}, source="")


def _references(settings: Settings) -> Iterator[tuple[type_path, Secret]]:
    for name, instance in settings.instances.items():
        if isinstance(instance.username, Secret):
            yield ("instances", name, "auth", "username"), instance.username
        yield ("instances", name, "auth", "password"), instance.password
    for name, source in settings.sources.items():
        several = len(source.auth.secrets) > 1
        for index, secret in enumerate(source.auth.secrets):
            yield ("sources", name, "auth", "secret", *((index,) if several else ())), secret


def _wrong_with(secret: Secret) -> tuple[str, str] | None:
    """(what is wrong, what to do)"""
    try:
        value = secret.read()
    except KeyError:
        return f"the environment variable {secret.name} is not set", f"export {secret.name}=…"
    except OSError as error:
        return f"{secret.name} cannot be read: {error.strerror}", "write the secret into it, mode 0600"
    if not value.strip():
        return f"{_shown(secret)} is empty", "an empty secret protects nothing: put its value there"
    return None


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
