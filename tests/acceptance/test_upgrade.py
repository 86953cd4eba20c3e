"""A newer version upgrades the schema while an intake and a worker of this one serve under load."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from alembic.script import ScriptDirectory
from endurance import judged
from fleet import HEADERS, Fleet
from machine import WAIT_SECONDS_MAX, direct
from postgres import Postgres, postgres

from bridge.store.schema import MIGRATIONS

SENDERS = 8
PAUSE_SECONDS = 0.4  # of each: together, a delivery every 50 ms
ALERTS_PER_PROBLEM = 5  # then another comes up
REFUSED_SECONDS_MAX = 2.0  # what is promised to a sender
KEY = 1  # of an advisory lock: while the test has it, the migration does not end
NEWER = """\
import sqlalchemy as sa
from alembic import op

revision = "newer"
down_revision = "{head}"


def upgrade():
    op.add_column("alerts", sa.Column("newer", sa.Text()))
    op.execute("SELECT pg_sleep(3)")  # as an index of a large table
    op.create_index("correlations_newer", "correlations", ["first_seen"])
    op.execute("DO $$BEGIN WHILE NOT pg_try_advisory_xact_lock({key}) LOOP PERFORM pg_sleep(0.02); END LOOP; END$$")
"""
UPGRADE = """\
import sys
from pathlib import Path
from bridge.cli import main
from bridge.store import schema

schema.MIGRATIONS = Path(sys.argv[1])
sys.exit(main(["db", "upgrade", "--config", sys.argv[2]]))
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int  # 0: no answer, the connection was cut
    retry_after: str | None
    seconds: float


class Load:
    """Good senders: they wait as long as they are told, and send the same again."""

    def __init__(self, url: str) -> None:
        self.accepted: list[str] = []  # ids of alerts, as answered
        self.refused: list[Refusal] = []
        self.problems: set[str] = set()
        self.sent = 0
        self._url = url
        self._numbers = itertools.count()
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Whatever was begun is sent."""
        self._enough.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS_MAX)
            assert not thread.is_alive()
        self.sent = next(self._numbers)

    def _run(self) -> None:
        with direct() as http:
            while not self._enough.wait(PAUSE_SECONDS):
                number = next(self._numbers)
                rule = f"Rule {number // ALERTS_PER_PROBLEM}"
                self.problems.add(f"try:{rule}:web-01")
                text = {"rule": rule, "host": "web-01", "severity": "high", "status": "firing", "message": str(number)}
                while (refusal := self._refused(http, json.dumps(text).encode())) is not None:
                    self.refused.append(refusal)
                    time.sleep(float(refusal.retry_after or PAUSE_SECONDS))

    def _refused(self, http: requests.Session, body: bytes) -> Refusal | None:
        began = time.monotonic()
        try:
            answer = http.post(f"{self._url}/hooks/try", body, timeout=10, headers={**HEADERS, "Connection": "close"})
        except requests.ConnectionError:
            return Refusal(0, None, time.monotonic() - began)
        if answer.status_code != 200:
            return Refusal(answer.status_code, answer.headers.get("Retry-After"), time.monotonic() - began)
        self.accepted += [alert["alert"] for alert in answer.json()["alerts"]]
        return None


class Upgrade:
    """`bridge db upgrade` of a version that has one migration more."""

    def __init__(self, database: str, config: Path, migrations: Path) -> None:
        shutil.copytree(MIGRATIONS, migrations)
        head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
        (migrations / "versions/newer.py").write_text(NEWER.format(head=head, key=KEY))
        self._session = psycopg.connect(database, autocommit=True)
        self._session.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        line = [sys.executable, "-c", UPGRADE, str(migrations), str(config)]
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self) -> None:
        """It may end, and does."""
        self._session.execute("SELECT pg_advisory_unlock(%s)", (KEY,))
        told, _ = self._process.communicate(timeout=WAIT_SECONDS_MAX)
        assert (self._process.returncode, told) == (0, "The schema is up to date.\n")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._session.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Postgres]:
    with postgres(tmp_path / "data") as server:
        yield server


@pytest.fixture
def fleet(database: Postgres, tmp_path: Path) -> Iterator[Fleet]:
    with closing(Fleet(tmp_path / "bridge", database.url)) as running:
        running.start_simulator()
        running.start("intake-1", "worker-1")
        yield running


def readiness(fleet: Fleet, name: str) -> tuple[int, dict[str, Any]]:
    """(status, the problems by their names)."""
    with direct() as http:
        answer = http.get(f"{fleet.url_of(name)}/readyz", timeout=10)
    return answer.status_code, {problem["name"]: problem["problem"] for problem in answer.json()["problems"]}


def test_a_newer_version_upgrades_the_schema_while_processes_serve_and_they_go_on(fleet: Fleet, tmp_path: Path) -> None:
    """Senders are told 503 meanwhile and nothing else; afterwards all goes on, also a process that dies then."""
    load = Load(fleet.url_of("intake-1"))

    def others_are_accepted_and_made() -> None:
        """20 more alerts, and a problem that came up among them has its incident."""
        many, known = len(load.accepted), set(load.problems)
        fleet.wait_for(lambda: len(load.accepted) >= many + 20)
        fleet.wait_for(lambda: not known.issuperset(row["correlation_id"] for row in fleet.records()))

    others_are_accepted_and_made()
    with closing(Upgrade(fleet.database, fleet.config, tmp_path / "newer")) as upgrade:
        fleet.wait_for(lambda: len(load.refused) >= 2 * SENDERS)  # those of the first wait, those after that at once
        meanwhile = readiness(fleet, "intake-1")
        upgrade.finish()
    others_are_accepted_and_made()
    told = list(load.refused)
    afterwards = [readiness(fleet, name) for name in ("intake-1", "worker-1")]
    for name in ("intake-1", "worker-1"):
        os.kill(fleet.only_child(name), signal.SIGKILL)  # its master, which is of the old version, makes another
    others_are_accepted_and_made()
    load.end()
    fleet.let_leases_run_out()
    fleet.wait_until_in_step()

    assert {(one.status, one.retry_after) for one in told} == {(503, "2")}
    assert max(one.seconds for one in told) <= REFUSED_SECONDS_MAX
    assert meanwhile[0] == 503
    for status, problems in afterwards:
        assert (status, list(problems)) == (200, ["schema"])
        assert "a newer version of the bridge has upgraded the database (schema newer)" in problems["schema"]
    assert judged(fleet, fleet.store, load.accepted, load.sent) == ""
    carried = Counter(row["correlation_id"] for row in fleet.records())
    assert carried == dict.fromkeys(load.problems, 1)
