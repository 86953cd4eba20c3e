"""Encoded queries of the simulator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.query import compare, parse_query

ROWS = [
    {"name": "alpha", "state": "1", "note": "", "order": "9"},
    {"name": "Beta", "state": "2", "note": "slow", "order": "10"},
    {"name": "gamma ray", "state": "7", "note": "Slow disk", "order": "100"},
]


def found(query: str) -> list[str]:
    parsed = parse_query(query, ROWS[0].__contains__)
    return [row["name"] for row in ROWS if parsed.matches(row.__getitem__)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["alpha", "Beta", "gamma ray"]),
        ("state=2", ["Beta"]),
        ("name=BETA", ["Beta"]),
        ("note=", ["alpha"]),
        ("state!=2", ["alpha", "gamma ray"]),
        ("note!=slow", ["alpha", "gamma ray"]),
        ("order<10", ["alpha"]),
        ("order<=10", ["alpha", "Beta"]),
        ("order>10", ["gamma ray"]),
        ("order>=10", ["Beta", "gamma ray"]),
        ("note>a", ["Beta", "gamma ray"]),
        ("noteLIKEslow", ["Beta", "gamma ray"]),
        ("note*slow", ["Beta", "gamma ray"]),
        ("noteNOT LIKEslow", ["alpha"]),
        ("nameSTARTSWITHG", ["gamma ray"]),
        ("nameENDSWITHa", ["alpha", "Beta"]),
        ("name%RAY", ["gamma ray"]),
        ("stateIN1,7", ["alpha", "gamma ray"]),
        ("stateNOT IN1,7", ["Beta"]),
        ("noteISEMPTY", ["alpha"]),
        ("noteISNOTEMPTY", ["Beta", "gamma ray"]),
        ("noteANYTHING", ["alpha", "Beta", "gamma ray"]),
        ("noteISNOTEMPTY^state=2", ["Beta"]),
        ("state=1^ORstate=2^noteISNOTEMPTY", ["Beta"]),
        ("noteISNOTEMPTY^state=1^ORstate=2", ["Beta"]),
        ("state=1^NQstate=7^noteLIKEdisk", ["alpha", "gamma ray"]),
        ("ORDERBYDESCname^state=1", ["alpha"]),
        ("state=1^EQ", ["alpha"]),
    ],
)
def test_a_query_finds(query: str, names: list[str]) -> None:
    assert found(query) == names


@pytest.mark.parametrize(
    "part", ["nope=1", "state", "stateWHATEVER1", "=1", "ORDERBYnope", "statejavascript:gs.x()", "state=javascript:x"]
)
def test_a_meaningless_part_is_a_problem_and_filters_nothing(part: str) -> None:
    parsed = parse_query(f"{part}^state=1", ROWS[0].__contains__)
    assert parsed.problems == (part,)
    assert found(f"{part}^state=1") == ["alpha"]


def test_orders_are_kept_as_written_wherever_they_stand() -> None:
    parsed = parse_query("ORDERBYDESCstate^name=x^ORDERBYname", ROWS[0].__contains__)
    assert parsed.order == (("state", True), ("name", False))


@given(st.text(alphabet="abORDERBYNQ^=!<>LIKE,. 1*%", max_size=40))
def test_any_text_parses(text: str) -> None:
    found(text)


@given(st.integers(), st.integers())
def test_whole_numbers_compare_as_numbers(left: int, right: int) -> None:
    assert compare(str(left), str(right)) == (left > right) - (left < right)
