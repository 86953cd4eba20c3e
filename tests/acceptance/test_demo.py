"""`bridge demo` is what a newcomer sees first: every scene comes true, and nothing is left running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SHOWN = (
    "5 alerts of one problem are 1 incident",
    "the same delivery three times has one effect",
    "a severity rise updates",
    "is closed",
    "is reopened",
    "the incident is theirs to close",
    "they drain into one incident",
    "ServiceNow was down",
    "It is not sealed yet",
)


def test_every_scene_of_the_demo_comes_true(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "bridge.cli", "demo"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert [said for said in SHOWN if said not in done.stdout] == []


def test_the_demo_removes_no_folder_that_it_did_not_make(tmp_path: Path) -> None:
    precious = tmp_path / ".demo" / "precious"
    precious.parent.mkdir()
    precious.touch()
    line = [sys.executable, "-m", "bridge.cli", "demo"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "is not a folder of the demo" in done.stderr
    assert precious.exists()
