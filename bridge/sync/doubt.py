"""Finding out whether a write whose answer was lost has happened, and what is there before a first create."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bridge.correlation.policy import Kind
from bridge.errors import Permanent
from bridge.servicenow.ownership import has_mark
from bridge.servicenow.record import Record
from bridge.servicenow.table import TableApi
from bridge.settings import CORRELATION_ID, Target
from bridge.store.held import WINDOW_OVER, Doubt, Held, Said
from bridge.store.strays import CLOCKS_APART_MAX, created_at
from bridge.sync.reading import ENDED_STATES, JOURNAL_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The write happened. `record` None: it is taken to have, for the notes may not be read; never sent twice."""

    record: Record | None
    watched: frozenset[str] = frozenset()  # columns that updates will write, read back with the create
    left_state: str | None = None  # the state that our write left, when the record was only looked up later


def look_again(
    table: TableApi,
    target: Target,
    held: Held,
    doubt: Doubt,
    *,
    now: datetime,
    until: datetime,
    deadline: float,
    ours: Callable[[Record], bool],
    known: Callable[[Record], bool],
    installation: str,
) -> Found | None:
    """None: no trace of it, so far. Raises Permanent("id_in_use") when somebody else's record carries our ID.

    A record that a refused create has made all the same is never made again while it is open. One that an import says
    it has made, and that cannot be read, never is: it is looked for until `until`, and then a person is told.
    One that ended and is older than the first try belongs to the past: to a twin that was closed, or to another tool.
    What another tool made, and `adopt: any` would take, is no trace of ours where it has ended. `now`: by the store.
    """
    if doubt.operation == Kind.CREATE.value:
        found = table.find(target.table, held.incident.correlation_id, deadline=deadline)
        made = _made(table, target, doubt, doubt.made, deadline) if doubt.made is not None else None
        made = made or next((record for record in found if record.sys_id == doubt.made), None)  # listed all the same
        if made is not None and _stands(made, target, doubt, ours):
            return Found(record=made)
        found = [record for record in found if record.sys_id != doubt.made]
        there = table.client.told_time or now
        over = [record for record in found if record.state in ENDED_STATES[target.table]]
        past = [record for record in over if _is_older(record, doubt, now=now, there=there)]
        theirs = [record for record in over if target.adopt_any and not has_mark(record, installation)]
        present = [record for record in found if record not in past and record not in theirs]
        mine = _mine(present, ours, known)  # the oldest; a second one would be a twin, which the reconciler tells
        if mine is None and made is None and doubt.made is not None and not doubt.known and now >= until:
            raise _unreadable(target, doubt, doubt.made)
        return Found(record=mine) if mine is not None else None
    sys_id = held.incident.sys_id or ""
    noted = table.has_note(target.table, sys_id, doubt.ref, deadline=deadline)
    if noted is False:
        return None
    record = table.read(target.table, sys_id, fields=doubt.said.fields, deadline=deadline)
    return Found(record=record) if noted or record is None or _shows(record, doubt.said.fields) else None


def said_of(
    table: TableApi,
    target: Target,
    found: Found,
    doubt: Doubt,
    *,
    now: datetime,
    deadline: float,
    installation: str,
) -> Said | None:
    """What we said with the write that made what was found. Of several creates that may have, it is the one of which it
    shows most: not the last, where one before it was applied later than it was waited for, and what that one did not
    say is still to be told. None: it was none, for the record was there before, has not our mark, or does not show it
    though nobody has changed it, or all are known to have made nothing.
    """
    if doubt.operation != Kind.CREATE.value or found.record is None or found.record.sys_id == doubt.made:
        return doubt.said
    if _is_older(found.record, doubt, now=now, there=table.client.told_time or now):
        return None
    if not has_mark(found.record, installation):
        return None
    last = () if doubt.made is not None or (doubt.known and doubt.code != WINDOW_OVER) else (doubt.said,)
    several: tuple[Said, ...] = (*last, *doubt.earlier)
    if not several:
        return None
    names = {name for said in several for name in said.fields} - JOURNAL_FIELDS
    record = table.read(target.table, found.record.sys_id, fields=sorted(names), deadline=deadline)
    if record is None:  # gone meanwhile: the next round notices
        return several[0]
    best = max(several, key=lambda said: sum(record.text(name) == said.fields.get(name) for name in names))
    return best if record.text("sys_mod_count") != "0" or _shows(record, best.fields) else None


def _made(table: TableApi, target: Target, doubt: Doubt, sys_id: str, deadline: float) -> Record | None:
    """None: it is gone, or may not be read."""
    try:
        return table.read(target.table, sys_id, deadline=deadline)
    except Permanent:
        if doubt.known:
            raise
        return None


