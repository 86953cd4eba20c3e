"""What a record says about people, and which fields are still ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.alert import Json, Severity
from bridge.correlation.policy import End, Episode
from bridge.correlation.progress import Progress
from bridge.servicenow.record import Record
from bridge.settings import Target
from bridge.store.held import WrittenField
from bridge.sync.reading import seen, still_ours, told_of

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OPEN = Episode(open=True, severity=Severity.HIGH, told_count=1, told_at=NOW)
CLOSED_BY_US = replace(OPEN, open=False, end=End.BY_US, ended_at=NOW - timedelta(hours=1))
ITSM = Target(name="itsm", instance="test", table="incident", false_positive_codes=("False alarm",))
SIR = replace(ITSM, table="sn_si_incident")


def record(state: str, **fields: str) -> Record:
    return Record(sys_id="a", number="INC1", state=state, fields=fields)


def look(
    episode: Episode,
    shown: Record | None,
    target: Target = ITSM,
    our_state: str | None = "1",
    our_code: WrittenField | None = None,
) -> Episode:
    progress = Progress(repeat_count=7)
    return seen(episode, shown, progress, target=target, our_state=our_state, our_code=our_code, now=NOW)


@pytest.mark.parametrize(
    ("what", "target", "shown", "end"),
    [
        ("a resolved incident is over", ITSM, record("6"), End.BY_PERSON),
        ("a closed incident is over", ITSM, record("7"), End.BY_PERSON),
        ("a cancelled incident is over", ITSM, record("8"), End.BY_PERSON),
        ("a closed security incident is over", SIR, record("3"), End.BY_PERSON),
        ("a cancelled security incident is over", SIR, record("7"), End.BY_PERSON),
        ("a false-positive code says more", ITSM, record("7", close_code="False alarm"), End.FALSE_POSITIVE),
        ("a record that is gone is over", ITSM, None, End.DELETED),
        ("an incident in progress is not over", ITSM, record("2"), None),
        ("an incident on hold is not over: 3 closes a security incident only", ITSM, record("3"), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_an_open_episode_ends(what: str, target: Target, shown: Record | None, end: End | None) -> None:
    after = look(OPEN, shown, target)
    assert (after.end, after.open) == (end, end is None), what
    assert after.ended_at == (NOW if end else None)


@pytest.mark.parametrize(
    ("what", "shown", "our_state", "touched"),
    [
        ("as we left it", record("1"), "1", False),
        ("assigned to somebody", record("1", assigned_to="b"), "1", True),
        ("moved to another state", record("2"), "1", True),
        ("never read back", record("2"), None, False),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 1 else "",
)
def test_when_people_are_on_it(what: str, shown: Record, our_state: str | None, *, touched: bool) -> None:
    assert look(OPEN, shown, our_state=our_state).touched is touched, what


def test_a_person_who_leaves_it_again_has_left_it() -> None:
    assert look(replace(OPEN, touched=True), record("1")).touched is False


def test_what_we_closed_stays_closed_by_us() -> None:
    assert look(CLOSED_BY_US, record("6"), our_state="6") == CLOSED_BY_US


OUR_CODE = WrittenField(sent=("Fixed",), read="Fixed")
US, ANN, ITSELF = (
    {"sys_created_by": "bridge", "sys_updated_by": who, "close_code": "Fixed"} for who in ("bridge", "ann", "system")
)


@pytest.mark.parametrize(
    ("what", "target", "shown", "end"),
    [
        ("as we left it", ITSM, record("6", **US), End.BY_US),
        ("a person wrote a comment", ITSM, record("6", **ANN), End.BY_US),
        ("cancelled", ITSM, record("8", **ANN), End.BY_PERSON),
        ("closed by a person", ITSM, record("7", **ANN), End.BY_PERSON),
        ("closed by ServiceNow after its time", ITSM, record("7", **ITSELF), End.BY_US),
        (
            "closed by ServiceNow in the resolver's name, and a comment since",
            ITSM,
            record("7", **ANN, **{"closed_by.user_name": "bridge"}),
            End.BY_US,
        ),
        ("another code, by a person", ITSM, record("6", **ANN | {"close_code": "Duplicate"}), End.BY_PERSON),
        ("another code, by ServiceNow itself", ITSM, record("6", **ITSELF | {"close_code": "Duplicate"}), End.BY_US),
        ("a false positive", ITSM, record("6", **ANN | {"close_code": "False alarm"}), End.FALSE_POSITIVE),
        ("closed as a false positive", ITSM, record("7", **ANN | {"close_code": "False alarm"}), End.FALSE_POSITIVE),
        ("cancelled as a false positive", ITSM, record("8", **ANN | {"close_code": "False alarm"}), End.FALSE_POSITIVE),
        (
            "a security incident's false positive",
            SIR,
            record("3", **ANN | {"close_code": "False alarm"}),
            End.FALSE_POSITIVE,
        ),
        ("a security incident's other code", SIR, record("3", **ANN | {"close_code": "-100"}), End.BY_PERSON),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whose_end_it_is_of_what_we_had_closed(what: str, target: Target, shown: Record, end: End) -> None:
    after = look(CLOSED_BY_US, shown, target, "6" if target is ITSM else "3", OUR_CODE)
    assert after == (CLOSED_BY_US if end is End.BY_US else replace(CLOSED_BY_US, end=end, ended_at=NOW)), what


def test_a_false_positive_code_of_our_own_is_no_persons() -> None:
    ours = WrittenField(sent=("False alarm",), read="False alarm")
    shown = record("6", **ANN | {"close_code": "False alarm"})
    assert look(CLOSED_BY_US, shown, our_state="6", our_code=ours) == CLOSED_BY_US


def test_what_we_closed_and_a_person_opened_again_is_open_touched_and_told() -> None:
    after = look(CLOSED_BY_US, record("2"), our_state="6")
    assert (after.open, after.touched, after.end, after.ended_at, after.told_count) == (True, True, None, None, 7)


def test_what_we_closed_and_was_deleted_cannot_be_reopened_and_is_nobodys_end() -> None:
    assert look(CLOSED_BY_US, None) == replace(CLOSED_BY_US, reopen_refused=True)


def test_what_a_person_ended_and_was_deleted_keeps_the_time_of_its_end() -> None:
    ended = replace(CLOSED_BY_US, end=End.BY_PERSON)
    assert look(ended, None) == replace(ended, end=End.DELETED)


@pytest.mark.parametrize(
    ("what", "shown", "over", "told"),
    [
        (
            "who closed it, though somebody else touched it since",
            record("7", closed_by="b", **{"closed_by.user_name": "fred"}, close_code="Fixed", sys_updated_by="job"),
            True,
            {"state": "7", "by": "fred", "closed_by": "fred", "updated_by": "job", "close_code": "Fixed"},
        ),
        (
            "who resolved it",
            record("6", resolved_by="b", **{"resolved_by.user_name": "fred"}),
            True,
            {"state": "6", "by": "fred", "resolved_by": "fred"},
        ),
        (
            "who said more of what we had resolved",
            record("6", resolved_by="a", **{"resolved_by.user_name": "us"}, sys_created_by="us", sys_updated_by="ann"),
            True,
            {"state": "6", "by": "ann", "resolved_by": "us", "updated_by": "ann"},
        ),
        (
            "one whose name may not be read",
            record("7", closed_by="b", sys_updated_by="job"),
            True,
            {"state": "7", "by": "a person (sys_id b)", "closed_by": "a person (sys_id b)", "updated_by": "job"},
        ),
        (
            "one that shows no closer",
            record("3", sys_updated_by="fred"),
            True,
            {"state": "3", "by": "fred", "updated_by": "fred"},
        ),
        (
            "opened again: not how and by whom it was closed before",
            record("2", closed_by="b", **{"closed_by.user_name": "ann"}, close_code="Fixed", sys_updated_by="fred"),
            False,
            {"state": "2", "by": "fred", "updated_by": "fred"},
        ),
        ("gone: nobody knows", None, True, {}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 1 else "",
)
def test_what_the_log_says_of_what_people_did(
    what: str, shown: Record | None, *, over: bool, told: dict[str, Json]
) -> None:
    assert told_of(shown, over=over) == told, what


WRITTEN = {"impact": WrittenField(sent=("3", "2"), read="2")}


@pytest.mark.parametrize(
    ("what", "now", "written", "sent", "left"),
    [
        ("unchanged since our write", "2", WRITTEN, True, False),
        ("back at what we sent before", "3", WRITTEN, True, False),
        ("something a person chose", "4", WRITTEN, False, True),
        ("what a person chose, though we want the same", "1", WRITTEN, False, True),
        ("already what we want, by our own hand", "1", {"impact": WrittenField(sent=("1",), read="1")}, False, False),
        ("never written nor seen, and empty", "", {}, True, False),
        ("never written nor seen, and something is there", "4", {}, False, True),
        ("never written, as it stood when the record was made", "9", {"impact": WrittenField(read="9")}, True, False),
        ("never written, and changed since the record was made", "4", {"impact": WrittenField(read="9")}, False, True),
        ("as ServiceNow changed it on our write", "9", {"impact": WrittenField(sent=("2",), read="9")}, True, False),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 1 else "",
)
def test_whose_a_field_is(what: str, now: str, written: dict[str, WrittenField], *, sent: bool, left: bool) -> None:
    fields, theirs = still_ours({"impact": "1"}, record("1", impact=now), written)
    assert (fields == {"impact": "1"}, theirs == ["impact"]) == (sent, left), what


def test_a_note_and_a_field_that_was_not_read_are_sent() -> None:
    fields = {"work_notes": "again", "u_extra": "x"}
    assert still_ours(fields, record("1", work_notes=""), {}) == (fields, [])
