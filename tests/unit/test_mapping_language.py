"""The grammar: what parses to which tree, and what is refused with which words."""

from __future__ import annotations

import pytest

from bridge.mapping.language import (
    Call,
    Coalesce,
    Hole,
    LanguageError,
    Literal,
    Name,
    Path,
    Pipe,
    Text,
    names_in,
    parse_expression,
    parse_text,
)


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        (".", Path(())),
        (".a.b[0].c", Path(("a", "b", 0, "c"))),
        (".list[].x", Path(("list", None, "x"))),
        ('."odd.key".detail-type', Path(("odd.key", "detail-type"))),
        ('."@timestamp"', Path(("@timestamp",))),
        (".[0][]", Path((0, None))),
        ("host", Name("host")),
        ('"a \\"b\\" \\d"', Literal('a "b" \\d')),
        ('.a ?? "x"', Coalesce((Path(("a",)), Literal("x")))),
        (".a | time ?? .b", Coalesce((Pipe(Path(("a",)), (Call("time"),)), Path(("b",))))),
        (".a | truncate(3) | join(', ')", Pipe(Path(("a",)), (Call("truncate", (3,)), Call("join", (", ",))))),
        ("h | lookup(hosts, by=name)", Pipe(Name("h"), (Call("lookup", ("hosts",), (("by", "name"),)),))),
    ],
)
def test_an_expression_parses(source: str, tree: object) -> None:
    assert parse_expression(source) == tree


def test_a_text_has_literals_and_holes_and_a_literal_may_hold_braces() -> None:
    assert parse_text('a {{ .b ?? "}}" }} c {"x": {}}') == Text(
        ("a ", Hole(Coalesce((Path(("b",)), Literal("}}"))), '.b ?? "}}"'), ' c {"x": {}}')
    )


def test_names_are_found_wherever_they_stand() -> None:
    assert names_in(parse_text('{{ a | lower }}{{ .x ?? b ?? "c" }}')) == {"a", "b"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "ends where"),
        (".a ??", "ends where"),
        (".a | ", "the name of a function"),
        (".a b", "stands where the end is expected"),
        (".a[x]", "an index is a number"),
        ('.a ?? "b', "is not closed"),
        ("12", "double quotes"),
        (".a | truncate(3", "ends where"),
        (".a | truncate(.b)", "a literal argument"),
        (".a" * 40, "at most 32"),
        (".a" + " | lower" * 40, "at most 32"),
    ],
)
def test_what_does_not_parse_says_why(source: str, words: str) -> None:
    with pytest.raises(LanguageError) as caught:
        parse_expression(source)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_a_hole_that_is_not_closed_is_refused() -> None:
    with pytest.raises(LanguageError, match="}}"):
        parse_text("a {{ .b } c")
