"""`bridge db`: the database that holds it all."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.opening import actor
from bridge.cli.options import config_option, example


@click.group(epilog=example("bridge db upgrade"))
def db() -> None:
    """Look after the database."""


@db.command("upgrade", epilog=example("bridge db upgrade --config /etc/bridge/bridge.yaml"))
@config_option
def upgrade_command(config: Path) -> None:
    """Bring the schema up to this version; make the database if there is none.

    `bridge serve` does it too, when it starts. Doing it twice, or from two places at once, is harmless.
    """
    from bridge.settings import load_settings
    from bridge.store.schema import upgrade
    from bridge.wiring import utc_now

    settings = load_settings(config)
    upgrade(settings.database, utc_now, actor=actor())
    click.echo("The schema is up to date.")
