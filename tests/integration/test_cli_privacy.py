"""`bridge log erase` and `bridge db prune`: what they ask, tell and refuse."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from intake_world import alert, delivery, library_of, rows
from publishing_world import BRIDGE_YAML
from sqlalchemy import update

from bridge.cli import main
from bridge.erasure import digest_of
from bridge.log.note import Signer
from bridge.store import intake
from bridge.store.engine import Store
from bridge.store.log_tables import log_seals
from bridge.store.sealing import seal
from bridge.store.tables import correlations, deliveries, log_entries

CANARY = "canary-7f3a"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Place:
    def __init__(self, store: Store, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store, self.folder, self._capsys = store, folder, capsys
        self.library = library_of(store)

    def run(self, *words: str, status: int = 0) -> str:
        assert main([*words, "--config", str(self.folder / "bridge.yaml")]) == status, self._capsys.readouterr()
        output = self._capsys.readouterr()
        return " ".join((output.out + output.err).split())

    def json(self, *words: str, status: int = 0) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.run(*words, "--json", status=status))
        return found

    def takes(self, rule: str, *, over: bool = True) -> None:
        """An alert about the person; its problem is at rest, or it waits to be applied."""
        with self.store.transaction() as tx:
            sent = delivery(self.library, alert(rule, who=CANARY), sender_id=rule)
            intake.commit(tx, [sent], self.store.now(tx))
            if over:
                its = update(correlations).where(correlations.c.correlation_id == rule)
                tx.execute(its.values(due_at=None, applied_seq=correlations.c.last_seq))

    def bodies(self) -> int:
        return sum(row.body is not None for row in rows(self.store, deliveries))


@pytest.fixture
def place(
    store: Store, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], commands_now: None
) -> Place:
    (tmp_path / "bridge.yaml").write_text(BRIDGE_YAML % (json.dumps(store_url), "publish_only"))
    return Place(store, tmp_path, capsys)


def test_a_dry_run_shows_what_would_go_and_removes_nothing(place: Place) -> None:
    place.takes("r1")
    said = place.run("log", "erase", "--person", CANARY, "--dry-run")
    assert "WOULD BE REMOVED ROWS bodies of deliveries 1" in said
    assert place.bodies() == 1


def test_an_erasure_says_what_went_and_what_it_cannot_remove(place: Place) -> None:
    place.takes(f"{CANARY}|r1")
    said = place.run("log", "erase", "--person", CANARY.upper(), "--reason", "request 1", "--yes")
    assert "REMOVED ROWS bodies of deliveries 1" in said
    assert f"1 correlation ID ({CANARY}|r1)" in said
    assert "of the log's entries 1 hold it" in said
    assert "Not erased by this: the incidents in ServiceNow" in said
    assert place.bodies() == 0


def test_the_salt_that_is_printed_shows_that_the_entry_is_about_the_identifier(place: Place) -> None:
    place.takes("r1")
    told = place.json("log", "erase", "--host", CANARY, "--yes")
    (entry,) = [json.loads(row.entry) for row in rows(place.store, log_entries) if row.action == "erased"]
    assert entry["detail"]["identifier"] == told["identifier"] == digest_of(bytes.fromhex(str(told["salt"])), CANARY)
    assert CANARY not in json.dumps(entry)


def test_what_is_kept_is_named_and_the_status_says_so(place: Place) -> None:
    place.takes("r1", over=False)
    place.takes("r2")
    said = place.run("log", "erase", "--person", CANARY, "--yes", status=1)
    assert "Kept is what 1 problem still need, open or being worked: r1 (bodies: 1)." in said
    assert place.bodies() == 1


def test_one_problem_is_erased_by_its_id(place: Place) -> None:
    place.takes("r1")
    place.takes("r2")
    place.run("log", "erase", "--correlation", "R1", "--yes")
    assert [row.body is None for row in rows(place.store, deliveries)] == [True, False]


def test_nothing_found_is_said(place: Place) -> None:
    assert "There is nothing that was removed." in place.run("log", "erase", "--person", "nobody-1", "--yes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--person", CANARY], "nobody can be asked here: look at it with --dry-run, then say --yes"),
        (["--yes"], "name one of --person, --host and --correlation"),
        (["--yes", "--person", "a", "--host", "b"], "name one of --person, --host and --correlation"),
        (["--yes", "--person", " "], "an identifier has at least one character"),
        (["--yes", "--correlation", ""], "it is empty"),
        (["--yes", "--person", "\udcff"], "is no UTF-8"),
        (["--yes", "--host", "\udcff"], "is no UTF-8"),
        (["--yes", "--correlation", "\udcff"], "is no UTF-8"),
        (["--yes", "--person", "a", "--reason", "\udcff"], "is no UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_refused(place: Place, words: list[str], said: str) -> None:
    place.takes("r1")
    assert said in place.run("log", "erase", *words, status=2)
    assert place.bodies() == 1


@pytest.mark.parametrize(("answer", "left", "status"), [("y\n", 0, 0), ("n\n", 1, 130)])
def test_a_person_at_a_terminal_is_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch, answer: str, left: int, status: int
) -> None:
    place.takes("r1")
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _="": answer.strip())
    assert "WOULD BE REMOVED" in place.run("log", "erase", "--person", CANARY, status=status)
    assert place.bodies() == left


def test_an_export_after_erasure_and_pruning_verifies_with_the_public_key_alone(place: Place, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signer = Signer("incident-bridge/0a1b2c3d", key)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "log.pub").write_bytes(public)
    for rule in ("r1", "r2", "r3"):
        place.takes(rule)
    with place.store.transaction() as tx:
        seal(tx, [signer], place.store.now(tx), 2)
        tx.execute(update(log_seals).values(at=place.store.now(tx) - timedelta(days=366)))
    place.run("log", "erase", "--person", CANARY, "--yes")
    assert place.json("db", "prune")["removed"] == {"entries": 2}
    with place.store.transaction() as tx:
        seal(tx, [signer], place.store.now(tx), 1_000)
    export = tmp_path / "log.jsonl"
    place.run("log", "export", "--output", str(export))
    assert main(["log", "verify", str(export), "--key", str(tmp_path / "log.pub")]) == 0
    assert CANARY not in export.read_text("utf-8")


def test_pruning_says_what_went(place: Place) -> None:
    place.takes("r1")
    assert "Nothing is older than `retention` says" in place.run("db", "prune")
    with place.store.transaction() as tx:
        tx.execute(update(deliveries).values(received_at=place.store.now(tx) - timedelta(days=31)))
    assert "WOULD BE REMOVED COUNT bodies of deliveries 1" in place.run("db", "prune", "--dry-run")
    assert place.json("db", "prune") == {"dry_run": False, "removed": {"bodies": 1}}
    assert place.bodies() == 0


def test_retention_is_the_files(place: Place) -> None:
    place.takes("r1")
    with (place.folder / "bridge.yaml").open("a") as file:
        file.write("retention: {deliveries: 60d}\n")
    with place.store.transaction() as tx:
        tx.execute(update(deliveries).values(received_at=place.store.now(tx) - timedelta(days=31)))
    assert place.json("db", "prune")["removed"] == {}
