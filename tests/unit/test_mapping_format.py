"""The layout of mapping files: what moves, what stays, and that a file laid out comes back as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import Misconfigured
from bridge.mapping.format import ORDER, formatted
from bridge.mapping.model import SECTIONS
from bridge.yamlfile import parse_yaml

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    path for folder in ("mappings", "tests/unit/mapping_examples") for path in (ROOT / folder).rglob("*.yaml")
)


def laid_out(text: str) -> str:
    return formatted(parse_yaml(text.encode(), "a.yaml"))


LAYOUTS = {
    "sections come in their order, the tests last": (
        "tests: []\nroute: [{to: itsm}]\nmapping: a\n",
        "mapping: a\n\nroute: [{to: itsm}]\n\ntests: []\n",
    ),
    "a section takes the comments above it along, and those inside it": (
        "# of the file\n\n# about tests\ntests:\n  # inside\n  - a\n  # at its end\n# about match\nmatch: {}\n",
        "# of the file\n\n# about match\nmatch: {}\n\n# about tests\ntests:\n  # inside\n  - a\n  # at its end\n",
    ),
    "the comment at the head of a file stays there": (
        "# the head\ntests: []\nmapping: a\n",
        "# the head\nmapping: a\n\ntests: []\n",
    ),
    "the comment at the foot of a file stays there": (
        "tests: []\nmapping: a\n# the foot\n",
        "mapping: a\n\ntests: []\n# the foot\n",
    ),
    "a section that is not known stays behind the others": (
        "odd: 1\nmapping: a\n",
        "mapping: a\n\nodd: 1\n",
    ),
    "each stands below match, and personal below time, without an empty line or with one": (
        "match: {.a: b}\neach: {in: .x}\ntime: .t\n\npersonal: [a]\n",
        "match: {.a: b}\neach: {in: .x}\n\ntime: .t\n\npersonal: [a]\n",
    ),
    "two blanks a level, four columns to the text of a list": (
        "route:\n- to: x\n  when:\n   any:\n   - {a: b}\n   -   {c: d}\nfields:\n     close:\n          a: b\n",
        "route:\n  - to: x\n    when:\n      any:\n        - {a: b}\n        - {c: d}\n\nfields:\n  close:\n    a: b\n",
    ),
    "a list in a list": ("a:\n- - b\n  - c\n-  - d\n", "a:\n  - - b\n    - c\n  - - d\n"),
    "blanks inside braces and brackets": (
        "match:   { a :  b ,c: [ d,e ] , f: { } }\n",
        "match: {a: b, c: [d, e], f: {}}\n",
    ),
    "a key without a value keeps its distance to the brace": ("match: {a: , b:   }\n", "match: {a: , b: }\n"),
    "the lines inside braces stay lines": (
        "match: {a: b,  # one\n           # two\n   c: [\n d,\n e]\n   }\n",
        "match: {a: b,  # one\n  # two\n  c: [\n    d,\n    e]\n}\n",
    ),
    "a comment at the end of brackets stands inside them": (
        "route: [\n  {to: itsm}\n# one day more\n]\n",
        "route: [\n  {to: itsm}\n  # one day more\n]\n",
    ),
    "a value that stands on a line of its own stays there": (
        "severity:\n  table:\n       {a: b, c: d}\n",
        "severity:\n  table:\n    {a: b, c: d}\n",
    ),
    "empty lines at the head go, several become one": (
        "\n\nextract:\n\n\n  a: .b\n\n\n\n  c: .d\n\n\n",
        "extract:\n\n  a: .b\n\n  c: .d\n",
    ),
    "the values of extract stand below one another, up to a comment or an empty line": (
        "extract:\n  a: .a\n  long: .b\n  # and\n  bc:   .c\n\n  d:  .d\n",
        "extract:\n  a:    .a\n  long: .b\n  # and\n  bc: .c\n\n  d: .d\n",
    ),
    "quotes stay": (
        'extract:\n  a: \'.b[]\'\n  "c": "{{ .d }}\\\\x"\n',
        'extract:\n  a:   \'.b[]\'\n  "c": "{{ .d }}\\\\x"\n',
    ),
    "a comment behind a value stays in its column where it can": (
        "time: .t            # one\nfields:\n    create: {a:    b} # two\n",
        "time: .t            # one\n\nfields:\n  create: {a: b}      # two\n",
    ),
    "comments that stood below one another move together": (
        "extract:\n  a: .x            # one\n  longer_than_a: .xy # no\n  b: .z            # two\n",
        "extract:\n  a:             .x  # one\n  longer_than_a: .xy  # no\n  b:             .z  # two\n",
    ),
    "a text of several lines moves with its key": (
        "fields:\n    a: |\n          one\n            two\n\n          three\n    b: >-\n     x\n",
        "fields:\n  a: |\n    one\n      two\n\n    three\n  b: >-\n    x\n",
    ),
    "a text that says how deep it stands": ("fields:\n    a: |2\n        x\n", "fields:\n  a: |2\n      x\n"),
    "a text that keeps the empty lines behind it": ("a: |+\n   x\n\n\nb: c\n", "a: |+\n  x\n\n\nb: c\n"),
    "a plain text of several lines": (
        "a:\n - one\n   two\n - 'x\n\n  y'\n",
        "a:\n  - one\n    two\n  - 'x\n\n    y'\n",
    ),
    "carriage returns and a byte order mark go": ("\ufeffa: b\r\nc: |\r\n  d\r\n", "a: b\n\nc: |\n  d\n"),
    "a shared file without a section is left alone": ("# nothing yet\n", "# nothing yet\n"),
}


@pytest.mark.parametrize(("before", "after"), LAYOUTS.values(), ids=LAYOUTS)
def test_laid_out(before: str, after: str) -> None:
    assert laid_out(before) == after


@pytest.mark.parametrize(("before", "after"), LAYOUTS.values(), ids=LAYOUTS)
def test_what_is_laid_out_comes_back_as_it_is(before: str, after: str) -> None:
    assert laid_out(after) == after


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_shipped_files_are_laid_out(path: Path) -> None:
    assert laid_out(path.read_text("utf-8")) == path.read_text("utf-8")


def test_every_section_has_its_place() -> None:
    assert sorted(ORDER) == sorted(" ".join(SECTIONS["mapping"]).split())


def test_a_key_after_a_question_mark_is_refused_with_its_place() -> None:
    with pytest.raises(Misconfigured, match=r"a\.yaml:2:1: a key after `\?` is not laid out"):
        laid_out("a: b\n? c\n: d\n")


# --- Any text: a tree of values, written as untidily as YAML takes it.

PLAIN = st.sampled_from([".a.b", "x y", "5", "true", "~", '"q # r"', "'it''s'", '"{{ a }}: b"', "{}", "[]"])
FLOW = st.sampled_from(["{a : b,c: [ d,e ]}", "[ x,\n{y: z},  # in\n   # alone\n w ]", "{a: {b: c,\n d: e}\n}"])
LINES = st.sampled_from(["|\none\n  two\n\nthree", ">-\nx\ny", "|\n\n z"])
KEYS = st.sampled_from(["mapping", "match", "extract", "tests", "route", "odd", '"quoted key"', ".a|re", "each"])


def trees() -> st.SearchStrategy[Any]:
    scalars = PLAIN | FLOW | LINES
    maps = st.dictionaries(KEYS, scalars, min_size=1, max_size=4)
    inner = st.recursive(
        scalars | maps,
        lambda children: (
            st.dictionaries(KEYS, children, min_size=1, max_size=4) | st.lists(children, min_size=1, max_size=3)
        ),
        max_leaves=12,
    )
    return st.dictionaries(KEYS, inner, min_size=1, max_size=6)


class Untidy:
    """Writes a tree with blanks, empty lines and comments wherever a draw says so."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.count = 0

    def comment(self) -> str:
        self.count += 1
        return f"# {self.count}"

    def between(self, indent: int) -> str:
        kinds = self.draw(st.lists(st.sampled_from(["blank", "here", "margin", "odd"]), max_size=2))
        columns = {"here": indent, "margin": 0, "odd": 3}
        return "".join("\n" if kind == "blank" else f"{' ' * columns[kind]}{self.comment()}\n" for kind in kinds)

    def behind(self) -> str:
        return self.draw(st.sampled_from(["", "  "])) + self.draw(st.sampled_from(["", f"    {self.comment()}"]))

    def value(self, tree: Any, indent: int) -> str:
        """What follows `key:` or `-`, up to and with the end of its line."""
        if isinstance(tree, dict | list):
            deeper = indent + self.draw(st.integers(0 if isinstance(tree, list) and self.keyed else 1, 5))
            return f"{self.behind()}\n{self.block(tree, deeper)}"
        further = "\n" + " " * (indent + self.draw(st.integers(1, 4)))
        text = re.sub(r"\n(?=.)", further, tree)
        gap = " " * self.draw(st.integers(1, 4))
        return f"{gap}{text}\n" if tree[0] in "|>" else f"{gap}{text}{self.behind()}\n"

    def block(self, tree: Any, indent: int) -> str:
        result = ""
        for item in tree.items() if isinstance(tree, dict) else tree:
            result += self.between(indent) + " " * indent
            self.keyed = isinstance(tree, dict)
            result += f"{item[0]}:{self.value(item[1], indent)}" if self.keyed else f"-{self.value(item, indent)}"
        return result


def comments(text: str) -> list[str]:
    return sorted(re.findall(r"# \d+$|# in$|# alone$", text, re.MULTILINE))


@settings(max_examples=25)  # each is written, read and laid out several times
@given(st.data(), trees())
def test_any_text_keeps_its_meaning_and_comments_and_then_stays_as_it_is(data: st.DataObject, tree: Any) -> None:
    text = Untidy(data).block(tree, 0)
    before = parse_yaml(text.encode(), "a.yaml")
    after = formatted(before)
    assert parse_yaml(after.encode(), "a.yaml").value == before.value
    assert comments(after) == comments(text)
    assert laid_out(after) == after
