"""`bridge serve`: gunicorn with one worker process and many threads; the sync threads live inside it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import config_option, example

if TYPE_CHECKING:
    from bridge.settings import Settings

BIND_DEFAULT = "127.0.0.1:8080"


@click.command(epilog=example("bridge serve", "bridge serve --role intake --bind 127.0.0.1:9000"))
@config_option
@click.option("--bind", default=BIND_DEFAULT, show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option(
    "--role",
    type=click.Choice(["all", "intake"]),
    default="all",
    show_default=True,
    help="`intake` receives only: `bridge worker` syncs, on PostgreSQL.",
)
def serve(config: Path, bind: str, role: str) -> None:
    """Receive alerts and keep ServiceNow in step, until SIGTERM: then what was taken is finished, and nothing is lost.

    Everything is checked first; on a wrong configuration nothing is started and the exit status is 2.
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
        _refuse_open_doors(settings, host, bind)
        logs.set_up(sys.stderr)
        prepared = prepare(settings, Role(role))
    except Misconfigured as error:
        found = all_problems(config, today=utc_now().date()).problems
        raise Misconfigured(list(dict.fromkeys([*error.problems, *found]))) from error
    with prepared.lock or contextlib.nullcontext():
        serve_until_stopped(settings, prepared, listener_of(host, port), Role(role), told="hooks/<source>")


def _refuse_open_doors(settings: Settings, host: str, bind: str) -> None:
    """A source without authentication is for this machine alone."""
    from bridge.errors import Misconfigured, Problem
    from bridge.settings.instance import is_loopback

    if is_loopback(host):
        return
    hint = "bind to 127.0.0.1, or give the source a secret"
    open_doors = [
        Problem(
            str(settings.file), 0, 0, f"the source `{source.name}` takes alerts from anyone, and {bind} is open", hint
        )
        for source in settings.sources.values()
        if source.auth.scheme == "none"
    ]
    if open_doors:
        raise Misconfigured(open_doors)
