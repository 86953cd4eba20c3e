"""`bridge db`: the database that holds it all."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import show_json, show_table

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
