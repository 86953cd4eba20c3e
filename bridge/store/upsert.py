"""INSERT … ON CONFLICT: both engines speak it, and SQLAlchemy has it once for each."""

from __future__ import annotations

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that knows what to do with a row that is there already."""
    return sqlite.insert(table) if tx.dialect.name == "sqlite" else postgresql.insert(table)
