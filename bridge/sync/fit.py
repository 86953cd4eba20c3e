"""Fields as the instance can take them: cut, or left out, and always told. Pure.

ServiceNow itself takes a column that it lacks, a value that is no choice and a text that is too long, and says nothing.
What a record is known by is never cut: `refuse_what_does_not_fit` has its say first.

With an import set a transform map stands in between. A preset's carries values as they are, so the target table's
choices hold as they do without one. What a map of the administrator's own makes of a value is not known here: it may
translate it, so the value is sent, and told. A column that the target table lacks may be one of the staging table,
which any map may read: sent, and told.
"""

from __future__ import annotations

from bridge.alert import Json
from bridge.dictionary.reading import Reading
from bridge.mapping.values import cut
from bridge.servicenow.identity import identity_of
from bridge.settings import Target
from bridge.sync.reading import JOURNAL_FIELDS

SHOWN_CHARS = 80  # of a value that the log quotes
# What a record is known by and what a transition consists of: without one of them a write would mean something else.
KEPT = frozenset({"correlation_id", "correlation_display", "state", "close_code"})


def fit(fields: dict[str, str], reading: Reading, target: Target) -> tuple[dict[str, str], dict[str, Json]]:
    """The fields that are sent, and for the log entry what was done to the others."""
    table, staging, identity = target.table, target.staging, identity_of(target).keys()
    kept = KEPT | identity
    lacking = [name for name in fields if name not in kept and reading.lacks(table, name)]
    no_choice = {
        name: cut(value, SHOWN_CHARS)
        for name, value in fields.items()
        if name not in kept and name not in lacking and not reading.takes(table, name, value)
    }
    nowhere = [name for name in fields if _staging_lacks(name, reading, target)]
    left_out = {*nowhere, *(lacking if staging is None else ()), *(() if target.may_translate else no_choice)}
    sent = {name: value for name, value in fields.items() if name not in left_out}
    too_long = []
    for name, value in sent.items():
        most = _most(name, reading, target)
        if most is not None and len(value) > most and name not in identity:
            sent[name] = _cut(name, value, most)
            too_long.append(name)
    told: dict[str, Json] = {
        "unknown_column": nowhere if staging is not None else lacking,
        "unknown_column_sent": [name for name in lacking if name in sent],
        "no_choice": {name: value for name, value in no_choice.items() if name not in sent and name not in nowhere},
        "no_choice_sent": {name: value for name, value in no_choice.items() if name in sent},
        "cut": too_long,
    }
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
