"""Strict JSON: the bytes of a delivery become a document, or an Unmappable that says what is wrong with them.

Decoders in C accept duplicate keys silently, and which of two values counts is then an attacker's choice. The fast path
decodes with msgspec and takes only what it can *prove* to be clean; everything else goes to the standard library's
decoder with a hook for every object, thirty times slower, whose word is final.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import msgspec

from bridge.alert import Json
from bridge.errors import Unmappable

NESTING_MAX = 32  # of one alert
KEYS_MAX = 2_000  # of one alert
STRING_BYTES_MAX = 64 * 1024  # of one string, in UTF-8
BOM = b"\xef\xbb\xbf"
PLACE_CHARACTERS_MAX = 100  # of a place in a message
ALL_CURLY = bytes.maketrans(b"[]", b"{}")
NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))

# Where a value stands: (where its parent stands, its key or index); the top is None.
Place: TypeAlias = "tuple[Place, str | int] | None"


@dataclass(frozen=True, slots=True)
class Document:
    value: Json
    within_limits: bool  # the whole is known to keep the limits of one alert, so every alert in it does


def decode(raw: bytes) -> Document:
    """Raises Unmappable: not_utf8, not_json, not_a_number, duplicate_key, bad_text, number_too_large, too_deep."""
    raw = raw.removeprefix(BOM)
    try:
        value = msgspec.json.decode(raw)
        again = msgspec.json.encode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Document(_decode_slowly(raw), within_limits=False)  # it names the fault, or finds none
    if not _is_provably_clean(raw, again):
        return Document(_decode_slowly(raw), within_limits=False)
    return Document(value, _keeps_limits(again))


def refuse_beyond_limits(alert: Json) -> None:
    """The limits of one alert. Raises Unmappable: too_deep, too_many_keys, string_too_long."""
    try:
        proven = _keeps_limits(msgspec.json.encode(alert))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        proven = False  # the look at every value names the fault, or finds none
    if not proven:
        _refuse_slowly(alert)


def _refuse_slowly(alert: Json) -> None:
    """The same, by a look at every value: ten times slower."""
    level, keys = [alert], 0
    for depth in range(NESTING_MAX + 1):
        if depth == NESTING_MAX and any(type(node) in (dict, list) for node in level):
            break
        keys += sum([len(node) for node in level if type(node) is dict])
        if keys > KEYS_MAX:
            raise Unmappable("too_many_keys", f"The alert has more than {KEYS_MAX} keys.")
        texts = [node for node in level if type(node) is str and len(node) * 4 > STRING_BYTES_MAX]
        texts += [key for node in level if type(node) is dict for key in node if len(key) * 4 > STRING_BYTES_MAX]
        if any(len(text.encode()) > STRING_BYTES_MAX for text in texts):
            raise Unmappable("string_too_long", f"The alert holds a text of more than {STRING_BYTES_MAX // 1024} KiB.")
        level = [child for node in level if type(node) in (dict, list) for child in _children(node)]
        if not level:
            return
    raise Unmappable("too_deep", f"The alert is nested deeper than {NESTING_MAX}.")


def _is_provably_clean(raw: bytes, again: bytes) -> bool:
    """No key stood twice, and no text holds NUL; false where that is not proven.

    A pair whose key comes again is lost in decoding, and with it at least the two quotes around its key. Encoding again
    adds no quote unless one was written as \\u0022. So equal numbers of quotes mean that nothing was lost.
    """
    if raw == again and b"\\" not in raw:
        return True
    if raw.count(b'"') != again.count(b'"'):
        return False
    return b"\\u00" not in raw or not (b"\\u0022" in raw or b"\\u0000" in raw)


def _keeps_limits(written: bytes) -> bool:
    """That JSON as msgspec writes it keeps the limits of one alert; false where that is not proven."""
    return len(written) <= STRING_BYTES_MAX and written.count(b'"') <= 2 * KEYS_MAX and _nests_within(written)


def _nests_within(raw: bytes) -> bool:
    """Peels the brackets that stand outside of texts from the inside out, one level a round: {{{}{}}}, {{}}, {}."""
    if raw.count(b"{") + raw.count(b"[") <= NESTING_MAX:
        return True
    outside = raw if b"\\" not in raw else raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(outside.split(b'"')[::2]).translate(ALL_CURLY, NO_BRACKETS)
    for _ in range(NESTING_MAX):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"")
    return not brackets


def _children(node: Json) -> Json:
    return node.values() if type(node) is dict else node if type(node) is list else ()


def _decode_slowly(raw: bytes) -> Json:
    try:
        text = raw.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except UnicodeDecodeError as error:
        raise Unmappable(
            "not_utf8", f"The body is not UTF-8 (byte {error.start}): let the sender encode it so."
        ) from error
    except json.JSONDecodeError as error:
        raise Unmappable("not_json", _why_not_json(text, error)) from error
    except RecursionError as error:
        raise Unmappable("too_deep", f"The alert is nested deeper than {NESTING_MAX}.") from error
    except ValueError as error:  # Python's own bound on the digits of an integer
        raise Unmappable("number_too_large", "The body holds an integer of thousands of digits.") from error
    _refuse_bad_text(value)
    return value


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise Unmappable(
            "duplicate_key", f"The key {max(counts, key=counts.__getitem__)[:100]!a} stands twice or more."
        )
    return result


def _constant(name: str) -> NoReturn:
    raise Unmappable("not_a_number", f"{name} is not JSON: send null or leave the field out.")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Unmappable("number_too_large", f"The number {digits[:40]} is too large.")
    return number


def _why_not_json(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "The body is empty: look at what the sender's template gives."
    place = f"line {error.lineno}, column {error.colno}"
    if error.msg.startswith("Invalid control character"):
        code = ord(text[error.pos])
        return f"The body is not JSON: a text holds a bare U+{code:04X} ({place}): let the sender write \\u{code:04x}."
    return f"The body is not JSON: {error.msg} ({place})."


def _refuse_bad_text(value: Json) -> None:
    """NUL cannot be stored as text, half of a surrogate pair cannot be written as UTF-8."""
    stack: list[tuple[Json, Place]] = [(value, None)]
    while stack:
        node, place = stack.pop()
        if type(node) is dict:
            stack.extend([(key, (place, key)) for key in node])
            stack.extend([(child, (place, key)) for key, child in node.items()])
        elif type(node) is list:
            stack.extend([(child, (place, index)) for index, child in enumerate(node)])
        elif type(node) is str and not _is_storable(node):
            what = "NUL" if "\0" in node else "half of a surrogate pair"
            message = f"The text at {_path(place)} holds {what}, which cannot be stored: let the sender leave it out."
            raise Unmappable("bad_text", message)


def _path(place: Place) -> str:
    """`.alerts[0].name`, bounded, in ASCII."""
    steps = []
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step[:PLACE_CHARACTERS_MAX]!a}".replace("'", ""))
    return "".join(reversed(steps))[:PLACE_CHARACTERS_MAX] or "the top"


def _is_storable(text: str) -> bool:
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
