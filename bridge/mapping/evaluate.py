"""Expressions and texts as closures over one alert. Pure.

A closure takes the Scope and returns a value; it never raises, whatever the alert holds. Extracts are worked out when
first asked for, once per alert: what intake does not need costs intake nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.alert import Json, Severity, Status
from bridge.mapping.functions import build_step
from bridge.mapping.language import (
    Coalesce,
    Expression,
    Hole,
    LanguageError,
    Literal,
    Name,
    Path,
    Pipe,
    Text,
    nearest,
)
from bridge.mapping.lookups import Lookups
from bridge.mapping.rendered import Facts
from bridge.mapping.steps import Step
from bridge.mapping.values import LIST_ITEMS_MAX, TEXT_CHARS_MAX, text_of, time_of
from bridge.mapping.watch import UNWATCHED, Watch

UNSET = object()
WORD_OF = {severity: severity.word for severity in Severity}


class Scope:
    """One alert while it is mapped or rendered: its document, the extracts worked out so far, the facts known."""

    __slots__ = ("document", "facts", "mapping", "severity", "status", "values")

    def __init__(self, document: Json, mapping: str, values: list[Json]) -> None:
        self.document = document
        self.mapping = mapping
        self.values = values
        self.severity: Severity
        self.status: Status
        self.facts: Facts


Getter = Callable[[Scope], Json]

FACTS: dict[str, Getter] = {
    "severity": lambda scope: WORD_OF[scope.severity],
    "status": lambda scope: scope.status.value,
    "mapping": lambda scope: scope.mapping,
    "source": lambda scope: scope.facts.source,
    "now": lambda scope: scope.facts.now,
    "first_seen": lambda scope: scope.facts.first_seen,
    "last_seen": lambda scope: scope.facts.last_seen,
    "repeat_count": lambda scope: scope.facts.repeat_count,
    "correlation_id": lambda scope: scope.facts.correlation_id,
    "incident_number": lambda scope: scope.facts.incident_number,
    "incident_url": lambda scope: scope.facts.incident_url,
    "incident_sys_id": lambda scope: scope.facts.incident_sys_id,
}

# What is known when a section is worked out, besides the extracts: the order of MAPPING.md.
BEFORE_SEVERITY = frozenset({"mapping"})
AFTER_SEVERITY = frozenset({"mapping", "severity"})
AFTER_STATUS = frozenset({"mapping", "severity", "status"})
WHEN_RENDERED = frozenset(FACTS) - {"incident_sys_id"}
AFTER_CREATE = frozenset(FACTS)


class Names:
    """The names that an expression may use: the extracts compiled so far, the facts of its stage, look-up tables.

    `most` bounds what a fan-out yields.
    """

    def __init__(self, lookups: Lookups, watch: Watch = UNWATCHED, *, most: int = LIST_ITEMS_MAX) -> None:
        self.extracts: dict[str, Getter] = {}
        self.lookups = lookups
        self.watch = watch
        self.most = most
        self.paths: dict[Path, Getter] = {}  # looked at so far

    def getter(self, name: str, known: frozenset[str]) -> Getter:
        if name in self.extracts:
            return self.extracts[name]
        if name in known:
            return FACTS[name]
        if name in FACTS:
            raise LanguageError(f"`{name}` is not known yet where this is worked out", f"known: {_listed(known)}")
        hint = nearest(name, [*self.extracts, *sorted(known)])
        raise LanguageError(f"there is no name `{name}`", f'{hint}; a path starts with a dot, a literal is "{name}"')


def _listed(names: Mapping[str, object] | frozenset[str]) -> str:
    return ", ".join(sorted(names))


def compile_expression(tree: Expression, names: Names, known: frozenset[str]) -> Getter:
    """The closure of one expression. Raises LanguageError."""
    return names.watch.expression(tree, _expression(tree, names, known))


def _expression(tree: Expression, names: Names, known: frozenset[str]) -> Getter:
    if isinstance(tree, Path):
        return names.paths.setdefault(tree, compile_path(tree, names.most))
    if isinstance(tree, Literal):
        text = tree.text
        return lambda _: text
    if isinstance(tree, Name):
        return names.getter(tree.name, known)
    if isinstance(tree, Pipe):
        source = compile_expression(tree.source, names, known)
        return _pipe(source, tuple(build_step(call, names.lookups) for call in tree.calls))
    return coalesce(tuple(compile_expression(alternative, names, known) for alternative in tree.alternatives))


def compile_times(tree: Expression, names: Names, known: frozenset[str]) -> Getter:
    """The closure of `time:`, every alternative read as a time: one that is "not set" or unreadable falls on."""
    alternatives = tree.alternatives if isinstance(tree, Coalesce) else (tree,)
    times = coalesce(tuple(_pipe(compile_expression(one, names, known), (time_of,)) for one in alternatives))
    return names.watch.expression(tree, times)


def _pipe(source: Getter, steps: tuple[Step, ...]) -> Getter:
    if len(steps) == 1:
        (only,) = steps
        return lambda scope: only(source(scope))

    def piped(scope: Scope) -> Json:
        value = source(scope)
        for step in steps:
            value = step(value)
        return value

    return piped


def coalesce(getters: tuple[Getter, ...]) -> Getter:
    """The first value that is something, else None. The test is `is_nothing` written out: this runs for every alert."""

    def first_of(scope: Scope) -> Json:
        for getter in getters:
            value = getter(scope)
            if value:
                if value.__class__ is not str or not value.isspace():
                    return value
            elif value == 0:
                return value
        return None

    return first_of


def memoised(index: int, getter: Getter) -> Getter:
    """An extract: worked out once per alert."""

    def extract(scope: Scope) -> Json:
        value = scope.values[index]
        if value is UNSET:
            value = scope.values[index] = getter(scope)
        return value

    return extract


def compile_path(path: Path, most: int = LIST_ITEMS_MAX) -> Getter:
    """The look into the alert. `most` bounds what a fan-out yields."""
    steps = path.steps
    if not all(isinstance(step, str) for step in steps):
        return _walking(steps, most)
    keys: tuple[str, ...] = steps  # type: ignore[assignment]
    if not keys:
        return lambda scope: scope.document
    if len(keys) == 1:
        return _one_key(*keys)
    return _two_keys(*keys) if len(keys) == 2 else _keys(keys)


def _one_key(key: str) -> Getter:
    def look(scope: Scope) -> Json:
        value = scope.document
        return value.get(key) if value.__class__ is dict else None

    return look


def _two_keys(first: str, second: str) -> Getter:
    def look(scope: Scope) -> Json:
        value = scope.document
        if value.__class__ is dict:
            value = value.get(first)
            if value.__class__ is dict:
                return value.get(second)
        return None

    return look


def _keys(keys: tuple[str, ...]) -> Getter:
    def look(scope: Scope) -> Json:
        value = scope.document
        for key in keys:
            if value.__class__ is not dict:
                return None
            value = value.get(key)
        return value

    return look


def _walking(steps: tuple[str | int | None, ...], most: int) -> Getter:
    """A path with an index or a fan-out: before the first `[]` one value is followed, after it a list of them."""
    first = steps.index(None) if None in steps else len(steps)
    before, after = steps[:first], steps[first + 1 :]
    is_one = first == len(steps)

    def look(scope: Scope) -> Json:
        value = scope.document
        for step in before:
            if step.__class__ is str:
                value = value.get(step) if value.__class__ is dict else None
            else:
                value = _element(value, step)  # type: ignore[arg-type]
        if is_one or value is None:
            return value  # None: `each` tells a list that is not there from an empty one
        values = value[:most] if value.__class__ is list else [value]
        for step in after:
            values = _step_of_each(values, step, most)
        return values

    return look


def _element(value: Json, index: int) -> Json:
    if value.__class__ is list:
        return value[index] if index < len(value) else None
    return value if index == 0 else None  # one value where a list is expected


def _step_of_each(values: list[Json], step: str | int | None, most: int) -> list[Json]:
    if step.__class__ is str:
        return [found for value in values if value.__class__ is dict and (found := value.get(step)) is not None]
    if step is not None:
        return [found for value in values if (found := _element(value, step)) is not None]  # type: ignore[arg-type]
    result: list[Json] = []
    for value in values:
        if value.__class__ is list:
            result += value
        elif value is not None:
            result.append(value)
        if len(result) >= most:
            return result[:most]
    return result


def compile_text(tree: Text, names: Names, known: frozenset[str], *, nothing_if_empty: bool = False) -> Getter:
    """The closure of a text with holes.

    With `nothing_if_empty` a text whose holes are all empty is nothing: `{{ .domain }}\\{{ .user }}` of an alert
    without a user is no user, not a backslash.
    """
    literals = ["" if isinstance(part, Hole) else part for part in tree.parts]
    holes = tuple(
        (index, compile_expression(part.expression, names, known))
        for index, part in enumerate(tree.parts)
        if isinstance(part, Hole)
    )
    bare = "".join(literals)
    if not holes:
        return lambda _: bare
    if nothing_if_empty and not bare and len(holes) == 1:
        return _one_hole(holes[0][1])
    nothing = len(bare) if nothing_if_empty else -1

    def text(scope: Scope) -> Json:
        parts = literals.copy()
        for index, getter in holes:
            value = getter(scope)
            parts[index] = value if value.__class__ is str else text_of(value)
        whole = "".join(parts)
        if len(whole) == nothing:
            return None
        return whole if len(whole) <= TEXT_CHARS_MAX else whole[:TEXT_CHARS_MAX]

    return text


def _one_hole(getter: Getter) -> Getter:
    """`"{{ host }}"`, the commonest text of all."""

    def text(scope: Scope) -> Json:
        value = getter(scope)
        if value.__class__ is not str:
            value = text_of(value)
        return value[:TEXT_CHARS_MAX] or None

    return text
