"""Reading what a person wrote, value by value: a mistake becomes a Problem with its place, and reading goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import TypeVar

from bridge.alert import Json
from bridge.errors import Problem
from bridge.yamlfile import YamlFile, type_path

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)


class Reader:
    def __init__(self, file: YamlFile) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def refuse(self, path: type_path, message: str, hint: str = "") -> None:
        self.problems.append(self.file.problem(path, message, hint))

    def mapping(self, value: Json, path: type_path, known: Collection[str], what: str) -> dict[str, Json]:
        """A mapping that holds only `known` keys; {} when it is none."""
        if not isinstance(value, dict):
            self.refuse(path, f"{what} is a mapping", f"keys: {', '.join(known)}")
            return {}
        for key in value:
            if key not in known:
                hint = f"known: {', '.join(known)}"
                self.problems.append(self.file.problem((*path, key), f"unknown key {key!r}", hint, at_key=True))
        return value

    def each(self, value: Json, path: type_path, read: Callable[[Json, type_path], T | None]) -> tuple[T, ...]:
        """The items of a list."""
        if not isinstance(value, list):
            self.refuse(path, f"{path[-1]} must be a list")
            return ()
        items = [read(item, (*path, index)) for index, item in enumerate(value)]
        return tuple(item for item in items if item is not None)

    def named(self, value: Json, path: type_path, read: Callable[[Json, type_path], T | None]) -> dict[str, T]:
        """The values of a mapping whose keys are names."""
        if not isinstance(value, dict):
            self.refuse(path, f"{path[-1]} must be a mapping")
            return {}
        items = {name: read(item, (*path, name)) for name, item in value.items()}
        return {name: item for name, item in items.items() if item is not None}

    def text(self, value: Json, path: type_path) -> str:
        if isinstance(value, str):
            return value
        self.refuse(path, f"{path[-1]} must be text")
        return ""

    def texts(self, value: Json, path: type_path) -> tuple[str, ...]:
        """A list of texts, or one text alone."""
        listed = value if isinstance(value, list) else [value]
        if all(isinstance(item, str) for item in listed):
            return tuple(item for item in listed if isinstance(item, str))
        self.refuse(path, f"{path[-1]} must be a list of texts")
        return ()

    def flag(self, value: Json, path: type_path) -> bool:
        if isinstance(value, bool):
            return value
        self.refuse(path, f"{path[-1]} must be true or false")
        return False

    def whole(self, value: Json, path: type_path, hint: str = "") -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.refuse(path, f"{path[-1]} must be a whole number, not negative", hint)
        return 0

    def word(self, value: Json, path: type_path, words: type[Word]) -> Word | None:
        if isinstance(value, str) and value in list(words):
            return words(value)
        self.refuse(path, f"{path[-1]} must be one of {', '.join(words)}")
        return None
