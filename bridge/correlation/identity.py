"""The 100-character rule: how the text of a correlation ID becomes what ServiceNow can store and look up exactly."""

from __future__ import annotations

import hashlib
import re

from bridge.errors import Unmappable

ID_CHARACTERS_MAX = 100  # the column `correlation_id`
HASH_DIGITS = 20
HEAD_CHARACTERS_MAX = ID_CHARACTERS_MAX - len("~") - HASH_DIGITS

SCRIPT = "javascript:"  # ServiceNow evaluates a query value that starts so
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNUSABLE = re.compile(
    r"[^ -\]_-~]"
)  # `^` separates the conditions of an encoded query; the rest is not printable ASCII


def identify(text: str) -> str:
    """The correlation ID for this text: 1 to 100 printable ASCII characters. Raises Unmappable when nothing is left.

    Texts that differ in more than control characters and outer blanks get different IDs: what cannot stand as it is
    carries a hash of the whole.
    """
    if _stands_as_it_is(text):
        return text
    text = _CONTROL.sub("", text).strip()
    if not text:
        raise Unmappable(
            "empty_identity", "the correlation ID is empty: choose fields for correlation.id that this alert carries"
        )
    return text if _stands_as_it_is(text) else _shortened(text)


def _stands_as_it_is(text: str) -> bool:
    return (
        0 < len(text) <= ID_CHARACTERS_MAX
        and text.isascii()
        and text.isprintable()
        and "^" not in text
        and text[0] != " "
        and text[-1] != " "
        and not _is_script(text)
    )


def _shortened(text: str) -> str:
    head = _UNUSABLE.sub("", text).lstrip(" ")
    while _is_script(head):  # "java^script:" is only seen now, and "javascript:javascript:" has two
        head = head[len(SCRIPT) :].lstrip(" ")
    # Half of a surrogate pair is no UTF-8, yet JSON can spell it.
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{head[:HEAD_CHARACTERS_MAX]}~{digest[:HASH_DIGITS]}"


def _is_script(text: str) -> bool:
    return text[: len(SCRIPT)].lower() == SCRIPT
