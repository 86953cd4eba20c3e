"""Where the store speaks of a person or a host: read through page by page, so that nothing is held up.

Bodies are looked through as they came and as they were unwrapped; what was rendered of them as well, for it stays when
a body is pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table, func, or_, select

from bridge.sources.mention import Identifier
from bridge.store import at_rest
from bridge.store.engine import Store
from bridge.store.reconciler_tables import strays
from bridge.store.tables import additions, alerts, correlations, deliveries, incidents, intents, log_entries

PAGE = 200  # rows with values; a body may be a megabyte
PAGE_OF_LOG = 2_000

# Where values lie, by table: the columns that are looked through. An alert's row has nothing but its delivery's key.
RENDERED: dict[Table, tuple[Column[Any], ...]] = {
    intents: (intents.c.fields, intents.c.before),
    incidents: (incidents.c.written, incidents.c.seen),
    strays: (strays.c.outcome_text,),
}


@dataclass(slots=True)
class Mentions:
    """Rows, by their ids."""

    deliveries: set[int] = field(default_factory=set)
    correlations: set[int] = field(default_factory=set)
    sentences: set[int] = field(default_factory=set)  # of log_entries: said beside entries of no delivery or problem
    # What cannot be taken away: it stands in the log's bytes, and in ServiceNow.
    correlation_ids: set[str] = field(default_factory=set)
    entries: int = 0  # of the log that hold it


def to_look_through(tx: Connection) -> int:
    """How many rows `mentions_of` reads, about: for a progress bar."""
    tables = (deliveries, alerts, correlations, additions, log_entries, *RENDERED)
    return sum(tx.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


def mentions_of(store: Store, identifier: Identifier, *, looked: Callable[[int], None]) -> Mentions:
    """`looked` is told of rows that have been read. Raises Transient."""
    found = Mentions()
    for rows in _pages(store, select(deliveries), deliveries.c.id, PAGE):
        found.deliveries |= {row.id for row in rows if _speaks(identifier, row.body, row.content, row.sender_id)}
        looked(len(rows))
    for rows in _alert_pages(store):
        found.deliveries |= {row.delivery_id for row in rows if _speaks(identifier, row.detail)}
        looked(len(rows))
    theirs: set[int] = set()
    for table, columns in RENDERED.items():
        owner = table.c.id if table is incidents else table.c.incident
        query = select(table.c.id, owner.label("owner"), *columns)
        for rows in _pages(store, query, table.c.id, PAGE):
            theirs |= {row.owner for row in rows if row.owner is not None and _speaks(identifier, *row[2:])}
            looked(len(rows))
    with store.reading() as tx:
        beside = tx.execute(select(additions.c.incident, additions.c.content, additions.c.outcome_text)).all()
    theirs |= {row.incident for row in beside if _speaks(identifier, row.content, row.outcome_text)}
    looked(len(beside))
    _look_at_names(store, identifier, found, looked)
    theirs |= _look_at_the_log(store, identifier, found, looked)
    with store.reading() as tx:
        found.correlations |= at_rest.sharing(tx, theirs) | at_rest.correlations_of(tx, found.deliveries)
    return found


def mentions_of_problems(store: Store, correlation_rows: Collection[int]) -> Mentions:
    """All that there is of these problems."""
    found = Mentions(correlations=set(correlation_rows))
    its = select(alerts.c.delivery_id).distinct().where(alerts.c.correlation.in_(correlation_rows))
    ids = select(correlations.c.correlation_id).where(correlations.c.id.in_(correlation_rows))
    with store.reading() as tx:
        found.deliveries |= set(tx.execute(its).scalars())
        found.correlation_ids |= set(tx.execute(ids).scalars())
    return found


def ids_of(tx: Connection, correlation_rows: Collection[int]) -> list[str]:
    """Their correlation IDs, for people."""
    query = select(correlations.c.correlation_id)
    chunks = at_rest.chunks(sorted(correlation_rows))
    return sorted({one for some in chunks for one in tx.execute(query.where(correlations.c.id.in_(some))).scalars()})


def _look_at_names(store: Store, identifier: Identifier, found: Mentions, looked: Callable[[int], None]) -> None:
    """Correlation IDs, which stay, and the texts that they were made of, which do not."""
    columns = correlations.c.id, correlations.c.correlation_id, correlations.c.correlation_text
    query = select(*columns, correlations.c.failure_text)
    folded = identifier.text.casefold()
    for rows in _pages(store, query, correlations.c.id, PAGE_OF_LOG):
        found.correlation_ids |= {row.correlation_id for row in rows if folded in row.correlation_id.casefold()}
        found.correlations |= {row.id for row in rows if _speaks(identifier, row.correlation_text, row.failure_text)}
        looked(len(rows))


def _look_at_the_log(store: Store, identifier: Identifier, found: Mentions, looked: Callable[[int], None]) -> set[int]:
    """The entries, whose bytes stay, and what was said beside them. Returns the incidents that this is about."""
    log = log_entries.c
    theirs: set[int] = set()
    query = select(log.id, log.entry, log.said, log.correlation, log.incident, log.delivery)
    for rows in _pages(store, query, log.id, PAGE_OF_LOG):
        for row in rows:
            found.entries += identifier.is_in_bytes(bytes(row.entry))
            if _speaks(identifier, row.said):
                owned = row.delivery or row.correlation or row.incident  # then it goes with that
                found.sentences |= set() if owned else {row.id}
                found.deliveries |= {row.delivery} - {None}
                found.correlations |= {row.correlation} - {None}
                theirs |= {row.incident} - {None}
        looked(len(rows))
    return theirs


def _speaks(identifier: Identifier, *values: bytes | str | None) -> bool:
    return any(
        identifier.is_in_text(value) if isinstance(value, str) else identifier.is_in_bytes(bytes(value))
        for value in values
        if value is not None
    )


def _pages(store: Store, query: Select[Any], key: Column[int], size: int) -> Iterator[list[Row[Any]]]:
    after = 0
    while True:
        with store.reading() as tx:
            rows = list(tx.execute(query.where(key > after).order_by(key).limit(size)))
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _alert_pages(store: Store) -> Iterator[list[Row[Any]]]:
    """Those with a sentence; an ID that an alert was given and that no correlation has is in the log alone."""
    after = (0, -1)
    place = alerts.c.delivery_id, alerts.c.position
    while True:
        later = or_(place[0] > after[0], (place[0] == after[0]) & (place[1] > after[1]))
        query = select(*place, alerts.c.detail).where(alerts.c.detail.is_not(None), later)
        with store.reading() as tx:
            rows: list[Row[Any]] = list(tx.execute(query.order_by(*place).limit(PAGE)))
        if not rows:
            return
        yield rows
        after = rows[-1].delivery_id, rows[-1].position
