"""`bridge mapping test --update`: expectations that failed, rewritten to what was got. Pure, but for reading samples.

Only values of keys that stand in the file change, in the text itself: comments, quotes and order stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from bridge.alert import Json
from bridge.errors import Misconfigured
from bridge.mapping.compile import Mapping
from bridge.mapping.expectation import Finding
from bridge.mapping.load import compile_files
from bridge.mapping.trial import Trial, try_mapping
from bridge.mapping.values import clean, text_of
from bridge.yamlfile import parse_yaml, type_path

STEP = 2  # blanks that a text of several lines stands deeper than its key

_EMPTY_END = re.compile(r"(\n[ \t]*)+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """The text of a mapping file after its expectations were rewritten, and each of them as it failed."""

    text: str
    changes: tuple[tuple[Trial, Finding], ...]


def update(mapping: Mapping, folder: Path, tables: MappingType[str, str]) -> Updated:
    """Rewrites until nothing fails that a rewritten expectation would cure.

    A test stops at its first step that fails: what the steps after it say is known only when that one is rewritten.
    """
    own = f"{mapping.name}.yaml"
    name, files, text = mapping.yaml.name, mapping.files, mapping.files[own]
    changes: list[tuple[Trial, Finding]] = []
    for _ in range(1 + max((_steps(test) for test in mapping.tests), default=0)):
        trials = try_mapping(mapping, folder, tables)
        found = [(trial, finding) for trial in trials for finding in trial.findings if finding.path]
        if not found:
            break
        text = rewritten(text, [(finding.path, finding.actual) for _, finding in found])
        changes += found
        mapping = replace(compile_files(mapping.name, {**files, own: text}), yaml=parse_yaml(text.encode(), name))
    return Updated(text=text, changes=tuple(changes))


def _steps(test: Json) -> int:
    then = test.get("then", [])
    return 1 + (len(then) if isinstance(then, list) else 1)


def rewritten(text: str, values: list[tuple[type_path, Json]]) -> str:
    """The text of a YAML file with other values at some paths, each of which stands in it.

    A value is a text, None, or a map of lists of texts, whose keys are written one by one.
    """
    root = YAML(typ="safe", pure=True).compose(text)
    spans = [span for path, value in values for span in _spans(text, *_find(root, path), value)]
    for start, end, new in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _spans(text: str, key: Node, node: Node, value: Json) -> Iterator[tuple[int, int, str]]:
    """Where an old value starts and ends, and what is to stand there."""
    if isinstance(value, dict):
        for child_key, child in node.value if isinstance(node, MappingNode) else ():
            if child_key.value in value:
                yield from _spans(text, child_key, child, value[child_key.value])
        return
    start, end = node.start_mark.index, _end(text, node)
    if isinstance(node, ScalarNode) and start == end:  # `key:` and nothing
        start = text.index(":", key.end_mark.index) + 1
        yield start, start, f" {_written(value)}"
    elif isinstance(node, ScalarNode):
        is_block = node.style in ("|", ">")
        block = _block(value, key.start_mark.column + STEP) if is_block and isinstance(value, str) else ""
        yield start, end, block or _written(value, node.style or "")
    elif isinstance(node, CollectionNode) and node.flow_style:
        yield start, end, _written(value)
    else:  # begins on a line below its key
        yield text.index(":", key.end_mark.index) + 1, end, f" {_written(value)}"


def _find(node: Node, path: type_path) -> tuple[Node, Node]:
    """The key and the value at a path. One value counts as a list of one."""
    key = node
    for step in path:
        if isinstance(step, str):
            key, node = next(pair for pair in node.value if pair[0].value == step)
        elif isinstance(node, SequenceNode):
            key = node = node.value[step]
    return key, node


def _end(text: str, node: Node) -> int:
    """Of what is written of a node: that of a block of YAML reaches over the comments behind it."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        end = start + len(_EMPTY_END.sub("", text[start:end]))
    return int(end)


def _written(value: Json, quote: str = "") -> str:
    """A value as it may stand anywhere, between braces too."""
    if value is None:
        return "null"
    if isinstance(value, list) and len(value) == 1:
        return _written(value[0], quote)
    if isinstance(value, list):
        return f"[{', '.join(_written(item) for item in value)}]"
    text = str(value)
    quoted = json.dumps(text, ensure_ascii=False)
    single = "'" + text.replace("'", "''") + "'"
    candidates = {'"': [quoted, single], "'": [single, quoted]}.get(quote, [text, quoted, single])
    fits = (one for one in candidates if _reads(f"{{k: {one}}}", text) and _reads(f"k: {one}", text))
    return next(fits, json.dumps(text))


def _block(text: str, indent: int) -> str:
    """The text after `|`; "" when it cannot be written so."""
    block = "|" + "".join(f"\n{' ' * indent}{line}" if line else "\n" for line in text.split("\n"))
    return block if _reads(f"{' ' * (indent - STEP)}k: {block}", text) else ""


def _reads(yaml: str, text: str) -> bool:
    """Whether a test that expects what YAML reads here expects this text."""
    try:
        value = parse_yaml(yaml.encode(), "").value
    except Misconfigured:
        return False
    return isinstance(value, dict) and value.get("k") is not None and clean(text_of(value["k"])) == text
