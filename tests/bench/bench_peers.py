"""Intake beside others that take alerts: alerta-server on the same PostgreSQL, and Alertmanager.

    python tests/bench/bench_peers.py [--requests N] [--alerta N] [--rounds N] [--peers alerta alertmanager]

All get 4 KB alerts over 32 connections, in turn. The bridge verifies a signature of each delivery, writes its log and
keeps the raw bytes; the others do not.

alerta-server runs as two processes of 32 threads, as the bridge does, on a database of the same server, with its own
settings but for the debugging that they turn on. Its rate is of the alerts that it accepted: of those that race for one
key it answers some 500, where its insert meets the row of another. It is installed from the package index, with hashes,
into a virtual environment beside this file.

Alertmanager is not durable: it keeps alerts in memory, and what it was told since its last snapshot is lost with it.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

from loads import REPEATED, Loaded, run_load, shortest
from peer_servers import (
    ALERTMANAGER,
    NotHad,
    alerta_python,
    alerta_version,
    alertas_served,
    alertmanager_served,
    alertmanager_version,
)
from postgres import Postgres, postgres
from row import Aim, Row, ratio_at_least, show
from server import App, served
from stores import store_of

COMMAND = Path(__file__).name
PROCESSES = 2
SQLITE_TIMES_AIM = 15
ALERTMANAGER_TIMES = 4  # as many go to it, so that its runs are long enough to tell
# Of alerts: what each kind of load is called.
KINDS = {
    "unique": "each a problem of its own",
    "repeat": f"repeats of {REPEATED} problems",
    "race": "32 at once of each problem",
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--requests", type=int, default=4_800, help="of each round, kind and server")
    made.add_argument(
        "--alerta", type=int, default=1_600, help="the same of alerta, which takes a tenth as many a second"
    )
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path(__file__).parent)))
        server = stack.enter_context(postgres(folder / "data"))
        apps = [App("bridge_app", store_of(server, "bench"))] * PROCESSES
        opened = [app.port for app in stack.enter_context(served(*apps, App("bridge_app", f"sqlite:///{folder}/db")))]
        ours = {"postgresql": opened[:PROCESSES], "sqlite": opened[PROCESSES:]}
        for peer in arguments.peers:
            with contextlib.ExitStack() as its:
                yield from PEERS[peer](its, folder, server, ours, arguments)


# --- alerta


def beside_alerta(
    stack: contextlib.ExitStack,
    folder: Path,
    server: Postgres,
    ours: dict[str, list[int]],
    arguments: argparse.Namespace,
) -> Iterator[Row]:
    why, turns = "", None
    try:
        theirs = stack.enter_context(alertas_served(alerta_python(), folder, server, PROCESSES))
        turns = Turns({"alerta": theirs} | ours, arguments)
    except NotHad as error:
        why = str(error)
    name = f"alerta-server {alerta_version()}, {PROCESSES} processes, PostgreSQL"
    for kind, told in KINDS.items():
        loads = turns.of(kind) if turns else {}
        refused = f"{turns.refused[kind]} of {turns.asked} of alerta's answers were errors" if turns else why
        case = f"PostgreSQL: intake of {PROCESSES} processes, {told}"
        yield beside(case, name, loads.get("postgresql"), loads.get("alerta"), refused)
        aim = ratio_at_least(SQLITE_TIMES_AIM) if kind == "unique" else None
        yield beside(f"SQLite: intake, {told}", name, loads.get("sqlite"), loads.get("alerta"), refused, aim)


class Turns:
    """In each round every server has its turn; who begins changes from round to round."""

    def __init__(self, ports: dict[str, list[int]], arguments: argparse.Namespace) -> None:
        self.asked = arguments.alerta * arguments.rounds  # of alerta
        # Of a peer's answers, by kind of load.
        self.refused: dict[str, int] = {}
        self._ports = ports
        self._arguments = arguments

    def of(self, kind: str) -> dict[str, list[Loaded]]:
        loads: dict[str, list[Loaded]] = {name: [] for name in self._ports}
        if kind == "repeat":
            self._round(kind, "known", REPEATED, REPEATED)
        self.refused[kind] = 0  # of the first that become known, none is told
        for turn in range(self._arguments.rounds):
            counts = self._arguments.requests, self._arguments.alerta
            for name, loaded in self._round(kind, f"{kind}{turn}", *counts, first=turn).items():
                loads[name].append(loaded)
        return loads

    def _round(self, kind: str, mark: str, ours: int, alertas: int, *, first: int = 0) -> dict[str, Loaded]:
        names, loads = list(self._ports), {}
        first %= len(names)
        for name in names[first:] + names[:first]:
            other = name == "alerta"
            kinds, count = (f"alerta-{kind}", alertas) if other else (kind, ours)
            # Elsewhere an error is nothing that alerta is known for: its rate would be of what it did not do.
            may_refuse = other and kind == "race"
            loads[name] = run_load(self._ports[name], kinds, count, mark, may_refuse=may_refuse)
            self.refused[kind] = self.refused.get(kind, 0) + loads[name].refused
        return loads


def beside(
    case: str, peer: str, ours: list[Loaded] | None, theirs: list[Loaded] | None, note: str, aim: Aim | None = None
) -> Row:
    if not ours or not theirs:
        return Row(case=case, command=COMMAND, measured=None, unit="requests/s", beside=peer, aim=aim, note=note)
    rate, other = (statistics.median(one.rate for one in of) for of in (ours, theirs))
    return Row(
        case=case,
        command=COMMAND,
        measured=rate,
        unit="requests/s",
        beside=peer,
        beside_measured=other,
        ratio=rate / other,
        aim=aim,
        shortest=shortest(ours + theirs),
        note=note,
    )


# --- Alertmanager


def beside_alertmanager(
    stack: contextlib.ExitStack, folder: Path, _: Postgres, ours: dict[str, list[int]], arguments: argparse.Namespace
) -> Iterator[Row]:
    name = "Alertmanager, not durable"
    case = f"PostgreSQL: intake of {PROCESSES} processes, {KINDS['unique']}"
    program = shutil.which(ALERTMANAGER)
    if program is None:
        yield beside(case, name, None, None, f"{ALERTMANAGER}, the package of Debian, is not installed")
        return
    name = f"Alertmanager {alertmanager_version(program)}, not durable"
    try:
        theirs = [stack.enter_context(alertmanager_served(program, folder))]
    except NotHad as error:
        yield beside(case, name, None, None, str(error))
        return
    sent = {"unique": (ours["postgresql"], 1), "alertmanager": (theirs, ALERTMANAGER_TIMES)}
    loads: dict[str, list[Loaded]] = {kind: [] for kind in sent}
    for turn in range(arguments.rounds):
        for kind in list(sent)[:: -1 if turn % 2 else 1]:
            ports, times = sent[kind]
            loads[kind].append(run_load(ports, kind, times * arguments.requests, f"{kind}{turn}"))
    yield beside(case, name, loads["unique"], loads["alertmanager"], "")


PEERS = {"alerta": beside_alerta, "alertmanager": beside_alertmanager}

if __name__ == "__main__":
    show(parser(), rows)
