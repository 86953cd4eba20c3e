"""Who may read over the API: tokens, of which the store knows the digest and not the secret."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, Table, Text

from bridge.store.columns import Instant
from bridge.store.tables import metadata

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # never given twice: the log's entries go on to mean this one
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the token
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("used_at", Instant),  # of the last sign-in that was noted
    Column("used_from", Text),  # its address
)
