"""How fast intake is, as a ratio to a Flask view that does nothing, under the same server in the same run.

    python tests/bench/bench_intake.py [--requests N] [--rounds N]

Both are served by gunicorn with one process and 32 threads; the load comes over 32 kept-open connections from a process
of its own. Every alert is 4 KB, signed, and a problem of its own. SQLite on a disk: every answer waited for its fsync.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

if TYPE_CHECKING:
    from bridge.store.engine import Store

HERE = Path(__file__).resolve().parent
MAPPINGS = HERE.parent.parent / "mappings"
SECRET = b"the secret of the benchmark"
CONNECTIONS = THREADS = 32
ALERT_BYTES = 4_096
ALERTS_PER_BATCH = 100
BATCH_ALERT_BYTES = 1_024
RATIO_AIM, P99_MS_AIM, BATCH_AIM, RSS_MB_AIM = 0.6, 50, 12_000, 150


# --- what is served


def noop_app() -> Flask:
    app = Flask("noop")

    @app.post("/hooks/<source>")
    def receive(source: str) -> Response:
        return Response(b"{}", content_type="application/json")

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


@contextlib.contextmanager
def served(factory: str, database: str) -> Iterator[tuple[int, int]]:
    """(port, process id of the worker). `factory`: of this module, or module:name of another one here."""
    app = factory if ":" in factory else f"bench_intake:{factory}"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        command = [sys.executable, "-m", "gunicorn", f"{app}()", "--chdir", str(HERE)]
        command += [
            "--worker-class",
            "bridge.web.arrivals.Worker",
            "--workers",
            "1",
            "--threads",
            str(THREADS),
            "--log-level",
            "error",
        ]
        command += ["--keep-alive", "60", "--bind", f"fd://{listener.fileno()}", "--no-control-socket"]
        process = subprocess.Popen(
            command, pass_fds=[listener.fileno()], env={**os.environ, "BENCH_DATABASE": database}
        )
        try:
            port = listener.getsockname()[1]
            load([port], [request(0, "warm")])
            yield port, worker_of(process.pid)
        finally:
            process.terminate()
            process.wait(20)


def worker_of(master: int) -> int:
    """gunicorn's one worker process."""
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- what is sent


def alert(number: int, mark: str, size: int) -> dict[str, Any]:
    base: dict[str, Any] = json.loads((MAPPINGS / "samples" / "elastic-powershell.json").read_text())
    base["kibana.alert.uuid"] = f"{mark}-{number}"
    base["host"] = {"hostname": f"host-{mark}-{number}"}
    base["message"] = "x" * max(0, size - len(json.dumps(base)) - 14)
    return base


def request(number: int, mark: str) -> bytes:
    return _signed(json.dumps(alert(number, mark, ALERT_BYTES)).encode())


def batch_request(number: int, mark: str) -> bytes:
    alerts = [alert(number * ALERTS_PER_BATCH + n, mark, BATCH_ALERT_BYTES) for n in range(ALERTS_PER_BATCH)]
    return _signed(json.dumps({"alerts": alerts}).encode())


def _signed(body: bytes) -> bytes:
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    head = (
        f"POST /hooks/bench HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load(ports: Sequence[int], requests: list[bytes]) -> tuple[float, list[float]]:
    """(seconds, seconds of every request). Every answer must be a 200. The ports have an equal share."""
    waiting = iter(requests)
    took: list[float] = []
    selector = selectors.DefaultSelector()
    began = time.perf_counter()

    def send_next(connection: socket.socket) -> None:
        if (one := next(waiting, None)) is None:
            selector.unregister(connection)
            connection.close()
        else:
            selector.modify(connection, selectors.EVENT_READ, [time.perf_counter(), b""])
            connection.sendall(one)

    for number in range(min(CONNECTIONS, len(requests))):
        connection = socket.create_connection(("127.0.0.1", ports[number % len(ports)]), timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        send_next(connection)
    while selector.get_map():
        for key, _ in selector.select(30):
            answering, state = key.fileobj, key.data
            assert isinstance(answering, socket.socket)
            state[1] += answering.recv(1 << 17)
            if _is_complete(state[1]):
                took.append(time.perf_counter() - state[0])
                send_next(answering)
    return time.perf_counter() - began, took


def _is_complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        assert answer, "the server closed the connection"
        return False
    assert head.startswith(b"HTTP/1.1 200"), answer[:500]
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return len(body) >= int(length)


def run_load(ports: Sequence[int], kind: str, count: int, mark: str) -> tuple[float, list[float]]:
    """From a process of its own, so that making load does not take the server's interpreter."""
    command = [sys.executable, __file__, "--load", ",".join(map(str, ports)), kind, str(count), mark]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)
    return answer["seconds"], answer["took"]


# --- the story


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        ports, kind, count, mark = arguments.load
        make = {"single": request, "batch": batch_request}[kind]
        seconds, took = load(
            [int(port) for port in ports.split(",")], [make(number, mark) for number in range(int(count))]
        )
        print(json.dumps({"seconds": seconds, "took": took}))
        return
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        compare(f"sqlite:///{folder}/bench.db", arguments)


def compare(database: str, arguments: argparse.Namespace) -> None:
    noop_rates, rates, took = [], [], []
    with served("noop_app", database) as (noop, _), served("bridge_app", database) as (bridge, worker):
        for turn in range(arguments.rounds):
            seconds, _ = run_load([noop], "single", arguments.requests, f"noop{turn}")
            noop_rates.append(arguments.requests / seconds)
            seconds, times = run_load([bridge], "single", arguments.requests, f"single{turn}")
            rates.append(arguments.requests / seconds)
            took += times
        seconds, _ = run_load([bridge], "batch", arguments.batches, "batch")
        resident = resident_bytes(worker)
    ratio = statistics.median(rates) / statistics.median(noop_rates)
    quantiles = statistics.quantiles(took, n=100)
    alerts_per_second = arguments.batches * ALERTS_PER_BATCH / seconds
    print(f"no-op Flask view       {statistics.median(noop_rates):8.0f} requests/s")
    print(f"intake of 4 KB alerts  {statistics.median(rates):8.0f} requests/s")
    print(f"ratio                  {ratio:8.2f}            aim {RATIO_AIM}")
    print(f"p50, p99               {quantiles[49] * 1e3:5.1f}, {quantiles[98] * 1e3:.1f} ms     aim {P99_MS_AIM} ms")
    print(f"batches of {ALERTS_PER_BATCH} alerts  {alerts_per_second:9.0f} alerts/s    aim {BATCH_AIM}")
    print(f"resident memory        {resident / 1e6:8.0f} MB          aim {RSS_MB_AIM}")


if __name__ == "__main__":
    main()
