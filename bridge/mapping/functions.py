"""The functions of a pipe: one literal dict, each a builder that checks its arguments once and returns a closure. Pure.

Functions of text take every element of a list; nothing stays nothing. None of them raises for any value, and none
makes more than TEXT_CHARS_MAX of text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import re2

from bridge.alert import Json
from bridge.mapping.language import Call, LanguageError, nearest
from bridge.mapping.values import (
    LIST_ITEMS_MAX,
    TEXT_CHARS_MAX,
    clean,
    cut,
    is_nothing,
    json_text,
    number_of,
    text_of,
    time_of,
)

PATTERN_CHARS_MAX = 4096  # text that a regular expression looks at; the rest is not seen

Step = Callable[[Json], Json]
Argument = str | int | float


@dataclass(frozen=True, slots=True)
class Function:
    build: Callable[..., Step]
    kinds: tuple[type, ...] = ()  # of the arguments, in order
    required: int = 0


def build_step(call: Call) -> Step:
    """The closure of one call. Raises LanguageError for an unknown function or wrong arguments."""
    if call.function in FUNCTIONS_LATER:
        raise LanguageError(f"the function `{call.function}` is not yet supported")
    function = FUNCTIONS.get(call.function)
    if function is None:
        raise LanguageError(f"there is no function `{call.function}`", nearest(call.function, sorted(FUNCTIONS)))
    given, most = len(call.arguments), len(function.kinds)
    if not function.required <= given <= most:
        wanted = str(most) if most == function.required else f"{function.required} to {most}"
        raise LanguageError(f"`{call.function}` takes {wanted} arguments, not {given}")
    for argument, kind in zip(call.arguments, function.kinds, strict=False):
        if not isinstance(argument, kind):
            wanted = "a whole number" if kind is int else "a text in quotes"
            raise LanguageError(f"`{call.function}` takes {wanted}, not `{argument}`")
    return function.build(*call.arguments)


def _on_text(change: Callable[[str], Json]) -> Step:
    """A function of text as a step: over every element of a list, and nothing from nothing."""

    def step(value: Json) -> Json:
        if value.__class__ is str:
            return change(value)
        if value is None:
            return None
        if value.__class__ is list:
            return [change(text_of(item)) for item in value[:LIST_ITEMS_MAX] if item is not None]
        return change(text_of(value))

    return step


def _plain(change: Callable[[str], Json]) -> Callable[[], Step]:
    return lambda: _on_text(change)


def _title(text: str) -> str:
    return " ".join(word.capitalize() for word in text[:TEXT_CHARS_MAX].split(" "))


def _truncate(length: int) -> Step:
    if not 1 <= length <= TEXT_CHARS_MAX:
        raise LanguageError(f"`truncate` takes 1 to {TEXT_CHARS_MAX} characters, not {length}")
    return _on_text(lambda text: cut(text, length))


def _replace(old: str, new: str) -> Step:
    if not old:
        raise LanguageError("`replace` needs a text to replace", 'replace("old", "new")')
    most = TEXT_CHARS_MAX // max(len(new), 1)  # so many times at most: the result stays bounded while it is made
    return _on_text(lambda text: text.replace(old, new, most)[:TEXT_CHARS_MAX])


def _split(separator: str) -> Step:
    if not separator:
        raise LanguageError("`split` needs a separator", 'split(":")')

    def step(value: Json) -> Json:
        return None if value is None else text_of(value).split(separator, LIST_ITEMS_MAX)[:LIST_ITEMS_MAX]

    return step


def _join(separator: str = ", ") -> Step:
    def step(value: Json) -> Json:
        if value.__class__ is not list:
            return value
        texts = [text for item in value[:LIST_ITEMS_MAX] if (text := text_of(item))]
        return separator.join(texts)[:TEXT_CHARS_MAX] if texts else None

    return step


def _first(value: Json) -> Json:
    return (value[0] if value else None) if value.__class__ is list else value


def _last(value: Json) -> Json:
    return (value[-1] if value else None) if value.__class__ is list else value


def _unique(value: Json) -> Json:
    if value.__class__ is not list:
        return value
    firsts: dict[str, Json] = {}
    for item in value[:LIST_ITEMS_MAX]:
        firsts.setdefault(text_of(item), item)
    return list(firsts.values())


def _count(value: Json) -> Json:
    return len(value) if value.__class__ is list else int(value is not None)


def _default(text: str) -> Step:
    return lambda value: text if is_nothing(value) else value


DATE_DEFAULT = "%Y-%m-%d %H:%M:%S UTC"
_DIRECTIVES = "YmdHMSyjbBaA%"


def _date(form: str = DATE_DEFAULT) -> Step:
    if unknown := [letter for letter in re.findall(r"%(.|$)", form) if letter not in _DIRECTIVES or not letter]:
        known = " ".join("%" + letter for letter in _DIRECTIVES)
        raise LanguageError(f"`date` does not know `%{unknown[0]}`", f"known: {known}; times are UTC")

    def step(value: Json) -> Json:
        moment = time_of(value)
        return None if moment is None else moment.strftime(form)

    return step


def _hash(digits: int = 64) -> Step:
    if not 8 <= digits <= 64:
        raise LanguageError(f"`hash` gives 8 to 64 hex digits, not {digits}")
    return _on_text(lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits])


def _json(value: Json) -> Json:
    return None if value is None else json_text(value)


def _basename(text: str) -> str:
    return text.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def _regex(pattern: str, group: int | None = None) -> Step:
    compiled = compile_pattern(pattern)
    wanted = group if group is not None else min(compiled.groups, 1)
    if not 0 <= wanted <= compiled.groups:
        raise LanguageError(f"the pattern has {compiled.groups} groups, there is no group {wanted}")

    def change(text: str) -> Json:
        match = compiled.search(seen_by_pattern(text))
        return match.group(wanted) if match else None

    return _on_text(change)


def compile_pattern(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise LanguageError(f"RE2 does not take the pattern `{pattern}`: {reason}") from error


def seen_by_pattern(text: str) -> str:
    """What a pattern looks at: bounded, and without halves of surrogate pairs, which RE2 cannot encode."""
    text = text[:PATTERN_CHARS_MAX]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


FUNCTIONS: dict[str, Function] = {
    "basename": Function(_plain(_basename)),
    "count": Function(lambda: _count),
    "date": Function(_date, (str,)),
    "default": Function(_default, (str,), 1),
    "first": Function(lambda: _first),
    "hash": Function(_hash, (int,)),
    "join": Function(_join, (str,)),
    "json": Function(lambda: _json),
    "last": Function(lambda: _last),
    "lower": Function(_plain(str.lower)),
    "number": Function(lambda: number_of),
    "regex": Function(_regex, (str, int), 1),
    "replace": Function(_replace, (str, str), 2),
    "split": Function(_split, (str,), 1),
    "time": Function(lambda: time_of),
    "title": Function(_plain(_title)),
    "trim": Function(_plain(clean)),
    "truncate": Function(_truncate, (int,), 1),
    "unique": Function(lambda: _unique),
    "upper": Function(_plain(str.upper)),
}

FUNCTIONS_LATER = frozenset({"lookup", "duration", "domain", "defang", "strip_html"})
