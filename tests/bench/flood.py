"""More than can be taken: deliveries at a fixed rate, whether answers come or not, from a process of its own.

Each goes out when it is due, on a connection that waits for no answer, or on a new one. Bounded in count, connections
and time: where all connections wait it is not sent, and what is not answered in PATIENCE_SECONDS is given up.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from loads import WAIT_SECONDS_MAX, complete, single, told

# More than come while a sender is patient: all that is offered is sent, also what waits in front of gunicorn's 1,000.
CONNECTIONS_MAX = 14_000
FILES_BESIDE = 100  # open files that are none of them
PATIENCE_SECONDS = 10.0  # of a sender
SECONDS_HEADER = b"x-seconds:"  # in the app
STORING_HEADER = b"x-storing:"  # of these, those of the transaction that stored it


@dataclass(slots=True)
class Flooded:
    offered: int
    sending: float = 0.0  # seconds until the last was due, and sent where it could be
    seconds: float = 0.0  # from the first that was due to the last answer
    unsent: int = 0  # no connection was free
    given_up: int = 0
    refused: int = 0  # 503
    broken: int = 0  # the connection was closed, or refused
    others: dict[str, int] = field(default_factory=dict)  # any other answer: its first line
    # Of each that was answered 200: its id; seconds in the app, in its transaction, and from when it was due.
    accepted: list[str] = field(default_factory=list)
    in_app: list[float] = field(default_factory=list)
    storing: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)


def run_flood(ports: Sequence[int], count: int, rate: float, mark: str) -> Flooded:
    """So many deliveries, so many a second; the ports have an equal share of them."""
    command = [sys.executable, __file__, ",".join(map(str, ports)), str(count), str(rate), mark]
    return Flooded(**json.loads(told(command)))


def main() -> None:
    ports, count, rate, mark = sys.argv[1:]
    requests = [single("unique", number, mark) for number in range(int(count))]
    found = Flood([int(port) for port in ports.split(",")], float(rate), connections_allowed()).run(requests)
    print(json.dumps(asdict(found)))


def connections_allowed() -> int:
    """A process begins with 1,024 open files, as a rule, and may ask for more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = CONNECTIONS_MAX + FILES_BESIDE
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files - FILES_BESIDE


@dataclass(slots=True, eq=False)
class Line:
    """A connection, and the delivery that is on it."""

    socket: socket.socket
    due: float = 0.0
    unsent: memoryview = field(default_factory=partial(memoryview, b""))
    answer: bytes = b""


class Flood:
    def __init__(self, ports: Sequence[int], rate: float, connections_max: int) -> None:
        self._ports, self._rate, self._connections_max = ports, rate, connections_max
        self._selector = selectors.DefaultSelector()
        self._free: dict[int, deque[Line]] = {port: deque() for port in ports}
        self._open = 0
        self._waiting: dict[Line, int] = {}  # the oldest first -> its port
        self._heard_at = 0.0
        self._found = Flooded(0)

    def run(self, requests: Sequence[bytes]) -> Flooded:
        self._found.offered = len(requests)
        began, sent = time.perf_counter(), 0
        until = began + len(requests) / self._rate + WAIT_SECONDS_MAX
        while (sent < len(requests) or self._waiting) and (now := time.perf_counter()) < until:
            while sent < min(len(requests), int((now - began) * self._rate)):
                self._send(requests[sent], self._ports[sent % len(self._ports)], began + sent / self._rate)
                sent += 1
                self._found.sending = time.perf_counter() - began
            for key, events in self._selector.select(1 / self._rate):
                self._meet(key.data, events)
            self._give_up(time.perf_counter())
        self._found.seconds = self._heard_at - began
        return self._found

    def _send(self, request: bytes, port: int, due: float) -> None:
        if self._free[port]:
            line = self._free[port].popleft()
        elif self._open < self._connections_max:
            line = Line(socket.socket())
            line.socket.setblocking(False)
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.socket.connect_ex(("127.0.0.1", port))
            self._open += 1
        else:
            self._found.unsent += 1
            return
        line.due, line.unsent, line.answer = due, memoryview(request), b""
        self._waiting[line] = port
        self._selector.register(line.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, line)

    def _meet(self, line: Line, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                line.unsent = line.unsent[line.socket.send(line.unsent) :]
                if not line.unsent:
                    self._selector.modify(line.socket, selectors.EVENT_READ, line)
            if events & selectors.EVENT_READ:
                some = line.socket.recv(1 << 16)
                line.answer += some
                if complete(line.answer):
                    self._heard(line)
                elif not some:
                    self._drop(line, "broken")
        except BlockingIOError:
            pass
        except OSError:
            self._drop(line, "broken")

    def _heard(self, line: Line) -> None:
        self._heard_at = time.perf_counter()
        head, _, body = line.answer.partition(b"\r\n\r\n")
        first, head = head.partition(b"\r\n")[0].decode(), head.lower()
        if first.startswith("HTTP/1.1 200"):
            self._found.accepted.append(json.loads(body)["delivery"])
            self._found.in_app.append(seconds(head, SECONDS_HEADER))
            self._found.storing.append(seconds(head, STORING_HEADER))
            self._found.took.append(self._heard_at - line.due)
        elif first.startswith("HTTP/1.1 503"):
            self._found.refused += 1
        else:
            self._found.others = dict(Counter(self._found.others) + Counter([first]))
        if b"\r\nconnection: close" in head:
            self._close(line)
        else:
            self._selector.unregister(line.socket)
            self._free[self._waiting.pop(line)].append(line)

    def _give_up(self, now: float) -> None:
        while self._waiting and now - next(iter(self._waiting)).due > PATIENCE_SECONDS:
            self._drop(next(iter(self._waiting)), "given_up")

    def _drop(self, line: Line, why: str) -> None:
        setattr(self._found, why, getattr(self._found, why) + 1)
        self._close(line)

    def _close(self, line: Line) -> None:
        self._selector.unregister(line.socket)
        line.socket.close()
        del self._waiting[line]
        self._open -= 1


def seconds(head: bytes, header: bytes) -> float:
    return float(head.partition(header)[2].partition(b"\r\n")[0])


if __name__ == "__main__":
    main()
