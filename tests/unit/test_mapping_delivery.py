"""What an alert has of the delivery around it, and an ID one of whose parts may be empty."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_mapping import mapping, problems

from bridge.alert import Json
from bridge.errors import Unmappable

JSON = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3))


def test_an_alert_sees_what_with_takes_of_the_delivery() -> None:
    compiled = mapping(each="{in: '.issues[]', with: {project: .project.id, org: '.org ?? .group'}}")
    document = {"project": {"id": "p1"}, "group": "g", "issues": [{"id": 1, "project": "its own"}, {"id": 2}]}
    elements, _ = compiled.split(document)
    assert elements == [{"id": 1, "project": "p1", "org": "g"}, {"id": 2, "project": "p1", "org": "g"}]
    assert document["issues"] == [{"id": 1, "project": "its own"}, {"id": 2}]


def test_what_the_delivery_lacks_leaves_the_alert_as_it_is() -> None:
    compiled = mapping(each="{in: '.issues[]', with: {project: .project}}")
    assert compiled.split({"issues": [{"project": "its own"}]})[0] == [{"project": "its own"}]


@given(st.dictionaries(st.sampled_from(["issues", "project"]), JSON) | JSON)
def test_an_alert_that_is_no_object_stays_what_it_is(document: Json) -> None:
    plain, beside = mapping(each="{in: '.issues[]'}"), mapping(each="{in: '.issues[]', with: {project: .project}}")
    try:
        expected = plain.split(document)
    except Unmappable:
        expected = None
    try:
        assert beside.split(document) == expected
    except Unmappable:
        assert expected is None


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ("[.project]", "a map of key: expression is expected here (with: {account: .detail.account})"),
        ("{a.b: .project}", "`a.b` is not a key"),
        ("{a: project}", "there is no name `project`"),
        ("{a: severity}", "`severity` is not known yet"),
        ("{a: 7}", "an expression is expected here"),
    ],
)
def test_a_wrong_with_is_told(beside: str, words: str) -> None:
    found = problems(each=f"{{in: '.issues[]', with: {beside}}}")
    assert any(words in problem for problem in found)


OPTIONAL = """id: '{{ .rule }}:{{ .host }}:{{ .container ?? "" }}'
formerly: '{{ .rule }}/{{ .container ?? .pod ?? "" }}'"""


@pytest.mark.parametrize(
    ("alert", "text", "former"),
    [
        ({"rule": "r", "host": "h", "container": "c"}, "r:h:c", "r/c"),
        ({"rule": "r", "host": "h", "pod": "p"}, "r:h:", "r/p"),
        ({"rule": "r", "host": "h", "container": " "}, "r:h:", "r/"),
    ],
)
def test_a_part_that_says_so_may_be_empty(alert: dict[str, Any], text: str, former: str) -> None:
    mapped = mapping(correlation=OPTIONAL).map(alert)
    assert (mapped.correlation_text, mapped.former_ids) == (text, (former,))


def test_the_other_parts_may_not() -> None:
    with pytest.raises(Unmappable) as caught:
        mapping(correlation=OPTIONAL).map({"rule": "r", "container": "c"})
    assert "{{ .host }}" in caught.value.message


@pytest.mark.parametrize(
    "text", ["""id: '{{ .a ?? "" }}'""", """id: 'm:{{ .a ?? "" }}:{{ .b | lower ?? "" }}'"""], ids=["one", "all"]
)
def test_an_id_whose_parts_may_all_be_empty_is_refused(text: str) -> None:
    (problem,) = problems(correlation=text)
    assert "m.yaml:5:" in problem
    assert "each part of the ID may be empty" in problem


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"b": {"c": 1}}, "m: it has no .a and no .d[].e; see its `match`"),
        ({"a": "", "b": {"c": 1}, "d": [{"e": 1}]}, "it has no .a; see"),
        ({"a": "x", "b": {"c": 1}, "d": [{"e": 1}]}, "what that looks at is there with other values; see"),
        ([], "it has no .a and no .b.c and no .d[].e"),
    ],
)
def test_a_delivery_that_does_not_match_is_told_what_it_lacks(document: Json, words: str) -> None:
    compiled = mapping(match="{.a: [y, z], any: [{.b.c|exists: false}, {'.d[].e': 2}]}")
    with pytest.raises(Unmappable) as caught:
        compiled.split(document)
    assert words in caught.value.message


def test_what_a_delivery_lacks_is_named_as_a_mapping_writes_it() -> None:
    compiled = mapping(match="""{'."a \\"b\\"".c': x}""")
    with pytest.raises(Unmappable) as caught:
        compiled.split({})
    assert """it has no ."a \\"b\\"".c; see""" in caught.value.message
