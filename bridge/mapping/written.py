"""Expressions and conditions written out again, as a mapping's author would write them. Pure."""

from __future__ import annotations

import re

from bridge.alert import Json
from bridge.mapping.language import Argument, Call, Coalesce, Expression, Name, Path, Pipe, Word
from bridge.mapping.model import Node
from bridge.mapping.values import text_of

_PLAIN_KEY = re.compile(r"[\w@$][\w@$-]*")
_BACKSLASH = re.compile(r"""\\(?=[nt\\"'\n\t]|\Z)""")  # one that the reader would take for an escape
_AMBIGUOUS = re.compile(r"""[\[\]{},#"']|: |\A\s|\s\Z|\A\Z""")
_COMBINED = {"any": " or ", "all": " and ", "not": " or "}


def written(tree: Expression) -> str:
    """The expression as text: reading it again gives the same tree."""
    if isinstance(tree, Coalesce):
        return " ?? ".join(written(alternative) for alternative in tree.alternatives)
    if isinstance(tree, Pipe):
        return " | ".join([written(tree.source), *(_call(call) for call in tree.calls)])
    if isinstance(tree, Path):
        return _path(tree)
    return tree.name if isinstance(tree, Name) else _quoted(tree.text)


def written_condition(node: Node) -> str:
    """`severity|at_least: high and (.a: x or .b: y)`."""
    if isinstance(node.value, list):
        either = " or ".join(written_condition(child) for child in node.elements())
        return f"({either})" if len(node.value) > 1 else either
    return " and ".join([written_key(key, child) for key, child in node.items()])


def written_key(key: str, node: Node) -> str:
    """One key of a condition with what it asks for."""
    if key not in _COMBINED:
        return f"{key}: {written_value(node.value)}"
    inner = _COMBINED[key].join([written_condition(child) for child in node.elements()])
    return f"not ({inner})" if key == "not" else f"({inner})"


def written_value(value: Json) -> str:
    """A value as YAML on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(written_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written_value(item)}" for key, item in value.items()) + "}"
    if value is None:
        return "null"
    text = text_of(value)
    return _quoted(text) if isinstance(value, str) and _AMBIGUOUS.search(text) else text


def _call(call: Call) -> str:
    arguments = [_argument(one) for one in call.arguments]
    arguments += [f"{name}={_argument(one)}" for name, one in call.keywords]
    return f"{call.function}({', '.join(arguments)})" if arguments else call.function


def _argument(argument: Argument) -> str:
    return _quoted(argument) if isinstance(argument, str) and not isinstance(argument, Word) else str(argument)


def _path(path: Path) -> str:
    text = ""
    for step in path.steps:
        if isinstance(step, str):
            text += "." + (step if _PLAIN_KEY.fullmatch(step) else _quoted(step))
        else:
            text += ("" if text else ".") + ("[]" if step is None else f"[{step}]")
    return text or "."


def _quoted(text: str) -> str:
    escaped = _BACKSLASH.sub(r"\\\\", text).replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"'
