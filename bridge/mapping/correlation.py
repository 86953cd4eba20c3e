"""The `correlation:` section: which problem an alert is about, how it was called before, what it may join. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from bridge.alert import JoinKey, Json
from bridge.correlation.identity import identify
from bridge.correlation.policy import Policy
from bridge.errors import Unmappable
from bridge.mapping.compiler import Compiler
from bridge.mapping.evaluate import BEFORE_SEVERITY, FACTS, Getter, Scope, compile_expression
from bridge.mapping.language import LanguageError, names_in, without_empty
from bridge.mapping.model import JOIN_RULES_MAX, JOIN_VALUES_MAX, Node, Report
from bridge.mapping.origin import IsLiteral, Origins, always
from bridge.mapping.values import TEXT_CHARS_MAX, clean, is_nothing, text_of

JOIN_DIGITS = 32  # hex digits of a join key's digest

# Literal text, or a hole: its value, how it is written, and whether it may be empty.
Steps = tuple[str | tuple[Getter, str, bool], ...]


def compile_identity(node: Node | None, compiler: Compiler) -> Callable[[Scope], str]:
    """The text of the correlation ID. A part that is empty or no single value sends the alert to quarantine."""
    steps = _steps(node, compiler)

    def identity(scope: Scope) -> str:
        texts = []
        for step in steps:
            if isinstance(step, str):
                texts.append(step)
                continue
            getter, source, may_be_empty = step
            value = getter(scope)
            text = _one_text(value)
            if text is None:
                raise Unmappable("identity_not_one_value", _not_one_value(source, value))
            if clean(text):
                texts.append(text)
            elif not may_be_empty:
                raise Unmappable(
                    "empty_identity",
                    f"the part {{{{ {source} }}}} of correlation.id is empty in this alert: name a field it carries",
                )
        return "".join(texts)

    return identity


def _one_text(value: Json) -> str | None:
    """The text of one value, or of a list of one; "" of nothing; None of an object and of several values."""
    if value.__class__ is list and len(value) == 1:
        value = value[0]
    if value.__class__ is dict or value.__class__ is list:
        return "" if is_nothing(value) else None
    return text_of(value)[:TEXT_CHARS_MAX]


def _not_one_value(source: str, value: Json) -> str:
    kind, whole = ("an object", "json") if value.__class__ is dict else ("a list, not one value,", "join")
    return (
        f"the part {{{{ {source} }}}} of correlation.id is {kind} in this alert: name one value of it, "
        f"or write `| {whole}` if the whole of it is the identity"
    )


def compile_formers(node: Node | None, compiler: Compiler) -> tuple[Callable[[Scope], str | None], ...]:
    """`formerly`: the correlation IDs that earlier mappings gave; None where a part is empty or no single value."""
    return tuple(_former(child, compiler) for child in node.elements()) if node is not None else ()


def _former(node: Node, compiler: Compiler) -> Callable[[Scope], str | None]:
    steps = _steps(node, compiler)

    def former(scope: Scope) -> str | None:
        texts = []
        for step in steps:
            if isinstance(step, str):
                texts.append(step)
                continue
            text = _one_text(step[0](scope))
            if text is None or not (clean(text) or step[2]):
                return None
            texts.append(text)
        return identify("".join(texts))

    return former


def _steps(node: Node | None, compiler: Compiler) -> Steps:
    if node is None:
        return ()
    tree = compiler.text_tree(node)
    if not tree.holes and tree.parts:
        hint = '"{{ rule }}:{{ host }}"'
        compiler.report.error(node, "the ID names no part of the alert: all alerts would be one problem", hint)
    if tree.holes and all(without_empty(hole.expression) is not None for hole in tree.holes):
        hint = 'take `?? ""` from the part that every alert has'
        compiler.report.error(node, "each part of the ID may be empty: it would name all alerts, or none", hint)
    steps: list[str | tuple[Getter, str, bool]] = []
    for part in tree.parts:
        if isinstance(part, str):
            steps.append(part)
            continue
        rest = without_empty(part.expression)
        try:
            getter = compile_expression(rest or part.expression, compiler.names, BEFORE_SEVERITY)
            steps.append((compiler.watch.part("value", node, getter), part.source, rest is not None))
        except LanguageError as error:
            compiler.report.error(node, error.message, error.hint)
    return tuple(steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """One rule of `join`: alerts with the same values belong together."""

    same: tuple[str, ...]  # as written, in the order of their text
    within: timedelta
    values: tuple[tuple[bytes, Getter, IsLiteral | None], ...]  # the text as it is hashed, its value, whether ours

    def key(self, mapping: str, scope: Scope) -> JoinKey | None:
        """None when a value is empty or comes from a literal fallback: then nothing says that two are alike."""
        hashed = [_behind_length(mapping)]
        for source, getter, is_literal in self.values:
            value = getter(scope)
            text = clean(value if value.__class__ is str else text_of(value)).lower()
            if not text or (is_literal is not None and is_literal(scope)):
                return None
            hashed += source, _behind_length(text)
        return JoinKey(digest=hashlib.sha256(b"".join(hashed)).hexdigest()[:JOIN_DIGITS], within=self.within)


def _behind_length(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return len(raw).to_bytes(8) + raw


def compile_joins(node: Node | None, compiler: Compiler) -> tuple[Join, ...]:
    """A rule is known by the texts of its `same`: their order, its place and its `within` may change."""
    report = compiler.report
    children = node.elements() if node is not None else []
    if node is not None and len(children) > JOIN_RULES_MAX:
        report.error(node, f"has {len(children)} join rules; at most {JOIN_RULES_MAX} are taken")
    origins = Origins(compiler)
    joins: dict[tuple[str, ...], Join] = {}
    for child in children:
        if not report.keys(child, "join", ("same", "within")):
            continue
        same, within = child.get("same"), child.get("within")
        if same is None or within is None:
            continue
        told = len(report.problems)
        span = report.duration(within)
        if not span and len(report.problems) == told:
            report.error(within, "`within` is longer than nothing", "4h")
        values = _same(same, compiler, origins)
        join = Join(same=tuple(values), within=span, values=tuple(values.values()))
        if join.same and join.same in joins:
            report.error(child, "a join rule with the same values stands here twice", "keep one of them")
        joins[join.same] = join
    return tuple(joins.values())


def _same(node: Node, compiler: Compiler, origins: Origins) -> dict[str, tuple[bytes, Getter, IsLiteral | None]]:
    """Each value by its text, in the order of the texts."""
    report = compiler.report
    children = node.elements()
    if not 1 <= len(children) <= JOIN_VALUES_MAX:
        report.error(node, f"`same` has 1 to {JOIN_VALUES_MAX} values, not {len(children)}", "same: [host, user]")
    values: dict[str, tuple[bytes, Getter, IsLiteral | None]] = {}
    for child in children:
        tree = compiler.tree(child)
        if facts := sorted(names_in(tree) & FACTS.keys()):
            report.error(child, f"`{facts[0]}` does not tell which alerts belong together", "an extract or a path")
            continue
        getter = compiler.compiled(tree, child, BEFORE_SEVERITY)
        try:
            is_literal = origins.is_literal(tree)
        except LanguageError:  # of `compiled` as well, and told by it
            continue
        if is_literal is always:
            report.error(child, "comes from a literal, the same for all alerts", "an extract or a path")
        source = str(child.value)
        values[source] = (_behind_length(source), getter, is_literal)
    return dict(sorted(values.items()))


_REOPEN_ELSE = {"create": True, "nothing": False}


def compile_policy(node: Node, report: Report) -> Policy:
    values: dict[str, Json] = {}
    if (every := node.get("update_every")) is not None:
        values["update_every"] = tuple(report.duration(child) for child in every.elements())
        if not values["update_every"] or min(values["update_every"]) < timedelta(minutes=1):
            report.error(every, "an interval of update_every is at least 1m", "[15m, 1h, 4h, 24h]")
    if (after := node.get("close_after")) is not None:
        values["close_after"] = report.duration(after)
    if (reopen := node.get("reopen")) is not None and report.keys(reopen, "reopen"):
        if (within := reopen.get("within")) is not None:
            values["reopen_within"] = report.duration(within)
        if (otherwise := reopen.get("else")) is not None:
            if str(otherwise.value) not in _REOPEN_ELSE:
                report.error(otherwise, "`else` is create or nothing")
            values["reopen_else_create"] = _REOPEN_ELSE.get(str(otherwise.value), True)
    if (person := node.get("after_person")) is not None and report.keys(person, "after_person"):
        for key, child in person.items():
            values[f"after_person_{key}"] = report.duration(child)
    known = {key: value for key, value in values.items() if key in Policy.__slots__}
    return Policy(**known)
