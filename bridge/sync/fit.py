"""Fields as the instance can take them: cut, or left out, and always told. Pure.

ServiceNow itself takes a column that it lacks, a value that is no choice and a text that is too long, and says nothing.
"""

from __future__ import annotations

from bridge.alert import Json
from bridge.dictionary.reading import Reading
from bridge.mapping.values import cut
from bridge.settings import Target, Write
from bridge.sync.reading import JOURNAL_FIELDS

SHOWN_CHARS = 80  # of a value that the log quotes
# What a record is known by and what a transition consists of: without one of them a write would mean something else.
KEPT = frozenset({"correlation_id", "correlation_display", "state", "close_code"})


def fit(fields: dict[str, str], reading: Reading, target: Target) -> tuple[dict[str, str], dict[str, Json]]:
    """The fields that are sent, and for the log entry what was done to the others."""
    table, kept = target.table, KEPT | {target.key_field}
    if target.write is Write.IMPORT_SET:  # a transform map stands in between: what it makes of them is its own
        kept |= frozenset(fields)
    sent: dict[str, str] = {}
    lacking: list[Json] = []
    no_choice: dict[str, Json] = {}
    too_long: list[Json] = []
    for name, value in fields.items():
        most = reading.length_of(table, name)
        if name not in kept and reading.lacks(table, name):
            lacking.append(name)
        elif name not in kept and not reading.takes(table, name, value):
            no_choice[name] = cut(value, SHOWN_CHARS)
        elif most is not None and len(value) > most and name not in JOURNAL_FIELDS:
            sent[name] = cut(value, most)
            too_long.append(name)
        else:
            sent[name] = value
    told: dict[str, Json] = {"unknown_column": lacking, "no_choice": no_choice, "cut": too_long}
    return sent, {word: what for word, what in told.items() if what}


def closes(target: Target, reading: Reading) -> bool:
    """A code is never guessed; a configured one is withheld where the instance is known not to have it."""
    if target.close is None or target.close.code is None:
        return False
    return reading.takes(target.table, "close_code", target.close.code)
