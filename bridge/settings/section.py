"""One section of bridge.yaml while it is read: keys are taken one by one, and what nobody took is unknown.

Every mistake becomes a Problem with its place and reading goes on, so that a person sees them all at once. What is
returned for a mistaken value is a stand-in: `load` raises before anybody uses it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from datetime import timedelta

from bridge.alert import Json
from bridge.errors import Problem
from bridge.yamlfile import YamlFile, type_path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # fits a URL segment and a metric label
_DURATION = re.compile(r"([0-9]{1,7})([smhd])")
_UNIT = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


class Section:
    """The mapping at `path` of the file; empty when it is left out or is no mapping."""

    def __init__(self, file: YamlFile, path: type_path, problems: list[Problem]) -> None:
        self._file = file
        self._path = path
        self._problems = problems
        self._asked: list[str] = []
        value: Json = file.value
        for key in path:
            if isinstance(value, list) and isinstance(key, int):
                value = value[key]
            else:
                value = value.get(key) if isinstance(value, dict) and isinstance(key, str) else None
        self._values: dict[str, Json] = value if isinstance(value, dict) else {}

    def names(self) -> list[str]:
        return list(self._values)

    def has(self, key: str) -> bool:
        """Whether the key stands here. Asking makes it a known one."""
        self._know(key)
        return key in self._values

    def peek(self, key: str) -> Json:
        return self._values.get(key)

    def take(self, key: str) -> Json:
        self._know(key)
        return self._values.get(key)

    def section(self, key: str, *, required: bool = False) -> Section:
        value = self.take(key)
        if key in self._values and not isinstance(value, dict):
            self.refuse(key, f"`{key}` must hold `key: value` lines")
        elif required and key not in self._values:
            self.missing(key)
        # One mistake, one problem: what a section that is not there lacks is not told as well.
        problems = self._problems if isinstance(value, dict) else []
        return Section(self._file, (*self._path, key), problems)

    def sections(self, key: str) -> list[Section]:
        """A list of sections, each with its keys; empty when it is left out."""
        value = self.take(key)
        if key in self._values and not isinstance(value, list):
            self.refuse(key, f"`{key}` must be a list")
        found = []
        for index, item in enumerate(value if isinstance(value, list) else []):
            if isinstance(item, dict):
                found.append(Section(self._file, (*self._path, key, index), self._problems))
            else:
                self.refuse((key, index), f"each of `{key}` must hold `key: value` lines")
        return found

    def switch(self, key: str) -> bool:
        """True or false; false when it is left out."""
        value = self.take(key)
        if key in self._values and not isinstance(value, bool):
            self.refuse(key, f"`{key}` must be true or false")
        return value is True

    def name(self, key: str, default: str) -> str:
        """A name that stands in URLs and logs."""
        name = self.text(key, default)
        if NAME.fullmatch(name) is None:
            self.refuse(key, f"`{name}` cannot be a name", "letters, digits, `.`, `-` and `_`, at most 64")
        return name

    def text(self, key: str, default: str | None = None, *, empty: bool = False) -> str:
        """A text; a number is taken as it reads, for `state: 6` is natural. Without a default it must be there."""
        value = self.take(key)
        if key not in self._values and default is not None:
            return default
        if key not in self._values:
            self.missing(key)
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int) or (value == "" and not empty):
            self.refuse(key, f"`{key}` must be a text")
            return default or ""
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; one text is a list of one."""
        value = self.take(key)
        items = value if isinstance(value, list) else [] if key not in self._values else [value]
        for index, item in enumerate(items):
            if isinstance(item, bool) or not isinstance(item, str | int):
                self.refuse((key, index), f"`{key}` must hold texts")
        return tuple(str(item) for item in items)

    def integer(self, key: str, default: int, *, least: int, most: int | None = None) -> int:
        value = self.take(key)
        if key not in self._values:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least or (most and value > most):
            span = f"from {least} to {most}" if most else f"of at least {least}"
            self.refuse(key, f"`{key}` must be a whole number {span}", f"the default is {default}")
            return default
        return value

    def duration(self, key: str, default: timedelta, *, least: timedelta) -> timedelta:
        value = self.take(key)
        if key not in self._values:
            return default
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self.refuse(key, f"`{key}` must be a duration: a number and its unit", "written 90s, 15m, 4h or 7d")
            return default
        duration = int(match[1]) * _UNIT[match[2]]
        if duration < least:
            self.refuse(key, f"`{key}` must be at least {int(least.total_seconds())}s")
        return duration

    def word(self, key: str, known: Collection[str], default: str | None) -> str:
        """One of the known words. Without a default it must be there."""
        value = self.take(key)
        if key not in self._values and default is not None:
            return default
        if key not in self._values:
            self.missing(key, _one_of(known))
        elif value not in known:
            shown = value if isinstance(value, str | int | float | bool) else "this"
            self.refuse(key, f"`{shown}` is not a word for `{key}`", nearest(value, known) or _one_of(known))
        else:
            return str(value)
        return default if default is not None else ""

    def reference(self, key: str, root: Section, section: str) -> str:
        """A name that another section of the file gives."""
        name = self.text(key)
        defined = root.peek(section)
        known = list(defined) if isinstance(defined, dict) else []
        if name and name not in known:
            hint = nearest(name, known) or (f"known: {', '.join(known)}" if known else f"there are no `{section}` yet")
            self.refuse(key, f"there is no `{name}` under `{section}`", hint)
        return name

    def finish(self) -> None:
        """Every key that nobody asked for is a mistake."""
        for key in self._values:
            if key not in self._asked:
                hint = nearest(key, self._asked) or f"known here: {', '.join(self._asked)}"
                self.refuse(key, f"unknown key `{key}`", hint, at_key=True)

    def missing(self, key: str, hint: str = "") -> None:
        self._know(key)
        self._problems.append(self._file.problem(self._path, f"`{key}` is missing here", hint, at_key=self._has_key()))

    def refuse(self, key: str | type_path, message: str, hint: str = "", *, at_key: bool = False) -> None:
        path = (key,) if isinstance(key, str) else key
        self._problems.append(self._file.problem((*self._path, *path), message, hint, at_key=at_key))

    def refuse_whole(self, message: str, hint: str = "") -> None:
        self._problems.append(self._file.problem(self._path, message, hint, at_key=self._has_key()))

    def _has_key(self) -> bool:
        """Neither the whole file nor an element of a list has one."""
        return bool(self._path) and isinstance(self._path[-1], str)

    def _know(self, key: str) -> None:
        if key not in self._asked:
            self._asked.append(key)


def nearest(word: object, known: Collection[str]) -> str:
    """A hint for a mistyped word; "" when nothing known is near."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.55) if isinstance(word, str) else []
    return f"did you mean `{found[0]}`? known here: {', '.join(known)}" if found else ""


def _one_of(known: Collection[str]) -> str:
    return f"one of {', '.join(known)}" if len(known) > 1 else f"today only {next(iter(known))}"
