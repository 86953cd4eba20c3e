"""How long the bridge takes to start, with forty of the mappings that come with it and a source for each, on a database
that has had them before; and its memory before any load.

    python tests/bench/bench_start.py [--runs N]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from loads import MAPPINGS
from row import Row, at_most, show
from server import free_port, resident_bytes, worker_of

import bridge

COMMAND = Path(__file__).name
BRIDGE = (sys.executable, "-m", "bridge.cli")
HELP_AIM, SERVE_AIM, RSS_MB_AIM = 0.5, 2, 150
SECONDS_MAX = 30
MAPPED = 40  # mappings in use


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--runs", type=int, default=5)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    floors, helps, starts, sizes = [], [], [], []
    as_installed()
    with tempfile.TemporaryDirectory() as folder:
        config = str(Path(folder, "bridge.yaml"))
        run(*BRIDGE, "init", folder)
        map_many(Path(folder))
        run(*BRIDGE, "db", "upgrade", "--config", config)
        serving(config)  # publishes them
        for _ in range(arguments.runs):
            floors.append(run(sys.executable, "-c", "pass"))
            helps.append(run(*BRIDGE, "--help"))
            seconds, size = serving(config)
            starts.append(seconds)
            sizes.append(size)
    floor = statistics.median(floors)
    for case, measured, aim in (
        ("bridge --help", helps, HELP_AIM),
        (f"bridge serve with {MAPPED} mappings, to its first 200", starts, SERVE_AIM),
    ):
        seconds = statistics.median(measured)
        yield Row(
            case=case,
            command=COMMAND,
            measured=seconds,
            unit="s",
            beside="python -c pass",
            beside_measured=floor,
            ratio=seconds / floor,
            aim=at_most(aim),
        )
    yield Row(
        case=f"bridge serve with {MAPPED} mappings: resident memory before any load",
        command=COMMAND,
        measured=statistics.median(sizes) / 1e6,
        unit="MB",
        aim=at_most(RSS_MB_AIM),
    )


def map_many(folder: Path) -> None:
    """Beside the one that `bridge init` writes."""
    shutil.copytree(MAPPINGS, folder / "mappings", dirs_exist_ok=True)
    names = [file.stem for file in sorted(MAPPINGS.glob("*.yaml"))][: MAPPED - 1]
    with (folder / "bridge.yaml").open("a", encoding="utf-8") as config:
        config.writelines(f"  {name}: {{mapping: {name}, auth: {{scheme: none}}}}\n" for name in names)


def as_installed() -> None:
    """An installer compiles a package; a checkout where bytecode is not written would compile it at each start."""
    run(sys.executable, "-m", "compileall", "-q", str(Path(bridge.__file__).parent))


def run(*line: str) -> float:
    began = time.monotonic()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def serving(config: str) -> tuple[float, int]:
    """(seconds from the start of the process to its first 200, its resident bytes)"""
    port = free_port()
    began = time.monotonic()
    line = [*BRIDGE, "serve", "--config", config, "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        try:
            seconds = wait_for(f"http://127.0.0.1:{port}/readyz", began)
            return seconds, resident_bytes(worker_of(process.pid))
        finally:
            process.terminate()


def wait_for(url: str, began: float) -> float:
    while time.monotonic() - began < SECONDS_MAX:
        try:
            if requests.get(url, timeout=1).status_code == 200:
                return time.monotonic() - began
        except requests.RequestException:
            time.sleep(0.01)
    raise SystemExit(f"the bridge did not answer within {SECONDS_MAX} s")


if __name__ == "__main__":
    show(parser(), rows)
