"""What `retention` lets go: bodies, rows of deliveries and alerts, values of incidents that ended, entries of the log.

What is still needed stays however old it is (at_rest.py), and so does what keeps a problem that returns from being
taken for a new one: correlations, their IDs, episodes, incidents and intents, without their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from bridge.store import at_rest
from bridge.store.columns import EPOCH
from bridge.store.counts import Counts
from bridge.store.erasing import erase_incidents, take_bodies
from bridge.store.log_tables import log_seals
from bridge.store.pruning_tables import prunings
from bridge.store.sealing import unpacked
from bridge.store.tables import alerts, deliveries, incidents, installation, intents, log_entries
from bridge.store.upsert import insert_into

PLACE = "retention"  # the one row of `prunings`
LEASE = timedelta(minutes=10)
EVERY = timedelta(days=1)
# Of one transaction: intake waits for it no longer than for a batch of its own.
DELIVERIES_PER_BATCH = 500
BYTES_PER_BATCH = 8 << 20
INCIDENTS_PER_BATCH = 50
INCIDENTS_LOOKED_AT = 5_000
ENTRIES_PER_BATCH = 2_000
SEALS_PER_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(Counts):
    """How much of each was taken away."""

    bodies: int = 0
    deliveries: int = 0  # rows
    alerts: int = 0  # rows
    incidents: int = 0  # that lost their values
    intents: int = 0
    additions: int = 0
    entries: int = 0  # of the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """A delivery that may be pruned."""

    id: int
    received_at: datetime
    size: int | None  # of what is stored of its body; None: nothing is


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The right to prune: one process has it at a time, once a day."""

    epoch: int


def old_deliveries(tx: Connection, after: int, before: datetime) -> list[Old]:
    """The next of those received before then, in the order of their ids: as many as go into one transaction."""
    size = (func.length(deliveries.c.body) + func.coalesce(func.length(deliveries.c.content), 0)).label("size")
    query = select(deliveries.c.id, deliveries.c.received_at, size)
    found: list[Old] = []
    many_bytes = 0
    for row in tx.execute(query.where(deliveries.c.id > after).order_by(deliveries.c.id).limit(DELIVERIES_PER_BATCH)):
        many_bytes += row.size or 0
        if row.received_at >= before or (found and many_bytes > BYTES_PER_BATCH):
            break
        found.append(Old(id=row.id, received_at=row.received_at, size=row.size))
    return found


def prune_deliveries(tx: Connection, now: datetime, *, old: Sequence[Old], rows_before: datetime) -> Pruned:
    """Bodies; of deliveries received before `rows_before` the rows as well, and their alerts'."""
    ids = [one.id for one in old]
    at_rest.lock(tx, ids, ())
    kept = at_rest.needed(tx, ids, now)
    gone = [one.id for one in old if one.id not in kept and one.received_at < rows_before]
    bodies = take_bodies(tx, [one.id for one in old if one.size is not None and one.id not in kept]).deliveries
    rows = alerts_gone = 0
    last = tx.execute(select(func.max(deliveries.c.id))).scalar()  # stays: SQLite would give its number to the next
    gone = [one for one in gone if one != last]
    for some in at_rest.chunks(gone):
        alerts_gone += tx.execute(delete(alerts).where(alerts.c.delivery_id.in_(some))).rowcount
        rows += tx.execute(delete(deliveries).where(deliveries.c.id.in_(some))).rowcount
    return Pruned(bodies=bodies, deliveries=rows, alerts=alerts_gone)


def old_incidents(tx: Connection, after: int, before: datetime) -> tuple[int, list[int]]:
    """(the last one looked at, those of them that ended before then, or were tried in vain, with values still there).

    Few are looked at in one statement, however many are too young: a pass goes on from there. `after`: there is none.
    """
    of_it = select(intents.c.id).where(intents.c.incident == incidents.c.id)
    in_vain = and_(of_it.exists(), ~of_it.where(intents.c.started_at >= before).exists())
    ended = and_(incidents.c.state == "ended", incidents.c.ended_at < before)
    over = or_(ended, and_(incidents.c.state == "planned", in_vain))
    next_ones = select(incidents.c.id).where(incidents.c.id > after).order_by(incidents.c.id)
    last = tx.execute(select(func.max(next_ones.limit(INCIDENTS_LOOKED_AT).subquery().c.id))).scalar()
    if last is None:
        return after, []
    which = incidents.c.id > after, incidents.c.id <= last, incidents.c.erased_at.is_(None), over
    query = select(incidents.c.id).where(*which).order_by(incidents.c.id).limit(INCIDENTS_PER_BATCH)
    found = list(tx.execute(query).scalars())
    return (found[-1] if len(found) == INCIDENTS_PER_BATCH else last), found


