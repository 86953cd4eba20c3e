"""A new source written into the text of bridge.yaml: every byte that stands there stays, comments and order. Pure.

The text is not written anew from what was read, which would lose how people laid it out. A few lines are put in, and
the result is read again: where it does not say exactly what was meant, nothing is written and a person is told.
"""

from __future__ import annotations

import json
import re

from bridge.alert import Json
from bridge.errors import Misconfigured
from bridge.yamlfile import YamlFile, parse_yaml

SECTION = "sources"
_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_./@-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


class NoPlace(Exception):
    """The file is laid out so that nothing can be put in safely."""


def source_lines(name: str, source: dict[str, Json], indent: int = 2) -> list[str]:
    """The lines of one source, as a person would write them."""
    blanks = " " * indent
    return [f"{blanks}{_written(name)}:", *(f"{blanks}  {key}: {_written(value)}" for key, value in source.items())]


def with_source(file: YamlFile, name: str, source: dict[str, Json]) -> str:
    """The text of bridge.yaml with one more source, the last of its section. Raises NoPlace."""
    text = _inserted(file, name, source)
    before = file.value if isinstance(file.value, dict) else {}
    sources = before.get(SECTION) or {}
    assert isinstance(sources, dict), "bridge.yaml was read"  # noqa: S101
    wanted = json.dumps({**before, SECTION: {**sources, name: source}})
    try:
        found = parse_yaml(text.encode(), file.name).value
    except Misconfigured as error:
        raise NoPlace(error.message) from error
    if json.dumps(found) != wanted:
        raise NoPlace("what would be read is not what was meant")
    return text


def _inserted(file: YamlFile, name: str, source: dict[str, Json]) -> str:
    lines = file.source.splitlines(keepends=True)
    feed = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += feed
    place = file.key_places.get((SECTION,))
    if place is None:
        new = [f"{SECTION}:", *source_lines(name, source)]
        return "".join([*lines, feed, *(line + feed for line in new)])
    line, column = place
    if column != 1:
        raise NoPlace("its sections do not stand at the margin")
    value = file.value[SECTION] if isinstance(file.value, dict) else None
    if not value:
        lines[line - 1] = _opened(lines[line - 1])
        return _with(lines, line, source_lines(name, source), feed)
    first = file.key_places[(SECTION, next(iter(value)))]
    if first[0] == line:
        raise NoPlace("its sources stand on one line, in braces")
    return _with(lines, _end(file, lines, line), source_lines(name, source, first[1] - 1), feed)


def _with(lines: list[str], at: int, new: list[str], feed: str) -> str:
    return "".join([*lines[:at], *(line + feed for line in new), *lines[at:]])


def _opened(line: str) -> str:
    """`sources: {}  # comment` without its braces."""
    return re.sub(r"^(\S+:)(?:[ \t]*(?:\{[ \t]*\}|~|null))?", r"\1", line)


def _end(file: YamlFile, lines: list[str], section: int) -> int:
    """How many lines end with the section: its own, with the comments that stand as deep as it does."""
    following = [at for path, (at, _) in file.key_places.items() if len(path) == 1 and at > section]
    end = min(following, default=len(lines) + 1) - 1
    while end > section and not lines[end - 1].startswith((" ", "\t")):  # blank lines, what stands above the next
        end -= 1
    while end > section and not lines[end - 1].strip():
        end -= 1
    return end


def _written(value: Json) -> str:
    """On one line, with quotes where YAML needs them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)}: {_written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
