"""Fields as the instance can take them: cut, or left out, and always told. Pure.

ServiceNow itself takes a column that it lacks, a value that is no choice and a text that is too long, and says nothing.
What a record is known by is never cut: `refuse_what_does_not_fit` has its say first.
"""

from __future__ import annotations

from bridge.alert import Json
from bridge.dictionary.reading import Reading
from bridge.mapping.values import cut
from bridge.servicenow.identity import identity_of
from bridge.settings import Target, Write
from bridge.sync.reading import JOURNAL_FIELDS

SHOWN_CHARS = 80  # of a value that the log quotes
# What a record is known by and what a transition consists of: without one of them a write would mean something else.
KEPT = frozenset({"correlation_id", "correlation_display", "state", "close_code"})


def fit(fields: dict[str, str], reading: Reading, target: Target) -> tuple[dict[str, str], dict[str, Json]]:
    """The fields that are sent, and for the log entry what was done to the others."""
    table, identity = target.table, identity_of(target).keys()
    kept = KEPT | identity
    if target.write is Write.IMPORT_SET:  # a transform map stands in between: what it makes of them is its own
        kept = kept | fields.keys()
    sent: dict[str, str] = {}
    lacking: list[Json] = []
    no_choice: dict[str, Json] = {}
    too_long: list[Json] = []
    for name, value in fields.items():
        most = _most(name, reading, target)
        if (name not in kept and reading.lacks(table, name)) or _staging_lacks(name, reading, target):
            lacking.append(name)
        elif name not in kept and not reading.takes(table, name, value):
            no_choice[name] = cut(value, SHOWN_CHARS)
        elif most is not None and len(value) > most and name not in identity:
            sent[name] = _cut(name, value, most)
            too_long.append(name)
        else:
            sent[name] = value
    told: dict[str, Json] = {"unknown_column": lacking, "no_choice": no_choice, "cut": too_long}
    return sent, {word: what for word, what in told.items() if what}


def _staging_lacks(name: str, reading: Reading, target: Target) -> bool:
    """ServiceNow drops a value for a column that the staging table does not have."""
    staging = target.staging
    return staging is not None and reading.lacks(staging.table, staging.column(name))


def _most(name: str, reading: Reading, target: Target) -> int | None:
    """Characters. A journal takes more than is ever sent; a staging table has a column like any other for it."""
    own = None if name in JOURNAL_FIELDS else reading.length_of(target.table, name)
    staging = target.staging
    staged = reading.length_of(staging.table, staging.column(name)) if staging is not None else None
    return min((most for most in (own, staged) if most is not None), default=None)


def _cut(name: str, value: str, most: int) -> str:
    """The last line of a note stays: its [ref] tells whether the note has arrived."""
    text, line, ref = value.rpartition("\n")
    if name in JOURNAL_FIELDS and text and len(line + ref) < most:
        return cut(text, most - len(line + ref)) + line + ref
    return cut(value, most)


def closes(target: Target, reading: Reading) -> bool:
    """A code is never guessed; a configured one is withheld where the instance is known not to have it."""
    if target.close is None or target.close.code is None:
        return False
    return reading.takes(target.table, "close_code", target.close.code)
