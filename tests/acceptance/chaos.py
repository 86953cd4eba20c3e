"""kill -9 at random under load: of the one process that serves SQLite, of two intakes and three workers of PostgreSQL.

    make chaos KILLS=1000 ENGINE=postgresql    until so many held at this commit, on that engine
    make chaos MINUTES=5                       for so long

The kills come in runs, each on a database of its own, that end in rest and judgement and append a row each to
docs/guarantees-runs.csv: what is broken off goes on where it was. What did not hold ends it, does not count, and its
folder is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endurance import PROCESSES, fleet_of, judged, load_on
from fleet import START_SECONDS_MAX, Fleet
from machine import answers
from simulation import runs
from sqlalchemy import func, select

from bridge.store.tables import intents

KILLS_PER_RUN = 100
PAUSE_SECONDS = 0.3  # of each sender: most of the machine is for starting what was killed
LATENCY_SECONDS = 0.1  # of ServiceNow: calls are under way when somebody dies
IN_FLIGHT_SECONDS_MAX = 2.0  # that a kill waits for one
START_SECONDS = 1.5  # within them, a process that starts is killed
DRAIN_SECONDS = 0.7  # within them, one that was told to stop
# What ServiceNow does meanwhile to one call of the next few. Late is within the window of doubt, which is 2 s here.
MISHAPS: tuple[dict[str, Any], ...] = (
    {"kind": "late_commit", "method": ["POST", "PATCH"], "seconds": 1},
    {"kind": "reset_after_commit", "method": ["POST", "PATCH"]},
    {"kind": "reset_before_commit", "method": ["POST", "PATCH"]},
    {"kind": "dropped", "method": ["POST", "PATCH"]},
    {"kind": "truncated"},
    {"kind": "server_error"},
)
SLOW = {"kind": "latency", "seconds": LATENCY_SECONDS, "times": "always"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    kills: int
    alerts: int
    incidents: int
    seconds: float
    problem: str  # "": nothing was lost, nothing is there twice

    def told(self) -> str:
        return (
            f"{self.kills} kills in {self.seconds:.0f} s, {self.alerts} alerts, {self.incidents} incidents: "
            f"{self.problem or 'no alert lost, no twin'}"
        )


def survive(engine: str, folder: Path, *, seed: int, enough: Callable[[int], bool]) -> Survived:
    """Load, and kills until it is `enough` of them; then rest and judgement."""
    with fleet_of(engine, folder) as fleet:
        load = load_on(fleet, engine, pause=PAUSE_SECONDS)
        load.start(seed)
        reaper = Reaper(fleet, PROCESSES[engine], random.Random(seed))
        began = time.monotonic()
        while not enough(reaper.kills):
            reaper.strike()
        load.stop()
        seconds = time.monotonic() - began
        fleet.faults(SLOW)
        fleet.let_leases_run_out()
        problem = judged(fleet, fleet.store, load.accepted, load.sent)
        return Survived(
            kills=reaper.kills,
            alerts=len(load.accepted),
            incidents=len(fleet.records()),
            seconds=seconds,
            problem=problem,
        )


class Reaper:
    def __init__(self, fleet: Fleet, names: tuple[str, ...], chance: random.Random) -> None:
        self.kills = 0
        self._fleet, self._names, self._chance = fleet, names, chance

    def strike(self) -> None:
        """One process, while a call is under way, in one of the ways in which one can die. It is back afterwards."""
        self._fleet.faults(SLOW, self._chance.choice(MISHAPS))
        name = self._chance.choice(self._names)
        ways = self._with_its_master, self._as_it_starts, self._as_it_ends, *[self._at_work] * 5
        self._wait_for_a_call()
        time.sleep(self._chance.uniform(0, 2 * LATENCY_SECONDS))
        self._chance.choice(ways)(name)
        self._fleet.wait_for(lambda: answers(f"{self._fleet.url_of(name)}/readyz"), seconds=START_SECONDS_MAX)
        if self._chance.random() < 0.5:
            self._fleet.let_leases_run_out()  # also of those that live: then two hold what one did

    def _at_work(self, name: str) -> None:
        """Its master makes another; which is killed as well, as it begins, one time in three."""
        for child in self._fleet.children(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                self.kills += 1
        if self._chance.random() < 1 / 3:
            time.sleep(self._chance.uniform(0, 0.3))
            for child in self._fleet.children(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    self.kills += 1

    def _with_its_master(self, name: str) -> None:
        self._kill(name)
        self._fleet.begin(name)

    def _as_it_starts(self, name: str) -> None:
        self._with_its_master(name)
        time.sleep(self._chance.uniform(0, START_SECONDS))
        self._with_its_master(name)

    def _as_it_ends(self, name: str) -> None:
        os.kill(self._fleet.pid(name), signal.SIGTERM)
        time.sleep(self._chance.uniform(0, DRAIN_SECONDS))
        self._with_its_master(name)

    def _kill(self, name: str) -> None:
        self.kills += self._fleet.lives(name)
        self._fleet.kill(name)

    def _wait_for_a_call(self) -> None:
        """A new one, of whoever lives: what the dead began is still in doubt."""
        newest = self._intent(func.max(intents.c.id)) or 0
        until = time.monotonic() + IN_FLIGHT_SECONDS_MAX
        while time.monotonic() < until:
            if self._intent(intents.c.id, intents.c.id > newest, intents.c.outcome.is_(None)) is not None:
                return
            time.sleep(0.02)

    def _intent(self, asked: Any, *where: Any) -> Any:
        with self._fleet.store.reading() as tx:
            return tx.execute(select(asked).where(*where).limit(1)).scalar()


def run(engine: str, enough: Callable[[int], bool], revision: str) -> int | None:
    """How many kills it survived; None: it did not hold."""
    folder = Path(tempfile.mkdtemp(prefix="chaos"))
    found = survive(engine, folder, seed=random.SystemRandom().randrange(1_000_000), enough=enough)
    print(found.told(), flush=True)
    runs.append("chaos", f"{engine}, {found.kills} kills", found.told(), bool(found.problem), revision=revision)
    if found.problem:
        print(f"kept: {folder}")
        return None
    shutil.rmtree(folder)
    return found.kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--kills", type=int, help="in all, with those of the runs that held at this commit")
    parser.add_argument("--engine", choices=PROCESSES, default="sqlite")
    given = parser.parse_args()
    revision = runs.commit()
    if given.kills is None:
        until = time.monotonic() + 60 * given.minutes
        return 0 if run(given.engine, lambda _kills: time.monotonic() >= until, revision) is not None else 1
    done = runs.kills(runs.rows(), revision, given.engine)
    while (left := given.kills - done) > 0:
        survived = run(given.engine, lambda kills, left=left: kills >= min(left, KILLS_PER_RUN), revision)  # type: ignore[misc]
        if survived is None:
            return 1
        done += survived
    print(f"{given.engine}: {done} kills held at {revision}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
