"""The load: what is sent, and the process that sends it over 32 kept-open connections and times every answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
SAMPLE = (MAPPINGS / "samples" / "elastic-powershell.json").read_bytes()
SECRET = b"the secret of the benchmark"
CONNECTIONS = 32
ALERT_BYTES = 4_096
ALERTS_PER_BATCH = 100
SMALL_ALERT_BYTES = 1_024  # and those of a batch
REPEATED = 100  # problems that repeats are of
CHANCE = random.Random(1)
WORDS = ["".join(CHANCE.choices("abcdefghijklmnopqrstuvwxyz./-", k=CHANCE.randint(2, 12))) for _ in range(400)]
PROSE = " ".join(CHANCE.choices(WORDS, k=20_000))
WAIT_SECONDS_MAX = 30  # for any answer
LOAD_SECONDS_MAX = 300


class Loaded(NamedTuple):
    seconds: float
    # Seconds of every request that was accepted.
    took: list[float]
    # Answers other than 2xx.
    refused: int

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return len(self.took) / self.seconds


def shortest(loads: Iterable[Loaded]) -> float:
    """Seconds."""
    return min(one.seconds for one in loads)


def run_load(ports: Sequence[int], kind: str, count: int, mark: str, *, may_refuse: bool = False) -> Loaded:
    """From a process of its own: making load does not take the server's interpreter. The ports have an equal share."""
    command = [sys.executable, __file__, ",".join(map(str, ports)), kind, str(count), mark]
    loaded = Loaded(*json.loads(told(command)))
    assert may_refuse or not loaded.refused, f"{loaded.refused} of {count} were refused"
    return loaded


def told(command: list[str]) -> bytes:
    """By a process that makes load. Raises SystemExit with its last words."""
    done = subprocess.run(command, check=False, capture_output=True, timeout=LOAD_SECONDS_MAX)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        raise SystemExit(f"the load could not be sent: {words[-1]}")
    return done.stdout


def main() -> None:
    ports, kind, count, mark = sys.argv[1:]
    requests = [KINDS[kind](number, mark) for number in range(int(count))]
    print(json.dumps(load([int(port) for port in ports.split(",")], requests)))


# --- how it is sent


def load(ports: Sequence[int], requests: list[bytes]) -> Loaded:
    waiting = iter(requests)
    took: list[float] = []
    refused = 0
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
        connection = socket.create_connection(("127.0.0.1", ports[number % len(ports)]), timeout=WAIT_SECONDS_MAX)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        send_next(connection)
    while selector.get_map():
        ready = selector.select(WAIT_SECONDS_MAX)
        assert ready, f"no answer within {WAIT_SECONDS_MAX} s"
        for answered, _ in ready:
            answering, state = answered.fileobj, answered.data
            assert isinstance(answering, socket.socket)
            some = answering.recv(1 << 17)
            assert some, "the server closed the connection"
            state[1] += some
            if complete(state[1]):
                if state[1].startswith(b"HTTP/1.1 2"):
                    took.append(time.perf_counter() - state[0])
                else:
                    refused += 1
                send_next(answering)
    return Loaded(time.perf_counter() - began, took, refused)


def complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return len(body) >= int(length)


# --- what is sent


def key(kind: str, number: int, mark: str) -> str:
    """Names the problem that an alert is of: its own; one of a hundred; or that of as many as there are connections."""
    keys = {
        "unique": f"{mark}-{number}",
        "repeat": f"repeat-{number % REPEATED}",
        "race": f"{mark}-{number // CONNECTIONS}",
    }
    return keys[kind]


def alert(name: str, host: str, size: int) -> dict[str, Any]:
    base: dict[str, Any] = json.loads(SAMPLE)
    base["kibana.alert.uuid"] = name
    base["host"] = {"hostname": f"host-{host}"}
    base["message"] = prose(max(0, size - len(json.dumps(base)) - 14))
    return base


def single(kind: str, number: int, mark: str) -> bytes:
    return signed(json.dumps(alert(f"{mark}-{number}", key(kind, number, mark), ALERT_BYTES)).encode())


def small(number: int, mark: str) -> bytes:
    name = f"{mark}-{number}"
    return signed(json.dumps(alert(name, name, SMALL_ALERT_BYTES)).encode())


def batch(number: int, mark: str) -> bytes:
    names = [f"{mark}-{number * ALERTS_PER_BATCH + n}" for n in range(ALERTS_PER_BATCH)]
    return signed(json.dumps({"alerts": [alert(name, name, SMALL_ALERT_BYTES) for name in names]}).encode())


def signed(body: bytes) -> bytes:
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return post("/hooks/bench", body, f"X-Hub-Signature-256: sha256={signature}\r\n")


def alerta(kind: str, number: int, mark: str) -> bytes:
    """One alert as alerta's own API takes it. Its name is in the text: what it tells apart is resource and event."""
    base = {
        "resource": f"host-{key(kind, number, mark)}",
        "event": "SuspiciousPowerShell",
        "environment": "Production",
        "severity": "critical",
        "service": ["Detection"],
        "origin": "bench",
        "text": f"{mark}-{number}",
    }
    return post("/alert", filled(base, base, "rawData"))


def alertmanager(number: int, mark: str) -> bytes:
    annotations = {"summary": f"{mark}-{number}"}
    labels = {"alertname": "SuspiciousPowerShell", "instance": f"host-{mark}-{number}", "severity": "critical"}
    return post("/api/v2/alerts", filled([{"labels": labels, "annotations": annotations}], annotations, "description"))


def filled(document: object, inside: dict[str, Any], name: str) -> bytes:
    """The document, of 4 KB by what is added inside it."""
    inside[name] = ""
    inside[name] = prose(ALERT_BYTES - len(json.dumps(document)))
    return json.dumps(document).encode()


def prose(size: int) -> str:
    """Never the same, and it can be compressed as little as what alerts say: a database would make nothing of `xxx`."""
    begin = CHANCE.randrange(len(PROSE) - size)
    return PROSE[begin : begin + size]


def post(path: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


KINDS: Mapping[str, Callable[[int, str], bytes]] = {
    **{kind: partial(single, kind) for kind in ("unique", "repeat", "race")},
    **{f"alerta-{kind}": partial(alerta, kind) for kind in ("unique", "repeat", "race")},
    "small": small,
    "batch": batch,
    "alertmanager": alertmanager,
}


if __name__ == "__main__":
    main()
