"""A register that is replaced whole while others read it: the sources of a process, and their doors."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import TypeVar

T = TypeVar("T")


class Register(Mapping[str, T]):
    """Reading takes no lock: `swap` replaces one reference. Whoever asks twice may be told of two registers."""

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._entries = dict(entries)

    def swap(self, entries: Mapping[str, T]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    # Of one register each, where Mapping would ask it name by name.

    def keys(self) -> KeysView[str]:
        return self._entries.keys()

    def values(self) -> ValuesView[T]:
        return self._entries.values()

    def items(self) -> ItemsView[str, T]:
        return self._entries.items()
