"""How an instance knows us. A scheme adds headers and does no I/O; `credentials` reads the secrets for one."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Protocol

from bridge.errors import Misconfigured, Problem
from bridge.settings import Instance, Secret


class Scheme(Protocol):
    def headers(self) -> dict[str, str]:
        """What one request must carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    username: str
    password: bytes = field(repr=False)

    def headers(self) -> dict[str, str]:
        pair = self.username.encode() + b":" + self.password
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def credentials(instance: Instance) -> Scheme:
    """Read the instance's secrets as they are now. Raises Misconfigured when one is not there."""
    username = instance.username
    if isinstance(username, Secret):
        username = _read(instance, "username", username).decode()
    return Basic(username=username, password=_read(instance, "password", instance.password))


def _read(instance: Instance, name: str, secret: Secret) -> bytes:
    try:
        return secret.read()
    except (KeyError, OSError) as error:
        message = f"the {name} cannot be read from {secret.kind} {secret.name}"
        place = f"instances.{instance.name}.auth"
        raise Misconfigured([Problem(place, 0, 0, message, "set it, or correct the reference")]) from error
