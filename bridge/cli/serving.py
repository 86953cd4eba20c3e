"""How a process of the bridge runs: gunicorn with one worker process and many threads; the sync threads live inside it.

Its master replaces a worker process that dies, and passes signals on.
"""

from __future__ import annotations

import logging
import signal
import socket
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bridge.settings import Settings
    from bridge.wiring import Prepared, Role

SPARE_SECONDS = 5  # to stop in, beyond the longest round; the units of deploy/ wait longer than both
HEALTH_THREADS = 4  # of a process that receives nothing
BACKLOG = 2048
PORT_MAX = 65_535


def address_of(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit() or int(port) > PORT_MAX:
        raise click.BadParameter(f"{bind!r} is not HOST:PORT", param_hint="--bind")
    return host.strip("[]"), int(port)


def listener_of(host: str, port: int) -> socket.socket:
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


def serve_until_stopped(
    settings: Settings, prepared: Prepared, listener: socket.socket, role: Role, *, told: str
) -> None:
    """Returns, or exits, after SIGTERM. `told` is the path that the line says which announces it."""
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
        click.echo(f"Listening on http://{shown}:{port}/{told}", err=True)

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {
                "bind": f"fd://{listening}",
                "workers": 1,
                "worker_class": "bridge.web.arrivals.Worker",
                "threads": settings.server_threads if role.receives else HEALTH_THREADS,
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
            running.append(run(settings, prepared, role))
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
