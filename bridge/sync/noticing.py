"""What people did to the record that a round has just read, told in the log and, where it ends a life, settled."""

from __future__ import annotations

from dataclasses import replace

from bridge.correlation.progress import together
from bridge.log.entries import Action, append
from bridge.servicenow.record import Record
from bridge.store import settle as settling
from bridge.store import telling
from bridge.store.engine import Store
from bridge.sync.reading import changed_by, changed_since, seen, seen_of, told_of
from bridge.sync.sight import Sight, noticed
from bridge.sync.taking import first_look


def notice(store: Store, sight: Sight, record: Record | None, *, installation: str) -> Sight | None:
    """The sight with what people did. None: they ended or reopened it, which is settled; the next round decides.

    `record` None: it is gone.
    """
    first = sight.episode is not None and sight.episode.taken
    if record is not None:
        sight = first_look(sight, record, store.moment(), installation=installation)
    sight = _as_read(store, sight, record, first=first)
    held, before, now = sight.held, sight.episode, store.moment()
    if before is None:
        return sight
    known, ours = together([one.progress for one in held.all]), held.incident
    state, code = ours.record_state, ours.written.get("close_code")
    after = seen(before, record, known, target=sight.target, our_state=state, our_code=code, now=now)
    if (after.open, after.end) == (before.open, before.end):
        return replace(sight, episode=after)
    what = after.end.value if after.end is not None else "reopened_by_person"
    settlement = noticed(held, before, after, reason=what, wake_at=now)
    told = told_of(record, over=not after.open)
    with store.transaction("noticed") as tx:
        settling.settle(tx, held, settlement, held.incident, now, decision=f"noticed: {what}")
        action = Action.REOPENED if after.open else Action.ENDED_BY_PERSON if record else Action.RECORD_GONE
        append(tx, telling.entry(held, action, now, reason=what, detail=told))
    return None


def _as_read(store: Store, sight: Sight, record: Record | None, *, first: bool) -> Sight:
    """The sight after its record was read: what differs from the last time is told once, and is known from now on."""
    held = replace(sight.held, looked=True)
    if record is None:
        return replace(sight, held=held)
    before = held.incident.seen
    now_seen = seen_of(record, held.incident.written)
    changed = changed_since(before, now_seen)
    held = replace(held, incident=replace(held.incident, seen=now_seen))
    if before is None or before.version != now_seen.version:
        told = {"fields": changed} | changed_by(record)
        with store.transaction("edited") as tx:
            settling.note_seen(tx, held, now_seen, first=sight.episode if first else None)
            if changed:
                append(tx, telling.entry(held, Action.EDITED, store.now(tx), detail=told))
        # What was told is known from here on: if we die now, the next round does not tell it again. Nor is what is not
        # told, as a note, news to the reconciler any more: a write that is refused is not sent again for it.
    return replace(sight, held=held)
