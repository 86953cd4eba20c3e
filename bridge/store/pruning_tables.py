"""What `retention` adds: whose turn it is to prune, and how far the log is pruned."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from bridge.store.columns import Instant
from bridge.store.tables import metadata

# Pruning by `retention`: one process at a time, once a day, and how far the log is pruned.
prunings = Table(
    "prunings",
    metadata,
    Column("name", Text, primary_key=True),  # pruning.PLACE
    Column("lease_until", Instant),
    Column("epoch", BigInteger, nullable=False),  # rises with every turn
    Column("due_at", Instant, nullable=False),  # of the next turn
    Column("log_to", BigInteger, nullable=False),  # in the tree: entries before this index were pruned
)
