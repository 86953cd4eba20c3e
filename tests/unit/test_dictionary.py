"""An instance's columns, choices and groups, from the rows that it gives."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bridge.dictionary.schema import Column
from bridge.dictionary.standard import OF_EVERY_TASK
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


def whole(*rows: dict[str, str]) -> Told:
    """These rows, and what every task has: without that a dictionary is not believed."""
    return Told(*(column("task", name) for name in OF_EVERY_TASK), *rows)


def choice(name: str, element: str, value: str, inactive: str = "false") -> dict[str, str]:
    return {"name": name, "element": element, "value": value, "inactive": inactive}


def test_a_table_has_its_own_columns_and_those_of_every_task() -> None:
    told = whole(column("task", "state", "integer"), column("incident", "caller_id", "reference", "32"))
    found = dictionary.columns(told, ["incident"], deadline=0)["incident"]
    assert (found["state"], found["caller_id"]) == (Column(type="integer"), Column(type="reference"))
    assert found.keys() == {*OF_EVERY_TASK, "caller_id"}


def test_its_own_entry_for_a_column_beats_the_tasks() -> None:
    told = whole(column("incident", "description", length="200"), column("task", "description", length="4000"))
    assert dictionary.columns(told, ["incident"], deadline=0)["incident"]["description"].max_length == 200


@pytest.mark.parametrize(
    ("kind", "length", "most"),
    [("string", "160", 160), ("journal_input", "4000", None), ("integer", "40", None), ("string", "", None)],
)
def test_only_a_texts_length_counts_characters(kind: str, length: str, most: int | None) -> None:
    told = whole(column("incident", "a", kind, length))
    assert dictionary.columns(told, ["incident"], deadline=0)["incident"]["a"].max_length == most


def test_a_column_that_only_suggests_is_known_as_one() -> None:
    told = whole(column("incident", "contact_type", choice="2"))
    assert dictionary.columns(told, ["incident"], deadline=0)["incident"]["contact_type"].suggests


def test_a_staging_table_has_its_own_columns_and_none_of_a_task() -> None:
    told = whole(column("incident", "caller_id"), column("u_stage", "u_correlation_id", length="40"))
    found = dictionary.columns(told, ["incident"], staging=["u_stage"], deadline=0)
    assert found["u_stage"] == {"u_correlation_id": Column(type="string", max_length=40)}


def test_a_staging_table_of_which_nothing_is_shown_is_left_out() -> None:
    told = whole(column("incident", "caller_id"))
    assert set(dictionary.columns(told, ["incident"], staging=["u_stage"], deadline=0)) == {"incident"}


def test_a_retired_column_is_none() -> None:
    told = whole(column("incident", "old") | {"active": "false"}, column("incident", "new"))
    found = dictionary.columns(told, ["incident"], deadline=0)["incident"]
    assert ("new" in found, "old" in found) == (True, False)


def test_a_table_that_is_not_installed_is_left_out() -> None:
    told = whole(column("task", "state"), column("incident", "caller_id"))
    assert set(dictionary.columns(told, ["incident", "sn_si_incident"], deadline=0)) == {"incident"}


def override(name: str, element: str, **says: str) -> dict[str, str]:
    return {"name": name, "element": element, **{f"{flag}_override": "true" for flag in says}, **says}


PLAIN = {"incident": {"a": Column(type="string", mandatory=True, has_default=True)}}


@pytest.mark.parametrize(
    ("says", "after"),
    [
        ({"mandatory": "false"}, Column(type="string", has_default=True)),
        ({"read_only": "true"}, Column(type="string", mandatory=True, has_default=True, read_only=True)),
        ({"default_value": ""}, Column(type="string", mandatory=True)),
        ({}, PLAIN["incident"]["a"]),
    ],
)
def test_a_table_has_an_inherited_column_as_its_override_says(says: dict[str, str], after: Column) -> None:
    found = dictionary.overrides(Told(override("incident", "a", **says)), ["incident"], deadline=0)
    assert dictionary.overridden(PLAIN, found) == {"incident": {"a": after}}


def test_what_is_not_marked_as_overridden_stays() -> None:
    told = Told({"name": "incident", "element": "a", "mandatory": "false", "mandatory_override": "false"})
    found = dictionary.overrides(told, ["incident"], deadline=0)
    assert dictionary.overridden(PLAIN, found) == PLAIN


def test_another_tables_override_changes_nothing() -> None:
    both = ["incident", "sn_si_incident"]
    found = dictionary.overrides(Told(override("sn_si_incident", "a", mandatory="false")), both, deadline=0)
    assert dictionary.overridden(PLAIN, found) == PLAIN


def test_overrides_that_were_not_asked_for_are_refused() -> None:
    told = Told(override("incident", "a"), override("problem", "a"))
    with pytest.raises(Permanent) as caught:
        dictionary.overrides(told, ["incident"], deadline=0)
    assert caught.value.code == "lookup_unusable"


def test_what_the_dictionary_says_of_a_column_is_kept() -> None:
    told = whole(column("incident", "a", mandatory="true", read_only="true", default_value="x"))
    known = dictionary.columns(told, ["incident"], deadline=0)["incident"]["a"]
    assert (known.mandatory, known.read_only, known.has_default) == (True, True, True)


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
        ([column("incident", "close_code")], "partly_hidden"),  # nothing of task
        ([column("incident", "a"), *(column("task", name) for name in OF_EVERY_TASK - {"state"})], "partly_hidden"),
    ],
)
def test_rows_that_cannot_be_the_answer_are_refused(rows: list[dict[str, str]], code: str) -> None:
    with pytest.raises(Permanent) as caught:
        dictionary.columns(Told(*rows), ["incident"], deadline=0)
    assert caught.value.code == code
