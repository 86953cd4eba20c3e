"""What must hold of records that were made twice, beyond what is promised: each was closed by us and linked, or has
ended otherwise, or people were asked about it, and the log tells which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from bridge.log.entries import Action, Entry
from bridge.servicenow.table import PARENT_FIELD
from bridge.store import tables
from bridge.store.engine import Store
from bridge.store.reconciler_tables import strays
from bridge.store.strays import REPORTED, Outcome
from bridge.sync.reading import ENDED_STATES, FIRST_STATE

Row = Mapping[str, str]
HOUR = timedelta(hours=1)
OF_PEOPLE = "close one of them in ServiceNow."  # the whole reason, where people are on both


def twin_wrongs(
    store: Store,
    table: str,
    records: Sequence[Row],
    entries: Sequence[Entry],
    *,
    closes_max: int,
    deleted: Collection[str],
) -> list[str]:
    """At rest. `records`: all with our mark, of problems that the store knows. `deleted`: what people deleted."""
    with store.reading() as tx:
        told = {row.sys_id: row for row in tx.execute(select(strays)).all()}
        known = set(tx.execute(select(tables.incidents.c.sys_id)).scalars())
        begun = select(tables.incidents.c.correlation_id).join(tables.episodes)
        intended = set(tx.execute(begun).scalars())
    said: dict[str | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        said[entry.sys_id].append(entry)
    ids = {row["sys_id"] for row in records} | {*deleted}
    open_children = {row[PARENT_FIELD[table]] for row in records if row["state"] not in ENDED_STATES[table]}
    wrong = [f"{one.number} is an incident, and a stray" for sys_id, one in told.items() if sys_id in known]
    for row in records:
        if row["sys_id"] in known:
            continue
        one, over = told.get(row["sys_id"]), row["state"] in ENDED_STATES[table]
        if one is None or one.outcome is None:
            wrong += [] if over else [f"{row['number']} was made twice, and nobody has seen it"]
            continue
        wrong += [f"{row['number']}, made twice: {problem}" for problem in _settled(row, one, said[row["sys_id"]])]
        if one.outcome == Outcome.ORPHAN and row["correlation_id"] in intended:
            wrong.append(f"{row['number']} is told as an orphan, and was created for a problem of ours")
        if not over:
            wrong += _left_open(row, one, table, has_children=row["sys_id"] in open_children)
        elif one.outcome == Outcome.CLOSED and _is_last_ours(row) and row[PARENT_FIELD[table]] not in ids:
            wrong.append(f"{row['number']} was closed as a twin, and is not linked to the other")
    return wrong + _closes(list(told.values()), closes_max)


def _settled(row: Row, one: Any, said: list[Entry]) -> list[str]:
    """The log tells what was done about it, and that it was to be, before."""
    wrong = []
    if one.outcome in REPORTED and not any(entry.outcome == one.outcome for entry in said):
        wrong.append(f"{one.outcome}, which the log does not tell")
    closing = any(entry.action == Action.INTENDED and entry.reason == "twin" for entry in said)
    if one.outcome == Outcome.CLOSED and not closing:
        wrong.append("closed, which was not intended")
    if one.due_at is not None or one.sent_until is not None:
        wrong.append(f"{one.outcome}, and not at rest")
    return wrong


def _left_open(row: Row, one: Any, table: str, *, has_children: bool) -> list[str]:
    if one.outcome not in REPORTED:
        return [f"{row['number']} is open, and counts as {one.outcome}: nobody is asked about it"]
    alone = _is_last_ours(row) and not row["assigned_to"] and row["state"] == FIRST_STATE[table]
    if one.outcome == Outcome.TWO and alone and not has_children and one.outcome_text.endswith(OF_PEOPLE):
        return [f"{row['number']} is left to people, and none is on it"]
    return []


def _is_last_ours(row: Row) -> bool:
    """We made it, and nobody else has changed it last."""
    return row["sys_updated_by"] == row["sys_created_by"]


def _closes(told: Sequence[Any], closes_max: int) -> list[str]:
    """Of those that a person let go there may be any number."""
    at = sorted(one.closed_at for one in told if one.closed_at is not None and not one.released)
    pairs = zip(at, at[closes_max:], strict=False)
    wrong = [
        f"more than {closes_max} twins closed in the hour after {one}" for one, later in pairs if later - one < HOUR
    ]
    closed = sum(one.closed_at is not None for one in told)
    held = [one.number for one in told if one.outcome == Outcome.HELD]
    if held and closed < closes_max:
        wrong.append(f"{held} are held, and only {closed} were closed")
    return wrong
