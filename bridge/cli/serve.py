"""`bridge serve`: gunicorn with one worker process and many threads; the sync threads live inside it."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.options import config_option, example

if TYPE_CHECKING:
    from bridge.settings import Settings
    from bridge.wiring import Prepared

SPARE_SECONDS = 5  # to stop in, beyond the longest round; deploy/'s unit waits longer than both
BIND_DEFAULT = "127.0.0.1:8080"
BACKLOG = 2048
PORT_MAX = 65_535


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
    from bridge.cli.check import all_problems
    from bridge.errors import Misconfigured
    from bridge.settings import load_settings
    from bridge.wiring import prepare, utc_now

    host, port = _address(bind)
    try:
        settings = load_settings(config)
        _refuse_open_doors(settings, host, bind)
        logs.set_up(sys.stderr)
        prepared = prepare(settings)
    except Misconfigured as error:
        found = all_problems(config, today=utc_now().date()).problems
        raise Misconfigured(list(dict.fromkeys([*error.problems, *found]))) from error
    with prepared.lock or contextlib.nullcontext():
        listener = _listener(host, port)
        _serve(settings, prepared, listener, sync=role == "all")


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit() or int(port) > PORT_MAX:
        raise click.BadParameter(f"{bind!r} is not HOST:PORT", param_hint="--bind")
    return host.strip("[]"), int(port)


def _listener(host: str, port: int) -> socket.socket:
    """Bound here, not by gunicorn: it would try five times and tell it in ten lines."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # Of create_server the text goes on with the address as Python writes it; of a name that is unknown it does not.
        why = (error.strerror or str(error)).partition(" (while ")[0]
        raise click.BadParameter(
            f"cannot listen on {host}:{port}: {why}; choose another port, or stop what uses it", param_hint="--bind"
        ) from error


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


def _serve(settings: Settings, prepared: Prepared, listener: socket.socket, *, sync: bool) -> None:
    from gunicorn.app.base import BaseApplication

    from bridge.sync.worker import ROUND_SECONDS_MAX
    from bridge.wiring import Running, run

    running: list[Running] = []

    def stopped(_server: object, _worker: object) -> None:
        for one in running:
            one.stop()

    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    listening = listener.detach()  # gunicorn owns it from here

    def ready(server: Any) -> None:
        _take_signals(server)
        click.echo(f"Listening on http://{shown}:{port}/hooks/<source>", err=True)

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {
                "bind": f"fd://{listening}",
                "workers": 1,
                "worker_class": "bridge.web.arrivals.Worker",
                "threads": settings.server_threads,
                "graceful_timeout": int(ROUND_SECONDS_MAX) + SPARE_SECONDS,
                "timeout": 0,
                "keepalive": 75,
                "proc_name": "incident-bridge",
                "loglevel": "warning",
                "worker_exit": stopped,
                "when_ready": ready,
                "post_worker_init": _leave_terminal_to_master,
                "control_socket_disable": True,  # it could add a worker, and all bridges of a user would share its path
            }
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            told = logging.getLogger("gunicorn.error")  # one shape for every line of the service
            told.handlers, told.propagate = [], True
            running.append(run(settings, prepared, sync=sync))
            return running[0].app

    Server().run()


def _take_signals(server: Any) -> None:
    """gunicorn would start a second worker on these, and two would hold the leases of one SQLite database."""
    for adds_worker in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
        signal.signal(adds_worker, signal.SIG_IGN)

    # Ctrl+C and a terminal that closes stop the bridge as SIGTERM does; mappings need no signal to be read again.
    def stop(number: int, _frame: object) -> None:
        logging.getLogger(__name__).info("stopping: %s", signal.Signals(number).name)
        server.signal(signal.SIGTERM, None)

    for stops in (signal.SIGINT, signal.SIGHUP):
        signal.signal(stops, stop)


def _leave_terminal_to_master(_worker: object) -> None:
    """A terminal tells the whole group: the worker goes on until the master stops it, and finishes what it took."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
