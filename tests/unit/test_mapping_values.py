"""What counts as nothing, and values as text, numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.mapping.values import clean, cut, is_nothing, number_of, text_of, time_of

MOMENT = datetime(2024, 6, 19, 11, 42, 41, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "", " \t", [], {}])
def test_these_are_nothing(value: object) -> None:
    assert is_nothing(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "x", [None], {"a": None}, True])
def test_these_are_something(value: object) -> None:
    assert not is_nothing(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (73, "73"),
        (73.0, "73"),
        (7.25, "7.25"),
        (1507591916746609046, "1507591916746609046"),
        (10**5000, ""),
        (["a", None, "", 2], "a, 2"),
        (["a", {"b": 1}, ["c"]], 'a, {"b":1}, ["c"]'),
        ({"a": "ü"}, '{"a":"ü"}'),
        ({}, ""),
        (MOMENT, "2024-06-19T11:42:41Z"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, int) else "int",
)
def test_a_value_as_text(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    "value",
    [
        "2024-06-19T11:42:41Z",
        "2024-06-19T11:42:41.0000000Z",
        "2024-06-19T11:42:41.000000000Z",
        "2024-06-19T13:42:41+0200",
        "2024-06-19T13:42:41+02:00",
        "2024-06-19 11:42:41",
        "2024-06-19 11:42:41 (UTC)",
        "2024-06-19 11:42:41 UTC+0000",
        "2024-06-19 11:42:41 +0000",
        "20240619T114241Z",
        1718797361,
        "1718797361",
        1718797361.0,
        1718797361000,
        "1718797361000",
        1718797361000000,
        1718797361000000000,
        133632709610000000,  # Windows FILETIME
    ],
)
def test_a_time_in_the_shapes_that_products_write(value: object) -> None:
    assert time_of(value) == MOMENT


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        0,
        "0",
        -1,
        True,
        None,
        "yesterday",
        "",
        "2024-13-45",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        float("nan"),
        float("inf"),
        10**30,
        {"a": 1},
        "9" * 5000,
    ],
    ids=lambda value: str(value)[:20],
)
def test_not_set_and_unreadable_times_are_nothing(value: object) -> None:
    assert time_of(value) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [("7", 7), (" 7.5 ", 7.5), (9, 9), (True, None), ("x", None), (None, None), ("1e999", None), ("9" * 5000, None)],
)
def test_a_value_as_a_number(value: object, number: object) -> None:
    assert number_of(value) == number


def test_a_cut_text_shows_that_it_was_cut() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"


def test_control_characters_and_lone_surrogates_go_and_line_feeds_stay() -> None:
    assert clean(" a\x00b\r\nc\td\ud800 \x1b") == "ab\nc\td"
