"""The shipped mappings, whatever an alert lacks or writes otherwise: an ID of its own values, or quarantine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from bridge.alert import Json
from bridge.errors import Unmappable
from bridge.mapping.compile import Mapping
from bridge.mapping.evaluate import BEFORE_SEVERITY, UNSET, Getter, Scope, compile_expression
from bridge.mapping.language import Coalesce, Expression, Literal, Name, Pipe, Text, parse_path, parse_text
from bridge.mapping.load import load_mappings
from bridge.mapping.values import clean, text_of

FOLDER = Path(__file__).parents[2] / "mappings"
MAPPINGS = load_mappings(FOLDER, sorted(path.stem for path in FOLDER.glob("*.yaml")))
SAMPLES = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("samples/*.json"))]
LONG = "a long text " * 500
BAD = (UNSET, None, "", "   ", 0, [], {}, [1], ["p", "q"], {"x": 1}, LONG)  # UNSET: the field is not there
NO_IDENTITY = {"", "none", "null", "{}", "[]", "nan", "undefined", "unknown"}
RENDERED = ('"x":1', "p, q")

Place = tuple[str | int, ...]


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_field_that_is_missing_or_of_another_type_makes_no_id_of_fallbacks(name: str) -> None:
    mapping = MAPPINGS[name]
    parts = identity_of(mapping)
    for delivery, alert in alerts_of(mapping):
        for document in spoilt(delivery, set(places(delivery))):
            why = refusal(partial(mapping.split, document))
            assert why is None or "`match`" in why or "`each`" in why
        looks = {place for text, _ in mapping.reads for place in looked(alert, parse_path(text).steps)}
        for document in spoilt(alert, looks | set(places(alert))):
            why = refusal(partial(mapping.map, document))
            if why is None:
                scope = Scope(document, name, mapping.blank.copy())
                for part in parts:
                    part.check(scope)
            else:
                assert any(f"{{{{ {part.source} }}}}" in why for part in parts), why


def refusal(take: Callable[[], object]) -> str | None:
    """What the quarantine says; None when the alert is taken. Any other error is the mapping's fault."""
    try:
        take()
    except Unmappable as error:
        return error.message
    return None


def alerts_of(mapping: Mapping) -> Iterator[tuple[Json, Json]]:
    """Each delivery among the samples that the mapping takes, with its first alert."""
    for sample in SAMPLES:
        try:
            elements, _ = mapping.split(sample)
        except Unmappable:
            continue
        yield from ((sample, element) for element in elements[:1])


def places(document: Json) -> Iterator[Place]:
    """Of the first and the second level; of a list its first element."""
    for key, value in children(document):
        yield (key,)
        yield from ((key, inner) for inner, _ in children(value))


def children(value: Json) -> list[tuple[str | int, Json]]:
    return (
        list(value.items()) if isinstance(value, dict) else [*enumerate(value[:1])] if isinstance(value, list) else []
    )


def looked(document: Json, steps: tuple[str | int | None, ...]) -> Iterator[Place]:
    """Where a path ends in this document, and each place on the way."""
    place: Place = ()
    for step in steps:
        key = step or 0 if step is None or isinstance(step, int) else step
        if key not in dict(children(document)):
            return
        document, place = document[key], (*place, key)
        yield place


def spoilt(document: Json, where: set[Place]) -> Iterator[Json]:
    for place in sorted(where, key=str):
        for bad in BAD:
            yield replaced(document, place, bad)


def replaced(document: Json, place: Place, value: Json) -> Json:
    key, *rest = place
    copy = document.copy()
    if rest:
        copy[key] = replaced(copy[key], tuple(rest), value)
    elif value is UNSET:
        del copy[key]
    else:
        copy[key] = value
    return copy


class Part:
    """A hole of the ID, with what its extracts write themselves."""

    def __init__(self, tree: Expression, source: str, getter: Getter, mapping: Mapping) -> None:
        self.source = source
        self.getter = getter
        self.literals: set[str] = set()
        self.joins = False
        self._read(tree, mapping)
        self.may_be_empty = isinstance(tree, Coalesce) and tree.alternatives[-1] == Literal("")

    def check(self, scope: Scope) -> None:
        text = clean(text_of(self.getter(scope)))
        if self.may_be_empty and not text:
            return
        assert text.lower() not in NO_IDENTITY | self.literals, f"{self.source}: {text}"
        assert self.joins or not any(rendered in text for rendered in RENDERED), f"{self.source}: {text}"

    def _read(self, tree: Expression | Text, mapping: Mapping) -> None:
        if isinstance(tree, Literal):
            self.literals.add(tree.text.lower())
        elif isinstance(tree, Name) and (node := (mapping.tree.get("extract") or mapping.tree).get(tree.name)):
            written = str(node.value)
            self._read(parse_text(written) if "{{" in written else parse_text(f"{{{{ {written} }}}}"), mapping)
        elif isinstance(tree, Pipe):
            self.joins |= bool({call.function for call in tree.calls} & {"join", "json"})
            self._read(tree.source, mapping)
        elif isinstance(tree, Coalesce):
            for alternative in tree.alternatives:
                self._read(alternative, mapping)
        elif isinstance(tree, Text):
            for hole in tree.holes:
                self._read(hole.expression, mapping)


def identity_of(mapping: Mapping) -> list[Part]:
    node = (mapping.tree.get("correlation") or mapping.tree).get("id")
    assert node is not None
    return [
        Part(hole.expression, hole.source, compile_expression(hole.expression, mapping.names, BEFORE_SEVERITY), mapping)
        for hole in parse_text(str(node.value)).holes
    ]
