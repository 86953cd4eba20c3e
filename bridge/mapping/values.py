"""Values of the mapping language: what counts as nothing, and every value as text, as a number, as a time. Pure.

A value is a JSON value, or an aware UTC datetime that the `time` function or a fact made.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta

from bridge.alert import Json

TEXT_CHARS_MAX = 64 * 1024  # longest text that any step of a mapping makes; longer is cut
LIST_ITEMS_MAX = 1000  # elements that a fan-out or a split yields; the rest is left out
TIME_CHARS_MAX = 64
DURATION_SECONDS_MAX = 10**11  # longer than three thousand years: no duration

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_EPOCH_TEXT = re.compile(r"[0-9]{9,20}(?:\.[0-9]{1,20})?")
_SPACE_BEFORE_OFFSET = re.compile(r"\s+(?=[+-][0-9]{2}:?[0-9]{2}$)")
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # tab and line feed stay
_UNWANTED_ASCII = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])


def is_nothing(value: Json) -> bool:
    """True for null, blank text, an empty list and an empty object. False and 0 are something."""
    if value:
        return value.__class__ is str and value.isspace()
    return bool(value != 0)


def text_of(value: Json) -> str:
    """The value as it stands in a text: a list joined with ", ", an object as JSON, nothing as ""."""
    kind = value.__class__
    if kind is str:
        return value  # type: ignore[no-any-return]
    if value is None:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return _number_text(value)
    if kind is list:
        parts = (
            json_text(item) if item.__class__ in (list, dict) else text_of(item) for item in value[:LIST_ITEMS_MAX]
        )
        return ", ".join(part for part in parts if part)[:TEXT_CHARS_MAX]
    if kind is datetime:
        return time_text(value)
    return json_text(value) if value else ""


def _number_text(value: int | float) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # 73.0 and 73 are the same to a reader
    try:
        return str(value)
    except ValueError:  # an integer of more than 4,300 digits
        return ""


def time_text(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def json_text(value: Json) -> str:
    """Compact JSON; "" for what is nested too deep to be written."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=text_of)
    except (RecursionError, ValueError):
        return ""
    return text[:TEXT_CHARS_MAX]


def number_of(value: Json) -> int | float | None:
    """The value as a number; None for what is not one."""
    kind = value.__class__
    if kind is int:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is not str or len(value) > 40:
        return None
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def time_of(value: Json) -> datetime | None:
    """The value as a time: ISO 8601 in the shapes that products write, or an epoch of any unit, told by its size.

    What products write for "not set" (year 1, 1970-01-01T00:00:00Z, 0) is nothing, and so is what cannot be read.
    A time without a zone is UTC.
    """
    kind = value.__class__
    if kind is datetime:
        return value  # type: ignore[no-any-return]
    if kind is int or kind is float:
        return _time_of_number(value)
    if kind is not str or len(value) > TIME_CHARS_MAX:
        return None
    text = value.strip()
    if text[4:5] != "-" and _EPOCH_TEXT.fullmatch(text):
        return _time_of_number(float(text) if "." in text else int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(_tidied(text))
        except ValueError:
            return None
    return _utc(moment)


def _tidied(text: str) -> str:
    """`2024-06-19 11:42:41 (UTC)` and `… UTC+0000` in a form that Python reads."""
    return _SPACE_BEFORE_OFFSET.sub("", text.removesuffix("(UTC)").replace("UTC", "").strip())


def _utc(moment: datetime) -> datetime | None:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    elif moment.tzinfo is not UTC:
        try:
            moment = moment.astimezone(UTC)
        except (OverflowError, ValueError):
            return None
    return None if moment.year == 1 or moment == EPOCH else moment


def _time_of_number(number: int | float) -> datetime | None:
    if not 1e8 <= number < 1e19:  # before 1973: a counter, a date without dashes or "not set"; NaN as well
        return None
    try:
        if number < 1e11:
            return EPOCH + timedelta(seconds=number)
        if number < 1e14:
            return EPOCH + timedelta(milliseconds=number)
        if number < 1e17:
            return EPOCH + timedelta(microseconds=number)
        if number < 1e18:  # Windows FILETIME: 100 ns since 1601
            return FILETIME_EPOCH + timedelta(microseconds=number // 10)
        return EPOCH + timedelta(microseconds=number // 1000)
    except OverflowError:
        return None


_UNITS = {"d": 86400, "h": 3600, "min": 60, "s": 1}
_SECONDS_OF = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "min": 60, "s": 1, "ms": 0.001}
_SPELLED = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s?(ms|min|[wdhms])\s?")


def seconds_of(value: Json) -> int | None:
    """A duration in whole seconds: a number of seconds, or `90s`, `2h5m`, `1.5h`; None for what is neither."""
    seconds = number_of(value)
    if seconds is None and value.__class__ is str and 0 < len(text := value.strip()) <= TIME_CHARS_MAX:
        if _SPELLED.sub("", text):
            return None
        seconds = sum(float(number) * _SECONDS_OF[unit] for number, unit in _SPELLED.findall(text))
    return int(seconds) if seconds is not None and 0 <= seconds <= DURATION_SECONDS_MAX else None


def duration_text(seconds: int) -> str:
    """The two largest units, as a person says it: `2 h 5 min`."""
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"


def cut(text: str, length: int) -> str:
    """At most `length` characters; what is cut ends in `…`."""
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"


def clean(text: str) -> str:
    """Without control characters and lone surrogates, blanks at both ends trimmed; tabs and line feeds stay."""
    if not text.isprintable():
        if text.isascii():  # several times quicker than the pattern, as is what is printable but for line feeds
            text = text.encode().translate(None, _UNWANTED_ASCII).decode()
        elif not text.replace("\n", "").isprintable():
            text = _UNWANTED.sub("", text)
    return text.strip()
