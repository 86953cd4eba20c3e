"""YAML read by libyaml, where a text is of the ordinary kind: about ten times as quick as by ruamel.yaml.

libyaml reads YAML 1.1, with tolerances of its own. So it reads only what both read alike: `read_quickly` gives None for
all that it refuses and all that the two could take differently, and bridge/yamlfile.py reads that by ruamel.yaml, which
has the words and the places of every refusal. tests/unit/test_yamlquick.py compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

try:
    from yaml import YAMLError
    from yaml.cyaml import CParser
    from yaml.events import CollectionStartEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent
except ImportError:  # no PyYAML, or one without libyaml, as it is built where it has no wheel
    CParser = None

from bridge.alert import Json

_Path = tuple[str | int, ...]
_Places = dict[_Path, tuple[int, int]]

_UNUSUAL = re.compile(
    "[^\n -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"  # tabs, CR and other line ends
    r"|^(?:%|---|\.\.\.)"  # directives, and where documents begin and end
    r"|^ +$"  # as the first line of a block of text ruamel.yaml takes it for its indentation
    r"|[|>][-+0-9]*#"  # a comment without a blank before it
    r"|\\'",  # an escape that only libyaml knows
    re.MULTILINE,
)
_RESOLVED = ("", "=", "<<")  # without quotes: nothing has its place elsewhere, the others have a tag that is refused


def read_quickly(text: str, plain: Callable[[str], Json], depth_max: int) -> tuple[Json, _Places, _Places] | None:
    """The map or list in `text`, the places of its values and those of its keys, as a YamlFile has them; or None.

    `plain` says what a scalar without quotes is, or raises ValueError.
    """
    if CParser is None or not text.endswith("\n") or _UNUSUAL.search(text):
        return None
    try:
        return _Walk(text, plain, depth_max).document()
    except (YAMLError, ValueError):
        return None


class _Unusual(ValueError):
    """To be read the other way."""


class _Walk:
    """From libyaml's events to plain values and their places."""

    def __init__(self, text: str, plain: Callable[[str], Json], depth_max: int) -> None:
        self._text = text
        self._plain = plain
        self._depth_max = depth_max
        self._next = CParser(text).get_event
        self._places: _Places = {}
        self._key_places: _Places = {}

    def document(self) -> tuple[Json, _Places, _Places]:
        self._next()  # the stream's start
        self._next()  # the document's, or the stream's end
        root = self._next()
        if not isinstance(
            root, CollectionStartEvent
        ):  # of a block of text alone, the two take other lines for comments
            raise _Unusual
        value = self._value(root, (), 0)
        self._next()  # the document's end
        self._next()  # the stream's, or an error about what follows
        return value, self._places, self._key_places

    def _value(self, event: Any, path: _Path, depth: int) -> Json:
        self._places[path] = _place(event)
        if depth > self._depth_max:
            raise _Unusual
        if isinstance(event, ScalarEvent):
            text = _text(event)
            return text if event.style else self._plain(text)
        if not isinstance(event, CollectionStartEvent) or event.anchor or event.tag:
            raise _Unusual
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, path, depth)
        items: list[Json] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, start: Any, path: _Path, depth: int) -> dict[str, Json]:
        if start.flow_style and self._text[start.start_mark.index] != "{":  # [a: b], where the two part `:` otherwise
            raise _Unusual
        result: dict[str, Json] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key = _text(event)
            if key in result:
                raise _Unusual
            self._key_places[(*path, key)] = _place(event)
            result[key] = self._value(self._next(), (*path, key), depth + 1)
        return result


def _text(event: Any) -> str:
    if (
        not isinstance(event, ScalarEvent)
        or event.anchor
        or event.tag
        or (not event.style and event.value in _RESOLVED)
    ):
        raise _Unusual
    return str(event.value)


def _place(event: Any) -> tuple[int, int]:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1
