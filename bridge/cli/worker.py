"""`bridge worker`: the sync half alone, any number of them beside any number of intakes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bridge.cli.options import config_option, example

BIND_DEFAULT = "127.0.0.1:8082"


@click.command(epilog=example("bridge worker", "bridge worker --config /etc/bridge/bridge.yaml --bind 127.0.0.1:9101"))
@config_option
@click.option(
    "--bind",
    default=BIND_DEFAULT,
    show_default=True,
    metavar="HOST:PORT",
    help="Where /livez, /readyz and /metrics are; each worker of a machine needs a port of its own.",
)
def worker(config: Path, bind: str) -> None:
    """Keep ServiceNow in step, until SIGTERM: then calls in flight are finished. Receives nothing.

    Any number may run on one PostgreSQL database, beside `bridge serve --role intake`. On SQLite one process does both.
    """
    from bridge import logs
    from bridge.cli.check import all_problems
    from bridge.cli.serving import address_of, listener_of, serve_until_stopped
    from bridge.errors import Misconfigured
    from bridge.settings import load_settings
    from bridge.wiring import Role, prepare, utc_now

    host, port = address_of(bind)
    try:
        settings = load_settings(config)
        _refuse_sqlite(settings.file, settings.database)
        logs.set_up(sys.stderr)
        prepared = prepare(settings, Role.WORKER)
    except Misconfigured as error:
        found = all_problems(config, today=utc_now().date()).problems
        raise Misconfigured(list(dict.fromkeys([*error.problems, *found]))) from error
    serve_until_stopped(settings, prepared, listener_of(host, port), Role.WORKER, told="metrics")


def _refuse_sqlite(file: Path, database: str) -> None:
    from sqlalchemy.engine import make_url

    from bridge.errors import Misconfigured
    from bridge.yamlfile import load_yaml

    if make_url(database).get_backend_name() != "sqlite":
        return
    message = "`bridge worker` needs PostgreSQL: an SQLite database is served by one process"
    hint = "`bridge serve` syncs as well; or set `database: postgresql://user@host/name`"
    raise Misconfigured([load_yaml(file).problem(("database",), message, hint)])
