"""What columns hold, alike in both engines: times as whole microseconds, and numbers that the database hands out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_us(time: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    return (time - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime in Python, an integer of microseconds in the database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else to_us(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else from_us(value)


# SQLite hands out rowids only for INTEGER; PostgreSQL needs the eight bytes.
Id = BigInteger().with_variant(Integer, "sqlite")


class ThisTransaction(FunctionElement[int]):
    """A column's default on PostgreSQL: the number of the transaction that writes the row. NULL on SQLite."""

    inherit_cache = True


@compiles(ThisTransaction)
def _null(*_: object, **__: object) -> str:
    return "NULL"


@compiles(ThisTransaction, "postgresql")
def _current_transaction(*_: object, **__: object) -> str:
    return "(pg_current_xact_id()::text::bigint)"
