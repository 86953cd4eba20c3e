"""Intake while its PostgreSQL is away, and after it is back: how long senders wait for their 503, and for the next 200.

    python tests/bench/bench_failover.py [--rounds N] [--away SECONDS]

Two intakes, each with a sender that posts one delivery after the other and never gives up. The server is stopped,
hangs, is read-only; in the end a synchronous standby is promoted in its place. Told is the worst of all rounds and
senders, for that is what is promised. What was answered 2xx must be stored.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

import requests
from fleet import HEADERS, Fleet
from machine import direct
from postgres import Postgres, postgres, standby
from row import Row, at_most, show
from sqlalchemy import select

from bridge.store.tables import alerts

COMMAND = Path(__file__).name
INTAKES = ("intake-1", "intake-2")
SETTLED_SECONDS = 0.5
PAUSE_SECONDS = 0.02  # of a sender, between two tries
WAIT_SECONDS_MAX = 60.0
REFUSED_AIM, BACK_AIM = 2.0, 5.0
READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
WRITABLE = "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"

Disturb = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Answered:
    status: int  # 0: none came
    began: float
    ended: float


@dataclass(slots=True)
class Sender:
    url: str
    name: str
    answers: list[Answered] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)  # ids of alerts, as the answers have them
    over: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def run(self) -> None:
        number = 0
        with direct() as http:
            while not self.over.wait(PAUSE_SECONDS):
                text = {"rule": "Failover", "host": self.name, "severity": "high", "status": "firing"}
                text |= {"message": f"{number}", "source": self.name, "id": f"{number}"}
                began = time.monotonic()
                status = 0
                with contextlib.suppress(requests.RequestException):
                    answer = http.post(f"{self.url}/hooks/try", json.dumps(text).encode(), headers=HEADERS, timeout=30)
                    status = answer.status_code
                    if status == 200:
                        self.accepted += [one["alert"] for one in answer.json()["alerts"]]
                        number += 1  # until then it is the same one
                self.answers.append(Answered(status, began, time.monotonic()))

    def back_after(self, moment: float) -> float:
        """Seconds from then until the first 200 that was asked for afterwards."""
        until = moment + WAIT_SECONDS_MAX
        while True:
            for one in list(self.answers):
                if one.status == 200 and one.began >= moment:
                    return one.ended - moment
            if time.monotonic() > until:
                raise SystemExit(f"{self.name} answers no 200 {WAIT_SECONDS_MAX:.0f} s after its database is back")
            time.sleep(PAUSE_SECONDS)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--rounds", type=int, default=3, help="of each way to be away")
    made.add_argument("--away", type=float, default=3.0, help="seconds: more than what is promised until a 503")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path(__file__).parent)))
        primary = stack.enter_context(postgres(folder / "one"))
        other = stack.enter_context(standby(primary, folder / "two"))
        database = f"postgresql://postgres@/postgres?host={primary.socket}&host={other.socket}"
        fleet = stack.enter_context(contextlib.closing(Fleet(folder / "bridge", database)))
        fleet.start(*INTAKES)
        senders = stack.enter_context(sending(fleet))
        for name, (go, come) in ways(primary).items():
            found = [away(senders, go, come, arguments.away) for _ in range(arguments.rounds)]
            yield from told(f"PostgreSQL {name}", found)
        yield from told(
            "PostgreSQL gone, its standby promoted", [away(senders, primary.stop, other.promote, arguments.away)]
        )
        stop(senders)
        yield lost(fleet, senders)


def ways(primary: Postgres) -> dict[str, tuple[Disturb, Disturb]]:
    """How the server goes, and how it comes back."""
    return {
        "stopped": (primary.stop, primary.start),
        "hanging": (primary.pause, primary.resume),
        "read-only": (lambda: primary.order(*READ_ONLY), lambda: primary.order(*WRITABLE)),
    }


def away(senders: Sequence[Sender], go: Disturb, come: Disturb, seconds: float) -> tuple[float, float]:
    """The longest that a sender waited for an answer meanwhile; the longest from the server's return to a 200."""
    began = time.monotonic()
    go()
    time.sleep(seconds)
    ended = time.monotonic()
    come()
    back = max(sender.back_after(time.monotonic()) for sender in senders)
    time.sleep(SETTLED_SECONDS)
    # What was under way when it went counts from then.
    met = [one for sender in senders for one in sender.answers if one.began < ended and one.ended >= began]
    if unheard := [one for one in met if one.status not in (200, 503)]:
        raise SystemExit(f"answered {unheard[0].status}, and not 503")
    if not any(one.status == 503 for one in met):
        raise SystemExit("nobody was answered 503: the database was not away")
    # A 200 counts too: who was kept until the server was back had no 503 in time.
    return max(one.ended - max(one.began, began) for one in met), back


def told(case: str, found: Sequence[tuple[float, float]]) -> Iterator[Row]:
    refused, back = map(max, zip(*found, strict=True))
    for what, seconds, aim in (
        ("until a delivery is answered 503, at most", refused, REFUSED_AIM),
        ("from its return to the first 200, at most", back, BACK_AIM),
    ):
        yield Row(case=f"{case}: {what}", command=COMMAND, measured=seconds, unit="s", aim=at_most(aim))


def lost(fleet: Fleet, senders: Sequence[Sender]) -> Row:
    with fleet.store.reading() as tx:
        stored = {f"{row.delivery_id}-{row.position}" for row in tx.execute(select(alerts))}
    missing = {alert for sender in senders for alert in sender.accepted} - stored
    case = f"PostgreSQL away in all these ways: alerts lost of {sum(len(sender.accepted) for sender in senders):,}"
    return Row(case=case, command=COMMAND, measured=len(missing), unit="alerts", aim=at_most(0))


@contextlib.contextmanager
def sending(fleet: Fleet) -> Iterator[list[Sender]]:
    senders = [Sender(fleet.url_of(name), name) for name in INTAKES]
    for sender in senders:
        sender.thread = threading.Thread(target=sender.run, daemon=True)
        sender.thread.start()
    try:
        time.sleep(SETTLED_SECONDS)
        yield senders
    finally:
        stop(senders)


def stop(senders: Sequence[Sender]) -> None:
    """What was begun is sent."""
    for sender in senders:
        sender.over.set()
    for sender in senders:
        if sender.thread is not None:
            sender.thread.join()


if __name__ == "__main__":
    show(parser(), rows)
