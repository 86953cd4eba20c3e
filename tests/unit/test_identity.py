"""The 100-character rule of correlation IDs."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.alert import key_of
from bridge.correlation.identity import identify
from bridge.errors import Unmappable


def tail(text: str) -> str:
    return "~" + hashlib.sha256(text.encode()).hexdigest()[:20]


UNCHANGED = {
    "an ordinary ID": "rule-17:WKS-0421",
    "blanks inside": "Host Unreachable : db 3",
    "exactly 100 characters": "x" * 100,
    "every printable sign but the caret": "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]_`az{|}~",
    "javascript: that does not lead": "rule:javascript:alert",
    "javascript without its colon": "javascript",
    "a single character": "x",
}


@pytest.mark.parametrize("text", UNCHANGED.values(), ids=UNCHANGED)
def test_an_id_that_servicenow_takes_stands_as_it_is(text: str) -> None:
    assert identify(text) == text


CLEANED = {
    "outer blanks are trimmed": ("  rule:host\t ", "rule:host"),
    "control characters are stripped": ("ru\x00le:\nho\x7fst", "rule:host"),
    "C1 control characters too": ("rule\x85:host\x9f", "rule:host"),
    "blanks that control characters hid": ("\x01 rule \x02", "rule"),
    "a no-break space at the end is a blank": ("rule\u00a0", "rule"),
    "101 characters of which one is stripped": ("x" * 100 + "\n", "x" * 100),
}


@pytest.mark.parametrize(("text", "expected"), CLEANED.values(), ids=CLEANED)
def test_an_id_is_cleaned(text: str, expected: str) -> None:
    assert identify(text) == expected


HASHED = {
    "over 100 characters": ("x" * 101, "x" * 79),
    "a caret": ("rule^host", "rulehost"),
    "an umlaut": ("Größe:host", "Gre:host"),
    "only letters beyond ASCII": ("日本", ""),
    "a leading javascript:": ("javascript:gs.now()", "gs.now()"),
    "javascript: in any case": ("JavaScript:gs.now()", "gs.now()"),
    "javascript: twice": ("javascript: javascript:x", "x"),
    "javascript: once the caret is gone": ("java^script:x", "x"),
    "javascript: once the umlaut is gone": ("äjavascript:x", "x"),
    "a blank that would lead": ("é host", "host"),
    "79 usable characters are counted after the rest is dropped": ("é" * 50 + "y" * 90, "y" * 79),
}


@pytest.mark.parametrize(("text", "head"), HASHED.values(), ids=HASHED)
def test_what_cannot_stand_gets_a_hash_of_the_whole(text: str, head: str) -> None:
    assert identify(text) == head + tail(text)


def test_the_hash_is_of_the_cleaned_text() -> None:
    assert identify(" rule^host\n") == identify("rule^host")


def test_half_a_surrogate_pair_does_not_raise() -> None:
    assert re.fullmatch(r"host~[0-9a-f]{20}", identify("host\ud83d"))


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\x00", "\u00a0", "\u2003 \x7f"])
def test_an_empty_id_goes_to_quarantine(text: str) -> None:
    with pytest.raises(Unmappable) as caught:
        identify(text)
    assert caught.value.code == "empty_identity"


pieces = st.sampled_from(["javascript:", "JAVA", "script:", "^", "~", " ", "\t", "é", "x" * 60, "rule", ":"])
texts = (st.text(min_size=1, max_size=150) | st.lists(pieces, min_size=1, max_size=8).map("".join)).filter(
    lambda text: re.sub(r"[\x00-\x1f\x7f-\x9f]", "", text).strip() != ""
)


@given(texts)
def test_an_id_is_always_storable_and_safe_in_a_query(text: str) -> None:
    result = identify(text)
    assert 1 <= len(result) <= 100
    assert result.isascii()
    assert result.isprintable()
    assert "^" not in result
    assert result == result.strip()
    assert not result.lower().startswith("javascript:")


@given(texts)
def test_an_id_of_an_id_is_itself(text: str) -> None:
    assert identify(identify(text)) == identify(text)


@given(texts, texts)
def test_different_texts_have_different_ids(one: str, other: str) -> None:
    def cleaned(text: str) -> str:
        return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", text).strip()

    assert (identify(one) == identify(other)) == (cleaned(one) == cleaned(other))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="^"), min_size=1, max_size=100))
def test_ids_that_differ_in_case_alone_have_one_key(text: str) -> None:
    if not text.lower().startswith("javascript:"):
        assert key_of(identify(text)) == key_of(identify(text.swapcase()))
