"""docs/auditors-guide.md, played from top to bottom in the folder of an auditor: its commands run without the bridge.

What a block is, its first line says:

    python FILE    written to this file
    console        commands, and what they print; a line `…` stands for lines left out
    anything else  is not played

What the commands print today is written into the page by

    PYTHONPATH=.:tests:tests/unit python tests/auditors_guide.py
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from log_exports import KEY, Log
from mapping_guide import Block, agrees, blocks, commands
from sqlalchemy import delete, select

from bridge import wiring
from bridge.cli import main
from bridge.log.entries import Action, Entry, append, encode
from bridge.log.note import Signer
from bridge.store.engine import open_store
from bridge.store.schema import upgrade_store
from bridge.store.sealing import seal
from bridge.store.tables import installation, log_entries

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs/auditors-guide.md"
ANCHORED, LATER = 9, 14  # sizes of the log: when a checkpoint was anchored, and when the exports were made
PRUNED = 6
BEGAN, NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC), datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
ORIGIN, HOST = "incident-bridge/acme", "soc-1"
CONFIGURATION = """\
database: sqlite:///{home}/bridge.db
log: {{signing_key: {{file: log.key}}}}
sources: {{}}
"""

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
    {
        "action": Action.PUBLISHED,
        "actor": "cli:ada",
        "known_by": "os_user",
        "address": HOST,
        "mapping": "elastic",
        "revision": "3fa9b8c7d6e5",
    },
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


def told(changed: int | None = None) -> list[Entry]:
    """The page's log; `changed`: an entry that says something else."""
    entries = [Entry(at=BEGAN + timedelta(minutes=7 * at), **one) for at, one in enumerate(STORY)]
    return [msgspec.structs.replace(one, actor="cli:eve") if at == changed else one for at, one in enumerate(entries)]


def fill(folder: Path) -> None:
    """What an auditor was given, exported from a store; and what the page's other cases need."""
    with tempfile.TemporaryDirectory() as home:
        export(Path(home), folder)
    log = Log([encode(one) for one in told()], origin=ORIGIN)
    assert json.loads((folder / "anchored.txt").read_text())["checkpoint"] == log.checkpoint(ANCHORED)
    files = {
        "verify_log.py": (ROOT / "deploy/verify_log.py").read_bytes(),
        "log.pub": KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "yesterday.jsonl": Log(log.entries[:7], origin=ORIGIN).whole(),
        "rewritten.jsonl": Log([encode(one) for one in told(changed=1)], origin=ORIGIN).whole(),
        "other.jsonl": Log(log.entries, origin="incident-bridge/other").whole(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


def export(home: Path, folder: Path) -> None:
    """The log is sealed in two parts, anchored in between, and exported by the command."""
    (home / "bridge.yaml").write_text(CONFIGURATION.format(home=home), "utf-8")
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (home / "log.key").write_bytes(private)
    (home / "log.key").chmod(0o600)
    with (
        patch.object(wiring, "utc_now", lambda: NOW),
        patch("bridge.log.entries._host", lambda: HOST),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.closing(open_store(f"sqlite:///{home}/bridge.db", wiring.utc_now)) as store,
    ):
        upgrade_store(store)
        with store.transaction() as tx:
            tx.execute(delete(log_entries))  # that of the upgrade, which is another with every version
            tx.execute(installation.insert().values(id=ORIGIN.partition("/")[2], created_at=BEGAN))
            append(tx, *told())
            anchored = seal(tx, [Signer(ORIGIN, KEY)], NOW, ANCHORED)
            seal(tx, [Signer(ORIGIN, KEY)], NOW, LATER)
        assert anchored is not None
        kept = {"at": "2026-06-01T08:56:11.204117Z", "checkpoint": anchored.note}
        (folder / "anchored.txt").write_text(json.dumps(kept, separators=(",", ":")) + "\n")
        exported(home, folder / "log.jsonl")
        anchor = ["--from", str(folder / "anchored.txt")]
        exported(home, folder / "selection.jsonl", "--incident", RECORD["number"], *anchor)
        with store.transaction() as tx:
            oldest = select(log_entries.c.id).order_by(log_entries.c.id).limit(PRUNED)
            tx.execute(delete(log_entries).where(log_entries.c.id.in_(oldest)))
            said = {"removed": {"entries": PRUNED}, "indices": {"first": 0, "end": PRUNED}}
            append(tx, Entry(at=NOW, action=Action.PRUNED, actor="retention", detail=said))
            seal(tx, [Signer(ORIGIN, KEY)], NOW, LATER)
        exported(home, folder / "a-year-later.jsonl")


def exported(home: Path, output: Path, *words: str) -> None:
    line = ["log", "export", "--output", str(output), "--config", str(home / "bridge.yaml"), *words]
    assert main(line) == 0, line


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
