"""`bridge doctor --admin USER`: an administrator's password, asked for or read where it is, for this run alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bridge.servicenow.auth import Basic
    from bridge.settings import Instance

REFERENCE = "write file:PATH or env:NAME"


def administrator(instances: list[Instance], user: str | None, reference: str | None) -> Basic | None:
    """None where no one is named. Raises UsageError for what cannot be sent, or may go to the wrong instance."""
    from bridge.servicenow.auth import Basic

    if user is None:
        if reference is not None:
            raise click.UsageError("--admin-password wants --admin USER, whose password it is")
        return None
    if not user.strip() or ":" in user or not user.isprintable():
        raise click.UsageError(f"--admin {user!r} is not a user name")
    if len(instances) > 1:
        names = ", ".join(instance.name for instance in instances)
        raise click.UsageError(f"--admin is a user of one instance: name it with --instance ({names})")
    password = _asked(user, instances[0]) if reference is None else _read(reference)
    if not password.strip():
        raise click.UsageError(f"the password of {user} is blank")
    return Basic(username=user, password=password)


def _asked(user: str, instance: Instance) -> bytes:
    question = f"Password of {user} at {instance.url}, for this run alone"
    try:
        password: str = click.prompt(question, default="", show_default=False, hide_input=True, err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise click.UsageError(f"nobody typed the password of {user}: --admin-password says where it is") from error
    return password.encode()


def _read(reference: str) -> bytes:
    """What stands there instead of a reference is never quoted: it may be the password."""
    from bridge.settings import Secret

    kind, _, name = reference.partition(":")
    if kind not in ("file", "env") or not name:
        raise click.UsageError(f"--admin-password is not a reference to a secret: {REFERENCE}")
    try:
        return Secret(kind=kind, name=name if kind == "env" else str(Path(name).absolute())).read()
    except KeyError as error:
        raise click.UsageError(f"--admin-password: the environment variable {name} is not set") from error
    except OSError as error:
        raise click.UsageError(f"--admin-password: {name} cannot be read: {error.strerror}") from error
