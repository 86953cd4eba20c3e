"""The grammar of the mapping language: paths, expressions and texts with holes, parsed into small trees. Pure.

    expression   alternative ?? alternative …
    alternative  source | function | function(arguments) …
    arguments    "literal", 3, word, name=word …
    source       .path    "literal"    name
    text         anything {{ expression }} anything

A pipe binds tighter than `??`. There are no parentheses, loops or conditions: an extract is the way to name a step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

PATH_STEPS_MAX = 32
CALLS_MAX = 32


class LanguageError(Exception):
    """What is wrong with a text of the mapping language. The compiler gives it its place in the file."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Path:
    """A look into the alert. A step is a key (str), an index (int), or every element (None)."""

    steps: tuple[str | int | None, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """An earlier extract or a fact such as `severity`."""

    name: str


class Word(str):
    """An argument without quotes: the name of a table or a column, never a value."""

    __slots__ = ()


Argument = str | int | float


@dataclass(frozen=True, slots=True)
class Call:
    """One function of a pipe, with its literal arguments and those that have a name: `by=hostname`."""

    function: str
    arguments: tuple[Argument, ...] = ()
    keywords: tuple[tuple[str, Argument], ...] = ()


@dataclass(frozen=True, slots=True)
class Pipe:
    source: Path | Literal | Name
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first alternative that is something."""

    alternatives: tuple[Path | Literal | Name | Pipe, ...]


Expression = Path | Literal | Name | Pipe | Coalesce


@dataclass(frozen=True, slots=True)
class Hole:
    expression: Expression
    source: str  # as written between the braces, for messages


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text and holes, in order."""

    parts: tuple[str | Hole, ...]

    @property
    def holes(self) -> list[Hole]:
        return [part for part in self.parts if isinstance(part, Hole)]


def parse_expression(text: str) -> Expression:
    parser = _Parser(text, 0)
    expression = parser.expression()
    if parser.kind != "end":
        parser.unexpected("the end")
    return expression


def parse_text(text: str) -> Text:
    parts: list[str | Hole] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        parser = _Parser(text, start + 2)
        expression = parser.expression()
        if parser.kind != "close_hole":
            parser.unexpected("`}}`")
        parts.append(Hole(expression, text[start + 2 : parser.start].strip()))
        position = parser.position
    if position < len(text):
        parts.append(text[position:])
    return Text(tuple(parts))


def parse_path(text: str) -> Path:
    expression = parse_expression(text)
    if not isinstance(expression, Path):
        raise LanguageError(f"`{text}` is not a path", "a path starts with a dot: .a.b[0]")
    return expression


def names_in(tree: Expression | Text) -> set[str]:
    """The names that the tree mentions."""
    if isinstance(tree, Text):
        return set().union(*(names_in(hole.expression) for hole in tree.holes))
    if isinstance(tree, Coalesce):
        return set().union(*(names_in(alternative) for alternative in tree.alternatives))
    if isinstance(tree, Pipe):
        return names_in(tree.source)
    return {tree.name} if isinstance(tree, Name) else set()


def without_empty(tree: Expression) -> Expression | None:
    """What stands before `?? ""`, by which a part of an ID says that it may be empty; None for one that does not."""
    if not isinstance(tree, Coalesce) or tree.alternatives[-1] != Literal(""):
        return None
    rest = tree.alternatives[:-1]
    return rest[0] if len(rest) == 1 else Coalesce(rest)


def nearest(word: str, words: Sequence[str]) -> str:
    """A hint: the nearest right word, or, when none is near, the right ones."""
    if close := get_close_matches(word, words, 1, 0.6):
        return f"did you mean `{close[0]}`?"
    return "known: " + ", ".join(words) if words else ""


_STRING = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_KEY = r"""(?:[\w@$][\w@$-]*|"(?:[^"\\]|\\.)*")"""
_TOKEN = re.compile(
    rf"""
      (?P<coalesce>\?\?)
    | (?P<pipe>\|)
    | (?P<string>{_STRING})
    | (?P<path>\.(?:{_KEY}|\[\d*\])?(?:\.{_KEY}|\[\d*\])*)
    | (?P<number>-?\d+(?:\.\d+)?\b)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<open>\() | (?P<close>\)) | (?P<comma>,) | (?P<equals>=)
    | (?P<close_hole>\}}\}})
    """,
    re.VERBOSE | re.DOTALL,
)
_STEP = re.compile(rf"\.?({_KEY})|\[(\d*)\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}


class _Parser:
    """Reads one expression from `text`, one token ahead."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.position = position
        self.kind = self.token = ""
        self.start = position
        self.advance()

    def advance(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1
        self.start = self.position
        match = _TOKEN.match(self.text, self.position)
        if match:
            self.kind, self.token, self.position = str(match.lastgroup), match.group(), match.end()
        else:
            self.kind = "end" if self.start == len(self.text) else "unknown"
            self.token = self.text[self.start : self.start + 1]

    def unexpected(self, wanted: str) -> NoReturn:
        shown = self.text.strip()
        if self.kind == "end":
            raise LanguageError(f"`{shown}` ends where {wanted} is expected")
        if self.token in ('"', "'"):
            raise LanguageError(
                f"the quote in `{shown}` is not closed", "a value with ` #` in it stands in single quotes in YAML"
            )
        hint = "an index is a number, or nothing for every element: .a[0], .a[]" if self.text[self.start] == "[" else ""
        raise LanguageError(f"`{self.token}` in `{shown}` stands where {wanted} is expected", hint)

    def expression(self) -> Expression:
        alternatives = [self.alternative()]
        while self.kind == "coalesce":
            self.advance()
            alternatives.append(self.alternative())
        return alternatives[0] if len(alternatives) == 1 else Coalesce(tuple(alternatives))

    def alternative(self) -> Path | Literal | Name | Pipe:
        source = self.source()
        calls = []
        while self.kind == "pipe":
            self.advance()
            calls.append(self.call())
        if len(calls) > CALLS_MAX:
            raise LanguageError(f"pipes through {len(calls)} functions; at most {CALLS_MAX} are taken")
        return Pipe(source, tuple(calls)) if calls else source

    def source(self) -> Path | Literal | Name:
        kind, token = self.kind, self.token
        if kind == "path":
            self.advance()
            return _path(token)
        if kind == "string":
            self.advance()
            return Literal(_unquoted(token))
        if kind == "name":
            self.advance()
            return Name(token)
        if kind == "number":
            raise LanguageError(f"`{token}` is not an expression", f'a literal has its own double quotes: "{token}"')
        return self.unexpected("a path (.a.b), a name or a literal in double quotes")

    def call(self) -> Call:
        function = self.token
        if self.kind != "name":
            self.unexpected("the name of a function")
        self.advance()
        arguments: list[Argument] = []
        keywords: dict[str, Argument] = {}
        if self.kind == "open":
            self.advance()
            while self.kind != "close":
                self.argument(arguments, keywords)
                if self.kind == "comma":
                    self.advance()
                elif self.kind != "close":
                    self.unexpected("`,` or `)`")
            self.advance()
        return Call(function, tuple(arguments), tuple(keywords.items()))

    def argument(self, arguments: list[Argument], keywords: dict[str, Argument]) -> None:
        value = self.literal()
        if not isinstance(value, Word) or self.kind != "equals":
            if keywords:
                raise LanguageError(f"`{value}` stands behind an argument with a name", "those come last")
            arguments.append(value)
            return
        self.advance()
        if value in keywords:
            raise LanguageError(f"`{value}=` stands here twice", "keep one of them")
        keywords[str(value)] = self.literal()

    def literal(self) -> Argument:
        kind, token = self.kind, self.token
        if kind not in ("string", "number", "name"):
            self.unexpected("a literal argument or `)`")
        self.advance()
        if kind == "string":
            return _unquoted(token)
        if kind == "number":
            return float(token) if "." in token else int(token[:10])
        return Word(token)


def _path(token: str) -> Path:
    steps: list[str | int | None] = []
    for key, index in _STEP.findall(token):
        if key:
            steps.append(_unquoted(key) if key.startswith('"') else key)
        else:
            steps.append(int(index[:9]) if index else None)
    if len(steps) > PATH_STEPS_MAX:
        raise LanguageError(f"the path has {len(steps)} steps; at most {PATH_STEPS_MAX} are taken")
    return Path(tuple(steps))


def _unquoted(token: str) -> str:
    """The text of a literal. A backslash before any other character stays: patterns read as they are written."""
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[0]), token[1:-1])
