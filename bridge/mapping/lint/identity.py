"""Lints of what an alert is known by: the parts of the correlation ID, and the values that join. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.alert import key_of
from bridge.mapping.language import Call, Coalesce, Literal, Name, Path, Pipe, Text, without_empty
from bridge.mapping.lint.subject import SHOWN_CHARS, Alert, Finding, Subject
from bridge.mapping.lint.uses import Tree, leaves
from bridge.mapping.model import Node
from bridge.mapping.values import cut, is_nothing, text_of
from bridge.mapping.written import written

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_TIME_WORDS = frozenset({"time", "timestamp", "date", "datetime", "ts", "at", "seen", "epoch"})
_TIME_VALUE = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One hole of `correlation.id`, or one value of `join`."""

    node: Node
    tree: Tree
    name: str  # "the part {{ host }} of the ID"
    joins: bool  # a join value that is empty, or our own literal, joins nothing
    may_be_empty: bool = False  # its author says so


def parts_of(subject: Subject) -> Iterator[Part]:
    for use in subject.uses:
        if use.section == "id" and isinstance(use.tree, Text):
            for hole in use.tree.holes:
                rest = without_empty(hole.expression)
                yield Part(
                    node=use.node,
                    tree=hole.expression if rest is None else rest,
                    name=f"the part {{{{ {hole.source} }}}} of the ID",
                    joins=False,
                    may_be_empty=rest is not None,
                )
        elif use.section == "join":
            yield Part(node=use.node, tree=use.tree, name=f"the join value `{use.node.value}`", joins=True)


def may_be_empty(subject: Subject) -> Iterator[Finding]:
    for part in parts_of(subject):
        hint = "name a value that every alert carries, or another alert's after `??`"
        if not part.may_be_empty and (alert := _empty_in(part, subject)) is not None:
            effect = "such an alert joins nothing" if part.joins else "such an alert waits in quarantine"
            yield Finding(part.node, f"{part.name} is empty in {alert.sample}: {effect}", hint)
        elif (text := _text_of_several(part.tree, subject)) is not None:
            message = f"{part.name} is a text of {len(text.holes)} values: it is not empty when only one of them is"
            yield Finding(part.node, message, "name each value as a part of its own")


def _empty_in(part: Part, subject: Subject) -> Alert | None:
    """An alert of a sample that leaves the part empty. What tests change may be meant to."""
    for alert in subject.alerts:
        if not alert.changed:
            value = subject.value_of(part.tree, alert)
            if is_nothing(value) or not text_of(value).strip():
                return alert
    return None


def _text_of_several(tree: Tree, subject: Subject) -> Text | None:
    """The extract of several holes that a part is made of."""
    if isinstance(tree, Text):
        return tree if len(tree.holes) > 1 else None
    for one in tree.alternatives if isinstance(tree, Coalesce) else (tree,):
        source = one.source if isinstance(one, Pipe) else one
        if isinstance(source, Name) and source.name in subject.extracts:
            found = _text_of_several(subject.extracts[source.name], subject)
            if found is not None:
                return found
    return None


def falls_back(subject: Subject) -> Iterator[Finding]:
    for part in parts_of(subject):
        if (literal := _fallback(part.tree, subject)) is not None:
            effect = "alerts that lack it join nothing" if part.joins else "all alerts that lack it become one problem"
            message = f'{part.name} falls back to "{literal}": {effect}'
            hint = "" if part.joins else ": an alert without identity waits in quarantine, and is not lost"
            hint = f"leave the literal out{hint}"
            yield Finding(part.node, message, hint)


def _fallback(tree: Tree, subject: Subject) -> str | None:
    """The literal that stands for a value that is not there."""
    if isinstance(tree, Text):
        trees: list[Tree] = [hole.expression for hole in tree.holes]
    elif isinstance(tree, Coalesce):
        literal = next((one for one in tree.alternatives if isinstance(_source(one), Literal)), None)
        if literal is not None:
            return text_of(getattr(_source(literal), "text", ""))
        trees = list(tree.alternatives)
    elif isinstance(tree, Pipe):
        default = next((call for call in tree.calls if call.function == "default"), None)
        if default is not None:
            return text_of(default.arguments[0]) if default.arguments else ""
        trees = [tree.source]
    else:
        trees = [subject.extracts[tree.name]] if isinstance(tree, Name) and tree.name in subject.extracts else []
    return next((found for one in trees if (found := _fallback(one, subject)) is not None), None)


def _source(tree: Tree) -> Tree:
    return tree.source if isinstance(tree, Pipe) else tree


def carries_time(subject: Subject) -> Iterator[Finding]:
    times = {leaf for use in subject.uses if use.section == "time" for leaf in leaves(use.tree, subject.extracts)}
    for part in parts_of(subject):
        why = next((why for leaf in leaves(part.tree, subject.extracts) if (why := _time_like(leaf, times))), "")
        if not why and (alert := _time_in(part, subject)) is not None:
            why = f"is a time in {alert.sample}"
        if why:
            effect = "no two alerts would join" if part.joins else "every alert would be a problem of its own"
            hint = "name what the problem is about, not when it was seen"
            yield Finding(part.node, f"{part.name} {why}: {effect}", hint)


def _time_like(leaf: Path | Literal | Name | Call, times: set[Path | Literal | Name | Call]) -> str:
    """Why a leaf is taken for a time; "" when it is not."""
    if isinstance(leaf, Call):
        return f"goes through `{leaf.function}`" if leaf.function in ("date", "time") else ""
    if not isinstance(leaf, Path):
        return ""
    if leaf in times:
        return f"is made of {written(leaf)}, as `time` is"
    keys = [step for step in leaf.steps if isinstance(step, str)]
    words = [word.lower() for word in _WORDS.findall(keys[-1])] if keys else []
    looks = bool(words) and words[-1] in _TIME_WORDS and words != ["at"]
    return f"looks like a time ({written(leaf)})" if looks else ""


def _time_in(part: Part, subject: Subject) -> Alert | None:
    for alert in subject.alerts:
        if not alert.changed and _TIME_VALUE.search(text_of(subject.value_of(part.tree, alert))):
            return alert
    return None


def differs_by_case(subject: Subject) -> Iterator[Finding]:
    node = next((use.node for use in subject.uses if use.section == "id"), None)
    firsts: dict[str, str] = {}
    for _, mapped in subject.mapped:
        text = mapped.correlation_text
        first = firsts.setdefault(key_of(text), text)
        if first != text and node is not None:
            both = f"`{cut(first, SHOWN_CHARS)}` and `{cut(text, SHOWN_CHARS)}`"
            message = f"{both} are two alerts and one problem: IDs are compared without regard to case"
            yield Finding(node, message, "if the case tells them apart: {{ … | hash(16) }}")
            return
