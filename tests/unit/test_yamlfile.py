"""YAML files that people write: what is taken, and every refusal with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.alert import Json
from bridge.errors import Misconfigured
from bridge.yamlfile import YAML_BYTES_MAX, YAML_DEPTH_MAX, load_yaml, parse_yaml


def value_of(text: str) -> Json:
    return parse_yaml(text.encode(), "a.yaml").value


def refusal(raw: bytes) -> str:
    with pytest.raises(Misconfigured) as caught:
        parse_yaml(raw, "a.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", None, id="an empty file is nothing"),
        pytest.param("# only a comment\n", None, id="a comment is nothing"),
        pytest.param("a: 1", {"a": 1}, id="a whole number"),
        pytest.param("a: -17", {"a": -17}, id="a negative number"),
        pytest.param("a: 007\nb: 1.10", {"a": "007", "b": "1.10"}, id="a number written otherwise is text"),
        pytest.param("a: 0x1F\nb: 0o17\nc: +3", {"a": "0x1F", "b": "0o17", "c": "+3"}, id="signs and other bases"),
        pytest.param("a: 1e3\nb: .5\nc: 2.", {"a": "1e3", "b": ".5", "c": "2."}, id="and fractions, three ways"),
        pytest.param("a: 1.5", {"a": 1.5}, id="a fraction"),
        pytest.param("a: '1'", {"a": "1"}, id="a quoted number is text"),
        pytest.param('a: "true"', {"a": "true"}, id="a quoted true is text"),
        pytest.param("a: true\nb: False", {"a": True, "b": False}, id="true and false"),
        pytest.param("a: yes\nb: off\nc: NO", {"a": "yes", "b": "off", "c": "NO"}, id="yes and off are text"),
        pytest.param("a:\nb: ~\nc: null", {"a": None, "b": None, "c": None}, id="nothing, three ways"),
        pytest.param("a: 2027-03-31", {"a": "2027-03-31"}, id="a date stays text"),
        pytest.param("a: 22:00", {"a": "22:00"}, id="a time of day stays text"),
        pytest.param("a: 1_000", {"a": "1_000"}, id="an underscore makes it text"),
        pytest.param("a: 15m", {"a": "15m"}, id="a duration is text"),
        pytest.param("a: |\n  x\n  y\n", {"a": "x\ny\n"}, id="a block of text"),
        pytest.param("a: >\n  x\n  y\n\n  z\n", {"a": "x y\nz\n"}, id="a folded text has blanks where lines were"),
        pytest.param("a:  # why\n|\n\n", {"a": ""}, id="a comment before an empty block of text"),
        pytest.param("1: a\ntrue: b", {"1": "a", "true": "b"}, id="keys are text whatever they look like"),
        pytest.param("a: [1, x, {b: c}]", {"a": [1, "x", {"b": "c"}]}, id="lists and maps in one line"),
        pytest.param("a: .list[].x", {"a": ".list[].x"}, id="a path is text"),
        pytest.param("%YAML 1.1\n---\na: yes\n", {"a": "yes"}, id="a directive for another YAML changes nothing"),
        pytest.param("a: !!str 1", {"a": "1"}, id="what is said to be text is text"),
        pytest.param("a: 1.5\nb: -0.25\nc: 2.0", {"a": 1.5, "b": -0.25, "c": 2.0}, id="fractions"),
        pytest.param("\ufeffa: 1", {"a": 1}, id="a byte order mark is skipped"),
        pytest.param("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}, id="lines may end as on Windows"),
        pytest.param("a: Größe 日本", {"a": "Größe 日本"}, id="any script"),
    ],
)
def test_what_is_taken(text: str, value: Json) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: 1\na: 2\n", "a.yaml:2:1: the key 'a' stands here twice (keep one of them)", id="a key twice"),
        pytest.param("x:\n  b: 1\n  b: 2\n", "a.yaml:3:3: the key 'b' stands here twice", id="a key twice, below"),
        pytest.param("'a': 1\na: 2\n", "a.yaml:2:1: the key 'a' stands here twice", id="a key twice, once quoted"),
        pytest.param("a: &x 1\n", "a.yaml:1:4: anchors and aliases are not taken", id="an anchor on a value"),
        pytest.param("a: &x [1]\n", "a.yaml:1:4: anchors and aliases are not taken", id="an anchor on a list"),
        pytest.param("&x a: 1\n", "a.yaml:1:1: only plain text keys are taken", id="an anchor on a key"),
        pytest.param(
            "a: &x 1\nb: *x\n", "a.yaml:1:4: anchors and aliases are not taken (write the value out", id="an alias"
        ),
        pytest.param("!x a: 1\n", "a.yaml:1:1: only plain text keys are taken", id="a tag on a key"),
        pytest.param("a: !!set {b: ~}\n", "a.yaml:1:4: the tag ", id="a set"),
        pytest.param("a: 1\nb: *x\n", "a.yaml:2:4: is not YAML: found undefined alias 'x'", id="an alias of nothing"),
        pytest.param("? [a, b]\n: 1\n", "a.yaml:1:3: only plain text keys are taken", id="a list as key"),
        pytest.param("? {a: b}\n: 1\n", "a.yaml:1:3: only plain text keys are taken", id="a map as key"),
        pytest.param("a: 1\n<<: {b: 1}\n", "a.yaml:2:1: only plain text keys are taken", id="a merge key"),
        pytest.param("a: !!binary aGk=\n", "a.yaml:1:4: the tag ", id="a tag that YAML knows"),
        pytest.param("a: !python/object x\n", "a.yaml:1:4: the tag ", id="a tag of somebody's own"),
        pytest.param("a: !x {b: 1}\n", "a.yaml:1:4: the tag ", id="a tag on a map"),
        pytest.param("a: !x [b]\n", "a.yaml:1:4: the tag ", id="a tag on a list"),
        pytest.param("a: !x 'b'\n", "a.yaml:1:4: the tag ", id="a tag on quoted text"),
        pytest.param("a: 1\n---\nb: 2\n", "a.yaml:2:1: is not YAML: ", id="two documents"),
        pytest.param("a: [1\n", "a.yaml:2:1: is not YAML: ", id="a list that does not end"),
        pytest.param("a: b: c\n", "a.yaml:1:5: is not YAML: mapping values are not allowed here", id="two colons"),
        pytest.param("a: .nan\n", "a.yaml:1:4: ", id="not a number"),
        pytest.param("a: -.inf\n", "a.yaml:1:4: ", id="infinity"),
        pytest.param("a:\n\t- 1\n", "a.yaml:2:1: is not YAML: ", id="a tab as indentation"),
    ],
)
def test_a_refusal_names_its_place(text: str, expected: str) -> None:
    assert refusal(text.encode()).startswith(expected)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"a: 1e999", "a.yaml:1:4: 1e999 is not a number that can be used", id="a fraction too large"),
        pytest.param(b"a: \xff\n", "a.yaml: is not UTF-8 (byte 3)", id="not UTF-8"),
        pytest.param("a: 1".encode("utf-16"), "a.yaml: is not UTF-8 (byte 0)", id="UTF-16"),
        pytest.param(
            b"a: 1\nb: x\x1b[2J\n",
            "a.yaml:2:5: the character U+001B is not taken as it is (delete it, or escape it in double quotes)",
            id="a control character",
        ),
        pytest.param(b"\x00", "a.yaml:1:1: the character U+0000 is not taken as it is", id="a NUL at the start"),
        pytest.param(
            b"#" * (YAML_BYTES_MAX + 1),
            f"a.yaml: is {YAML_BYTES_MAX + 1} bytes long; at most {YAML_BYTES_MAX} are read",
            id="too long",
        ),
        pytest.param(
            b"[" * (YAML_DEPTH_MAX + 2) + b"]" * (YAML_DEPTH_MAX + 2),
            f"a.yaml:1:{YAML_DEPTH_MAX + 2}: is nested deeper than {YAML_DEPTH_MAX}",
            id="too deep",
        ),
        pytest.param(
            b"[" * 20_000,
            f"a.yaml:1:{YAML_DEPTH_MAX + 2}: is nested deeper than {YAML_DEPTH_MAX}",
            id="so deep that a parser gives up",
        ),
        pytest.param(b"a: " + b"9" * 5_000, "a.yaml:1:4: ", id="a number of thousands of digits"),
    ],
)
def test_a_file_that_cannot_be_read_as_text_is_refused(raw: bytes, expected: str) -> None:
    assert refusal(raw).startswith(expected)


def test_a_file_at_the_size_cap_is_read() -> None:
    assert parse_yaml(b"#" * YAML_BYTES_MAX, "a.yaml").value is None


def test_lists_at_the_depth_cap_are_read() -> None:
    assert value_of("[" * YAML_DEPTH_MAX + "]" * YAML_DEPTH_MAX) is not None


def test_every_mistake_is_reported_at_once_in_file_order() -> None:
    text = refusal(b"a: &x 1\nb: 1\nb: 2\nc: !x y\n")
    assert [line.split(":")[1] for line in text.splitlines()] == ["1", "3", "4"]


def test_a_problem_stands_at_its_value_or_at_its_key() -> None:
    file = parse_yaml(b"targets:\n  sir:\n    close: {state: 3}\n", "a.yaml")
    path = ("targets", "sir", "close", "state")
    assert str(file.problem(path, "no")) == "a.yaml:3:20: no"
    assert str(file.problem(path, "no", at_key=True)) == "a.yaml:3:13: no"


def test_a_problem_with_what_is_absent_stands_at_the_nearest_that_is_there() -> None:
    file = parse_yaml(b"targets:\n  sir: {}\n", "a.yaml")
    assert str(file.problem(("targets", "sir", "close", "code"), "is missing", "add it")) == (
        "a.yaml:2:8: is missing (add it)"
    )


def test_an_element_of_a_list_has_its_place() -> None:
    file = parse_yaml(b"route:\n  - a\n  - b\n", "a.yaml")
    assert str(file.problem(("route", 1), "no")) == "a.yaml:3:5: no"


def test_a_problem_in_an_empty_file_names_the_file() -> None:
    assert str(parse_yaml(b"", "a.yaml").problem(("a",), "is missing")) == "a.yaml: is missing"


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.yaml: cannot be read: No such file or directory"):
        load_yaml(tmp_path / "none.yaml", "none.yaml")


def test_a_file_is_loaded_under_the_name_that_a_person_wrote(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n", encoding="utf-8")
    file = load_yaml(tmp_path / "a.yaml", "mappings/a.yaml")
    assert (file.name, file.value, file.source) == ("mappings/a.yaml", {"a": 1}, "a: 1\n")


@given(st.binary(max_size=200) | st.text("ab:-[]{}&*!#|>'\"\n \t?<,%@`~0.1", max_size=60).map(str.encode))
def test_any_bytes_are_either_taken_or_refused_readably(raw: bytes) -> None:
    try:
        parse_yaml(raw, "a.yaml")
    except Misconfigured as error:
        assert str(error).startswith("a.yaml")  # noqa: PT017 - to be taken is as good as to be refused
