"""References to secrets and files in bridge.yaml: `{env: NAME}`, `{file: PATH}`. Their values are read elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.settings import Secret
from bridge.settings.section import Section

SECRETS_MAX = 2  # the new and the old one, during rotation

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def files_of(section: Section, key: str, folder: Path) -> tuple[Path, ...]:
    """As `secrets_of`, where only files will do: a key of the log is two of them, private and public."""
    found = secrets_of(section, folder, key) if section.has(key) else ()
    if any(secret.kind != "file" for secret in found):
        section.refuse(key, "must be a file", "{file: var/log.key}")
    return tuple(Path(secret.name) for secret in found)


def text_or_secret(section: Section, key: str, folder: Path) -> Secret | str:
    if isinstance(section.peek(key), dict):
        return secret_of(section, key, folder) or ""
    return section.text(key)


def secrets_of(section: Section, folder: Path, key: str = "secret") -> tuple[Secret, ...]:
    value = section.peek(key)
    if not isinstance(value, list):
        secret = secret_of(section, key, folder)
        return (secret,) if secret is not None else ()
    section.take(key)
    if not 1 <= len(value) <= SECRETS_MAX:
        section.refuse(key, f"holds {len(value)} references; one is used, or two during rotation", "newest first")
    found = (_reference(section, (key, index), item, folder) for index, item in enumerate(value))
    return tuple(secret for secret in found if secret is not None)


def secret_of(section: Section, key: str, folder: Path) -> Secret | None:
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
