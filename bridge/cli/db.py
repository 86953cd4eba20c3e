"""`bridge db`: the database that holds it all."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import show_json, show_table, time_text
from bridge.cli.output_file import output_path
from bridge.errors import Permanent

if TYPE_CHECKING:
    from bridge.settings import Settings

BESIDE = ("-wal", "-shm", "-journal", ".lock")  # what lies beside an SQLite database
WHAT = {  # as `Pruned` names them
    "bodies": "bodies of deliveries",
    "deliveries": "rows of deliveries",
    "alerts": "rows of alerts",
    "incidents": "incidents' fields as written and read",
    "intents": "writes' fields",
    "additions": "observables and facts beside incidents",
    "entries": "entries of the correlation log",
}


@click.group(epilog=example("bridge db upgrade"))
def db() -> None:
    """Look after the database."""


@db.command("upgrade", epilog=example("bridge db upgrade --config /etc/bridge/bridge.yaml"))
@config_option
def upgrade_command(config: Path) -> None:
    """Bring the schema up to this version.

    Makes the database if there is none.

    `bridge serve` does it too, when it starts. Doing it twice, or from two places at once, is harmless.
    """
    from bridge.settings import load_settings
    from bridge.store.schema import upgrade
    from bridge.wiring import utc_now

    settings = load_settings(config)
    upgrade(settings.database, utc_now, actor=actor())
    click.echo("The schema is up to date.")


@db.command("backup", epilog=example("bridge db backup /var/backups/bridge-2026-03-10.db"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Write over a file that is there.")
@config_option
def backup_command(file: Path, config: Path, *, replace: bool) -> None:
    """Copy the database into FILE, whole or not at all, while the bridge serves.

    It holds what the database holds: alerts, and the names of API tokens. Keep it as you keep that, and with it
    bridge.yaml, the mappings, the log's key and its anchors, which are not in it.

    SQLite only: PostgreSQL has pg_dump, base backups and replication.
    """
    from bridge.store.backup import back_up, newest_delivery

    with opened(config) as (settings, store):
        _refuse_postgresql(settings, f"pg_dump --format=custom --file {file}")
        _refuse_served(file, Path(store.file))
        with store.reading() as tx:
            received = newest_delivery(tx)  # before the copy: what is told is in it
        with output_path(file, replace=replace) as unfinished:
            back_up(Path(store.file), unfinished)
    megabytes = file.stat().st_size / 1e6
    click.echo(f"{file}: {megabytes:.1f} MB. The newest delivery in it: {_time(received)}, or later.")


@db.command(
    "restore", epilog=example("bridge db restore /var/backups/bridge-2026-03-10.db --replace", "bridge db restore")
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="Write over the database that is there.")
@config_option
def restore_command(file: Path | None, config: Path, *, replace: bool) -> None:
    """Bring a backup back, and mark the database as restored.

    Stop the bridge first. What was received after the backup is lost: have the senders send it again.

    While the mark is there, each incident is looked for in ServiceNow before it is made, for the database may not know
    that it was; it goes once every table has been read anew. Records that the database does not know are told by
    `bridge incidents strays`.

    Without FILE: the database has been brought back by other means (pg_restore, a base backup, a snapshot of the
    disk), and is only marked.
    """
    from bridge.store.backup import mark, newest_delivery

    if file is not None:
        _bring_back(file, config, replace=replace)
    with opened(config) as (_, store):
        if file is None:
            with store.transaction() as tx:
                mark(tx, store.now(tx), actor=actor())
        with store.reading() as tx:
            received = newest_delivery(tx)
    click.echo(f"Restored. The newest delivery that the database holds: {_time(received)}.")


@db.command("prune", epilog=example("bridge db prune --dry-run", "bridge db prune --json"))
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@config_option
@json_option("One object")
def prune_command(config: Path, *, dry_run: bool, as_json: bool) -> None:
    """Remove what is older than `retention` in bridge.yaml says.

    A bridge that runs does it by itself, once a day. Kept, however old, is what is still needed: alerts that are not
    applied, those in quarantine until they are mapped or discarded, the newest alert of every open problem, and
    entries of the log that are not sealed. It works in small transactions: alerts are received meanwhile.
    """
    from bridge.pruning import Pruning
    from bridge.store.pruning import Pruned

    with opened(config) as (settings, store):
        pruning = Pruning(store=store, retention=settings.retention, actor=actor(), undo=dry_run)
        total = sum(pruning.batches(), Pruned())
        if not dry_run:
            store.forget_history()
    if as_json:
        show_json({"dry_run": dry_run, "removed": total.counts})
        return
    heading = "WOULD BE REMOVED" if dry_run else "REMOVED"
    rows = [(WHAT[name], count) for name, count in total.counts.items()]
    show_table((heading, "COUNT"), rows, empty="Nothing is older than `retention` says, or all of it is still needed.")


def _bring_back(backup: Path, config: Path, *, replace: bool) -> None:
    from sqlalchemy import make_url

    from bridge.settings import load_settings
    from bridge.store.backup import bring_back
    from bridge.wiring import utc_now

    settings = load_settings(config)
    _refuse_postgresql(settings, "bring it back with pg_restore, then run `bridge db restore` without a file")
    database = Path(make_url(settings.database).database or "")
    if database.exists() and not replace:
        raise click.UsageError(
            f"{database} is there: say --replace, and what it holds is lost (`bridge db backup FILE` keeps it)"
        )
    try:
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        bring_back(backup, database, clock=utc_now, actor=actor())
    except OSError as error:
        what = f"{error.filename or database.parent} cannot be written: {error.strerror or error}"
        raise Permanent("backup_failed", f"{what} (be the user that the bridge runs as)") from error


def _refuse_served(file: Path, database: Path) -> None:
    """Whoever has a file open that is replaced goes on with the old one: all that is committed then would be lost."""
    served = database.resolve()
    if file.resolve() in {served, *(served.with_name(served.name + end) for end in BESIDE)}:
        raise click.UsageError(f"{file} is the database that is to be copied, or belongs to it: name another file")


def _refuse_postgresql(settings: Settings, remedy: str) -> None:
    if not settings.database.startswith("sqlite"):
        raise click.UsageError(f"the database is a PostgreSQL: {remedy}")


def _time(received: datetime | None) -> str:
    return time_text(received) if received is not None else "none"
