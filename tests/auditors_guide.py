"""docs/auditors-guide.md, played from top to bottom in the folder of an auditor: its commands run without the bridge.

What a block is, its first line says:

    python FILE    written to this file
    console        commands, and what they print; a line `…` stands for lines left out
    anything else  is not played

What the commands print today is written into the page by

    PYTHONPATH=.:tests:tests/unit python tests/auditors_guide.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from log_exports import KEY, Log
from mapping_guide import Block, agrees, blocks, commands

from bridge.log.entries import Action, Entry, encode

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs/auditors-guide.md"
ANCHORED, LATER = 9, 14  # sizes of the log: when a checkpoint was anchored, and when the exports were made
PRUNED = 6
BEGAN = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)

ELASTIC = {
    "source": "elastic",
    "mapping": "elastic",
    "revision": "3fa9b8c7d6e5",
    "correlation_id": "elastic:DM-104:VPN-02",
}
RECORD = {"target": "itsm", "table": "incident", "number": "INC0010001", "sys_id": "9d385017c611228701d22104cc95c371"}
DELIVERED: dict[str, Any] = {
    "action": Action.DELIVERED,
    "actor": "source:elastic",
    "outcome": "accepted",
    "source": "elastic",
}
STORY: list[dict[str, Any]] = [
    {"action": Action.STARTED, "actor": "serve"},
    {"action": Action.PUBLISHED, "actor": "cli:ada", "mapping": "elastic", "revision": "3fa9b8c7d6e5"},
    {**DELIVERED, "delivery": 1, "detail": {"alerts": [{"correlation_id": "elastic:DM-104:VPN-02", "seq": 1}]}},
    {"action": Action.DECIDED, "actor": "sync", "outcome": "create", "reason": "first_alert", **ELASTIC},
    {"action": Action.INTENDED, "actor": "sync", "outcome": "create", **ELASTIC, "target": "itsm", "table": "incident"},
    {"action": Action.WRITTEN, "actor": "sync", "outcome": "applied", **ELASTIC, **RECORD},
    {"action": Action.REFUSED, "actor": "source:unknown", "reason": "bad_signature", "detail": {"count": 3}},
    {**DELIVERED, "delivery": 2, "detail": {"alerts": [{"correlation_id": "elastic:DM-104:VPN-02", "seq": 2}]}},
    {"action": Action.DECIDED, "actor": "sync", "outcome": "nothing", "reason": "repeat", **ELASTIC},
    {**DELIVERED, "delivery": 3, "detail": {"alerts": [{"correlation_id": "elastic:DM-104:VPN-02", "seq": 3}]}},
    {"action": Action.DECIDED, "actor": "sync", "outcome": "close", "reason": "resolved", **ELASTIC},
    {"action": Action.INTENDED, "actor": "sync", "outcome": "close", **ELASTIC, **RECORD},
    {"action": Action.CLOSED, "actor": "sync", "outcome": "applied", **ELASTIC, **RECORD},
    {"action": Action.STOPPED, "actor": "serve"},
]
assert len(STORY) == LATER


def history(changed: int | None = None) -> Log:
    """The page's log; `changed`: an entry that says something else."""
    told = [dict(one) for one in STORY]
    if changed is not None:
        told[changed]["actor"] = "cli:eve"
    stored = [encode(Entry(at=BEGAN + timedelta(minutes=7 * at), **one)) for at, one in enumerate(told)]
    return Log(stored, origin="incident-bridge/acme")


def fill(folder: Path) -> None:
    """What an auditor was given, and what the page's other cases need."""
    log = history()
    anchored = {"at": "2026-06-01T08:56:11.204117Z", "checkpoint": log.checkpoint(ANCHORED)}
    files = {
        "verify_log.py": (ROOT / "deploy/verify_log.py").read_bytes(),
        "log.pub": KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "anchored.txt": json.dumps(anchored, separators=(",", ":")).encode() + b"\n",
        "log.jsonl": log.whole(passed=[3, 8, 11]),
        "selection.jsonl": log.selection([5, 11, 12], since=ANCHORED),
        "a-year-later.jsonl": log.whole(pruned=range(PRUNED)),
        "yesterday.jsonl": Log(log.entries[:7], origin=log.origin).whole(),
        "rewritten.jsonl": history(changed=1).whole(),
        "other.jsonl": Log(log.entries, origin="incident-bridge/other").whole(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


class Player:
    """Plays the blocks of the page in a folder, with a python3 that has not heard of the bridge."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        fill(folder)
        (folder / "bin").mkdir()
        python = folder / "bin/python3"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "$@"\n')
        python.chmod(0o755)

    def play(self, block: Block) -> list[tuple[str, list[str], list[str]]]:
        """Each command, the lines that the page shows, and those that were printed."""
        if block.kind == "console":
            return [(command, shown, self._run(command)) for command, shown in commands(block.text)]
        if block.kind == "python" and block.info:
            (self._folder / block.info).write_text(block.text, "utf-8")
        return []

    def _run(self, command: str) -> list[str]:
        environment = {"PATH": f"{self._folder}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        words = ["bash", "-c", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=self._folder, env=environment)
        return f"{done.stdout}{done.stderr}".splitlines()


def rewritten(page: str) -> str:
    """The page as it would be true today. Where `…` no longer stands for what is left out, all is shown."""
    lines = page.splitlines()
    with tempfile.TemporaryDirectory() as folder:
        player = Player(Path(folder))
        played = [(block, player.play(block)) for block in blocks(page)]
    for block, results in reversed(played):
        if all(agrees(shown, printed) for _, shown, printed in results):
            continue
        new = [line for command, _, printed in results for line in (f"$ {command}", *printed)]
        lines[block.line : block.line + block.text.count("\n")] = new
        print(f"{block.title}: other output")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text("utf-8")), "utf-8")
