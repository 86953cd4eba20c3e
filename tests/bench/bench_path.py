"""Where the processor time of one delivery goes, step by step, beside the same steps of a view that does nothing.

    python tests/bench/bench_path.py [--requests N]

Real servers, as in bench_intake, under its load. In both the functions that begin a step are wrapped, and each is
charged the time of its thread (`time.thread_time_ns`) less that of the steps inside it; waiting, for the disk, another
thread or a processor, is in none. What the process used beyond all steps is gunicorn's loop and pool, and
the wrapping itself: the totals of the same servers without it are told first.
"""

from __future__ import annotations

import argparse
import functools
import json
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import server
from flask import Flask
from gunicorn.http import wsgi
from gunicorn.http.parser import Parser
from gunicorn.workers.gthread import ThreadWorker
from loads import run_load
from row import Row, show
from server import App, Served, processor_seconds, served
from stores import stores

COMMAND = Path(__file__).name
WARM = 200  # deliveries before it is measured
REST = "the rest: gunicorn's loop and pool, and the measuring"
COMMIT = "writer: statements of a commit"
STEPS = "/steps"  # where the measured servers tell what they have measured


# --- what is served


class Clocks:
    """Nanoseconds of processor time and calls, by step, of all threads."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._spent: list[Counter[str]] = []  # of each thread

    def wrap(self, owner: Any, name: str, step: str) -> None:
        """Replace a function of a module or class by itself, timed."""
        setattr(owner, name, self.timed(getattr(owner, name), step))

    def timed(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*positional: Any, **named: Any) -> Any:
            inside = self._inside()
            inside.append(0)
            began = time.thread_time_ns()
            try:
                return function(*positional, **named)
            finally:
                spent = time.thread_time_ns() - began
                self._own.spent[step] += spent - inside.pop()
                self._own.spent[f"{step} #"] += 1
                if inside:
                    inside[-1] += spent

        return measured

    def told(self) -> dict[str, int]:
        return dict(sum((Counter(spent) for spent in self._spent), Counter()))

    def _inside(self) -> list[int]:
        if not hasattr(self._own, "inside"):
            self._own.inside, self._own.spent = [], Counter()
            self._spent.append(self._own.spent)
        inside: list[int] = self._own.inside
        return inside


def noop_steps() -> Flask:
    clocks = Clocks()
    _server_steps(clocks)
    return _told_of(server.noop_app(), clocks)


def bridge_steps() -> Flask:
    from bridge.metrics import Metrics
    from bridge.sources.auth.signed_body import BodySignature
    from bridge.store import prepare, writer
    from bridge.store.callers import Callers
    from bridge.web import hooks

    clocks = Clocks()
    _server_steps(clocks)
    for owner, name, step in (
        (hooks, "_prepare", "headers, the delivery put together"),
        (hooks, "_read", "body read"),
        (BodySignature, "verify", "HMAC"),
        (hooks, "unwrap", "unwrap"),
        (hooks, "fingerprint", "fingerprint"),
        (prepare, "decode", "JSON decoded"),
        (hooks, "map_content", "mapping"),
        (writer.Writer, "submit", "handed to the writer"),
        (writer.Writer, "_next_batch", "writer: batch taken"),
        (writer.Writer, "_store_batch", "writer: transaction, COMMIT, answers handed back"),
        (writer, "commit", COMMIT),
        (writer.Writer, "_observe", "writer: metrics"),
        (writer.Writer, "_gather", "writer: the next batch waited for"),
        (Metrics, "delivered", "metrics"),
        (Callers, "came", "callers"),
        (Callers, "wants_look", "callers"),
        (hooks, "_encoded", "answer encoded"),
    ):
        clocks.wrap(owner, name, step)
    return _told_of(server.bridge_app(), clocks)


def _server_steps(clocks: Clocks) -> None:
    """What both servers go through."""
    for owner, name, step in (
        (ThreadWorker, "on_client_socket_readable", "gunicorn: given to a thread"),
        (ThreadWorker, "handle", "gunicorn: connection"),
        (Parser, "__next__", "gunicorn: request parsed"),
        (wsgi, "create", "gunicorn: environ made"),
        (wsgi.Response, "start_response", "gunicorn: answer's head"),
        (wsgi.Response, "write", "gunicorn: answer sent"),
        (ThreadWorker, "finish_request", "gunicorn: connection kept"),
    ):
        clocks.wrap(owner, name, step)


def _told_of(app: Flask, clocks: Clocks) -> Flask:
    clocks.wrap(app, "wsgi_app", "what goes ahead of Flask, or Flask and its view")
    app.add_url_rule(STEPS, "steps", clocks.told)
    return app


# --- the story


class Spent(NamedTuple):
    total: float  # microseconds of the process for a delivery
    steps: dict[str, float]  # microseconds; and, by "step #", calls


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=6_000)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    with (
        stores("sqlite", 2) as (plain, stepped),
        served(
            *(App("bridge_app", plain), App("noop_app")),
            *(App("bench_path:bridge_steps", stepped), App("bench_path:noop_steps")),
        ) as apps,
    ):
        whole, whole_floor, bridge, floor = (spent_by(app, arguments.requests) for app in apps)
    yield row("all", whole.total, whole_floor.total, "")
    yield row("all, with each step measured: shares are of this", bridge.total, floor.total, "100%")
    steps = {name: figure for name, figure in bridge.steps.items() if not name.endswith(" #")}
    for name in sorted(steps, key=steps.__getitem__, reverse=True):
        yield row(name, steps[name], floor.steps.get(name), f"{steps[name] / bridge.total:.1%}")
    rest = bridge.total - sum(steps.values())
    floor_rest = floor.total - sum([figure for name, figure in floor.steps.items() if not name.endswith(" #")])
    yield row(REST, rest, floor_rest, f"{rest / bridge.total:.1%}")
    yield Row(
        case="Path of a delivery: deliveries a commit",
        command=COMMAND,
        measured=1e-3 / bridge.steps[f"{COMMIT} #"],
        unit="deliveries",
    )


def row(step: str, measured: float, floor: float | None, share: str) -> Row:
    return Row(
        case=f"Path of a delivery: {step}",
        command=COMMAND,
        measured=measured,
        unit="µs",
        beside="no-op Flask view" if floor is not None else "",
        beside_measured=floor,
        ratio=measured / floor if floor else None,
        note=share,
    )


def spent_by(app: Served, requests: int) -> Spent:
    port, pid = app
    run_load([port], "unique", WARM, "warm")
    before, steps = processor_seconds(pid), _steps(port)
    run_load([port], "unique", requests, "path")
    total = processor_seconds(pid) - before
    after = _steps(port)
    return Spent(total / requests * 1e6, {name: (after[name] - steps.get(name, 0)) / requests / 1e3 for name in after})


def _steps(port: int) -> dict[str, int]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{STEPS}") as answer:
            steps: dict[str, int] = json.loads(answer.read())
    except HTTPError:  # nothing is wrapped in this one
        return {}
    return steps


if __name__ == "__main__":
    show(parser(), rows)
