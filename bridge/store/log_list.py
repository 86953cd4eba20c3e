"""The correlation log as people look at it: its newest entries, of whatever they ask for. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import ColumnElement, Connection, func, or_, select

from bridge.log.entries import Action, Entry
from bridge.store.queries import ROWS_MAX
from bridge.store.rows import LogRow
from bridge.store.tables import alerts, log_entries
from bridge.typed import decode

AT_ONCE = 500  # rows fetched: whoever looks for an actor reads on until there are enough
LOOKED_AT_MAX = 20_000  # entries, for a page
PAGE_BYTES_MAX = 4 << 20  # of entries


def entries_of(tx: Connection, correlation: int, incident_rows: Sequence[int], *, limit: int) -> list[LogRow]:
    """The newest log entries about a correlation or one of its incidents, whichever correlation it speaks of there."""
    concerned = or_(log_entries.c.correlation == correlation, log_entries.c.incident.in_(incident_rows))
    return list(_newest_first(tx, [concerned], limit))


def list_log(
    tx: Connection,
    *,
    limit: int,
    source: str | None = None,
    correlation_rows: Sequence[int] | None = None,
    action: Action | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    actor: str | None = None,
) -> list[LogRow]:
    """Newest first. `since`: of then or later; `until`: of before then. Who acted stands inside the entries alone: for
    `actor` they are read until there are enough.
    """
    conditions = _conditions(source, correlation_rows, action, since, until)
    if actor is None:
        return list(_newest_first(tx, conditions, limit))
    return list(islice((row for row in _newest_first(tx, conditions, None) if row.entry.actor == actor), limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An entry as it is stored."""

    id: int
    entry: bytes
    said: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    entries: Sequence[Stored]  # the newest first
    before: int | None  # where the next page begins; None: this was the last


def log_page(
    tx: Connection,
    *,
    limit: int,
    before: int | None,
    source: str | None = None,
    correlation_rows: Sequence[int] | None = None,
    action: Action | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """A page for whoever asks from outside, of bounded work: it ends after LOOKED_AT_MAX entries, whatever it has found
    among them, and after PAGE_BYTES_MAX; the next goes on from there.
    """
    newest = before - 1 if before is not None else tx.execute(select(func.max(log_entries.c.id))).scalar() or 0
    oldest = max(1, newest - LOOKED_AT_MAX + 1)
    query = (
        select(log_entries.c.id, log_entries.c.entry, log_entries.c.said)
        .where(log_entries.c.id.between(oldest, newest))
        .where(*_conditions(source, correlation_rows, action, since, until))
        .order_by(log_entries.c.id.desc())
        .limit(limit + 1)
    )
    found: list[Stored] = []
    size = 0
    with tx.execute(query, execution_options={"yield_per": AT_ONCE}) as rows:
        for row in rows:
            if len(found) == limit or (found and size + len(row.entry) > PAGE_BYTES_MAX):
                return Page(entries=found, before=found[-1].id)
            found.append(Stored(id=row.id, entry=bytes(row.entry), said=row.said))
            size += len(row.entry)
    more = tx.execute(select(log_entries.c.id).where(log_entries.c.id < oldest).limit(1)).first()
    return Page(entries=found, before=oldest if more is not None else None)


def _conditions(
    source: str | None,
    correlation_rows: Sequence[int] | None,
    action: Action | None,
    since: datetime | None,
    until: datetime | None,
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if source is not None:
        conditions.append(log_entries.c.source == source)
    if action is not None:
        conditions.append(log_entries.c.action == action.value)
    if correlation_rows is not None:
        # A delivery's entry names the correlations of its alerts inside; the alerts know the deliveries.
        its_deliveries = select(alerts.c.delivery_id).where(alerts.c.correlation.in_(correlation_rows))
        conditions.append(
            or_(log_entries.c.correlation.in_(correlation_rows), log_entries.c.delivery.in_(its_deliveries))
        )
    if since is not None:
        conditions.append(log_entries.c.at >= since)
    if until is not None:
        conditions.append(log_entries.c.at < until)
    return conditions


def _newest_first(tx: Connection, conditions: Sequence[ColumnElement[bool]], limit: int | None) -> Iterator[LogRow]:
    query = (
        select(log_entries.c.id, log_entries.c.entry, log_entries.c.said)
        .where(*conditions)
        .order_by(log_entries.c.id.desc())
    )
    if limit is not None:
        query = query.limit(min(limit, ROWS_MAX))
    with tx.execute(query, execution_options={"yield_per": AT_ONCE}) as rows:  # whoever has enough stops here
        for row in rows:
            yield LogRow(id=row.id, entry=decode(row.entry, Entry), said=row.said)
