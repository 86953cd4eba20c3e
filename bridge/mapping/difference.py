"""How the files of two revisions of a mapping differ: what people read, and what the log has a digest of. Pure."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence


def difference(old: Mapping[str, str], new: Mapping[str, str], *, old_label: str, new_label: str) -> list[str]:
    """The lines of a unified diff of all files, by path. The labels say whose each side is."""
    return [
        line
        for path in sorted(old.keys() | new.keys())
        for line in difflib.unified_diff(
            old.get(path, "").splitlines(),
            new.get(path, "").splitlines(),
            f"{path} ({old_label})" if path in old else "(no file)",
            f"{path} ({new_label})" if path in new else "(no file)",
            lineterm="",
        )
    ]


def digest_of_lines(lines: Sequence[str]) -> str:
    """SHA-256, in hex, of the lines as a file holds them: what `bridge mapping diff` prints."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
