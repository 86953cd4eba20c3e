"""What is served to be measured: apps under gunicorn, each by a process of its own; and what such a process uses."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from flask import Flask, Response, request
from loads import MAPPINGS, SECRET, load, single

if TYPE_CHECKING:
    from bridge.store.engine import Store

HERE = Path(__file__).resolve().parent
THREADS = 32
ENDING_SECONDS_MAX = 20
TICKS = os.sysconf("SC_CLK_TCK")


def noop_app() -> Flask:
    app = Flask("noop")

    @app.post("/hooks/<source>")
    def receive(source: str) -> Response:
        return Response(b"{}", content_type="application/json")

    return app


def reading_app() -> Flask:
    """Reads what it is sent: of a large body that nobody reads gunicorn ends the connection."""
    app = noop_app()

    @app.before_request
    def read() -> None:
        request.get_data()

    return app


def bridge_app(beside: Callable[[Store], object] = lambda _store: None) -> Flask:
    """`beside` may start what runs beside intake."""
    from bridge.library import Library, Published
    from bridge.mapping.load import load_mappings
    from bridge.metrics import Metrics
    from bridge.settings import SourceAuth
    from bridge.settings.signatures import PRESETS
    from bridge.sources.auth import verifier_for
    from bridge.sources.envelope import PLAIN
    from bridge.store.callers import Callers
    from bridge.store.engine import open_store
    from bridge.store.revisions import register
    from bridge.store.tables import metadata
    from bridge.store.writer import Writer
    from bridge.web.app import create_app
    from bridge.web.hooks import SourceDoor, hooks
    from bridge.web.network import Network
    from bridge.wiring import utc_now

    store = open_store(os.environ["BENCH_DATABASE"], utc_now)
    metadata.create_all(store.engine)
    mapping = load_mappings(MAPPINGS, ["elastic"])["elastic"]
    with store.transaction() as tx:
        revision = register(tx, mapping="elastic", digest=mapping.digest, files=mapping.files, now=utc_now())
    metrics = Metrics()
    writer = Writer(
        store,
        on_commit=lambda: None,
        observe_queue=metrics.queue_seconds.observe,
        observe_commit=metrics.commit_seconds.observe,
    )
    writer.start()
    beside(store)
    door = SourceDoor(
        name="bench",
        tenant="default",
        mapping="elastic",
        verifier=verifier_for("bench", SourceAuth(scheme="hmac", signature=PRESETS["github"]), (SECRET,)),
        envelope=PLAIN,
        body_bytes_max=1 << 20,
    )
    library = Library({"elastic": Published(mapping=mapping, revision_id=revision)})
    callers = Callers(store, ["bench"])
    doors = {"bench": door}
    return create_app(
        hooks(
            sources=doors,
            library=library,
            writer=writer,
            metrics=metrics,
            clock=utc_now,
            callers=callers,
            outside=Network(time.monotonic),
        )
    )


def hasty_app() -> Flask:
    """Its writer begins the next batch at once, and waits for nobody whom it just answered."""
    from bridge.store import writer

    writer.GATHER_SECONDS_MAX = 0
    return bridge_app()


# --- how it is served


class App(NamedTuple):
    factory: str  # of this module, or module:name of another one here
    database: str = ""
    threads: int = THREADS


class Served(NamedTuple):
    port: int
    pid: int  # of the worker


@contextlib.contextmanager
def served(*apps: App) -> Iterator[list[Served]]:
    """Each by a process of its own. They begin at once, and end at once."""
    with contextlib.ExitStack() as stack:
        begun = [stack.enter_context(_begun(app)) for app in apps]
        try:
            for port, _ in begun:
                assert not load([port], [single("unique", 0, "warm")]).refused
            yield [Served(port, worker_of(process.pid)) for port, process in begun]
        finally:
            for _, process in begun:
                process.terminate()


@contextlib.contextmanager
def _begun(app: App) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """(port, gunicorn). It may not answer yet: what is sent to it waits."""
    factory = app.factory if ":" in app.factory else f"server:{app.factory}"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        command = [sys.executable, "-m", "gunicorn", f"{factory}()", "--chdir", str(HERE)]
        command += ["--worker-class", "bridge.web.arrivals.Worker", "--workers", "1", "--threads", str(app.threads)]
        command += ["--log-level", "error", "--no-control-socket"]
        command += ["--keep-alive", "60", "--bind", f"fd://{listener.fileno()}"]
        environment = {**os.environ, "BENCH_DATABASE": app.database}
        # A session of its own: Ctrl+C ends it through us, and not in the midst of an answer.
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment, start_new_session=True)
        try:
            yield listener.getsockname()[1], process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """One with a session of its own: in order, or all of it by force."""
    process.terminate()
    try:
        process.wait(ENDING_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- what a process uses


def worker_of(master: int) -> int:
    """gunicorn's one worker process."""
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def resident_bytes(pid: int, which: Literal["VmRSS", "VmHWM"] = "VmRSS") -> int:
    """Now, or at most since it began."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(which)).split()[1]) * 1024


def processor_seconds(pid: int, *, children: bool = False) -> float:
    """Of a process in all its threads; with `children`, of all under it and of those that have ended too."""
    # After the name, which may have blanks and brackets: utime is the 14th of all fields, then stime, cutime, cstime.
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    seconds = sum(int(ticks) for ticks in fields[11 : 15 if children else 13]) / TICKS
    if children:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                seconds += processor_seconds(int(child), children=True)
    return seconds
