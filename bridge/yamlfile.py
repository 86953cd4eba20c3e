"""YAML files that people write: loaded strictly, every value with its place.

YAML 1.2 core scalars only (dates stay text); duplicate keys, anchors, merge keys, non-text keys and several documents
are refused with file:line:col.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from bridge.alert import Json
from bridge.errors import Misconfigured, Problem
from bridge.yamlquick import read_quickly

YAML_BYTES_MAX = 256 * 1024
YAML_DEPTH_MAX = 32

type_path = tuple[str | int, ...]

STANDARD = "tag:yaml.org,2002:"
TAGS = {STANDARD + name for name in ("map", "seq", "str", "null", "bool", "int", "float", "timestamp")}

# YAML 1.2's core schema, applied here and not by the reader, which also knows 1.1's `yes` and `1_000`.
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """One loaded file. `places` maps a path such as ("targets", "sir", "close") to its value's (line, column)."""

    name: str  # as a person would write it: used in every Problem
    value: Json
    places: dict[type_path, tuple[int, int]]
    key_places: dict[type_path, tuple[int, int]]  # of the key itself, where there is one
    source: str

    def problem(self, path: type_path, message: str, hint: str = "", *, at_key: bool = False) -> Problem:
        """A Problem at `path`, or at its nearest ancestor that stands in the file."""
        places = self.key_places if at_key else self.places
        while path and path not in places:
            path = path[:-1]
        line, column = places.get(path) or self.places.get(path, (0, 0))
        return Problem(self.name, line, column, message, hint)


def load_yaml(path: Path, name: str | None = None) -> YamlFile:
    """Read and parse one file. Raises Misconfigured with its place when it is not YAML as we take it."""
    name = name or str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Misconfigured([Problem(name, 0, 0, f"cannot be read: {error.strerror}")]) from error
    return parse_yaml(raw, name)


def parse_yaml(raw: bytes, name: str) -> YamlFile:
    if len(raw) > YAML_BYTES_MAX:
        raise Misconfigured([Problem(name, 0, 0, f"is {len(raw)} bytes long; at most {YAML_BYTES_MAX} are read")])
    try:
        text = raw.decode("utf-8-sig")
        if (quick := read_quickly(text, _plain, YAML_DEPTH_MAX)) is not None:
            value, places, key_places = quick
            return YamlFile(name=name, value=value, places=places, key_places=key_places, source=text)
        reader = YAML(typ="safe", pure=True)  # "rt" marks the folds of a `>` with U+0007, and stumbles over comments
        node = reader.compose(io.StringIO(text))
    except UnicodeDecodeError as error:
        raise Misconfigured([Problem(name, 0, 0, f"is not UTF-8 (byte {error.start})")]) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise Misconfigured([Problem(name, line, column, f"is not YAML: {error.problem or error.context}")]) from error
    except ReaderError as error:
        at = text.index(chr(error.character))
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        message = f"the character U+{error.character:04X} is not taken as it is"
        hint = "delete it, or escape it in double quotes"
        raise Misconfigured([Problem(name, line, column, message, hint)]) from error
    except RecursionError as error:  # the composer's, which goes a frame deeper for every level
        line, column = _too_deep(text)
        raise Misconfigured([Problem(name, line, column, f"is nested deeper than {YAML_DEPTH_MAX}")]) from error
    except (YAMLError, ValueError) as error:
        raise Misconfigured([Problem(name, 0, 0, f"is not YAML: {str(error).splitlines()[0]}")]) from error
    walk = _Walk(name)
    value = walk.value(node, (), 0) if node is not None else None
    if walk.problems:
        raise Misconfigured(walk.problems)
    return YamlFile(name=name, value=value, places=walk.places, key_places=walk.key_places, source=text)


def _plain(text: str) -> Json:
    """What a scalar without quotes is. Raises ValueError with a sentence where it is a number that cannot be used.

    A number that is not written as it would be written back stays the text that it is: an account 012345678901, a
    version 1.10. What wants a number reads it from the text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        try:
            number: int | float = int(text)
        except ValueError as error:
            raise ValueError("the number has too many digits") from error
    elif _FRACTION.fullmatch(text):
        number = float(text if text[-1] in "0123456789." else "inf")  # .inf and .nan: neither can be used
        if not math.isfinite(number):
            raise ValueError(f"{text} is not a number that can be used")
    else:
        return text
    return number if str(number) == text else text


def _too_deep(text: str) -> tuple[int, int]:
    """Where the first level begins that is one too many: the parser, unlike the composer, does not go deeper itself."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(io.StringIO(text)):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > YAML_DEPTH_MAX + 1:
            return event.start_mark.line + 1, event.start_mark.column + 1
    return 0, 0


class _Walk:
    """Turns composed nodes into plain values, remembering places and collecting problems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.places: dict[type_path, tuple[int, int]] = {}
        self.key_places: dict[type_path, tuple[int, int]] = {}
        self.seen: set[int] = set()

    def value(self, node: Node, path: type_path, depth: int) -> Json:
        place = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.places[path] = place
        if id(node) in self.seen or getattr(node, "anchor", None):
            self._refuse(node, "anchors and aliases are not taken", "write the value out, or include a shared file")
            return None
        self.seen.add(id(node))
        if depth > YAML_DEPTH_MAX:
            self._refuse(node, f"is nested deeper than {YAML_DEPTH_MAX}")
            return None
        if str(node.tag) not in TAGS:
            self._refuse(node, f"the tag {node.tag} is not taken", "write a plain value")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: type_path, depth: int) -> dict[str, Json]:
        result: dict[str, Json] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode) or str(key_node.tag) not in TAGS or key_node.anchor:
                self._refuse(key_node, "only plain text keys are taken")
                continue
            key = str(key_node.value)
            if key in result:
                self._refuse(key_node, f"the key {key!r} stands here twice", "keep one of them")
                continue
            self.key_places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            result[key] = self.value(value_node, (*path, key), depth + 1)
        return result

    def _scalar(self, node: ScalarNode) -> Json:
        text: str = node.value
        if node.style in ("'", '"', "|", ">") or str(node.tag) == STANDARD + "str":
            return text
        try:
            return _plain(text)
        except ValueError as error:
            self._refuse(node, str(error), "quote it if it is text")
            return None

    def _refuse(self, node: Node, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.name, node.start_mark.line + 1, node.start_mark.column + 1, message, hint))
