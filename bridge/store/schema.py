"""The schema's versions: Alembic's migrations, run under a lock so that several processes may start at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from bridge.errors import Misconfigured, Problem, Transient
from bridge.log.entries import Action, Entry, append
from bridge.store.engine import Conflict, Store, open_store
from bridge.store.log_tables import log_head
from bridge.store.tables import deliveries, metadata, target_states
from bridge.version import version

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
LOCK_KEY = 0x6272696467  # "bridg": the advisory lock of a PostgreSQL database during a migration
# While a migration waits for a table, all that comes after waits behind it: so it waits shortly, and often.
# But PostgreSQL ends an autovacuum only for who has waited for a second (deadlock_timeout): some tries wait longer.
LOCK_TIMEOUTS = ("300ms", "300ms", "1300ms")
ATTEMPTS_MAX = 30
PAUSE_SECONDS = 0.7


def upgrade(url: str, clock: Callable[[], datetime], *, actor: str) -> None:
    """Bring the database at `url` to this version; make it if there is none. The log names `actor`."""
    store = open_store(url, clock)
    try:
        upgrade_store(store, actor=actor)
    finally:
        store.close()


def upgrade_store(store: Store, *, actor: str = "start") -> None:
    """All in one transaction: it is done or it is not. A second process waits, and finds nothing left to do; processes
    that serve go on.

    Raises Misconfigured when the database is from a newer version, Transient when a table could not be had.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            _upgrade(store, actor, LOCK_TIMEOUTS[attempt % len(LOCK_TIMEOUTS)])
        except Conflict:
            time.sleep(PAUSE_SECONDS)
        else:
            return
    told = (
        "the schema could not be upgraded: a long transaction holds a table (a backup, or a vacuum against wraparound?)"
    )
    raise Transient("schema_busy", f"{told}; start again when it is over")


def _upgrade(store: Store, actor: str, lock_timeout: str) -> None:
    with store.transaction() as tx:
        if not store.is_sqlite:  # on SQLite the transaction's own write lock serves
            tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
            tx.exec_driver_sql(f"SET LOCAL lock_timeout = '{lock_timeout}'")
        found = _version(tx)
        if found == _newest():
            return
        if found not in _known():
            raise Misconfigured([Problem(str(store.engine.url), 0, 0, _from_newer(found))])
        if not store.is_sqlite:
            _take_tables(tx)
        config = _config()
        config.attributes["connection"] = tx
        command.upgrade(config, "head")
        if found is not None:  # else it was made
            detail = {"from": found, "to": _newest(), "version": version()}
            append(tx, Entry(at=store.now(tx), action=Action.SCHEMA_UPGRADED, actor=actor, detail=detail))


def _take_tables(tx: Connection) -> None:
    """All of them before anything is done. Who serves holds one table and waits for the next: a migration that has had
    that one for long, and then needs the other, would never get it, and lose its work at each try.

    First those with which intake, the sealer and a claim begin; else two would wait for each other more often.
    """
    there = set(inspect(tx).get_table_names())
    ordered = (deliveries, log_head, target_states, *metadata.sorted_tables)
    names = dict.fromkeys(table.name for table in ordered if table.name in there)
    if names:  # else the database is to be made
        listed = ", ".join(f'"{name}"' for name in names)
        tx.exec_driver_sql(f"LOCK TABLE {listed} IN ACCESS EXCLUSIVE MODE")


def problem(tx: Connection) -> str:
    """Empty when the schema is this version's, else what to do."""
    found, wanted = _version(tx), _newest()
    if found == wanted:
        return ""
    if found not in _known():
        return _from_newer(found)
    return f"the database has schema {found or 'none'}, this version needs {wanted}: run `bridge db upgrade`"


def unusable(tx: Connection) -> str:
    """As `problem`, for a process that serves already: one that was overtaken goes on, for a migration leaves what the
    version before it reads and writes.
    """
    return "" if overtaken(tx) else problem(tx)


def overtaken(tx: Connection) -> str:
    """A sentence where a newer version has upgraded the schema; else empty."""
    found = _version(tx)
    if found in _known():
        return ""
    return f"a newer version of the bridge has upgraded the database (schema {found}): restart this one as that version"


def _version(tx: Connection) -> str | None:
    return MigrationContext.configure(tx).get_current_revision()


@cache
def _known() -> frozenset[str | None]:
    """None: an empty database."""
    return frozenset([None, *(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())])


def _from_newer(found: str | None) -> str:
    return (
        f"the database is from a newer version of the bridge (schema {found}, this version needs {_newest()}): "
        "run that version again"
    )


@cache
def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
