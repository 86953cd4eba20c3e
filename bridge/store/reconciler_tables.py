"""Tables of what the bridge looks after by itself: the reconciler's turns and places, strays, and lamps."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from bridge.store.columns import Id, Instant
from bridge.store.tables import metadata

# What one process at a time does for an instance: ask what people changed, sweep for what they deleted, merge twins.
reconcilers = Table(
    "reconcilers",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("lease_until", Instant),
    Column("epoch", BigInteger, nullable=False),  # rises with every turn: what a turn learns is written under its own
    Column("due_at", Instant, nullable=False),  # of the next turn
    Column("sweep_at", Instant, nullable=False),  # of the next sweep for deletions
    Column("swept_to", Id, nullable=False),  # incidents.id that a sweep in progress has come to; 0: none is
    Column("done_at", Instant),  # when the turn that was ended last had begun
    Column("failures", Integer, nullable=False),  # turns in a row that could not be ended
    Column("failure", Text),  # why, as a sentence; NULL: the last one was
)

reconciled_tables = Table(
    "reconciled_tables",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("table", Text, primary_key=True),
    # Up to which `sys_updated_on` all was seen, as ServiceNow writes it; NULL: the first, full pass is not over.
    Column("seen_to", Text),
    Column("page_time", Text),  # (sys_updated_on, sys_id) of the last row of a pass in progress; NULL: none is
    Column("page_sys_id", Text),
)

# Open records with our mark that no incident of ours is: twins and orphans.
strays = Table(
    "strays",
    metadata,
    Column("id", Id, primary_key=True),
    Column("instance", Text, nullable=False),
    Column("table", Text, nullable=False),
    Column("sys_id", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("key", Text, nullable=False),  # alert.key_of(correlation_id)
    Column("created_on", Text, nullable=False),  # as ServiceNow writes it
    Column("version", Text, nullable=False),  # reconcile.Shown.version when it was last listed
    Column("incident", Id, ForeignKey("incidents.id")),  # that it is a twin of; NULL: of none that is known
    Column("found_at", Instant, nullable=False),
    Column("due_at", Instant),  # NULL: settled, unless it changes
    Column("sent_until", Instant),  # of a close whose outcome is not known: nothing was sent after it
    Column("failures", Integer, nullable=False),
    Column("outcome", Text),  # strays.Outcome; NULL: not known yet
    Column("outcome_text", Text),  # the sentence for a person
    Column("released", Boolean, nullable=False),  # a person let it be closed beyond the hourly limit
    Column("closed_at", Instant),  # when we closed it
    UniqueConstraint("instance", "table", "sys_id"),
)
Index("strays_by_key", strays.c.key)

# What the bridge tells of itself: a trouble, since when it is there; and an incident about troubles, what it was told.
lamps = Table(
    "lamps",
    metadata,
    Column("name", Text, primary_key=True),
    Column("since", Instant, nullable=False),
    Column("target", Text),  # where an incident about it goes; NULL: a trouble
    Column("told", Text),  # lamps.Lamp.signature as it was told last
)

# PostgreSQL alone, where several processes share an instance's limits: calls reserved, by the minute.
call_minutes = Table(
    "call_minutes",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("minute", Instant, primary_key=True),
    Column("calls", Integer, nullable=False),
)

callers = Table(
    "callers",
    metadata,
    Column("source", Text, primary_key=True),
    Column("known_since", Instant, nullable=False),
    Column("came_at", Instant),  # its last delivery that was taken, to the minute; NULL: none since `known_since`
    Column("refused_since", Instant),  # the first and the last of a run of refusals; NULL: there was none
    Column("refused_at", Instant),
    Column("reasons", Text),  # JSON: reason -> how many of the run
)

# Of each field that a source's mapping reads: correlation.vanishing.Run.
fields = Table(
    "fields",
    metadata,
    Column("source", Text, primary_key=True),
    Column("path", Text, primary_key=True),  # as the mapping writes it: .host.name
    Column("there", Integer, nullable=False),
    Column("gone", Integer, nullable=False),
)
