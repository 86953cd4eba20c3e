"""The bridge's own words in an incident."""

from __future__ import annotations

import pytest

from bridge.alert import Severity
from bridge.correlation.policy import Kind, Reason
from bridge.sync.speech import linked, work_note


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
