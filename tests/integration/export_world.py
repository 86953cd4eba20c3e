"""What the tests of the log's exports share: a store with a key to seal by, the command line, and the verifier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from intake_world import delivery, delivery_of, library_of
from sqlalchemy import delete, select

from bridge.cli import main
from bridge.log.entries import Action, Entry, append
from bridge.log.verify import Verdict, key_of, verify
from bridge.store.engine import Store
from bridge.store.intake import commit
from bridge.store.log_tables import log_seals
from bridge.store.prepare import PreparedDelivery
from bridge.store.sealing import unpacked
from bridge.store.tables import log_entries

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BRIDGE = """\
database: %s
log: {signing_key: {file: log.key}}
sources: {}
"""


class Log:
    """One store with its bridge.yaml, its key, and the command line before it."""

    def __init__(self, store: Store, url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = store
        self.folder = folder
        self._capsys = capsys
        write_configuration(folder, url)

    def run(self, *words: str, status: int = 0) -> str:
        """What it prints: to stdout when all is well, else to stderr."""
        found = main([*words, "--config", str(self.folder / "bridge.yaml")])
        output = self._capsys.readouterr()
        assert found == status, output.err
        return output.out if status == 0 else output.err

    def both(self, *words: str) -> tuple[str, str]:
        """(stdout, stderr)"""
        assert main([*words, "--config", str(self.folder / "bridge.yaml")]) == 0
        return self._capsys.readouterr()

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def path(self, name: str = "log.jsonl") -> Path:
        return self.folder / name

    def export(self, *words: str, name: str = "log.jsonl") -> list[dict[str, Any]]:
        """The lines of an export, which verifies."""
        self.run("log", "export", "--output", str(self.path(name)), "--replace", *words)
        raw = self.path(name).read_bytes()
        verdict = self.verdict(raw)
        assert verdict.verified, verdict.says
        return [json.loads(line) for line in raw.splitlines()]

    def entries(self, *words: str) -> list[dict[str, Any]]:
        """The entries of an export, which verifies."""
        return entries_in(self.export(*words))

    def actions(self, *words: str) -> list[str]:
        return [entry["action"] for entry in self.entries(*words)]

    def verdict(self, raw: bytes, since: str | None = None) -> Verdict:
        return verify(BytesIO(raw), [key_of(self.folder / "log.pub")], since)

    # --- what stands in the log

    def write(self, *actors: str, **more: Any) -> None:
        """An entry by each of them."""
        with self.store.transaction() as tx:
            told = {"at": self.store.now(tx), "action": Action.RESUMED} | more
            append(tx, *[Entry(actor=one, **told) for one in actors])

    def take(self, *alerts: dict[str, Any], source: str = "probe") -> None:
        """A delivery of these alerts."""
        self._commit(replace(delivery(library_of(self.store), *alerts), source=source))

    def take_body(self, body: bytes) -> None:
        self._commit(delivery_of(library_of(self.store), body))

    def _commit(self, prepared: PreparedDelivery) -> None:
        with self.store.transaction() as tx:
            commit(tx, [prepared], self.store.now(tx))

    def stored(self) -> list[tuple[int, dict[str, Any]]]:
        """(number, entry) of all, in the order of their numbers."""
        with self.store.reading() as tx:
            rows = tx.execute(select(log_entries.c.id, log_entries.c.entry).order_by(log_entries.c.id)).all()
        return [(row.id, json.loads(row.entry)) for row in rows]

    def prune(self, *indices: int) -> None:
        """What retention does: entries go, their hashes stay, and an entry says so."""
        self.take_out(*indices)
        waited = self.store.moment() - timedelta(seconds=11)  # long enough for the next command to seal it
        told = {"indices": {"first": 0, "end": max(indices) + 1}}
        self.write("retention", at=waited, action=Action.PRUNED, detail=told)

    def take_out(self, *indices: int) -> None:
        """What somebody does who has the database."""
        with self.store.transaction() as tx:
            ids = [
                one
                for row in tx.execute(select(log_seals.c.ids).order_by(log_seals.c.size))
                for one in unpacked(row.ids)
            ]
            tx.execute(delete(log_entries).where(log_entries.c.id.in_([ids[index] for index in indices])))


def write_configuration(folder: Path, url: str) -> None:
    (folder / "bridge.yaml").write_text(BRIDGE % json.dumps(url))
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "log.key").write_bytes(private)
    (folder / "log.key").chmod(0o600)
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "log.pub").write_bytes(public)


def entries_in(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["entry"] for line in lines if "entry" in line]
