"""What bridge.yaml says, as the log may tell it: a digest of it all, and the names of the keys that have changed. Pure.

The file holds no secrets, only where they are: a literal one is refused before this is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bridge.alert import Json
from bridge.canonical import canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    digest: str = ""  # SHA-256, in hex, of the whole file as canonical JSON: neither layout nor comments matter
    keys: Mapping[str, str] = field(default_factory=dict)  # "targets.itsm.mode" -> digest of its value


def configuration_of(value: Json) -> Configuration:
    """`value`: the file as it was parsed."""
    return Configuration(digest=_digest(value), keys={".".join(path): _digest(leaf) for path, leaf in _leaves(value)})


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The keys that were added, taken away, or say something else."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _leaves(value: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    if not isinstance(value, dict) or (not value and path):
        yield path, value
        return
    for key, item in value.items():
        yield from _leaves(item, (*path, str(key)))


def _digest(value: Json) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
