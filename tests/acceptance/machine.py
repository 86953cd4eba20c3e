"""Real processes on ports that the system gives: the simulator and the bridge, killed and started as tests need."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

BRIDGE = (sys.executable, "-m", "bridge.cli")
WAIT_SECONDS_MAX = 60.0
PAGE = 1_000  # records of one call
CONFIG = """\
database: {database}
mappings: {{path: {mappings}}}
log: {{signing_key: {{file: var/log.key}}}}
instances:
  simulator:
    url: {simulator}
    auth: {{scheme: basic, username: bridge, password: {{file: var/simulator.password}}}}
    limits: {{calls_per_hour: 1000000}}
targets:
  itsm:
    instance: simulator
    table: incident
    late_commit: 2s
    max_creates_per_hour: 100000
    close: {{code: Resolved by caller, notes: Resolved.}}
  sir: {{instance: simulator, table: sn_si_incident, late_commit: 2s, close: {{code: "102", notes: Resolved.}}}}
sources:
"""


class Machine:
    """One folder, one simulator, one bridge."""

    def __init__(
        self,
        folder: Path,
        sources: str,
        mappings: Path | None = None,
        *,
        database: str = "sqlite:///var/bridge.db",
    ) -> None:
        self.folder = folder
        self.program: tuple[str, ...] = BRIDGE
        self.database = database
        self.simulator = free_url()
        self.url = free_url()
        subprocess.run([*BRIDGE, "init", str(folder)], check=True, capture_output=True, timeout=60)
        text = CONFIG.format(database=json.dumps(database), simulator=self.simulator, mappings=mappings or "mappings")
        self.config.write_text(text + sources)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def config(self) -> Path:
        return self.folder / "bridge.yaml"

    def start_simulator(self) -> None:
        self._start("simulator", "simulator", "--port", self.simulator.rpartition(":")[2])
        self.wait_for(lambda: answers(f"{self.simulator}/"))

    def start_bridge(self) -> None:
        self._start("serve", "serve", "--config", str(self.config), "--bind", self.url.removeprefix("http://"))
        self.wait_for(self.answers)

    def kill(self, name: str) -> None:
        """SIGKILL to the command and all that it started: nothing can be tidied up."""
        process = self._running.pop(name)
        with suppress(ProcessLookupError):  # it had ended, and was asked after since
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> int:
        os.kill(self.pid(name), signal.SIGTERM)
        return self.exit_status(name)

    def freeze(self, name: str) -> None:
        """It takes connections and says nothing."""
        os.killpg(self.pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.killpg(self.pid(name), signal.SIGCONT)

    def lives(self, name: str) -> bool:
        return self._running[name].poll() is None

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def exit_status(self, name: str) -> int:
        """Of a command that was told to stop."""
        status = self._running[name].wait(WAIT_SECONDS_MAX)
        del self._running[name]
        return status

    def answers(self) -> bool:
        return answers(f"{self.url}/readyz")

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def post(self, source: str, body: bytes, **headers: str) -> requests.Response:
        with direct() as http:
            return http.post(f"{self.url}/hooks/{source}", body, headers=headers, timeout=10)

    def command(self, *words: str) -> Any:
        line = [*BRIDGE, *words, "--config", str(self.config), "--json"]
        return json.loads(subprocess.run(line, check=True, capture_output=True, timeout=60).stdout)

    def records(self, table: str = "incident") -> list[dict[str, str]]:
        """All of the table, oldest first."""
        found: list[dict[str, str]] = []
        query = {"sysparm_limit": str(PAGE), "sysparm_exclude_reference_link": "true", "sysparm_query": "ORDERBYsys_id"}
        with direct() as http:
            http.auth, http.headers["Accept"] = ("bridge", "bridge"), "application/json"
            while len(found) % PAGE == 0:
                url = f"{self.simulator}/api/now/table/{table}"
                answer = http.get(url, params={**query, "sysparm_offset": str(len(found))}, timeout=30)
                if not (page := answer.json()["result"]):
                    break
                found += page
        return sorted(found, key=lambda row: row["sys_created_on"])

    def faults(self, *given: dict[str, Any]) -> None:
        """The simulator's, instead of those that it has."""
        with direct() as http:
            http.delete(f"{self.simulator}/simulator/faults", timeout=10).raise_for_status()
            http.post(f"{self.simulator}/simulator/faults", json={"faults": given}, timeout=10).raise_for_status()

    def wait_for(self, true: Callable[[], bool], *, seconds: float = WAIT_SECONDS_MAX) -> None:
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, self.logs()
            time.sleep(0.05)

    def wait_until_in_step(self) -> None:
        """Nothing is due, nothing has failed: what ServiceNow shows is what the alerts say."""

        def in_step() -> bool:
            rows = self.command("incidents", "list", "--limit", "100000")
            return all(row["failure"] is None and row["state"] != "planned" for row in rows)

        self.wait_for(in_step)

    def logs(self) -> str:
        return "\n".join(path.read_text("utf-8", "replace")[-3000:] for path in sorted(self.folder.glob("*.log")))

    def _start(self, name: str, command: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.program, command, *words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._running[name] = process


@contextmanager
def machine(folder: Path, sources: str, mappings: Path | None = None) -> Iterator[Machine]:
    made = Machine(folder, sources, mappings)
    try:
        made.start_simulator()
        made.start_bridge()
        yield made
    finally:
        made.close()


def direct() -> requests.Session:
    """Past any proxy of the environment."""
    session = requests.Session()
    session.trust_env = False
    return session


def answers(url: str) -> bool:
    try:
        with direct() as http:
            return http.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
