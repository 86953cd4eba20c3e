"""The demo's folder and its two processes, the simulator and the bridge, on ports that the system gives."""

from __future__ import annotations

import fcntl
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
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from bridge.alert import Json
from bridge.errors import Permanent, Transient
from bridge.log import verify

MARK = ".made-by-bridge-demo"  # only a folder that holds it is ever removed
MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
BRIDGE = (sys.executable, "-m", "bridge.cli")
SECRET = "demo-only"  # noqa: S105 (known to both ends of the demo, and to nobody else's bridge)
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 15.0
CALL_SECONDS_MAX = 15.0
COMMAND_SECONDS_MAX = 30.0
POLL_SECONDS = 0.1
DOCUMENT = "application/json"
ACCOUNT = ("bridge", "bridge")  # of the simulator
TABLES = ("incident", "sn_si_incident")
RIGHT, MISTAKEN = "rule:    .rule\n", "rule:    .rule_name\n"  # in try.yaml: the demo starts with the mistaken line

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
    {{instance: simulator, table: sn_si_incident, close: {{code: "-100", notes: "Resolved at the source."}}}}
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
        self.posted = 0
        self.repeated = 0
        self._mended = ""  # try.yaml without the mistake that the demo starts with
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._open = ExitStack()
        self._http = self._open.enter_context(requests.Session())
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
        """The bridge ends before the simulator. What does not end in time, or when Ctrl-C comes again, is killed."""
        try:
            for process in reversed(self._processes.values()):
                process.terminate()
                process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            pass
        finally:
            for process in self._processes.values():
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            self._open.close()

    @property
    def config(self) -> Path:
        return self.folder / "bridge.yaml"

    def post(self, source: str, alert: Json, *, delivery: str | None = None) -> Json:
        """One signed delivery; the bridge's answer. Raises Permanent when it is not 200."""
        body = json.dumps(alert).encode()
        answer = self._call(
            "POST", f"{self.bridge}/hooks/{source}", data=body, headers=_headers(source, body, delivery)
        )
        self.posted += 1
        self.repeated += answer["duplicate"]
        return answer

    def records(self, table: str, words: str) -> list[dict[str, str]]:
        """The incidents whose short description holds `words`, oldest first, as a person would see them."""
        return self._listed(table, f"short_descriptionLIKE{words}^ORDERBYnumber")

    def correlation_ids(self) -> list[str]:
        """One for each incident in ServiceNow that the bridge made."""
        return [
            record["correlation_id"] for table in TABLES for record in self._listed(table, "correlation_idISNOTEMPTY")
        ]

    def state(self, table: str, words: str) -> str:
        found = self.records(table, words)
        return str(found[0]["state"]) if found else ""

    def person(self, table: str, sys_id: str, **fields: str) -> None:
        self._admin(f"records/{table}/{sys_id}", {"user": "analyst", "fields": fields})

    def servicenow_down(self, seconds: float) -> None:
        self._admin("down", {"seconds": seconds})

    def servicenow_answers(self) -> bool:
        return self._answers(f"{self.simulator}/")

    def calls_not_applied(self) -> float:
        """Of all calls to ServiceNow so far: it counts on, so that what is over before anybody looks is seen, too."""
        lines = self._http.get(f"{self.bridge}/metrics", timeout=CALL_SECONDS_MAX).text.splitlines()
        counted = [line for line in lines if line.startswith("bridge_servicenow_calls_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in counted if 'outcome="not_applied"' in line)

    def mend_mapping(self) -> None:
        (self.folder / "mappings/try.yaml").write_text(self._mended, "utf-8")

    def command(self, *words: str) -> Json:
        """What a `bridge … --json` command says."""
        return json.loads(self._run(*words, "--config", str(self.config), "--json"))

    def export(self, name: str) -> Path:
        """The correlation log as far as it is sealed, as an auditor gets it."""
        path = self.folder / name
        self._run("log", "export", "--output", str(path), "--config", str(self.config))
        return path

    def verdict(self, exported: Path) -> Json:
        """What the verifier says of an export, which needs nothing of the bridge but its public key."""
        verifier = [sys.executable, verify.__file__, str(exported), "--key", str(self.folder / "var/log.pub"), "--json"]
        done = subprocess.run(verifier, capture_output=True, check=False, timeout=COMMAND_SECONDS_MAX)  # noqa: S603
        return json.loads(done.stdout)

    def wait_for(self, what: str, true: Callable[[], bool], seconds: float = 15.0) -> None:
        """Raises Permanent when `what` has not come true in time, or a process has ended."""
        until = time.monotonic() + seconds
        while not true():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise Permanent("demo_ended", f"waited for {what}, but `bridge {name}` has ended")
            if time.monotonic() > until:
                raise Permanent("demo_waited", f"waited {seconds:g} seconds for {what} in vain")
            time.sleep(POLL_SECONDS)

    def logs(self) -> str:
        """The last lines of the processes that were started, for whoever must find out why."""
        tails = []
        for path in (self.folder / f"{name}.log" for name in self._processes):
            lines = path.read_text("utf-8", "replace").splitlines()[-15:]
            tails.append("\n".join([f"--- {path}", *lines]))
        return "\n".join(tails)

    def _make_folder(self) -> None:
        if self.folder.exists():
            if not (self.folder / MARK).exists():
                raise Permanent("demo_folder", f"{self.folder} is not a folder of the demo: move it away")
            self._lock()
            shutil.rmtree(self.folder)
        self.folder.mkdir()
        self._lock()
        self._run("init", str(self.folder))
        (self.folder / "var/hook.secret").write_text(SECRET)
        (self.folder / "var/hook.secret").chmod(0o600)
        shutil.copytree(MAPPINGS, self.folder / "mappings", dirs_exist_ok=True)
        path = self.folder / "mappings/try.yaml"
        self._mended = path.read_text("utf-8")
        # Its tests would find the mistake before it did any harm: it is made in a mapping that has none.
        path.write_text(self._mended.partition("\ntests:\n")[0].replace(RIGHT, MISTAKEN), "utf-8")
        self.config.write_text(BRIDGE_YAML.format(simulator=self.simulator))

    def _lock(self) -> None:
        """Held until this demo ends, however it ends: a second one would remove the folder under a running bridge."""
        mark = self._open.enter_context((self.folder / MARK).open("w"))
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Permanent("demo_running", f"another demo runs in {self.folder}: stop it first") from error

    def _run(self, *words: str) -> bytes:
        try:
            done = subprocess.run([*BRIDGE, *words], capture_output=True, check=False, timeout=COMMAND_SECONDS_MAX)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise Transient(
                "demo_command", f"bridge {' '.join(words)}: no end in {COMMAND_SECONDS_MAX:g} seconds"
            ) from error
        if done.returncode:
            raise Permanent("demo_command", f"bridge {' '.join(words)}: {done.stderr.decode().strip()}")
        return done.stdout

    def _start(self, command: str, *words: str) -> None:
        """In a group of its own: Ctrl-C reaches the demo alone, which then ends its processes in order."""
        with (self.folder / f"{command}.log").open("wb") as log:
            self._processes[command] = subprocess.Popen(  # noqa: S603
                [*BRIDGE, command, *words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def _answers(self, url: str) -> bool:
        try:
            return self._http.get(url, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def _listed(self, table: str, query: str) -> list[dict[str, str]]:
        asked = {"sysparm_query": query, "sysparm_display_value": "true"}
        url = f"{self.simulator}/api/now/table/{table}"
        found: list[dict[str, str]] = self._call("GET", url, params=asked, auth=ACCOUNT, headers={"Accept": DOCUMENT})[
            "result"
        ]
        return found

    def _admin(self, path: str, document: Json) -> None:
        self._call("POST", f"{self.simulator}/simulator/{path}", json=document)

    def _call(self, method: str, url: str, **request: Any) -> Json:
        try:
            answer = self._http.request(method, url, timeout=CALL_SECONDS_MAX, **request)
        except requests.RequestException as error:
            raise Transient("demo_unanswered", f"{url} does not answer: {error}") from error
        if not answer.ok:
            raise Permanent("demo_refused", f"{url} answers {answer.status_code}: {answer.text.strip()}")
        return answer.json()


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
