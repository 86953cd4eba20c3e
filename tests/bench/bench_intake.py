"""How fast intake is, as a ratio to a Flask view that does nothing, under the same server in the same run.

    python tests/bench/bench_intake.py [--requests N] [--rounds N] [--batches N]

Both are served by gunicorn with one process and 32 threads; the load comes over 32 kept-open connections from a process
of its own. Every alert is 4 KB, signed, and a problem of its own; then deliveries of 100 alerts of 1 KB, beside
a view that reads them. SQLite on a disk: every answer waited for its fsync; what one takes by itself is told last.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from flask import Flask, Response, request
from loads import ALERTS_PER_BATCH, MAPPINGS, SECRET, Loaded, load, run_load, shortest, single
from row import Aim, Row, at_least, at_most, ratio_at_least, show, told

if TYPE_CHECKING:
    from bridge.store.engine import Store

HERE = Path(__file__).resolve().parent
THREADS = 32
ENDING_SECONDS_MAX = 20
NOOP = "no-op Flask view"
WRITES, WRITTEN_BYTES = 200, 4_096  # of each round, by themselves
READING_TIMES = 15  # as many batches go to the view that reads them, so that its runs are long enough to tell
TICKS = os.sysconf("SC_CLK_TCK")
COMMAND = Path(__file__).name
RATIO_AIM, P99_MS_AIM, BATCH_AIM, RSS_MB_AIM = 0.6, 50, 12_000, 150


# --- what is served


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
    factory = app.factory if ":" in app.factory else f"bench_intake:{app.factory}"
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the story


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=4_000, help="of each round")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--batches", type=int, default=200, help="of each round: deliveries of 100 alerts")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    floors: list[Loaded] = []
    singles: list[Loaded] = []
    batch_floors: list[Loaded] = []
    batches: list[Loaded] = []
    writes: list[float] = []
    with (
        tempfile.TemporaryDirectory(dir=HERE) as folder,
        served(App("noop_app"), App("reading_app"), App("bridge_app", f"sqlite:///{folder}/bench.db")) as apps,
    ):
        (noop, _), (reading, _), (bridge, worker) = apps
        turns = (
            (floors, noop, "unique", arguments.requests),
            (singles, bridge, "unique", arguments.requests),
            (batch_floors, reading, "batch", READING_TIMES * arguments.batches),
            (batches, bridge, "batch", arguments.batches),
        )
        for turn in range(arguments.rounds):
            for found, port, kind, many in turns[:: -1 if turn % 2 else 1]:
                found.append(run_load([port], kind, many, f"{kind}{turn}"))
            writes += written(Path(folder, "written"))
        resident = resident_bytes(worker)
    yield beside_noop("SQLite: intake, one alert a delivery", COMMAND, singles, floors, ratio_at_least(RATIO_AIM))
    yield from latencies("SQLite: intake", COMMAND, singles, P99_MS_AIM)
    case = f"SQLite: intake, {ALERTS_PER_BATCH} alerts of 1 KB a delivery"
    yield beside_noop(
        case,
        COMMAND,
        batches,
        batch_floors,
        at_least(BATCH_AIM),
        each=ALERTS_PER_BATCH,
        unit="alerts/s",
        floor_is=f"{NOOP} that reads the body",
    )
    yield Row(
        case="SQLite: resident memory after all that",
        command=COMMAND,
        measured=resident / 1e6,
        unit="MB",
        aim=at_most(RSS_MB_AIM),
    )
    yield Row(
        case="4 KB written and fsync, one after the other, on the file system of the database",
        command=COMMAND,
        measured=statistics.median(writes) * 1e3,
        unit="ms",
        note=f"{told(len(writes) / sum(writes))} a second",
    )


def written(file: Path) -> list[float]:
    """Seconds of each write at the end of a file and its fsync, as a commit of SQLite is written to its log."""
    took = []
    with file.open("ab", buffering=0) as appended:
        for _ in range(WRITES):
            began = time.perf_counter()
            appended.write(os.urandom(WRITTEN_BYTES))
            os.fsync(appended.fileno())
            took.append(time.perf_counter() - began)
    return took


def beside_noop(
    case: str,
    command: str,
    loads: list[Loaded],
    floors: list[Loaded],
    aim: Aim,
    *,
    each: int = 1,
    unit: str = "requests/s",
    floor_is: str = NOOP,
) -> Row:
    """`each`: how many of the unit a request is."""
    rate, floor = (each * statistics.median(one.rate for one in of) for of in (loads, floors))
    return Row(
        case=case,
        command=command,
        measured=rate,
        unit=unit,
        beside=floor_is,
        beside_measured=floor,
        ratio=rate / floor,
        aim=aim,
        shortest=shortest(loads + floors),
    )


def latencies(case: str, command: str, loads: list[Loaded], aim: float) -> Iterator[Row]:
    quantiles = statistics.quantiles([seconds for one in loads for seconds in one.took], n=100)
    for which, its_aim in ((50, None), (99, at_most(aim))):
        yield Row(
            case=f"{case}, p{which}",
            command=command,
            measured=quantiles[which - 1] * 1e3,
            unit="ms",
            aim=its_aim,
            shortest=shortest(loads),
        )


if __name__ == "__main__":
    show(parser(), rows)
