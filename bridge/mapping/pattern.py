"""Regular expressions of a mapping: RE2, which is linear in the text, on a bounded text. Pure."""

from __future__ import annotations

import re2

from bridge.mapping.language import LanguageError

PATTERN_CHARS_MAX = 4096  # text that a regular expression looks at; the rest is not seen


def compile_pattern(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise LanguageError(f"RE2 does not take the pattern `{pattern}`: {reason}") from error


def seen_by_pattern(text: str) -> str:
    """What a pattern looks at: bounded, and without halves of surrogate pairs, which RE2 cannot encode."""
    text = text[:PATTERN_CHARS_MAX]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
