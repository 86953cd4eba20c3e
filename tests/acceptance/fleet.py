"""All processes of one database, and senders that each know two of the intakes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
from machine import WAIT_SECONDS_MAX, Machine, answers, direct, free_url
from sqlalchemy import func, or_, select, update

from bridge.store.engine import open_store
from bridge.store.tables import correlations, incidents
from bridge.wiring import utc_now

SOURCES = "  try: {mapping: try, envelope: cloudevents, auth: {scheme: bearer, secret: {file: var/try.secret}}}\n"
SECRET = "canary-of-the-senders"
HEADERS = {"Authorization": f"Bearer {SECRET}"}
SENDERS = 4
PAUSE_SECONDS = 0.05
START_SECONDS_MAX = 300.0  # on a machine that has much else to do


class Fleet(Machine):
    """Processes are named by what they are: intake-1, worker-2; and "serve", which is both."""

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(folder, SOURCES, database=database)
        (secret := folder / "var/try.secret").touch(mode=0o600)
        secret.write_text(SECRET)
        self._urls: dict[str, str] = {}
        self.store = open_store(database, utc_now, pool_size=2)

    def url_of(self, name: str) -> str:
        return self._urls.setdefault(name, free_url())

    def start(self, *names: str) -> None:
        """All at once; returns when all are ready."""
        self.begin(*names)
        for name in names:
            self.wait_for(lambda name=name: answers(f"{self.url_of(name)}/readyz"), seconds=START_SECONDS_MAX)  # type: ignore[misc]

    def begin(self, *names: str) -> None:
        for name in names:
            role = {"worker": ("worker",), "intake": ("serve", "--role", "intake"), "serve": ("serve",)}
            bind = self.url_of(name).removeprefix("http://")
            self._start(name, *role[name.partition("-")[0]], "--config", str(self.config), "--bind", bind)

    def stop_all(self, *names: str) -> None:
        """Told at once; each must end in order."""
        for name in names:
            os.kill(self.pid(name), signal.SIGTERM)
        for name in names:
            assert self.exit_status(name) == 0, self.logs()

    def only_child(self, name: str) -> int:
        """The process in which the work is done."""
        (child,) = self.children(name)
        return child

    def children(self, name: str) -> list[int]:
        pid = self.pid(name)
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def wait_until_in_step(self) -> None:
        """Every correlation is open in ServiceNow, and all its alerts are settled."""
        behind = or_(
            ~correlations.c.open,
            correlations.c.applied_seq < correlations.c.last_seq,
            correlations.c.failure.is_not(None),
        )
        query = select(func.count()).where(behind)

        def in_step() -> bool:
            with self.store.reading() as tx:
                return tx.execute(query).scalar() == 0

        self.wait_for(in_step)

    def leased(self) -> int:
        with self.store.reading() as tx:
            return int(tx.execute(select(func.count()).where(incidents.c.lease_until.is_not(None))).scalar_one())

    def let_leases_run_out(self) -> None:
        """As if two minutes had gone by: whoever was killed holds nothing any more."""
        with self.store.transaction() as tx:
            held = update(incidents).where(incidents.c.lease_until.is_not(None))
            tx.execute(held.values(lease_until=self.store.now(tx)))

    def close(self) -> None:
        super().close()
        self.store.close()


class Sender(threading.Thread):
    """Posts alerts to its intake; where no connection comes about, or it is cut, it turns to the other one.

    What else happens is an error that a sender sees, and is kept.
    """

    def __init__(self, urls: Sequence[str], bodies: Iterator[bytes], enough: threading.Event) -> None:
        super().__init__(daemon=True)
        self.accepted: list[str] = []  # ids of alerts, as answered
        self.errors: list[str] = []
        self._urls = itertools.cycle(urls)
        self._url = next(self._urls)
        self._bodies = bodies
        self._enough = enough

    def run(self) -> None:
        with direct() as http:
            while not self._enough.wait(PAUSE_SECONDS):
                body = next(self._bodies)
                while not self._sent(http, body):
                    time.sleep(PAUSE_SECONDS)

    def _sent(self, http: requests.Session, body: bytes) -> bool:
        try:
            answer = http.post(f"{self._url}/hooks/try", body, timeout=10, headers={**HEADERS, "Connection": "close"})
        except requests.ConnectionError:
            self._url = next(self._urls)
            return False
        if answer.status_code != 200:
            self.errors.append(f"{answer.status_code} {answer.text}")
            return False
        self.accepted += [alert["alert"] for alert in answer.json()["alerts"]]
        return True


class Load:
    """Alerts of so many problems, one after the other, by several senders, until it is enough."""

    def __init__(self, fleet: Fleet, word: str, *, problems: int) -> None:
        self.ids = {f"try:{word} {number}:web-01" for number in range(problems)}
        self._enough = threading.Event()
        urls = [fleet.url_of("intake-1"), fleet.url_of("intake-2")]
        self._senders = [
            Sender(urls if n % 2 else urls[::-1], _bodies(word, problems, first=n), self._enough)
            for n in range(SENDERS)
        ]
        for sender in self._senders:
            sender.start()

    @property
    def accepted(self) -> list[str]:
        return [name for sender in self._senders for name in list(sender.accepted)]

    @property
    def errors(self) -> list[str]:
        return [error for sender in self._senders for error in list(sender.errors)]

    def end(self) -> None:
        """Whatever was begun is sent."""
        self._enough.set()
        for sender in self._senders:
            sender.join(WAIT_SECONDS_MAX)
            assert not sender.is_alive()


def _bodies(word: str, problems: int, *, first: int) -> Iterator[bytes]:
    for number in itertools.count(first, SENDERS):
        rule, message = f"{word} {number % problems}", f"alert {number}"
        text = {"rule": rule, "host": "web-01", "severity": "high", "status": "firing", "message": message}
        yield json.dumps(text).encode()
