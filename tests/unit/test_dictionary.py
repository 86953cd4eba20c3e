"""An instance's columns, choices and groups, from the rows that it gives."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bridge.dictionary.schema import Column
from bridge.errors import Permanent
from bridge.servicenow import dictionary
from bridge.servicenow.dictionary import ROWS_MAX


class Told:
    """The rows of an instance, and what it was asked."""

    def __init__(self, *rows: dict[str, str]) -> None:
        self.rows = list(rows)
        self.asked: list[tuple[str, str]] = []

    def __call__(
        self, table: str, query: str, _fields: Iterable[str], _limit: int, _deadline: float
    ) -> list[dict[str, str]]:
        self.asked.append((table, query))
        return self.rows


def column(name: str, element: str, kind: str = "string", length: str = "40", **more: str) -> dict[str, str]:
    return {"name": name, "element": element, "internal_type": kind, "max_length": length, "active": "true", **more}


def choice(name: str, element: str, value: str, inactive: str = "false") -> dict[str, str]:
    return {"name": name, "element": element, "value": value, "inactive": inactive}


def test_a_table_has_its_own_columns_and_those_of_every_task() -> None:
    told = Told(column("task", "state", "integer"), column("incident", "caller_id", "reference", "32"))
    found = dictionary.columns(told, ["incident"], deadline=0)
    assert found == {"incident": {"state": Column(type="integer"), "caller_id": Column(type="reference")}}


def test_its_own_entry_for_a_column_beats_the_tasks() -> None:
    told = Told(column("incident", "description", length="200"), column("task", "description", length="4000"))
    assert dictionary.columns(told, ["incident"], deadline=0)["incident"]["description"].max_length == 200


@pytest.mark.parametrize(
    ("kind", "length", "most"),
    [("string", "160", 160), ("journal_input", "4000", None), ("integer", "40", None), ("string", "", None)],
)
def test_only_a_texts_length_counts_characters(kind: str, length: str, most: int | None) -> None:
    told = Told(column("incident", "a", kind, length))
    assert dictionary.columns(told, ["incident"], deadline=0)["incident"]["a"].max_length == most


def test_a_column_that_only_suggests_is_known_as_one() -> None:
    told = Told(column("incident", "contact_type", choice="2"))
    assert dictionary.columns(told, ["incident"], deadline=0)["incident"]["contact_type"].suggests


def test_a_retired_column_is_none() -> None:
    told = Told(column("incident", "old") | {"active": "false"}, column("incident", "new"))
    assert set(dictionary.columns(told, ["incident"], deadline=0)["incident"]) == {"new"}


def test_a_table_that_is_not_installed_is_left_out() -> None:
    told = Told(column("task", "state"), column("incident", "caller_id"))
    assert set(dictionary.columns(told, ["incident", "sn_si_incident"], deadline=0)) == {"incident"}


def test_a_tables_own_choices_replace_the_tasks() -> None:
    told = Told(choice("task", "state", "1"), choice("incident", "state", "6"), choice("task", "impact", "1"))
    found = dictionary.choices(told, ["incident"], deadline=0)
    assert found == {"incident": {"state": frozenset({"6"}), "impact": frozenset({"1"})}}


def test_a_retired_choice_is_none() -> None:
    told = Told(choice("incident", "state", "1"), choice("incident", "state", "2", inactive="true"))
    assert dictionary.choices(told, ["incident"], deadline=0)["incident"]["state"] == frozenset({"1"})


def test_groups_are_the_active_ones() -> None:
    told = Told({"name": "SOC", "active": "true"}, {"name": "Old", "active": "false"})
    assert dictionary.groups(told, deadline=0) == frozenset({"SOC"})


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "rows_hidden"),
        ([{"active": "true"}], "rows_hidden"),  # the columns that are asked for may not be read
        ([column("incident", "a"), column("sys_user", "b")], "lookup_unusable"),  # the query was not understood
        ([column("incident", "a")] * ROWS_MAX, "schema_too_large"),
    ],
)
def test_rows_that_cannot_be_the_answer_are_refused(rows: list[dict[str, str]], code: str) -> None:
    with pytest.raises(Permanent) as caught:
        dictionary.columns(Told(*rows), ["incident"], deadline=0)
    assert caught.value.code == code
