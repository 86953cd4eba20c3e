"""`bridge demo` is what a newcomer sees first: every scene comes true, or one is named; nothing is left running."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bridge import cli
from bridge.demo import scenes
from bridge.demo.world import MARK, World

LINE = [sys.executable, "-m", "bridge.cli", "demo"]
SECONDS_MAX = 120
SHOWN = (
    "✓ 5 alerts of one problem are 1 incident",
    "✓ the same delivery three times has one effect",
    "✓ a severity rise updates",
    "is closed",
    "is reopened",
    "the incident is theirs to close",
    "the alert waits in quarantine (empty_identity); mended, it drains into INC",
    "✓ ServiceNow was down",
    "none is missing, none is there twice",
    "20 deliveries were posted; 2 of them came again and changed nothing; 18 alerts became 10 incidents.",
    "verifies with its public key alone",
)


def test_every_scene_of_the_demo_comes_true(tmp_path: Path) -> None:
    done = subprocess.run(LINE, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert [said for said in SHOWN if said not in done.stdout] == []
    assert "\x1b" not in done.stdout
    assert not answering(done.stdout)


def test_kept_running_it_takes_the_curl_it_shows_and_stops_at_ctrl_c(tmp_path: Path) -> None:
    shown = ""
    with subprocess.Popen([*LINE, "--keep"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            for line in running.stdout:
                shown += line
                if "curl" in line and "/hooks/try" in line:
                    break
            answer = subprocess.run(
                ["sh", "-c", line], capture_output=True, text=True, timeout=SECONDS_MAX, check=False
            ).stdout
            running.send_signal(signal.SIGINT)
            assert running.wait(SECONDS_MAX) == 0
        finally:
            running.kill()
    assert '"outcome":"accepted"' in answer.replace(" ", "")
    assert not answering(shown)


def test_interrupted_between_scenes_it_leaves_nothing_running(tmp_path: Path) -> None:
    with subprocess.Popen(LINE, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            shown = running.stdout.readline()
            running.send_signal(signal.SIGTERM)
            assert running.wait(SECONDS_MAX) == cli.INTERRUPTED
        finally:
            running.kill()
    assert not answering(shown)


@pytest.fixture
def signals() -> Iterator[None]:
    before = {sent: signal.getsignal(sent) for sent in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for sent, handler in before.items():
        signal.signal(sent, handler)


@pytest.mark.usefixtures("signals")
def test_a_scene_that_does_not_come_true_is_named_with_the_ends_of_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pigs_fly(world: World, _now: object) -> str:
        world.wait_for("a pig", lambda: False, seconds=0.1)
        return "they do"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scenes, "SCENES", (pigs_fly,))
    assert cli.main(["demo"]) == cli.WRONG
    shown = capsys.readouterr()
    assert "✗ pigs fly: waited 0.1 seconds for a pig in vain" in shown.err
    assert "serve.log" in shown.err
    assert "simulator.log" in shown.err
    assert not answering(shown.out)


def test_the_demo_removes_no_folder_that_it_did_not_make(tmp_path: Path) -> None:
    precious = tmp_path / ".demo" / "serve.log"
    precious.parent.mkdir()
    precious.write_text("another program's")
    done = subprocess.run(LINE, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 1
    assert "is not a folder of the demo" in done.stderr
    assert precious.exists()


def test_a_demo_that_runs_keeps_its_folder(tmp_path: Path) -> None:
    mark = tmp_path / ".demo" / MARK
    mark.parent.mkdir()
    with mark.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(LINE, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 1
    assert "another demo runs" in done.stderr
    assert mark.exists()


def answering(shown: str) -> list[str]:
    """Those of the addresses shown where something still answers; a process that ends may take a moment."""
    addresses = set(re.findall(r"http://127\.0\.0\.1:\d+", shown))
    assert len(addresses) == 2, shown
    until = time.monotonic() + 5
    while (found := [url for url in addresses if answers(url)]) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def answers(url: str) -> bool:
    with requests.Session() as http:
        http.trust_env = False
        try:
            http.get(url, timeout=2)
        except requests.RequestException:
            return False
    return True
