"""Whether stored bytes speak of a person or a host: the identifier as a value, or as a word of its own in a text. Pure.

Case does not count. Looked at is the whole of a document, keys too, not only what a mapping reads.
"""

from __future__ import annotations

import json
import re
import zlib
from urllib.parse import unquote_plus

import msgspec

from bridge.alert import Json

INFLATED_BYTES_MAX = 64 << 20  # of a body that came compressed; more than any source may send
GZIP_OR_ZLIB = 47  # zlib's window bits: whichever of the two its first bytes name
# What would make another word of it: a letter, a digit, - or _, and . or @ with one of these behind it or before it. So
# `ann` is in `CORP\\ann` and `user=ann.`, and neither in `joann`, `ann-2`, `ann.lee` nor `ann@corp.example`.
_ALONE = r"(?<![\w-])(?<![\w-][.@]){}(?![\w-])(?![.@][\w-])"


class Identifier:
    """`text` as a person gave it, without blanks around it. Raises ValueError when there is nothing in it."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        if not self.text:
            raise ValueError("an identifier has at least one character")
        folded = self.text.casefold()
        self._folded = folded
        self._alone = re.compile(_ALONE.format(re.escape(folded)))
        # Escapes aside, JSON spells these as they are: where they are not among the bytes, nothing need be decoded.
        self._plain = folded.encode() if re.fullmatch(r"[a-z0-9._@:-]+", folded) else None

    def is_in_text(self, text: str) -> bool:
        folded = text.casefold()
        return self._folded in folded and self._alone.search(folded) is not None

    def is_in(self, value: Json) -> bool:
        """Anywhere in a document. A number is taken as it reads."""
        stack = [value]
        while stack:
            node = stack.pop()
            if isinstance(node, str):
                if self.is_in_text(node):
                    return True
            elif isinstance(node, dict):
                stack.extend(node)
                stack.extend(node.values())
            elif isinstance(node, list):
                stack.extend(node)
            elif node is not None and not isinstance(node, bool) and str(node) == self.text:
                return True
        return False

    def is_in_bytes(self, raw: bytes) -> bool:
        """In JSON, also compressed; in what is no JSON, in its text as it is and as a form's."""
        raw = _inflated(raw)
        if self._plain is not None and raw.isascii() and not (b"\\u" in raw or b"%" in raw or b"+" in raw):
            return self._plain in raw.lower() and self._is_in_decoded(raw)
        return self._is_in_decoded(raw)

    def _is_in_decoded(self, raw: bytes) -> bool:
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            return self.is_in(value)
        text = raw.decode(errors="replace")
        return any(self.is_in_text(one) for one in (text, unquote_plus(text), _unescaped(text)))


def _inflated(raw: bytes) -> bytes:
    """As it was before it was compressed; what is not compressed, or breaks off, as far as it goes."""
    if raw[:2] != b"\x1f\x8b" and not (raw[:1] == b"\x78" and int.from_bytes(raw[:2], "big") % 31 == 0):
        return raw
    try:
        return zlib.decompressobj(GZIP_OR_ZLIB).decompress(raw, INFLATED_BYTES_MAX)
    except zlib.error:
        return raw


def _unescaped(text: str) -> str:
    """What is no JSON as a whole, as NDJSON or a body that broke off, with its escapes undone."""
    return re.sub(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])', lambda found: str(json.loads(f'"{found[0]}"')), text)
