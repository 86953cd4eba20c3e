"""Expressions and conditions written out again: reading them gives what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mapping.language import Call, Coalesce, Expression, Literal, Name, Path, Pipe, Word, parse_expression
from bridge.mapping.model import Node
from bridge.mapping.written import written, written_condition, written_value
from bridge.yamlfile import parse_yaml

texts = st.text(alphabet=st.sampled_from("ab\\\"'nt\n\t {}?|.é")) | st.text(st.characters(codec="utf-8"), max_size=5)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
steps = st.one_of(texts, names, st.integers(0, 99), st.none())
paths = st.builds(Path, st.lists(steps, max_size=5).map(tuple))
sources = st.one_of(paths, st.builds(Literal, texts), st.builds(Name, names))
arguments = st.one_of(texts, names.map(Word), st.integers(-99, 99))
keywords = st.dictionaries(names, arguments, max_size=2).map(lambda named: tuple(named.items()))
calls = st.builds(Call, names, st.lists(arguments, max_size=3).map(tuple), keywords)
pipes = st.builds(Pipe, sources, st.lists(calls, min_size=1, max_size=3).map(tuple))
alternatives = sources | pipes
expressions = alternatives | st.builds(Coalesce, st.lists(alternatives, min_size=2, max_size=4).map(tuple))


@given(expressions)
def test_an_expression_reads_as_what_was_written(tree: Expression) -> None:
    read = parse_expression(written(tree))
    assert read == tree
    assert written(read) == written(tree)  # a word and a text in quotes are equal as values


@pytest.mark.parametrize(
    "text",
    [
        ".a.b[0].c ?? .list[].x",
        '."kibana.alert.uuid" ?? .detail-type',
        'host | regex("^(\\d+)") | truncate(3)',
        "account | lookup(accounts, by=account_id, take=env)",
        ".[]",
        ".",
        '.a | join(", ") ?? "none"',
    ],
)
def test_an_expression_is_written_as_people_write_it(text: str) -> None:
    assert written(parse_expression(text)) == text


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("{.a: x}", ".a: x"),
        ("{.a|contains: [x, y], severity: high}", ".a|contains: [x, y] and severity: high"),
        ("[{.a: 1}, {.b: null, .c: true}]", "(.a: 1 or .b: null and .c: true)"),
        ("{any: [{.a: x}, {.b: y}], .c: z}", "(.a: x or .b: y) and .c: z"),
        ("{all: [{.a: x}, [{.b: y}, {.c: z}]]}", "(.a: x and (.b: y or .c: z))"),
        ("{not: {.a: x, .b: y}}", "not (.a: x and .b: y)"),
        ("{not: [{.a: x}, {.b: y}]}", "not (.a: x or .b: y)"),
    ],
)
def test_a_condition_reads_as_a_sentence(condition: str, text: str) -> None:
    file = parse_yaml(condition.encode(), "m.yaml")
    assert written_condition(Node(file, (), file.value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("a, b", '"a, b"'), ("", '""'), (" a", '" a"'), ("a: b", '"a: b"'), ({"a": [1, None]}, "{a: [1, null]}")],
)
def test_a_value_is_quoted_where_yaml_would_read_another(value: object, text: str) -> None:
    assert written_value(value) == text
