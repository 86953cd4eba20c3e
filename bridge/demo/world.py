"""The demo's folder and its two processes, the simulator and the bridge, on ports that the system gives."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

from bridge.alert import Json
from bridge.errors import Permanent

MARK = ".made-by-bridge-demo"  # only a folder that holds it is ever removed
MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
BRIDGE = (sys.executable, "-m", "bridge.cli")
SECRET = "demo-only"  # noqa: S105 (known to both ends of the demo, and to nobody else's bridge)
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.1
DOCUMENT = "application/json"
ACCOUNT = ("bridge", "bridge")  # of the simulator

BRIDGE_YAML = """\
database: sqlite:///var/bridge.db
mappings: {{path: mappings}}
log: {{signing_key: {{file: var/log.key}}}}
instances:
  simulator:
    url: {simulator}
    auth: {{scheme: basic, username: bridge, password: {{file: var/simulator.password}}}}
targets:
  itsm:
    {{instance: simulator, table: incident, close: {{code: "Resolved by caller", notes: "Resolved at the source."}}}}
  sir:
    {{instance: simulator, table: sn_si_incident, close: {{code: "102", notes: "Resolved at the source."}}}}
sources:
  alertmanager: {{mapping: alertmanager, auth: {{scheme: bearer, secret: {{file: var/hook.secret}}}}}}
  elastic: {{mapping: elastic, auth: {{scheme: bearer, secret: {{file: var/hook.secret}}}}}}
  aws-securityhub: {{mapping: aws-securityhub, auth: {{scheme: bearer, secret: {{file: var/hook.secret}}}}}}
  github: {{mapping: github, auth: {{scheme: hmac, preset: github, secret: {{file: var/hook.secret}}}}}}
  try: {{mapping: try, auth: {{scheme: none}}}}
"""


class World:
    """Everything that the scenes act on. A context manager: what it started ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.simulator = f"http://127.0.0.1:{_free_port()}"
        self.bridge = f"http://127.0.0.1:{_free_port()}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> World:
        try:
            self._make_folder()
            self._start("simulator", "--port", self.simulator.rpartition(":")[2])
            self.wait_for("the simulator", self.servicenow_answers, START_SECONDS_MAX)
            address = self.bridge.removeprefix("http://")
            self._start("serve", "--config", str(self.config), "--bind", address)
            self.wait_for("the bridge", lambda: self._answers(f"{self.bridge}/readyz"), START_SECONDS_MAX)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._http.close()

    @property
    def config(self) -> Path:
        return self.folder / "bridge.yaml"

    def post(self, source: str, alert: Json, *, delivery: str | None = None) -> Json:
        """One signed delivery; the bridge's answer. Raises Permanent when it is not 200."""
        body = json.dumps(alert).encode()
        answer = self._http.post(
            f"{self.bridge}/hooks/{source}", body, headers=_headers(source, body, delivery), timeout=15
        )
        if answer.status_code != 200:
            raise Permanent("demo_refused", f"{source}: {answer.status_code} {answer.text}")
        return answer.json()

    def records(self, table: str, words: str) -> list[dict[str, str]]:
        """The incidents whose short description holds `words`, oldest first, as a person would see them."""
        query = {"sysparm_query": f"short_descriptionLIKE{words}^ORDERBYnumber", "sysparm_display_value": "true"}
        found: list[dict[str, str]] = self._get(f"{self.simulator}/api/now/table/{table}", query)["result"]
        return found

    def state(self, table: str, words: str) -> str:
        found = self.records(table, words)
        return str(found[0]["state"]) if found else ""

    def person(self, table: str, sys_id: str, **fields: str) -> None:
        self._admin(f"records/{table}/{sys_id}", {"user": "analyst", "fields": fields})

    def servicenow_down(self, seconds: float) -> None:
        self._admin("down", {"seconds": seconds})

    def servicenow_answers(self) -> bool:
        return self._answers(f"{self.simulator}/")

    def command(self, *words: str) -> Json:
        """What a `bridge … --json` command says."""
        return json.loads(self._run(*words, "--config", str(self.config), "--json"))

    def wait_for(self, what: str, true: Callable[[], bool], seconds: float = 15.0) -> None:
        """Raises Permanent when `what` has not come true in time, or a process has ended."""
        until = time.monotonic() + seconds
        while not true():
            ended = [process for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > until:
                raise Permanent("demo_waited", f"waited for {what} in vain")
            time.sleep(POLL_SECONDS)

    def logs(self) -> str:
        """The last lines of both processes, for whoever must find out why."""
        tails = []
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text("utf-8", "replace").splitlines()[-15:]
            tails.append("\n".join([f"--- {path}", *lines]))
        return "\n".join(tails)

    def _make_folder(self) -> None:
        if self.folder.exists():
            if not (self.folder / MARK).exists():
                raise Permanent("demo_folder", f"{self.folder} is not a folder of the demo: move it away")
            shutil.rmtree(self.folder)
        self._run("init", str(self.folder))
        (self.folder / MARK).touch()
        (self.folder / "var/hook.secret").write_text(SECRET)
        (self.folder / "var/hook.secret").chmod(0o600)
        shutil.copytree(MAPPINGS, self.folder / "mappings", dirs_exist_ok=True)
        self.config.write_text(BRIDGE_YAML.format(simulator=self.simulator))

    def _run(self, *words: str) -> bytes:
        done = subprocess.run([*BRIDGE, *words], capture_output=True, check=False, timeout=30)  # noqa: S603
        if done.returncode:
            raise Permanent("demo_command", f"bridge {' '.join(words)}: {done.stderr.decode().strip()}")
        return done.stdout

    def _start(self, command: str, *words: str) -> None:
        with (self.folder / f"{command}.log").open("wb") as log:
            line = [*BRIDGE, command, *words]
            environment = os.environ | {"PYTHONUNBUFFERED": "1"}
            process = subprocess.Popen(line, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603
        self._processes.append(process)

    def _answers(self, url: str) -> bool:
        try:
            return self._http.get(url, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def _get(self, url: str, query: Mapping[str, str]) -> Json:
        answer = self._http.get(url, params=dict(query), auth=ACCOUNT, headers={"Accept": DOCUMENT}, timeout=15)
        answer.raise_for_status()
        return answer.json()

    def _admin(self, path: str, document: Json) -> None:
        answer = self._http.post(f"{self.simulator}/simulator/{path}", json=document, timeout=15)
        answer.raise_for_status()


def _headers(source: str, body: bytes, delivery: str | None) -> dict[str, str]:
    headers = {"Content-Type": DOCUMENT}
    if source == "github":
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if delivery is not None:
            headers["X-GitHub-Delivery"] = delivery
    elif source != "try":
        headers["Authorization"] = f"Bearer {SECRET}"
    return headers


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
