# ruff: noqa: S608 — only names of columns and parameter marks are put into these texts, never a value
"""The statements of intake, few and multi-row, spoken at driver level: SQLAlchemy's constructs cost a quarter of the
throughput here. Names of tables and columns come from tables.py all the same.

PostgreSQL is given a statement's rows in one parameter, as JSON, and bytes beside it in an array for each column: so
the text is the same for any number of rows. A text of a hundred rows' parameters takes psycopg longer to read than the
server takes to store them. SQLite is given a parameter for each value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, Connection, CursorResult, Dialect, LargeBinary, Table
from sqlalchemy.exc import DataError

from bridge.store.correlation_state import CorrelationState
from bridge.store.engine import Conflict
from bridge.store.tables import alerts, correlation_keys, correlations, deliveries, log_entries

NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON, and not after a backslash that is text
ROWS_PER_STATEMENT = 250  # SQLite takes 32,766 parameters
# Of bodies: sqlite3 keeps each statement compiled, for each number of rows, and with it the values it was last given.
BYTES_PER_STATEMENT = 1 << 17

Row = tuple[Any, ...]
T = TypeVar("T")


def _names(*columns: Column[Any]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


DELIVERY = _names(
    deliveries.c.source,
    deliveries.c.tenant,
    deliveries.c.fingerprint,
    deliveries.c.occurrence,
    deliveries.c.sender_id,
    deliveries.c.received_at,
    deliveries.c.revision_id,
    deliveries.c.content_type,
    deliveries.c.body,
    deliveries.c.content,
)
ALERT = _names(
    alerts.c.delivery_id,
    alerts.c.position,
    alerts.c.covers_rest,
    alerts.c.outcome,
    alerts.c.reason,
    alerts.c.detail,
    alerts.c.correlation,
    alerts.c.correlation_id,
    alerts.c.seq,
    alerts.c.status,
    alerts.c.severity,
    alerts.c.event_time,
    alerts.c.received_at,
    alerts.c.target,
    alerts.c.revision_id,
)
ENTRY = _names(
    log_entries.c.at,
    log_entries.c.action,
    log_entries.c.source,
    log_entries.c.correlation,
    log_entries.c.incident,
    log_entries.c.delivery,
    log_entries.c.entry,
)
NOT_COLUMNS = ("changed", "new_keys", "taken_keys")  # what intake keeps beside a row
STATE = _names(
    *(correlations.c[name] for name in CorrelationState.__struct_fields__ if name not in NOT_COLUMNS)
)  # id first
SETTLED = _names(  # what intake writes in a row that is there, and which; all else belongs to sync
    correlations.c.source,
    correlations.c.mapping,
    correlations.c.target,
    correlations.c.last_seq,
    correlations.c.status,
    correlations.c.status_time,
    correlations.c.status_changed_seq,
    correlations.c.severity,
    correlations.c.alert_count,
    correlations.c.first_seen,
    correlations.c.last_seen,
    correlations.c.due_at,
    correlations.c.id,
)
# What every new row of a correlation has alike, in SQL: sync alone will change it.
UNTOUCHED = {
    correlations.c.open.name: "false",
    correlations.c.applied_seq.name: "0",
    correlations.c.failures.name: "0",
    correlations.c.waits_for_person.name: "false",
    correlations.c.episode.name: "0",
}
BORN = tuple([name for name in STATE[1:] if name not in UNTOUCHED])
BODY, CONTENT = DELIVERY.index(deliveries.c.body.name), DELIVERY.index(deliveries.c.content.name)
KEY = _names(correlation_keys.c.tenant, correlation_keys.c.key, correlation_keys.c.correlation)
_born, _settled = attrgetter(*BORN), attrgetter(*SETTLED)


def newest_deliveries(tx: Connection, fingerprints: Sequence[bytes]) -> dict[bytes, Row]:
    """fingerprint -> (id, occurrence, received_at) of its newest delivery."""
    rows = tx.exec_driver_sql(
        f"SELECT fingerprint, id, occurrence, received_at FROM deliveries d"
        f" WHERE fingerprint {_among(tx, fingerprints)} AND NOT EXISTS (SELECT 1 FROM deliveries later"
        f" WHERE later.fingerprint = d.fingerprint AND later.occurrence > d.occurrence)",
        _listed(tx, fingerprints),
    )
    return {bytes(row[0]): tuple(row[1:]) for row in rows}


def overtaken(tx: Connection, delivery_ids: Sequence[int]) -> set[int]:
    """Those deliveries of which a correlation changed its status afterwards: the same content again is news."""
    rows = tx.exec_driver_sql(
        f"SELECT a.delivery_id FROM alerts a JOIN correlations c ON c.id = a.correlation"
        f" WHERE a.delivery_id {_among(tx, delivery_ids)}"
        f" GROUP BY a.delivery_id, c.id, c.status_changed_seq HAVING c.status_changed_seq > max(a.seq)",
        _listed(tx, delivery_ids),
    )
    return {row[0] for row in rows}


def insert_deliveries(tx: Connection, rows: Sequence[Row]) -> dict[bytes, int]:
    """fingerprint -> id of those that are new; one that another process has just stored is not among them."""
    new = " ON CONFLICT (fingerprint, occurrence) DO NOTHING RETURNING fingerprint, id"
    found: dict[bytes, int] = {}
    for chunk in _by_bytes(rows) if _is_sqlite(tx) else [rows]:
        found |= {bytes(row[0]): row[1] for row in _insert(tx, deliveries, DELIVERY, chunk, new)}
    return found


def stored_alerts(tx: Connection, delivery_ids: Sequence[int]) -> list[Row]:
    """(delivery_id, position, correlation_id, outcome, reason, detail), in order: the first answers."""
    rows = tx.exec_driver_sql(
        f"SELECT delivery_id, position, correlation_id, outcome, reason, detail FROM alerts"
        f" WHERE delivery_id {_among(tx, delivery_ids)} ORDER BY delivery_id, position",
        _listed(tx, delivery_ids),
    )
    return [tuple(row) for row in rows]


def lock_correlations(tx: Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], CorrelationState]:
    """What these (tenant, key) lead to, locked in one order by everybody: opposite orders would deadlock.

    Keys that lead to the same correlation are given the same state.
    """
    found: dict[tuple[str, str], CorrelationState] = {}
    by_id: dict[int, CorrelationState] = {}
    pairs = sorted(keys)
    chunks = [
        (tenant, chunk)
        for tenant, group in groupby(pairs, key=lambda pair: pair[0])
        for chunk in _chunks([key for _, key in group])
    ]
    if len(chunks) > 1 and not _is_sqlite(tx):
        _lock_in_order(tx, pairs)  # each statement orders only its own rows
    for tenant, chunk in chunks:
        rows = tx.exec_driver_sql(
            f"SELECT k.key, {', '.join(f'c.{name}' for name in STATE)} FROM correlation_keys k"
            f" JOIN correlations c ON c.id = k.correlation WHERE k.tenant = {_mark(tx)}"
            f" AND k.key {_among(tx, chunk)} ORDER BY c.id{_for_update(tx)}",
            (tenant, *_listed(tx, chunk)),
        )
        for key, *row in rows:
            found[tenant, key] = by_id.setdefault(row[0], CorrelationState(*row))
    return found


def _lock_in_order(tx: Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """PostgreSQL, which takes the keys as two arrays: their number is not bounded by that of parameters."""
    tenants, keys = [tenant for tenant, _ in pairs], [key for _, key in pairs]
    tx.exec_driver_sql(
        "SELECT id FROM correlations WHERE id IN (SELECT k.correlation FROM correlation_keys k"
        " JOIN unnest(%s::text[], %s::text[]) AS wanted (tenant, key) USING (tenant, key))"
        " ORDER BY id FOR UPDATE",
        (tenants, keys),
    )


def insert_correlations(tx: Connection, states: Sequence[CorrelationState]) -> None:
    """Sets the id of each. Raises Conflict when another process was quicker with one of them."""
    born = {(state.tenant, state.key): state for state in states}
    for chunk in _chunks([born[pair] for pair in sorted(born)]):
        new = " ON CONFLICT (tenant, key) DO NOTHING RETURNING tenant, key, id"
        result = _insert(tx, correlations, BORN, [_born(state) for state in chunk], new, alike=UNTOUCHED).all()
        if len(result) < len(chunk):
            raise Conflict
        for tenant, key, row_id in result:
            born[tenant, key].id = row_id


def register_keys(tx: Connection, rows: Sequence[Row]) -> None:
    """(tenant, key, correlation) each. Raises Conflict when another process has just given one of them away."""
    for chunk in _chunks(sorted(rows)):
        result = _insert(tx, correlation_keys, KEY, chunk, " ON CONFLICT (tenant, key) DO NOTHING")
        if result.rowcount < len(chunk):
            raise Conflict


def forget_keys(tx: Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """Keys that led to another correlation, which is over; their rows are locked."""
    for tenant, key in pairs:
        statement = f"DELETE FROM correlation_keys WHERE tenant = {_mark(tx)} AND key = {_mark(tx)}"
        tx.exec_driver_sql(statement, (tenant, key))


def update_correlations(tx: Connection, states: Sequence[CorrelationState]) -> None:
    """Absolute values are right: the rows have been locked since they were read."""
    rows = [_settled(state) for state in states]
    if rows and _is_sqlite(tx):
        assignments = ", ".join(f"{name} = ?" for name in SETTLED[:-1])
        tx.exec_driver_sql(f"UPDATE correlations SET {assignments} WHERE id = ?", rows)
        return
    assignments = ", ".join(f"{name} = given.{name}" for name in SETTLED[:-1])
    for chunk in _chunks(rows):
        given, values = _given(tx, correlations, SETTLED, chunk)
        tx.exec_driver_sql(
            f"UPDATE correlations SET {assignments} FROM ({given}) AS given WHERE correlations.id = given.id", values
        )


def insert_alerts(tx: Connection, rows: Sequence[Row]) -> None:
    for chunk in _chunks(rows):
        _insert(tx, alerts, ALERT, chunk)


def insert_entries(tx: Connection, rows: Sequence[Row]) -> None:
    for chunk in _chunks(rows):
        _insert(tx, log_entries, ENTRY, chunk)


def _insert(
    tx: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    more: str = "",
    *,
    alike: Mapping[str, str] = {},
) -> CursorResult[*tuple[Any, ...]]:
    """Many rows to a statement: PostgreSQL saves round trips, and sqlite3 gives up the interpreter once instead of
    for every row, which costs more than the row where 32 threads wait to take it. `more` may return something of each.
    `alike`: further columns, with the SQL of what they are in all rows.
    """
    given, values = _given(tx, table, columns, rows, tuple(alike.values()))
    named = ", ".join([*columns, *alike])
    return tx.exec_driver_sql(f"INSERT INTO {table.name} ({named}) {given}{more}", values)


def _given(
    tx: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row], alike: tuple[str, ...] = ()
) -> tuple[str, Row]:
    """(what yields these rows, with what is alike in all behind each; its parameters)"""
    if _is_sqlite(tx):
        row = f"({', '.join([_marks(len(columns)), *alike])})"
        return f"VALUES {', '.join([row] * len(rows))}", _flat(rows)
    text, binary = _recordset(tx.dialect, table, columns, alike)
    plain = [dict(zip(columns, row, strict=True)) for row in rows]
    arrays = [[row.pop(name) for row in plain] for name in binary]
    encoded = msgspec.json.encode(plain).decode()
    if "\\u0000" in encoded and NUL.search(encoded):  # the server would write what is around it into a log of its own
        raise DataError(text, None, ValueError("PostgreSQL stores no text with a NUL character"))
    return text, (encoded, *arrays)


@cache
def _recordset(
    dialect: Dialect, table: Table, columns: tuple[str, ...], alike: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """(what yields rows of these columns on PostgreSQL, those of them that have an array for a parameter)"""
    binary = tuple([name for name in columns if isinstance(table.c[name].type, LargeBinary)])
    plain = [name for name in columns if name not in binary]
    types = ", ".join(f"{name} {table.c[name].type.compile(dialect)}" for name in plain)
    arrays = ", unnest(%b::bytea[])" * len(binary)
    functions = f"json_to_recordset(%s::json) AS ({types}){arrays}"
    selected, names = ", ".join([*columns, *alike]), ", ".join([*plain, *binary])
    return f"SELECT {selected} FROM ROWS FROM ({functions}) AS given ({names})", binary


def _for_update(tx: Connection) -> str:
    """SQLite: BEGIN IMMEDIATE holds the one write lock already. PostgreSQL: a lock for each row."""
    return "" if _is_sqlite(tx) else " FOR UPDATE"


def _mark(tx: Connection) -> str:
    """How the driver wants a parameter: sqlite3 takes a question mark, psycopg %s."""
    return "?" if _is_sqlite(tx) else "%s"


def _is_sqlite(tx: Connection) -> bool:
    return tx.dialect.name == "sqlite"


def _among(tx: Connection, values: Sequence[Any]) -> str:
    """That a column has one of these values, which `_listed` gives."""
    return f"IN ({_marks(len(values))})" if _is_sqlite(tx) else "= ANY(%b)"


def _listed(tx: Connection, values: Sequence[Any]) -> Row:
    return tuple(values) if _is_sqlite(tx) else (list(values),)


def _marks(count: int) -> str:
    return ", ".join(["?"] * count)


def _flat(rows: Iterable[Row]) -> Row:
    return tuple([value for row in rows for value in row])


def _chunks(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    return [rows[start : start + ROWS_PER_STATEMENT] for start in range(0, len(rows), ROWS_PER_STATEMENT)]


def _by_bytes(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Deliveries, in pieces: of one body that is larger, or of as many as BYTES_PER_STATEMENT takes."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        own = len(row[BODY]) + len(row[CONTENT] or b"")
        size += own
        if chunk and size > BYTES_PER_STATEMENT:
            yield chunk
            chunk, size = [], own
        chunk.append(row)
    yield chunk
