"""What each function of a pipe does, as a closure over its checked arguments. Pure.

Functions of text take every element of a list; nothing stays nothing. None of them raises for any value, and none
makes more than TEXT_CHARS_MAX of text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from bridge.alert import Json
from bridge.mapping.language import LanguageError
from bridge.mapping.lookups import Lookups
from bridge.mapping.pattern import compile_pattern, seen_by_pattern
from bridge.mapping.values import (
    LIST_ITEMS_MAX,
    TEXT_CHARS_MAX,
    cut,
    duration_text,
    is_nothing,
    json_text,
    seconds_of,
    text_of,
    time_of,
)

Step = Callable[[Json], Json]


def on_text(change: Callable[[str], Json]) -> Step:
    """A function of text as a step: over every element of a list, and nothing from nothing."""

    def step(value: Json) -> Json:
        if value.__class__ is str:
            return change(value)
        if value is None:
            return None
        if value.__class__ is list:
            texts = (text_of(item) for item in value[:LIST_ITEMS_MAX] if item is not None)
            return [changed for text in texts if (changed := change(text)) is not None]
        return change(text_of(value))

    return step


def plain(change: Callable[[str], Json]) -> Callable[[], Step]:
    return lambda: on_text(change)


def bounded(change: Callable[[str], str]) -> Callable[[], Step]:
    """A change that may make the text longer."""
    return lambda: on_text(lambda text: change(text[:TEXT_CHARS_MAX])[:TEXT_CHARS_MAX])


def title(text: str) -> str:
    return " ".join([word.capitalize() for word in text[:TEXT_CHARS_MAX].split(" ")])


def truncate(length: int) -> Step:
    if not 1 <= length <= TEXT_CHARS_MAX:
        raise LanguageError(f"`truncate` takes 1 to {TEXT_CHARS_MAX} characters, not {length}")
    return on_text(lambda text: cut(text, length))


def replace(old: str, new: str) -> Step:
    if not old:
        raise LanguageError("`replace` needs a text to replace", 'replace("old", "new")')
    most = TEXT_CHARS_MAX // max(len(new), 1)  # so many times at most: the result stays bounded while it is made
    return on_text(lambda text: text.replace(old, new, most)[:TEXT_CHARS_MAX])


def split(separator: str) -> Step:
    if not separator:
        raise LanguageError("`split` needs a separator", 'split(":")')

    def step(value: Json) -> Json:
        return None if value is None else text_of(value).split(separator, LIST_ITEMS_MAX)[:LIST_ITEMS_MAX]

    return step


def join(separator: str = ", ") -> Step:
    def step(value: Json) -> Json:
        if value.__class__ is not list:
            return value
        texts = [text for item in value[:LIST_ITEMS_MAX] if (text := item if item.__class__ is str else text_of(item))]
        return separator.join(texts)[:TEXT_CHARS_MAX] if texts else None

    return step


def first(value: Json) -> Json:
    return (value[0] if value else None) if value.__class__ is list else value


def last(value: Json) -> Json:
    return (value[-1] if value else None) if value.__class__ is list else value


def unique(value: Json) -> Json:
    if value.__class__ is not list:
        return value
    firsts: dict[str, Json] = {}
    for item in value[:LIST_ITEMS_MAX]:
        firsts.setdefault(item if item.__class__ is str else text_of(item), item)
    return list(firsts.values())


def count(value: Json) -> Json:
    return len(value) if value.__class__ is list else int(value is not None)


def default(text: str) -> Step:
    return lambda value: text if is_nothing(value) else value


DATE_DEFAULT = "%Y-%m-%d %H:%M:%S UTC"
_DIRECTIVES = "YmdHMSyjbBaA%"


def date(form: str = DATE_DEFAULT) -> Step:
    if unknown := [letter for letter in re.findall(r"%(.|$)", form) if letter not in _DIRECTIVES or not letter]:
        known = " ".join("%" + letter for letter in _DIRECTIVES)
        raise LanguageError(f"`date` does not know `%{unknown[0]}`", f"known: {known}; times are UTC")

    def step(value: Json) -> Json:
        moment = time_of(value)
        return None if moment is None else moment.strftime(form)

    return step


def hashed(digits: int = 64) -> Step:
    if not 8 <= digits <= 64:
        raise LanguageError(f"`hash` gives 8 to 64 hex digits, not {digits}")
    return on_text(lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits])


def json(value: Json) -> Json:
    return None if value is None else json_text(value)


def basename(text: str) -> str:
    return text.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def regex(pattern: str, group: int | None = None) -> Step:
    compiled = compile_pattern(pattern)
    wanted = group if group is not None else min(compiled.groups, 1)
    if not 0 <= wanted <= compiled.groups:
        raise LanguageError(f"the pattern has {compiled.groups} groups, there is no group {wanted}")

    def change(text: str) -> Json:
        match = compiled.search(seen_by_pattern(text))
        return match.group(wanted) if match else None

    return on_text(change)


def duration(value: Json) -> Json:
    if value.__class__ is list:
        return [text for item in value[:LIST_ITEMS_MAX] if (text := _spoken(item)) is not None]
    return _spoken(value)


def _spoken(value: Json) -> str | None:
    seconds = seconds_of(value)
    return None if seconds is None else duration_text(seconds)


def pick(wanted: str, *, by: str, take: str) -> Step:
    """What `.list[].take` gives, of the elements whose `by` is the text: a value that is a list gives its elements."""
    if not wanted:
        raise LanguageError("`pick` needs the text to look for", 'pick("env", by=name, take=value)')
    key = wanted.lower()

    def step(value: Json) -> Json:
        if value is None:
            return None
        found: list[Json] = []
        for item in value[:LIST_ITEMS_MAX] if value.__class__ is list else [value]:
            if item.__class__ is dict and text_of(item.get(by)).lower() == key:
                taken = item.get(take)
                found += taken if taken.__class__ is list else [taken] if taken is not None else []
            if len(found) >= LIST_ITEMS_MAX:
                return found[:LIST_ITEMS_MAX]
        return found

    return step


def lookup(lookups: Lookups, table: str, *, by: str, take: str) -> Step:
    rows = lookups.taken(table, by, take)
    return on_text(lambda text: rows.get(text.lower()))
