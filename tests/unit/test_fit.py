"""What is sent fits the instance; what does not is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dictionary.reading import Reading
from bridge.dictionary.schema import Column
from bridge.settings import Close, Staging, Target, Write
from bridge.settings.targets import PRESETS
from bridge.sync.fit import KEPT, closes, fit

TEXT = Column(type="string", max_length=10)
READING = Reading(
    columns={
        "incident": {
            "short_description": TEXT,
            "description": Column(type="string"),
            "category": TEXT,
            "contact_type": Column(type="string", suggests=True),
            "work_notes": Column(type="journal_input", max_length=4),
        }
    },
    choices={
        "incident": {
            "category": frozenset({"malware"}),
            "contact_type": frozenset({"phone"}),
            "close_code": frozenset({"Solution provided"}),
            "subcategory": frozenset(),
        }
    },
)
ITSM = Target(name="itsm", instance="p", table="incident")


@pytest.mark.parametrize(
    ("fields", "sent", "told"),
    [
        ({"short_description": "0123456789"}, {"short_description": "0123456789"}, {}),
        ({"short_description": "0123456789A"}, {"short_description": "012345678…"}, {"cut": ["short_description"]}),
        ({"description": "x" * 9000}, {"description": "x" * 9000}, {}),
        ({"work_notes": "longer"}, {"work_notes": "longer"}, {}),
        ({"u_team": "SOC"}, {}, {"unknown_column": ["u_team"]}),
        ({"category": "malware"}, {"category": "malware"}, {}),
        ({"category": ""}, {"category": ""}, {}),
        ({"category": "weather"}, {}, {"no_choice": {"category": "weather"}}),
        ({"contact_type": "SIEM"}, {"contact_type": "SIEM"}, {}),
        ({"state": "99", "correlation_id": "a"}, {"state": "99", "correlation_id": "a"}, {}),
    ],
)
def test_a_field_is_sent_cut_or_left_out(fields: dict[str, str], sent: dict[str, str], told: dict[str, object]) -> None:
    assert fit(fields, READING, ITSM) == (sent, told)


def test_the_key_is_sent_as_it_is() -> None:
    unique = replace(ITSM, write=Write.UNIQUE, key_field="u_key")
    assert fit({"u_key": "k"}, READING, unique) == ({"u_key": "k"}, {})


SHORT = Column(type="string", max_length=20)
IDENTITY = {"correlation_id": SHORT, "correlation_display": SHORT, "u_key": SHORT}
UNIQUE = replace(ITSM, write=Write.UNIQUE, key_field="u_key")


@given(st.dictionaries(st.sampled_from(sorted(IDENTITY)), st.text()))
def test_what_a_record_is_known_by_is_never_cut(fields: dict[str, str]) -> None:
    assert fit(fields, Reading(columns={"incident": IDENTITY}), UNIQUE) == (fields, {})


STAGED = replace(ITSM, write=Write.IMPORT_SET, staging=Staging(table="u_staging"))
PRESET = replace(ITSM, write=Write.IMPORT_SET, staging=PRESETS["elastic"]["incident"])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"u_extra": "x"}, {"unknown_column_sent": ["u_extra"]}),
        ({"category": "weather"}, {"no_choice_sent": {"category": "weather"}}),
        ({"category": "x" * 10}, {"no_choice_sent": {"category": "x" * 10}}),
        ({"category": "malware", "contact_type": "SIEM", "state": "99", "correlation_id": "a"}, {}),
    ],
)
def test_a_transform_map_of_ones_own_is_given_what_does_not_fit_and_it_is_told(
    fields: dict[str, str], told: dict[str, object]
) -> None:
    assert fit(fields, READING, STAGED) == (fields, told)


def test_what_is_given_to_a_transform_map_and_cut_is_told_of_both() -> None:
    _sent, told = fit({"category": "weather forecast"}, READING, STAGED)
    assert told == {"no_choice_sent": {"category": "weather forecast"}, "cut": ["category"]}


def test_a_presets_map_is_not_given_what_is_no_choice() -> None:
    assert fit({"category": "weather"}, READING, PRESET) == ({}, {"no_choice": {"category": "weather"}})


def test_a_presets_map_is_given_what_may_be_a_column_of_its_staging_table_alone() -> None:
    assert fit({"u_extra": "x"}, READING, PRESET) == ({"u_extra": "x"}, {"unknown_column_sent": ["u_extra"]})


KNOWN = Reading(
    columns={
        "incident": {
            "short_description": Column(type="string", max_length=10),
            "work_notes": Column(type="journal_input", max_length=4000),
        },
        "u_staging": {
            "u_short_description": Column(type="string", max_length=5),
            "u_work_notes": Column(type="string", max_length=12),
            "u_own": Column(type="string", max_length=5),
        },
    }
)


@pytest.mark.parametrize(
    ("fields", "sent", "told"),
    [
        ({"nowhere": "x"}, {}, {"unknown_column": ["nowhere"]}),
        ({"u_own": "12345"}, {"u_own": "12345"}, {"unknown_column_sent": ["u_own"]}),
        ({"u_own": "123456"}, {"u_own": "1234…"}, {"unknown_column_sent": ["u_own"], "cut": ["u_own"]}),
        ({"short_description": "123456"}, {"short_description": "1234…"}, {"cut": ["short_description"]}),
        ({"work_notes": "again\nonce\n[a]"}, {"work_notes": "again\no…\n[a]"}, {"cut": ["work_notes"]}),
    ],
)
def test_what_the_staging_table_lacks_or_cuts_is_told(
    fields: dict[str, str], sent: dict[str, str], told: dict[str, object]
) -> None:
    assert fit(fields, KNOWN, STAGED) == (sent, told)


def test_a_long_value_that_is_no_choice_is_quoted_shortened() -> None:
    _sent, told = fit({"category": "x" * 500}, READING, ITSM)
    assert told == {"no_choice": {"category": "x" * 79 + "…"}}


@pytest.mark.parametrize(("column", "most"), [("short_description", 160), ("description", 4000), ("close_notes", 4000)])
def test_of_an_instance_that_told_nothing_the_usual_lengths_hold(column: str, most: int) -> None:
    sent, told = fit({column: "x" * (most + 1), "u_any": "1", "impact": "9"}, Reading(), ITSM)
    assert (len(sent[column]), sent["u_any"], sent["impact"], told) == (most, "1", "9", {"cut": [column]})


@pytest.mark.parametrize("target", [ITSM, STAGED, PRESET], ids=["table", "import_set", "preset"])
@given(
    fields=st.dictionaries(
        st.sampled_from(["category", "short_description", "u_x", "state", "correlation_id"]), st.text()
    )
)
def test_every_field_is_sent_as_it_is_or_told(target: Target, fields: dict[str, str]) -> None:
    sent, told = fit(fields, READING, target)
    for name, value in fields.items():
        assert sent.get(name) == value or any(name in words for words in told.values())
        assert name in sent or name not in KEPT


@pytest.mark.parametrize(
    ("code", "reading", "expected"),
    [
        ("Solution provided", READING, True),
        ("Solved", READING, False),
        ("Solved", Reading(), True),
        ("Solved", Reading(choices={"incident": {"close_code": frozenset()}}), True),
        (None, Reading(), False),
    ],
)
def test_a_close_code_is_withheld_only_where_it_is_known_to_be_none(
    code: str | None, reading: Reading, expected: bool
) -> None:
    target = Target(name="itsm", instance="p", table="incident", close=Close(state="6", code=code, notes="n"))
    assert closes(target, reading) is expected
