"""The story of a correlation, put together from alerts, log entries and intents."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.alert import Severity
from bridge.cli.story import entry_as_json, entry_text, rows_of, step_as_json, steps_of
from bridge.log.entries import Action, Entry
from bridge.store.rows import AlertRow, IntentRow, LogRow

START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def alert(number: int, *, reason: str = "repeat", severity: Severity = Severity.HIGH) -> AlertRow:
    return AlertRow(
        id=f"{number}-0",
        source="edr",
        received_at=at(number),
        outcome="accepted",
        reason=reason,
        detail=None,
        correlation_id="r:h",
        status="firing",
        severity=severity,
        event_time=at(number),
        target="itsm",
        covers_rest=False,
    )


def entry(row_id: int, seconds: int, action: Action, **more: object) -> LogRow:
    return LogRow(id=row_id, entry=Entry(at=at(seconds), action=action, actor="sync", **more))  # type: ignore[arg-type]


def intent(seconds: int, fields: dict[str, str], before: dict[str, str] | None = None) -> IntentRow:
    return IntentRow(
        id=1,
        incident=7,
        operation="create",
        reason="first_alert",
        target="itsm",
        ref="ab12",
        fields=fields,
        before=before or {},
        started_at=at(seconds),
        deadline=at(seconds + 15),
        outcome="applied",
        outcome_code=None,
        number="INC0010001",
        finished_at=at(seconds + 1),
    )


def test_steps_stand_in_the_order_of_time_alerts_first() -> None:
    entries = [entry(3, 2, Action.INTENDED), entry(2, 1, Action.DECIDED)]  # newest first, as queries give them
    steps = steps_of([alert(5), alert(1, reason="new")], entries, [])
    assert [step.what for step in steps] == ["alert", "decided", "intended", "alert"]


def test_a_step_of_another_that_shares_the_incident_names_it() -> None:
    entries = [entry(1, 1, Action.WRITTEN, correlation_id="r:h"), entry(2, 2, Action.WRITTEN, correlation_id="r:i")]
    assert [step.text for step in steps_of([], entries, [], of="r:h")] == ["", "about r:i"]


def test_entries_of_one_instant_keep_the_order_of_the_log() -> None:
    steps = steps_of([], [entry(9, 1, Action.INTENDED), entry(8, 1, Action.DECIDED)], [])
    assert [step.what for step in steps] == ["decided", "intended"]


def test_an_intent_tells_what_was_sent() -> None:
    detail = {"intent": 1, "ref": "ab12", "fields": ["short_description"]}
    entries = [entry(1, 2, Action.INTENDED, outcome="create", detail=detail)]
    steps = steps_of([], entries, [intent(2, {"short_description": "Brute\nforce"})])
    assert rows_of(steps) == [
        ("2026-03-10 12:00:02Z", "intended", "create; ref ab12"),
        ("", "", "  short_description = Brute force"),
    ]


def test_alerts_in_a_row_that_say_the_same_are_told_once() -> None:
    steps = steps_of([alert(4), alert(3), alert(2), alert(1, reason="new")], [], [])
    assert [text for _, _, text in rows_of(steps)] == [
        "1-0 firing, high: accepted (new)",
        "2-0 firing, high: accepted (repeat)",
        "and 2 like it, until 2026-03-10 12:00:04Z",
    ]


def test_a_step_between_them_parts_a_row_of_alerts() -> None:
    steps = steps_of([alert(4), alert(2)], [entry(1, 3, Action.DECIDED, outcome="nothing", reason="repeat")], [])
    assert [what for _, what, _ in rows_of(steps)] == ["alert", "decided", "alert"]


def test_a_step_of_an_alert_carries_its_severity_in_json() -> None:
    shown = step_as_json(steps_of([alert(1, severity=Severity.CRITICAL)], [], [])[0])
    assert (shown["alert"], shown["severity"], shown["at"]) == ("1-0", "critical", "2026-03-10T12:00:01.000000Z")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (entry(1, 0, Action.DECIDED, outcome="create", reason="first_alert"), "create: first_alert"),
        (entry(1, 0, Action.WRITTEN, outcome="applied", number="INC1", target="itsm"), "applied; INC1 at itsm"),
        (entry(1, 0, Action.FAILED, reason="denied", detail={"status": 403}), "denied; status 403"),
        (
            entry(1, 0, Action.DELIVERED, detail={"alerts": [{"outcome": "accepted"}, {"outcome": "accepted"}]}),
            "2 accepted",
        ),
        (
            entry(1, 0, Action.QUARANTINED, detail={"alerts": [{"outcome": "quarantined", "reason": "no_match"}]}),
            "1 quarantined (no_match)",
        ),
        (entry(1, 0, Action.DELIVERED, detail={"alerts": []}), "no alerts"),
        (
            entry(1, 0, Action.DELIVERED, detail={"alerts": [{"outcome": "accepted", "event_time": "not readable"}]}),
            "1 accepted; event_time not readable",
        ),
        (entry(1, 0, Action.WRITTEN, outcome="create", detail={"intent": 7}), "create"),
        (entry(1, 0, Action.DISCARDED, reason="a test", detail={"positions": [0, 3]}), "a test; positions 0 3"),
        (entry(1, 0, Action.WRITTEN, detail={"intent": 7, "looked_up": True}), "looked_up yes"),
        (entry(1, 0, Action.RECORD_GONE, reason="deleted", number="INC1"), "deleted; INC1"),
        (
            entry(1, 0, Action.PRUNED, detail={"removed": {"entries": 26}, "indices": {"first": 0, "end": 26}}),
            "removed entries 26, indices first 0 end 26",
        ),
    ],
)
def test_an_entry_says_in_a_line_what_happened(row: LogRow, text: str) -> None:
    assert entry_text(row.entry) == text


def test_an_entry_in_json_leaves_out_what_is_empty() -> None:
    shown = entry_as_json(entry(4, 0, Action.PAUSED, target="itsm"))
    expected = {"id": 4, "at": "2026-03-10T12:00:00.000000Z", "action": "paused", "actor": "sync", "target": "itsm"}
    assert shown == expected


DIGESTS = {"priority": {"before": "b" * 22, "after": "a" * 22}}


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        (intent(1, {"priority": "1"}, {"priority": "3"}), ["  priority = 1 (before: 3)"]),
        (intent(1, {"priority": "1"}), ["  priority = 1"]),
        (intent(1, {}), ["  priority: erased"]),
    ],
    ids=["as it was read before", "not read before", "erased"],
)
def test_a_write_shows_what_it_changed_as_long_as_it_is_kept(kept: IntentRow, shown: list[str]) -> None:
    entries = [entry(1, 2, Action.INTENDED, outcome="update", detail={"intent": 1, "fields": DIGESTS})]
    assert [row[2] for row in rows_of(steps_of([], entries, [kept]))] == ["update", *shown]


def test_what_a_person_must_do_is_never_cut() -> None:
    message = "SecOps answered 403. " * 8 + "Give the integration user the role."
    row = replace(entry(1, 0, Action.FAILED, outcome="given up", reason="forbidden"), said=message)
    (step,) = steps_of([], [row], [])
    assert message in step.text
    assert message in rows_of([step])[0][2]
