"""What the statement of completeness adds: how far it has got, and how the rows of a period are found."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table

from bridge.store.columns import Instant
from bridge.store.tables import deliveries, intents, log_entries, metadata

# One row: up to which day a statement was written, and whose turn the next one is.
statements = Table(
    "statements",
    metadata,
    Column("id", Integer, primary_key=True),  # 1
    Column("stated_to", Instant, nullable=False),  # the end of the last day that was stated: the next begins there
    # The furthest that it ever was. Ahead of `stated_to`: the clock had run ahead, and days are stated once more.
    Column("reached", Instant, nullable=False),
    Column("lease_until", Instant),  # whoever computes the next one has until then; NULL: nobody does
    Column("differences", BigInteger, nullable=False),  # that the newest statement names; 0: the record agrees
)

Index("deliveries_by_source", deliveries.c.source, deliveries.c.received_at)
Index("intents_by_start", intents.c.started_at)
Index(  # all but what tells of a delivery, which is found by that: intake pays nothing for it
    "log_entries_by_time",
    log_entries.c.at,
    sqlite_where=log_entries.c.delivery.is_(None),
    postgresql_where=log_entries.c.delivery.is_(None),
)
