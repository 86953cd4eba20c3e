"""A source put into the text of bridge.yaml: all else stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.settings.insertion import NoPlace, with_source
from bridge.yamlfile import parse_yaml

SOURCE: dict[str, Any] = {
    "mapping": "github",
    "auth": {"scheme": "hmac", "preset": "github", "secret": {"file": "var/github.secret"}},
}
LINES = """\
  github:
    mapping: github
    auth: {scheme: hmac, preset: github, secret: {file: var/github.secret}}
"""


def put_in(text: str, name: str = "github", source: dict[str, Any] = SOURCE) -> str:
    return with_source(parse_yaml(text.encode(), "bridge.yaml"), name, source)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("a: 1\n", f"a: 1\n\nsources:\n{LINES}", id="there is no section yet"),
        pytest.param("sources: {}  # none\na: 1\n", f"sources:  # none\n{LINES}a: 1\n", id="it is empty, in braces"),
        pytest.param("sources:\na: 1\n", f"sources:\n{LINES}a: 1\n", id="it is empty"),
        pytest.param("sources:\n  x: {mapping: y}\n", f"sources:\n  x: {{mapping: y}}\n{LINES}", id="it is the last"),
        pytest.param("sources:\n  x: {mapping: y}", f"sources:\n  x: {{mapping: y}}\n{LINES}", id="no last line feed"),
        pytest.param(
            "sources:   # who may post\n  x:\n    mapping: y  # its own\n  # e: {}\n\n# --- the rest\na: 1\n",
            f"sources:   # who may post\n  x:\n    mapping: y  # its own\n  # e: {{}}\n{LINES}\n# --- the rest\na: 1\n",
            id="comments stay where they stood",
        ),
        pytest.param(
            "sources:\n    x:\n        mapping: y\na: 1\n",
            "sources:\n    x:\n        mapping: y\n" + LINES.replace("  github", "    github", 1).replace(
                "\n    ", "\n      "
            ) + "a: 1\n",
            id="it stands as deep as the others",
        ),
        pytest.param("a: 1\r\nsources:\r\n  x: {}\r\n", "a: 1\r\nsources:\r\n  x: {}\r\n" + LINES.replace("\n", "\r\n"),
                     id="line feeds are those of the file"),
    ],
)  # fmt: skip
def test_a_source_is_the_last_of_its_section(before: str, after: str) -> None:
    assert put_in(before) == after


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("sources: {x: {mapping: y}}\n", id="in braces"),
        pytest.param("{a: 1, sources: {}}\n", id="the whole file in braces"),
        pytest.param("a: 1\n...\n", id="an end of the document"),
    ],
)
def test_where_nothing_can_be_put_in_safely_nothing_is(text: str) -> None:
    with pytest.raises(NoPlace):
        put_in(text)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
comments = st.sampled_from(["", "  # c", "\n  # c", "\n\n# c", "\n"])


@given(
    st.dictionaries(names, comments, max_size=4),
    comments,
    st.booleans(),
    names,
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
)
def test_whatever_stands_there_it_stays_and_the_source_is_read_as_it_was_meant(
    others: dict[str, str], comment: str, more: bool, name: str, text: str
) -> None:
    lines = "".join(f"  {json_text(one)}: {{mapping: m}}{end}\n" for one, end in others.items() if one != name)
    before = f"sources:{comment}\n{lines}" + ("targets: {}\n" if more else "")
    source = {"mapping": "m", "auth": {"scheme": "sns", "topics": [text, name]}}
    after = put_in(before, name, source)
    value: Any = parse_yaml(after.encode(), "b").value
    assert value["sources"][name] == source
    kept = iter(after.splitlines())
    assert all(line in kept for line in before.splitlines())


def json_text(name: str) -> str:
    return f'"{name}"'
