"""What an entry's bytes are, what its digests say, and that its page names every action."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.digest import changes, digest, new_salt
from bridge.log.entries import Action, Entry, encode

PAGE = Path(__file__).parents[2] / "docs/log-entries.md"
AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DETAIL = st.recursive(
    WORDS | st.integers(-(2**63), 2**63) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)


@given(at=st.datetimes(timezones=st.just(UTC)), actor=WORDS, detail=st.dictionaries(WORDS, DETAIL))
def test_the_bytes_of_an_entry_are_their_own_canonical_form(
    at: datetime, actor: str, detail: dict[str, object]
) -> None:
    stored = encode(Entry(at=at, action=Action.DECIDED, actor=actor, detail=detail))
    again = json.dumps(json.loads(stored), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert stored == again


@pytest.mark.parametrize(
    ("entry", "stored"),
    [
        (
            Entry(at=AT, action=Action.PAUSED, actor="cli:robin", known_by="os_user", target="itsm"),
            '{"action":"paused","actor":"cli:robin","at":"2026-03-10T12:00:00.000000Z","known_by":"os_user","target":"itsm"}',
        ),
        (
            Entry(at=AT.replace(microsecond=1), action=Action.STOPPED, actor="serve"),
            '{"action":"stopped","actor":"serve","at":"2026-03-10T12:00:00.000001Z"}',
        ),
        (
            Entry(at=AT, action=Action.STOPPED, actor='"at":"2026-03-10T12:00:00Z"'),
            r'{"action":"stopped","actor":"\"at\":\"2026-03-10T12:00:00Z\"","at":"2026-03-10T12:00:00.000000Z"}',
        ),
    ],
    ids=["what is empty is left out", "a fraction of a second", "an actor that looks like a time"],
)
def test_an_entry_is_stored_as(entry: Entry, stored: str) -> None:
    assert encode(entry).decode() == stored


# --- digests

SALT = bytes(range(16))


def test_a_digest_is_what_the_page_says() -> None:
    """Worked out by `printf` of salt, name, zero byte and JSON into `openssl dgst -sha256 -binary | base64`."""
    assert digest(SALT, "impact", "2") == "tSBr91eYw7W35DhHyHz/uH"


def test_the_same_value_has_another_digest_in_another_field_and_in_another_write() -> None:
    assert len({digest(SALT, "impact", "2"), digest(SALT, "urgency", "2"), digest(new_salt(), "impact", "2")}) == 3


def test_what_was_not_read_before_has_no_digest_of_before() -> None:
    told = changes(SALT, {"impact": "3", "state": "1"}, {"impact": "2", "work_notes": "x"})
    assert told == {
        "impact": {"before": digest(SALT, "impact", "3"), "after": digest(SALT, "impact", "2")},
        "work_notes": {"after": digest(SALT, "work_notes", "x")},
    }


# --- the page


def test_the_page_tells_of_every_action_once_and_of_no_other() -> None:
    told = re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\|$", PAGE.read_text().partition("## The actions")[2], re.MULTILINE)
    assert sorted(told) == sorted(action.value for action in Action)


def test_the_page_tells_of_every_field_of_an_entry() -> None:
    table = PAGE.read_text().partition("## Every entry")[2].partition("Beside an entry")[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in first for name in re.findall(r"`(\w+)`", cell)) == sorted(Entry.__struct_fields__)