def _stands(record: Record, target: Target, doubt: Doubt, ours: Callable[[Record], bool]) -> bool:
    """Whether what the create made is the incident. A refused one that has ended is none: so a person has looked, and
    the create may be sent again. Raises Permanent.
    """
    ended = record.state in ENDED_STATES[target.table]
    if ended and (doubt.known or not ours(record)):
        return False
    if ours(record):
        return True
    raise Permanent(
        doubt.code,
        f"{record.number or record.sys_id} was made for this problem and does not carry our correlation_id and "
        "correlation_display: nothing is sent while it is open. Close it, or give it both.",
    )


def _unreadable(target: Target, doubt: Doubt, sys_id: str) -> Permanent:
    return Permanent(
        doubt.code,
        f"The import has made {doubt.made_number or sys_id}, and that may not be read, or is gone: nothing is sent for "
        f"this problem, which would make another. Let the integration user read each record of {target.table} that it "
        "makes. If that one was deleted, give another our correlation_id and correlation_display.",
    )


def _is_older(record: Record, doubt: Doubt, *, now: datetime, there: datetime) -> bool:
    """Older than our first try by their times, and by how long ago each is by its own clock (`there`: the instance's):
    the two clocks may be apart, and one of them may have been set since. A try that is yet to come has no age.
    """
    created = created_at(record.text("sys_created_on"))
    if created is None:
        return False
    by_times = created + CLOCKS_APART_MAX < doubt.began_at
    by_ages = now >= doubt.began_at and there - created > now - doubt.began_at + CLOCKS_APART_MAX
    return by_times and by_ages


def _shows(record: Record, fields: Mapping[str, str]) -> bool:
    """Whether the record has what was sent, where the notes may not be read; of a note alone that is taken to be so."""
    lasting = {name: value for name, value in fields.items() if name not in JOURNAL_FIELDS and name in record.fields}
    return all(record.text(name) == value for name, value in lasting.items())


def _mine(records: list[Record], ours: Callable[[Record], bool], known: Callable[[Record], bool]) -> Record | None:
    """The oldest that is ours and of no incident. Raises Permanent where there are only others'."""
    mine = [record for record in records if ours(record)]
    if new := [record for record in mine if not known(record)]:
        return new[0]
    foreign = [record for record in records if record not in mine]
    if foreign:
        raise _id_in_use(foreign)
    return None


def there_already(
    table: TableApi,
    target: Target,
    key: Mapping[str, str],
    *,
    looks: bool,
    deadline: float,
    ours: Callable[[Record], bool],
    known: Callable[[Record], bool],
) -> Record | None:
    """The record that is taken instead of a create. Raises Permanent where one stands in the way.

    `looks`: this store may have forgotten an incident of ours, so an open one is looked for. `adopt: any` takes the
    open record of another tool. A transform map would write into whatever record has the key, another tool's or an
    earlier incident's too, so it is looked for.
    """
    if looks:
        found = table.find(target.table, key[CORRELATION_ID], deadline=deadline)
        still_open = [record for record in found if record.state not in ENDED_STATES[target.table]]
        if (forgotten := _mine(still_open, ours, known)) is not None:
            return forgotten
    if target.adopt_any:
        found = table.find(target.table, key[CORRELATION_ID], deadline=deadline)
        open_ones = [record for record in found if record.state not in ENDED_STATES[target.table]]
        if adopted := [record for record in open_ones if not known(record)]:
            return adopted[0]
    if target.staging is None or not target.staging.coalesces:
        return None
    found = table.find(target.table, key[target.key_field], field=target.key_field, deadline=deadline)
    if taken := [record for record in found if known(record)]:
        raise id_taken(taken[0])
    return _mine(found, ours, known)


def refuse_if_past(table: TableApi, target: Target, record: Record, doubt: Doubt | None, *, now: datetime) -> None:
    """Raises Permanent where what was there instead of a create has ended, and was not made by an earlier try."""
    ended = record.state in ENDED_STATES[target.table]
    if ended and (doubt is None or _is_older(record, doubt, now=now, there=table.client.told_time or now)):
        raise Permanent(
            "id_taken",
            f"{record.number} has the {target.key_field} of this incident and has ended: clear that column there, and "
            "the incident is made.",
        )


def id_taken(record: Record) -> Permanent:
    return Permanent(
        "id_taken",
        f"ServiceNow takes this for {record.number}, an earlier incident of the same problem, which has ended: give "
        "the target a `key_field`, and each incident is a record of its own.",
    )


def _id_in_use(foreign: list[Record]) -> Permanent:
    return Permanent(
        "id_in_use",
        f"{', '.join(record.number for record in foreign)} carries our correlation ID and is not ours: nothing is "
        "written to it. Change its correlation_id, or say `adopt: any` at the target to take it over.",
    )
