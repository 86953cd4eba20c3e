"""The servers that intake is measured beside: alerta-server and Alertmanager, each on a port that the system gives."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from loads import load
from postgres import Postgres
from server import THREADS, end, free_port

HERE = Path(__file__).resolve().parent
LOCK = HERE / "alerta-requirements.txt"
ENVIRONMENT = HERE / ".alerta"  # kept from one run to the next, as long as the lock is the same
INSTALL_SECONDS_MAX = 300
START_SECONDS_MAX = 30
ALERTMANAGER = "prometheus-alertmanager"  # Debian's package and program
ALERTMANAGER_CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
# alerta-server turns debugging on where nothing is said.
ALERTA_CONFIG = "DEBUG = False\nDATABASE_URL = {url!r}\nDATABASE_NAME = 'alerta'\nSECRET_KEY = 'bench'\n"


def alerta_version() -> str:
    """The one that is locked."""
    return re.search(r"^alerta-server==(\S+)", LOCK.read_text("utf-8"), re.MULTILINE)[1]  # type: ignore[index]


def alertmanager_version(program: str) -> str:
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return re.search(r"version (\S+)", told.stdout + told.stderr)[1]  # type: ignore[index]


class NotHad(Exception):
    """A peer that cannot be measured here, and why."""


# --- alerta


def alerta_python() -> Path:
    """The interpreter of its virtual environment, which is made where it is not there or was made by another lock."""
    python, made = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "made-by.txt"
    if made.exists() and made.read_bytes() == LOCK.read_bytes():
        return python
    print("installing alerta-server ...", file=sys.stderr)
    uv = str(Path(sys.executable).with_name("uv"))  # in a second what takes pip half a minute
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--only-binary", ":all:", "--require-hashes"]
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT)],
        [*install, "-r", str(LOCK)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS_MAX)
        except FileNotFoundError as error:
            raise NotHad(f"{uv}, which `make install` does not bring but `make test` does, is not there") from error
        except subprocess.TimeoutExpired as error:
            raise NotHad(f"alerta-server was not installed within {INSTALL_SECONDS_MAX} s") from error
        if done.returncode:
            told = done.stderr.strip().splitlines() or ["for no reason that was told"]
            raise NotHad(f"alerta-server could not be installed: {told[-1]}")
    shutil.copy(LOCK, made)
    return python


@contextlib.contextmanager
def alertas_served(python: Path, folder: Path, database: Postgres, processes: int) -> Iterator[list[int]]:
    """Its ports. Its schema is made first, by one process: two that begin together would trip over each other."""
    database.order("CREATE DATABASE alerta")
    config = folder / "alertad.conf"
    config.write_text(ALERTA_CONFIG.format(url=database.url), "utf-8")
    environment = {"PATH": os.environ["PATH"], "ALERTA_SVR_CONF_FILE": str(config)}
    make = [str(python), "-c", "import alerta.app; alerta.app.create_app()"]
    done = subprocess.run(make, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["it said nothing"]
        raise NotHad(f"alerta-server did not make its schema: {told[-1]}")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_alerta(python, folder, environment)) for _ in range(processes)]


@contextlib.contextmanager
def _alerta(python: Path, folder: Path, environment: dict[str, str]) -> Iterator[int]:
    port = free_port()
    command = [str(python), "-m", "gunicorn", "alerta.app:create_app()", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "gthread", "--workers", "1", "--threads", str(THREADS), "--keep-alive", "60"]
    command += ["--log-level", "critical", "--no-control-socket"]
    with _running(command, folder, environment, port):
        yield port


# --- Alertmanager


@contextlib.contextmanager
def alertmanager_served(program: str, folder: Path) -> Iterator[int]:
    port = free_port()
    config = folder / "alertmanager.yml"
    config.write_text(ALERTMANAGER_CONFIG, "utf-8")
    command = [program, f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with _running(command, folder, dict(os.environ), port):
        yield port


@contextlib.contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str], port: int) -> Iterator[None]:
    """From when it answers. What it says is kept in the folder while it runs, and told if it does not begin."""
    log = folder / f"{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _wait_for(port, process, log)
        yield
    finally:
        end(process)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, AssertionError), socket.create_connection(("127.0.0.1", port), timeout=1):
            load([port], [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
            return
        time.sleep(0.05)
    told = log.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    raise NotHad(f"it did not start: {told[-1]}")
