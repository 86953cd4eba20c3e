"""`bridge serve`: gunicorn with one worker process and many threads; the sync threads live inside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.options import config_option, example

if TYPE_CHECKING:
    from bridge.settings import Settings

GRACEFUL_SECONDS = 95  # a round may make six calls of 15 s; deploy/'s unit waits a little longer
BIND_DEFAULT = "127.0.0.1:8080"


@click.command(epilog=example("bridge serve", "bridge serve --config /etc/bridge/bridge.yaml --bind 127.0.0.1:9000"))
@config_option
@click.option("--bind", default=BIND_DEFAULT, show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option(
    "--role",
    type=click.Choice(["all", "intake"]),
    default="all",
    show_default=True,
    help="`intake` receives only; another process syncs.",
)
def serve(config: Path, bind: str, role: str) -> None:
    """Receive alerts and keep ServiceNow in step, until SIGTERM: then what was taken is finished, and nothing is lost.

    Everything is checked first; on a wrong configuration nothing is started and the exit status is 2.
    """
    from bridge import logs
    from bridge.settings import load_settings
    from bridge.wiring import prepare

    settings = load_settings(config)
    _refuse_open_doors(settings, bind)
    logs.set_up(sys.stderr)
    lock = prepare(settings)
    try:
        _serve(settings, bind, sync=role == "all")
    finally:
        if lock is not None:
            lock.close()


def _refuse_open_doors(settings: Settings, bind: str) -> None:
    """A source without authentication is for this machine alone."""
    from bridge.errors import Misconfigured, Problem
    from bridge.settings_load import is_loopback

    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter(f"{bind!r} is not HOST:PORT", param_hint="--bind")
    if is_loopback(host.strip("[]")):
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


def _serve(settings: Settings, bind: str, *, sync: bool) -> None:
    from gunicorn.app.base import BaseApplication

    from bridge.wiring import Running, run

    running: list[Running] = []

    def stopped(_server: object, _worker: object) -> None:
        for one in running:
            one.stop()

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {
                "bind": bind,
                "workers": 1,
                "worker_class": "gthread",
                "threads": settings.server_threads,
                "graceful_timeout": GRACEFUL_SECONDS,
                "timeout": 0,
                "keepalive": 75,
                "proc_name": "incident-bridge",
                "accesslog": None,
                "logger_class": "gunicorn.glogging.Logger",
                "loglevel": "warning",
                "worker_exit": stopped,
                "when_ready": lambda _server: click.echo(f"Listening on http://{bind}/hooks/<source>", err=True),
            }
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            running.append(run(settings, sync=sync))
            return running[0].app

    Server().run()
