"""Whether a value comes from a literal: what is the same for all alerts must not make two problems one. Pure.

`.host ?? "unknown"` is the alert's host or our word. A text counts as ours as soon as one of its holes is.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.alert import Json
from bridge.mapping.compiler import Compiler
from bridge.mapping.evaluate import BEFORE_SEVERITY, FACTS, Getter, Scope, compile_expression
from bridge.mapping.functions import build_step
from bridge.mapping.language import Call, Coalesce, Expression, Literal, Name, Path, Pipe, Text
from bridge.mapping.values import is_nothing

IsLiteral = Callable[[Scope], bool]


class Origins:
    """Answers for the expressions of one mapping, whose extracts the compiler has read."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._extracts: dict[str, IsLiteral | None] = {}

    def is_literal(self, tree: Expression | Text) -> IsLiteral | None:
        """Asks whether the value for an alert comes from a literal; None: it never does. Raises LanguageError."""
        if isinstance(tree, Path):
            return None
        if isinstance(tree, Literal):
            return always
        if isinstance(tree, Name):
            return self._of_extract(tree.name)
        if isinstance(tree, Pipe):
            return self._of_pipe(tree)
        if isinstance(tree, Coalesce):
            return self._of_alternatives(tree)
        if tree.parts and not tree.holes:
            return always
        return _any([self.is_literal(hole.expression) for hole in tree.holes])

    def _of_extract(self, name: str) -> IsLiteral | None:
        """Extracts build on one another: each is asked once per alert."""
        if name not in self._extracts:
            tree = self._compiler.trees.get(name)
            asked = self.is_literal(tree) if tree is not None else always if name in FACTS else None
            self._extracts[name] = asked if asked is None or asked is always else self._compiler.once(asked)
        return self._extracts[name]

    def _of_alternatives(self, tree: Coalesce) -> IsLiteral | None:
        asked = [self.is_literal(alternative) for alternative in tree.alternatives]
        if not any(asked):
            return None
        getters = [self._value(alternative) for alternative in tree.alternatives]
        pairs = tuple(zip(getters, asked, strict=True))

        def is_literal(scope: Scope) -> bool:
            for getter, ask in pairs:
                if not is_nothing(getter(scope)):
                    return ask is not None and ask(scope)
            return False

        return is_literal

    def _of_pipe(self, tree: Pipe) -> IsLiteral | None:
        """Besides its source, `default("…")` brings a literal in: where there is nothing before it."""
        asked = [self.is_literal(tree.source)]
        for index, call in enumerate(tree.calls):
            if call.function == "default":
                asked.append(_nothing_in(self._value(tree.source), tree.calls[:index], self._compiler))
        return _any(asked)

    def _value(self, tree: Expression) -> Getter:
        getter = compile_expression(tree, self._compiler.names, BEFORE_SEVERITY)
        return self._compiler.watch.part("origin", None, getter)


def _nothing_in(source: Getter, calls: tuple[Call, ...], compiler: Compiler) -> IsLiteral:
    steps = [build_step(call, compiler.names.lookups) for call in calls]

    def is_nothing_here(scope: Scope) -> bool:
        value: Json = source(scope)
        for step in steps:
            value = step(value)
        return is_nothing(value)

    return is_nothing_here


def always(_: Scope) -> bool:
    return True


def _any(asked: list[IsLiteral | None]) -> IsLiteral | None:
    parts = tuple(ask for ask in asked if ask is not None)
    if always in parts:
        return always
    return (lambda scope: any(ask(scope) for ask in parts)) if parts else None
