"""The fast path takes nothing that the slow one refuses, and both give the same value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Unmappable
from bridge.sources import document
from bridge.sources.document import KEYS_MAX, NESTING_MAX, STRING_BYTES_MAX, decode, refuse_beyond_limits


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"a": 1,}', "not_json"),
        (b'{"a": 1} x', "not_json"),
        (b'{"a": NaN}', "not_a_number"),
        (b"[Infinity, -Infinity]", "not_a_number"),
        (b"1e999", "number_too_large"),
        (b"9" * 5_000, "number_too_large"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a" : 1, "a" : 2}', "duplicate_key"),
        (b'{"a":1,"\\u0061":2}', "duplicate_key"),
        (b'{"a":"x","a":"\\u0022\\u0022"}', "duplicate_key"),
        (b'{"a":1,"a":":"}', "duplicate_key"),
        (b'{"a":{"b":[{"c":1,"c":1}]}}', "duplicate_key"),
        (b'"\xff"', "not_utf8"),
        (b'"\xed\xa0\x80"', "not_utf8"),
        (b'"\\ud800"', "bad_text"),
        (b'{"\\udc00": 1}', "bad_text"),
        (b'"a\\u0000b"', "bad_text"),
        (b'{"\\u0000": 1}', "bad_text"),
        (b'"a\x00b"', "not_json"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
    ],
)
def test_what_is_refused_and_why(raw: bytes, code: str) -> None:
    with pytest.raises(Unmappable) as caught:
        decode(raw)
    assert caught.value.code == code
    assert caught.value.message.endswith((".", ")."))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "The body is empty: look at what the sender's template gives."),
        (b"\xef\xbb\xbf \n", "The body is empty: look at what the sender's template gives."),
        (b'"\xff"', "The body is not UTF-8 (byte 1): let the sender encode it so."),
        (b'{"a" 1}', "The body is not JSON: Expecting ':' delimiter (line 1, column 6)."),
        (
            b'{"a": "one\ntwo"}',
            "The body is not JSON: a text holds a bare U+000A (line 1, column 11): let the sender write \\u000a.",
        ),
        (
            b'{"alerts": [{"name": "a"}, {"name": "a\\u0000b"}]}',
            "The text at .alerts[1].name holds NUL, which cannot be stored: let the sender leave it out.",
        ),
        (
            b'{"a": {"\\udc00": 1}}',
            "The text at .a.\\udc00 holds half of a surrogate pair, which cannot be stored: "
            "let the sender leave it out.",
        ),
        (b'"\\u0000"', "The text at the top holds NUL, which cannot be stored: let the sender leave it out."),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_remedy(raw: bytes, message: str) -> None:
    with pytest.raises(Unmappable) as caught:
        decode(raw)
    assert caught.value.message == message


def test_a_place_in_a_message_is_bounded() -> None:
    with pytest.raises(Unmappable) as caught:
        decode(json.dumps({"x" * 9_000: {"y" * 9_000: "\0"}}).encode())
    assert len(caught.value.message) < 250


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"-123456789012345678901234567890", -123456789012345678901234567890),
        (b'{"a": "x\\"y: z"}', {"a": 'x"y: z'}),
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
    ],
)
def test_what_is_taken_is_taken_exactly(raw: bytes, value: object) -> None:
    assert decode(raw).value == value


def test_nesting_counts_also_where_the_innermost_is_empty() -> None:
    refuse_beyond_limits(empty_nest(NESTING_MAX))
    with pytest.raises(Unmappable, match="nested deeper"):
        refuse_beyond_limits(empty_nest(NESTING_MAX + 1))


def empty_nest(depth: int) -> object:
    """With nothing in the innermost."""
    nest: object = {}
    for _ in range(depth - 1):
        nest = [nest]
    return nest


def nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"[{": value}
    return value


@pytest.mark.parametrize(
    ("alert", "code"),
    [
        (nested(NESTING_MAX), None),
        (nested(NESTING_MAX + 1), "too_deep"),
        ({str(n): n for n in range(KEYS_MAX)}, None),
        ({str(n): n for n in range(KEYS_MAX + 1)}, "too_many_keys"),
        ([{"a": 1}] * (KEYS_MAX + 1), "too_many_keys"),
        ("x" * STRING_BYTES_MAX, None),
        ("é" * (STRING_BYTES_MAX // 2 + 1), "string_too_long"),
        ({"x" * (STRING_BYTES_MAX + 1): 1}, "string_too_long"),
    ],
    ids=range(8),
)
def test_the_limits_of_one_alert(alert: object, code: str | None) -> None:
    if code is None:
        refuse_beyond_limits(alert)
    else:
        with pytest.raises(Unmappable) as caught:
            refuse_beyond_limits(alert)
        assert caught.value.code == code
        assert not decode(json.dumps(alert).encode()).within_limits


def test_a_plain_alert_takes_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_decode_slowly", None)
    alert = {"host": {"name": "a:b", ":x": ':"'}, "list": [1, 2.5, None, True, "\\"], "text": 'say "hi": \n'}
    for raw in (json.dumps(alert), json.dumps(alert, indent=2), json.dumps(alert, separators=(",", ":"))):
        assert decode(raw.encode()).within_limits


class Pairs(tuple):  # type: ignore[type-arg]
    """An object whose keys may stand twice."""


texts = st.text(st.characters() | st.sampled_from('":\\u0{}[]'), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.lists(st.tuples(texts, inner), max_size=5).map(Pairs),
    max_leaves=30,
)


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """JSON as senders write it: any blanks, any way of escaping a character, keys that stand twice."""

    def text(value: str) -> str:
        escaped = draw(st.integers(0, 3))
        if escaped == 0:
            return '"' + "".join(f"\\u{unit:04x}" for unit in units(value)) + '"'
        return json.dumps(value, ensure_ascii=escaped == 1)

    def write(value: object) -> str:
        colon, comma = draw(st.sampled_from([":", ": ", " :", "\n:\t"])), draw(st.sampled_from([",", ", "]))
        if isinstance(value, Pairs):
            return "{" + comma.join(text(key) + colon + write(one) for key, one in value) + "}"
        if isinstance(value, list):
            return "[" + comma.join(map(write, value)) + "]"
        return text(value) if isinstance(value, str) else json.dumps(value)

    return write(draw(values)).encode("utf-8", "surrogatepass")


def units(value: str) -> list[int]:
    raw = value.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


def outcome(raw: object, read: object) -> object:
    try:
        return read(raw)  # type: ignore[operator]
    except Unmappable as error:
        return error.code


@given(raw=written() | st.binary())
def test_the_fast_path_says_what_the_slow_one_says(raw: bytes) -> None:
    slow = outcome(raw.removeprefix(document.BOM), document._decode_slowly)
    fast = outcome(raw, lambda raw: decode(raw).value)
    assert repr(fast) == repr(slow)


@given(raw=written())
def test_what_is_known_to_keep_the_limits_does(raw: bytes) -> None:
    try:
        decoded = decode(raw)
    except Unmappable:
        return
    if decoded.within_limits:
        document._refuse_slowly(decoded.value)


@given(raw=written())
def test_a_quick_look_refuses_what_a_look_at_every_value_refuses(raw: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for limit, low in (("NESTING_MAX", 3), ("KEYS_MAX", 2), ("STRING_BYTES_MAX", 16)):
            patch.setattr(document, limit, low)
        alert = outcome(raw, lambda raw: decode(raw).value)
        looks = [outcome(alert, look) for look in (refuse_beyond_limits, document._refuse_slowly)]
        assert looks[0] == looks[1]
