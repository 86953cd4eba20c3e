"""YAML read by libyaml says what ruamel.yaml says, values and places alike, or nothing at all."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge import yamlfile, yamlquick
from bridge.errors import Misconfigured
from bridge.yamlfile import YAML_DEPTH_MAX, parse_yaml
from bridge.yamlquick import read_quickly

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for folder in ("docs", "mappings", "tests", ".github")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".yaml", ".yml"}
)


def answer(text: str) -> object:
    """All that a reader of a file can see."""
    try:
        file = parse_yaml(text.encode(), "a.yaml")
    except Misconfigured as error:
        return str(error)
    return repr((file.value, file.places, file.key_places))  # 1 is not True, and -0.0 is not 0.0


def answer_of_ruamel(text: str) -> object:
    with patch.object(yamlfile, "read_quickly", lambda *_: None):
        return answer(text)


def is_read_quickly(text: str) -> bool:
    return read_quickly(text, str, YAML_DEPTH_MAX) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_of_the_repository_says_the_same_by_both(path: Path) -> None:
    text = path.read_text("utf-8")
    assert answer(text) == answer_of_ruamel(text)


def test_nearly_all_mappings_are_read_quickly() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "mappings").rglob("*.yaml")]
    assert sum(map(is_read_quickly, texts)) > 0.9 * len(texts)


def test_where_pyyaml_has_no_libyaml_ruamel_reads_alone() -> None:
    with patch.object(yamlquick, "CParser", None):
        assert not is_read_quickly("a: 1\n")
        assert parse_yaml(b"a: 1\n", "a.yaml").value == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 1", id="no line end at the end"),
        pytest.param("a:\t1\n", id="a tab"),
        pytest.param("a: 1\r\n", id="a line end of Windows"),
        pytest.param("a: x\u0085b: 1\n", id="a line end of YAML 1.1"),
        pytest.param("a: x\u2028b\n", id="a line end of Unicode"),
        pytest.param("a: x\ufeffb\n", id="a byte order mark inside"),
        pytest.param("a: \x1b\n", id="a control character"),
        pytest.param("%YAML 1.1\n---\na: 1\n", id="a directive"),
        pytest.param("---\na: 1\n", id="the start of a document"),
        pytest.param("a: 1\n...\n", id="the end of a document"),
        pytest.param("a: |\n   \n  b\n", id="a block that begins with blanks"),
        pytest.param("a: |# no comment\n  b\n", id="a comment too near"),
        pytest.param('a: "\\\'"\n', id="an escape of libyaml's own"),
        pytest.param("a: =\n", id="the value tag"),
        pytest.param("<<: {a: 1}\n", id="a merge key"),
        pytest.param("a:\nb: 1\n", id="a value that is not written"),
        pytest.param(": 1\n", id="a key that is not written"),
        pytest.param("a: &x 1\n", id="an anchor on a scalar"),
        pytest.param("&x a: 1\n", id="an anchor on a key"),
        pytest.param("a: &x [1]\n", id="an anchor on a list"),
        pytest.param("a: &x [*x]\n", id="an alias"),
        pytest.param("a: [1]\n*x : 1\n", id="an alias as key"),
        pytest.param("a: !!str 1\n", id="a tag on a scalar"),
        pytest.param("!!str a: 1\n", id="a tag on a key"),
        pytest.param("a: !x {b: 1}\n", id="a tag on a map"),
        pytest.param("a: 1\na: 2\n", id="a key twice"),
        pytest.param("? [a]\n: 1\n", id="a list as key"),
        pytest.param("[a: 1]\n", id="a map without braces in a list"),
        pytest.param('["a":1]\n', id="and one that ruamel.yaml refuses"),
        pytest.param("text\n", id="neither map nor list"),
        pytest.param("|\n# text\n", id="a block of text alone"),
        pytest.param("# nothing\n", id="nothing"),
        pytest.param("[a]\n[b]\n", id="something after the end"),
        pytest.param("[a\n", id="no end"),
        pytest.param("[" * (YAML_DEPTH_MAX + 2) + "]" * (YAML_DEPTH_MAX + 2) + "\n", id="too deep"),
        pytest.param("[" * 20_000 + "\n", id="far too deep"),
    ],
)
def test_what_the_two_could_take_differently_is_left_to_ruamel(text: str) -> None:
    assert not is_read_quickly(text)


def test_a_number_that_cannot_be_used_is_left_to_ruamel() -> None:
    assert answer("a: .inf\n") == answer_of_ruamel("a: .inf\n")


@pytest.mark.parametrize("length", range(1020, 1030))
@pytest.mark.parametrize("letter", ["a", "é", "日"])
@pytest.mark.parametrize("template", ["{}: 1\n", "[{{{}: 1}}]\n", "'{}': 1\n", "- {}: [a]\n"])
def test_a_key_may_be_as_long_by_both(template: str, letter: str, length: int) -> None:
    text = template.format(letter * length)
    assert answer(text) == answer_of_ruamel(text)


# --- whatever is written

WORDS = [
    "a",
    "b c",
    "é日",
    "1",
    "1.5",
    "-0",
    "1e+16",
    "007",
    "true",
    "~",
    "null",
    "x:y",
    "a#b",
    "a?b",
    ".x[0]",
    "2027-03-31",
]
MARKS = [
    "- ",
    "-",
    "? ",
    "?",
    ": ",
    ":",
    ", ",
    ",",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "|",
    ">",
    "|-\n",
    ">+\n",
    "|2\n",
    "#",
]
MORE = [
    " # c",
    "\n",
    "\n",
    "\n  ",
    "\n    ",
    "\n\n",
    "\n- ",
    "\nk: ",
    "\n  k: ",
    " ",
    "k: ",
    '"x"',
    "'y'",
    "\\\n",
    "\\n",
    "\\x41",
]
RARE = [
    "\t",
    "\r\n",
    "\r",
    "\ufeff",
    "\u0085",
    "\u2028",
    "=",
    "<<",
    "&x ",
    "*x",
    "!t ",
    "%",
    "---",
    "...",
    "@",
    "`",
    "\\'",
    "🙂",
]
PIECES = st.sampled_from(WORDS + MARKS + MARKS + MORE + MORE) | st.sampled_from(RARE)
BEGINNINGS = st.sampled_from(["", "k: ", "- ", "{", "[", "k:\n  ", "k: |\n  ", "k: >\n    ", "k: {a: ", "- [", 'k: "'])


@given(BEGINNINGS, st.lists(PIECES, max_size=12), st.sampled_from(["\n", "}\n", "]\n", '"\n', "\r\n", ""]))
@example("[", ['"x"', ":", "a", "]"], "\n")
@example("k: ", ["|", "#", "\n"], "\n")
def test_any_pieces_say_the_same_by_both(beginning: str, pieces: list[str], end: str) -> None:
    text = beginning + "".join(pieces) + end
    assert answer(text) == answer_of_ruamel(text)


@given(st.text("-+.0123456789eE_:xoinfNaT~", min_size=1, max_size=8))
def test_any_number_says_the_same_by_both(word: str) -> None:
    text = f"k: {word}\n"
    assert answer(text) == answer_of_ruamel(text)


TEXTS = st.text("ab 1:#-?,[]{}'\"\\é日🙂|>&*!%@`=<~", max_size=12)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def doubly_quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


SCALARS = st.sampled_from(WORDS) | TEXTS.map(quoted) | TEXTS.map(doubly_quoted)
FLOW = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(SCALARS, inner, max_size=3).map(
            lambda pairs: "{" + ",\n     ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
        )
    ),
    max_leaves=6,
)
LINES = st.lists(TEXTS.map(str.rstrip), min_size=1, max_size=4)


def under(key: str, lines: list[str]) -> list[str]:
    return [key, *(f"  {line}" if line else "" for line in lines)]


BLOCK = st.recursive(
    FLOW.map(str.splitlines),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda items: [line for item in items for line in under("-", item)])
        | st.lists(st.tuples(SCALARS, inner), min_size=1, max_size=3).map(
            lambda pairs: [line for key, value in pairs for line in under(f"{key}:  # why", value)]
        )
        | st.tuples(st.sampled_from(["k: |", "k: >-", "k: |+  # c", "- >"]), LINES).map(lambda pair: under(*pair))
        | inner.map(lambda lines: ["# a comment", "", *lines, ""])
    ),
    max_leaves=8,
)


@given(BLOCK, st.sampled_from(["", "\ufeff"]), st.sampled_from(["\n", "\n", "\n", "\r\n"]))
def test_any_document_says_the_same_by_both(lines: list[str], mark: str, line_end: str) -> None:
    text = mark + line_end.join([*lines, ""])
    assert answer(text) == answer_of_ruamel(text)