def prune_incidents(tx: Connection, now: datetime, *, incident_rows: Sequence[int]) -> Pruned:
    at_rest.lock(tx, (), at_rest.sharing(tx, incident_rows))
    taken = erase_incidents(tx, sorted(set(incident_rows) - at_rest.in_use(tx, incident_rows, now)), now)
    return Pruned(incidents=taken.incidents, intents=taken.intents, additions=taken.additions)


def pruned_to(tx: Connection) -> int:
    """The lowest index of the log whose entry may still be there."""
    return tx.execute(select(prunings.c.log_to).where(prunings.c.name == PLACE)).scalar() or 0


def kept_from(tx: Connection, kept: timedelta, now: datetime) -> datetime | None:
    """Entries and rows from before then may have been pruned; None: the store is younger than that. `kept`: by now.

    Entries go by whole seals, and rows of the same age with them. So where the log was kept for less before, the first
    seal that is left tells.
    """
    began = tx.execute(select(installation.c.created_at)).scalar()
    since = now - min(kept, now - EPOCH)
    if log_to := pruned_to(tx):
        first = select(log_seals.c.at).where(log_seals.c.first_index >= log_to).order_by(log_seals.c.first_index)
        since = max(since, tx.execute(first.limit(1)).scalar() or now)
    return since if began is None or since > began else None


def old_seals(tx: Connection, first: int, before: datetime) -> tuple[int, list[int]]:
    """(the index that follows, ids) of the next entries in the tree that were sealed before then.

    What is not sealed is in no seal: it is never pruned. What was sealed so long ago was written still earlier.
    """
    query = select(log_seals.c.size, log_seals.c.ids, log_seals.c.at).where(log_seals.c.first_index >= first)
    ids: list[int] = []
    for row in tx.execute(query.order_by(log_seals.c.first_index).limit(SEALS_PER_BATCH)):
        its = unpacked(row.ids)
        if row.at >= before or (ids and len(ids) + len(its) > ENTRIES_PER_BATCH):
            break
        ids += its
        first = row.size
    return first, ids


def prune_log(tx: Connection, now: datetime, *, upto: int, ids: Sequence[int]) -> Pruned:
    """The entries; the leaf hashes stay in the tiles, and the seals with the ids, so that the tree verifies still."""
    last = tx.execute(select(func.max(log_entries.c.id))).scalar()  # stays: SQLite would give its number to the next
    old = [one for one in ids if one != last]
    gone = sum(
        tx.execute(delete(log_entries).where(log_entries.c.id.in_(some))).rowcount for some in at_rest.chunks(old)
    )
    _place(tx, now)
    tx.execute(update(prunings).where(prunings.c.name == PLACE, prunings.c.log_to < upto).values(log_to=upto))
    return Pruned(entries=gone)


def is_due(tx: Connection, now: datetime) -> bool:
    """A cheap look, before a turn is claimed."""
    row = tx.execute(select(prunings).where(prunings.c.name == PLACE)).one_or_none()
    return row is None or (row.due_at <= now and (row.lease_until is None or row.lease_until <= now))


def claim(tx: Connection, now: datetime) -> Turn | None:
    """None: it is not due, or another process has it."""
    _place(tx, now)
    free = prunings.c.due_at <= now, or_(prunings.c.lease_until.is_(None), prunings.c.lease_until <= now)
    taken = update(prunings).where(prunings.c.name == PLACE, *free)
    taken = taken.values(lease_until=now + LEASE, epoch=prunings.c.epoch + 1)
    epoch = tx.execute(taken.returning(prunings.c.epoch)).scalar_one_or_none()
    return Turn(epoch=epoch) if epoch is not None else None


def keep(tx: Connection, turn: Turn, now: datetime) -> bool:
    """For another while. False: another process has it by now."""
    return _mine(tx, turn, lease_until=now + LEASE)


def end(tx: Connection, turn: Turn, now: datetime) -> None:
    """All that was old is gone; the next turn is tomorrow's."""
    _mine(tx, turn, lease_until=None, due_at=now + EVERY)


def _mine(tx: Connection, turn: Turn, **values: object) -> bool:
    mine = prunings.c.name == PLACE, prunings.c.epoch == turn.epoch
    return tx.execute(update(prunings).where(*mine).values(**values)).rowcount > 0


def _place(tx: Connection, now: datetime) -> None:
    new = insert_into(tx, prunings).values(name=PLACE, epoch=0, due_at=now, log_to=0)
    tx.execute(new.on_conflict_do_nothing())
