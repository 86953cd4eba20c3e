"""Columns that cannot hold what a record is known by are found, and nothing that would be cut is sent."""

from __future__ import annotations

import pytest

from bridge.dictionary.reading import Reading
from bridge.dictionary.schema import Column
from bridge.errors import Permanent
from bridge.servicenow.identity import refuse_what_does_not_fit, shortfalls
from bridge.settings import Staging, Target, Write

TABLE = Target(name="t", instance="p", table="incident")
UNIQUE = Target(name="t", instance="p", table="incident", write=Write.UNIQUE, key_field="u_key")
STAGED = Target(
    name="t", instance="p", table="incident", write=Write.IMPORT_SET, key_field="u_key", staging=Staging(table="u_s")
)


def reading(**tables: dict[str, int | None]) -> Reading:
    return Reading(
        columns={
            table: {name: Column(type="string", max_length=most) for name, most in columns.items()}
            for table, columns in tables.items()
        }
    )


LONG: dict[str, int | None] = {"correlation_id": 100, "correlation_display": 100, "u_key": 110}
STAGED_LONG: dict[str, int | None] = {"u_correlation_id": 100, "u_correlation_display": 255, "u_key": 110}


@pytest.mark.parametrize(
    ("target", "known", "found"),
    [
        (TABLE, Reading(), []),
        (UNIQUE, Reading(), []),
        (TABLE, reading(incident=LONG), []),
        (TABLE, reading(incident=LONG | {"correlation_id": 99}), ["incident.correlation_id"]),
        (TABLE, reading(incident=LONG | {"correlation_display": 40}), ["incident.correlation_display"]),
        (TABLE, reading(incident=LONG | {"u_key": 40}), []),
        (UNIQUE, reading(incident=LONG), []),
        (UNIQUE, reading(incident=LONG | {"u_key": None}), []),
        (UNIQUE, reading(incident=LONG | {"u_key": 109}), ["incident.u_key"]),
        (UNIQUE, reading(incident={"correlation_id": 100}), ["incident.u_key"]),
        (STAGED, reading(incident=LONG), []),
        (STAGED, reading(incident=LONG, u_s=STAGED_LONG), []),
        (STAGED, reading(incident=LONG, u_s=STAGED_LONG | {"u_correlation_id": 40}), ["u_s.u_correlation_id"]),
        (
            STAGED,
            reading(incident=LONG, u_s={"u_correlation_id": 100}),
            ["u_s.u_correlation_display", "u_s.u_key"],
        ),
    ],
)
def test_each_column_that_is_too_short_or_lacks_is_found(target: Target, known: Reading, found: list[str]) -> None:
    assert [f"{short.table}.{short.column}" for short in shortfalls(target, known)] == found


def test_it_is_told_with_both_numbers_and_what_to_do() -> None:
    (short,) = shortfalls(UNIQUE, reading(incident=LONG | {"u_key": 40}))
    assert "incident.u_key takes 40 characters, and up to 110 are written to it" in short.what
    assert short.do.startswith("Make it 110 characters long")


SHORT = reading(incident=LONG | {"u_key": 10})


@pytest.mark.parametrize("key", ["", "short#1", "0123456789"])
def test_what_fits_is_sent_all_the_same(key: str) -> None:
    refuse_what_does_not_fit({"u_key": key}, UNIQUE, SHORT)


@pytest.mark.parametrize(("known", "key"), [(SHORT, "0123456789A"), (reading(incident={}), "k")])
def test_what_would_be_cut_or_dropped_is_refused(known: Reading, key: str) -> None:
    with pytest.raises(Permanent, match="Nothing was sent") as caught:
        refuse_what_does_not_fit({"u_key": key}, UNIQUE, known)
    assert caught.value.code == "identity_does_not_fit"
