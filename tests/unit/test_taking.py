"""The severity that a record shows which was there already, by what a create would write at each."""

from __future__ import annotations

import pytest

from bridge.alert import Severity
from bridge.servicenow.record import Record
from bridge.sync.taking import shown_by

INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity

IMPACT = {INFO: "3", LOW: "3", MEDIUM: "3", HIGH: "2", CRITICAL: "1"}
AT_EACH = {one: {"impact": impact, "short_description": f"r1 is {one.word}"} for one, impact in IMPACT.items()}

ROWS: dict[str, tuple[dict[str, str], Severity, Severity]] = {
    "what it shows whole": ({"impact": "2", "short_description": "r1 is high"}, CRITICAL, HIGH),
    "of several that it may show, the present one": ({"impact": "3", "short_description": "x"}, LOW, LOW),
    "of several that it may show, the worst": ({"impact": "3", "short_description": "x"}, CRITICAL, MEDIUM),
    "the one of which it shows most": ({"impact": "3", "short_description": "r1 is low"}, MEDIUM, LOW),
    "more than the present one": ({"impact": "1", "short_description": "x"}, LOW, CRITICAL),
    "nothing of any is the lowest": ({"impact": "", "short_description": "x"}, CRITICAL, INFO),
}


@pytest.mark.parametrize(("fields", "present", "shown"), ROWS.values(), ids=ROWS)
def test_a_record_shows_the_severity_at_which_a_create_would_write_what_it_has(
    fields: dict[str, str], present: Severity, shown: Severity
) -> None:
    record = Record(sys_id="a", number="INC1", state="1", fields=fields)
    assert shown_by(record, AT_EACH, present) is shown


def test_where_no_column_depends_on_the_severity_there_is_nothing_to_raise() -> None:
    record = Record(sys_id="a", number="INC1", state="1", fields={})
    assert shown_by(record, {one: {} for one in Severity}, HIGH) is HIGH
