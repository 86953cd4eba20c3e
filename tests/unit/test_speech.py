"""The bridge's own words in an incident."""

from __future__ import annotations

import pytest

from bridge.alert import Severity
from bridge.correlation.policy import Kind, Reason
from bridge.sync.speech import linked, taken_out, work_note


def note(reason: Reason, own: str = "", kind: Kind = Kind.UPDATE) -> str:
    return work_note(kind, reason, Severity.HIGH, own=own, count=7, ref="0a1b2c3d")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason.SEVERITY_ROSE, "The severity rose to High."),
        (Reason.FIRES_AGAIN, "The source reports that it fires again."),
        (Reason.REPEATS, "Alerts so far: 7."),
        (Reason.LEFT_TO_PERSON, "left to you to close"),
        (Reason.CLOSE_OFF, "not closed here by the bridge"),
        (Reason.CLOSE_REFUSED, "ServiceNow refused to close"),
        (Reason.CAME_BACK, "Reopened"),
        (Reason.RESOLVED, "Closed"),
    ],
)
def test_every_write_says_why_and_carries_its_ref(reason: Reason, said: str) -> None:
    first, last = note(reason).split("\n")
    assert said in first
    assert last == "[0a1b2c3d]"


def test_the_mappings_own_words_stand_between_ours_and_the_ref() -> None:
    assert note(Reason.FIRES_AGAIN, "see the console").split("\n")[1:] == ["see the console", "[0a1b2c3d]"]


def test_the_mappings_own_words_replace_the_count() -> None:
    assert note(Reason.REPEATS, "still there") == "still there\n[0a1b2c3d]"


def test_a_new_episode_names_the_one_before() -> None:
    assert linked("INC0010001", "0a1b2c3d") == "Follows INC0010001: the same problem returned.\n[0a1b2c3d]"


def shared(reason: Reason, *, own: str = "", joined: int = 0, left: bool = False) -> list[str]:
    return work_note(
        Kind.UPDATE,
        reason,
        Severity.HIGH,
        own=own,
        count=7,
        ref="0a1b2c3d",
        about="edr:web-1",
        joined=[("edr:web-1", joined)] if joined else [],
        left=["web-2"] if left else [],
    ).split("\n")[:-1]


@pytest.mark.parametrize(
    ("note", "lines"),
    [
        (shared(Reason.SEVERITY_ROSE), ["About edr:web-1:", "The severity rose to High."]),
        (shared(Reason.RESOLVED), ["Closed: the source reports this resolved."]),
        (
            shared(Reason.JOINED, joined=1),
            ["1 alert of edr:web-1 joined: they share this incident from now on.", "Alerts so far: 7."],
        ),
        (
            shared(Reason.SEVERITY_ROSE, joined=2),
            ["2 alerts of edr:web-1 joined: they share this incident from now on.", "The severity rose to High."],
        ),
        (
            shared(Reason.SPLIT, left=True),
            ["web-2 was taken out of this incident: a problem of its own from now on.", "Alerts so far: 7."],
        ),
        (
            shared(Reason.SPLIT, own="Count 7.", left=True),
            [
                "web-2 was taken out of this incident: a problem of its own from now on.",
                "About edr:web-1:",
                "Count 7.",
            ],
        ),
    ],
    ids=["whose news", "of all", "joined", "joined and worse", "taken out", "taken out, the mapping's own words"],
)
def test_where_several_share_an_incident_a_note_says_whom_it_is_about(note: list[str], lines: list[str]) -> None:
    assert note == lines


def test_what_was_taken_out_names_the_incident_that_it_was_in() -> None:
    assert taken_out("INC0010001", "0a1b2c3d") == "Taken out of INC0010001: a problem of its own.\n[0a1b2c3d]"
