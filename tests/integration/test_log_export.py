"""`bridge log export`, on both engines: whole and in parts, each of which verifies by the public key alone."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from export_world import Log, entries_in, write_configuration
from intake_world import alert
from sqlalchemy import delete, update

from bridge.errors import Transient
from bridge.log.entries import Action
from bridge.store.tables import alerts, correlations, episodes, incidents, log_entries

# --- whole


def test_a_whole_export_has_every_entry_and_verifies(log: Log) -> None:
    log.write("a", "b")
    log.take(alert("r1"))
    lines = log.export()
    assert lines[0]["kind"] == "whole"
    assert [line["index"] for line in lines if "entry" in line] == [0, 1, 2]
    assert entries_in(lines) == [entry for _, entry in log.stored()[:3]]


def test_an_export_ends_at_the_newest_checkpoint_and_says_how_many_entries_are_newer(log: Log) -> None:
    log.write("a")
    log.export()
    log.write("b", "c")
    told = log.run("log", "export", "--output", str(log.path("second")))
    assert "3 entries are newer than the last checkpoint" in told  # the first export is an entry, too
    assert len(entries_in([json.loads(line) for line in log.path("second").read_bytes().splitlines()])) == 1


def test_where_nobody_seals_the_export_seals_what_waits(log: Log) -> None:
    log.write("a")
    log.export()
    log.write("b", at=log.store.moment() - timedelta(seconds=11))
    assert [entry["actor"] for entry in log.entries()] == ["a", "cli:robin", "b"]


def test_where_nobody_seals_and_the_key_cannot_be_read_the_export_says_so(log: Log) -> None:
    log.write("a")
    log.export()
    log.write("b", at=log.store.moment() - timedelta(seconds=11))
    (log.folder / "log.key").unlink()
    told = log.run("log", "export", "--output", str(log.path("second")))
    assert "2 entries are newer than the last checkpoint" in told
    assert "log.key" in told


def test_a_log_without_a_checkpoint_and_without_a_key_is_not_exported(log: Log) -> None:
    log.write("a")
    (log.folder / "log.key").unlink()
    assert "the log has no checkpoint yet" in log.run("log", "export", "--output", str(log.path()), status=1)
    assert not log.path().exists()


def test_an_empty_log_is_not_exported(log: Log) -> None:
    told = log.run("log", "export", "--output", str(log.path()), status=1)
    assert "the log has no checkpoint yet: it has no entry" in told
    assert not log.path().exists()


def test_what_was_pruned_is_exported_as_hashes_and_verifies(log: Log) -> None:
    log.write(*[f"actor {number}" for number in range(700)])
    log.export()
    log.prune(0, 1, *range(10, 600), 699)
    lines = log.export()
    pruned = [(line["first"], line["pruned"]) for line in lines if "pruned" in line]
    assert sum(many for _, many in pruned) == 593
    assert max(many for _, many in pruned) == 256
    assert pruned[0] == (0, 2)


def test_the_summary_counts_what_was_pruned(log: Log) -> None:
    log.write("a", "b", "c")
    log.export()
    log.prune(1)
    told = log.run("log", "export", "--output", str(log.path("second")))
    assert "Exported 4 entries of a log of 5" in told
    assert "1 entry of it had been pruned before" in told
    assert "will not verify" not in told


def test_an_entry_that_somebody_took_out_of_the_database_is_named_by_export_and_verifier(log: Log) -> None:
    log.write("a", "b", "c", "d")
    log.export()
    log.prune(0)
    log.take_out(2)
    told = log.run("log", "export", "--output", str(log.path("second")))
    assert "Of entry 2 only the hash is there" in told
    assert "will not verify" in told
    verdict = log.verdict(log.path("second").read_bytes())
    assert (verdict.verified, verdict.facts["index"]) == (False, 2)


def test_a_long_export_carries_checkpoints_on_the_way_that_tell_where_it_was_changed(log: Log) -> None:
    for _ in range(4):
        log.write(*["a"] * 300, at=log.store.moment() - timedelta(seconds=11))
        log.export()
    raw = log.path().read_bytes()
    assert raw.count(b'{"checkpoint":') == 4
    lines = raw.splitlines(keepends=True)
    place = next(at for at, line in enumerate(lines) if b'"index":700}' in line)
    lines[place] = lines[place].replace(b'"actor":"a"', b'"actor":"b"')
    verdict = log.verdict(b"".join(lines))
    assert not verdict.verified
    assert 600 <= verdict.facts["index"] <= 700 <= verdict.facts["to"] <= 902


def test_a_tree_that_somebody_damaged_is_no_export(log: Log) -> None:
    from bridge.store.log_tables import log_seals

    log.write("a")
    log.export()
    log.write("b", at=log.store.moment() - timedelta(seconds=11))
    log.export()
    with log.store.transaction() as tx:
        tx.execute(delete(log_seals).where(log_seals.c.first_index == 0))
    told = log.run("log", "export", "--output", str(log.path("second")), status=1)
    assert "at index 0 is not whole" in told
    assert not log.path("second").exists()


# --- in parts


def test_a_selection_carries_the_proof_of_each_entry(log: Log) -> None:
    log.write(*[f"actor {number % 7}" for number in range(40)])
    lines = log.export("--actor", "actor 3")
    assert lines[0]["kind"] == "selection"
    assert lines[0]["filter"] == {"actor": "actor 3"}
    assert [line["index"] for line in lines if "entry" in line] == [3, 10, 17, 24, 31, 38]
    assert all(line["proof"] for line in lines if "entry" in line)


def test_a_filter_that_finds_nothing_makes_an_export_without_entries_that_verifies(log: Log) -> None:
    log.write("a")
    lines = log.export("--actor", "nobody")
    assert entries_in(lines) == []
    assert lines[-1]["count"] == 0


def test_a_selection_by_source(log: Log) -> None:
    log.take(alert("r1"))
    log.take(alert("r2"), source="other")
    log.write("a")
    assert [entry["source"] for entry in log.entries("--source", "other")] == ["other"]


def test_a_selection_by_time_begins_with_since_and_ends_before_until(log: Log) -> None:
    begin = log.store.moment().replace(microsecond=0)
    for minute in range(4):
        log.write(f"minute {minute}", at=begin + timedelta(minutes=minute))
    since, until = ((begin + timedelta(minutes=minute)).isoformat() for minute in (1, 3))
    assert [entry["actor"] for entry in log.entries("--since", since, "--until", until)] == ["minute 1", "minute 2"]


def test_a_correlation_id_finds_the_deliveries_of_its_alerts(log: Log) -> None:
    log.take(alert("r1"), alert("r2"))
    log.take(alert("r3"))
    log.take(alert("r2"))
    found = log.entries("--correlation", "R2")
    assert [entry["delivery"] for entry in found] == [1, 3]


def test_a_correlation_id_finds_the_quarantine_of_an_alert_that_was_mapped_later(log: Log) -> None:
    log.take({"name": "r9"}, alert("r1"))
    with log.store.transaction() as tx:  # what a replay leaves behind
        tx.execute(update(alerts).where(alerts.c.position == 0).values(correlation=1, seq=2, outcome="accepted"))
    with log.store.transaction() as tx:
        tx.execute(update(alerts).where(alerts.c.position == 1).values(correlation=None))
    assert log.actions("--correlation", "r1") == ["delivered", "quarantined"]


def test_a_correlation_id_finds_its_deliveries_also_when_its_alerts_are_no_longer_stored(log: Log) -> None:
    log.take(alert("r1"), alert("r2"))
    log.take(alert("r3"))
    with log.store.transaction() as tx:
        tx.execute(delete(alerts))
    assert [entry["delivery"] for entry in log.entries("--correlation", "r2")] == [1]


def test_a_correlation_id_finds_what_a_replay_mapped_also_when_the_log_alone_remembers_it(
    log: Log,
) -> None:
    log.take({"name": "r9"})
    detail = {"alerts": [{"position": 0, "correlation_id": "r9", "outcome": "accepted", "reason": "new"}]}
    log.write("cli:robin", action=Action.REPLAYED, delivery=1, detail=detail)
    with log.store.transaction() as tx:
        tx.execute(delete(alerts))
    assert log.actions("--correlation", "r9") == ["delivered", "quarantined", "replayed"]


def an_incident(log: Log) -> None:
    """INC0010001 for r1, which r2 has joined; both are told of in it."""
    with log.store.transaction() as tx:
        row = {"tenant": "default", "target": "itsm", "correlation_id": "r1", "mapping": "probe", "state": "open"}
        tx.execute(incidents.insert().values(id=7, **row, number="INC0010001", sys_id="ab" * 16, epoch=1))
        tx.execute(update(correlations).values(episode=1))
        tx.execute(episodes.insert().values(correlation=1, number=1, incident=7))
        tx.execute(episodes.insert().values(correlation=2, number=1, incident=7, part="joined"))
    log.write("sync", action=Action.INTENDED, correlation=1, correlation_id="r1", incident=7)
    log.write("sync", action=Action.WRITTEN, correlation=1, correlation_id="r1", incident=7, number="INC0010001")


def test_a_correlation_id_finds_what_was_told_in_the_incident_that_it_shares(log: Log) -> None:
    log.take(alert("r1"))
    log.take(alert("r2"))
    an_incident(log)
    assert [entry.get("delivery", entry["action"]) for entry in log.entries("--correlation", "r2")] == [
        2,
        "intended",
        "written",
    ]


def test_an_incident_finds_what_names_its_record_before_it_had_a_number_too(log: Log) -> None:
    log.take(alert("r1"))
    log.take(alert("r2"))
    an_incident(log)
    assert log.actions("--incident", "inc0010001") == ["intended", "written"]


def test_an_incident_number_as_a_correlation_finds_those_of_the_problems_that_it_stands_for(log: Log) -> None:
    log.take(alert("r1"))
    log.take(alert("r2"))
    log.take(alert("r3"))
    an_incident(log)
    assert log.actions("--correlation", "INC0010001") == ["delivered", "delivered", "intended", "written"]


@pytest.mark.parametrize("option", ["--source", "--actor", "--correlation", "--incident"])
def test_an_empty_filter_is_refused_for_it_would_let_through_what_nobody_asked_for(log: Log, option: str) -> None:
    log.write("a")
    told = log.run("log", "export", "--output", str(log.path()), option, "", status=2)
    assert "it is empty" in told
    assert not log.path().exists()


def test_filters_together_let_through_what_all_of_them_do(log: Log) -> None:
    log.take(alert("r1"))
    log.take(alert("r1", level="low"), source="other")
    assert [entry["delivery"] for entry in log.entries("--correlation", "r1", "--source", "other")] == [2]


def test_an_entry_that_was_pruned_is_in_no_selection_and_is_counted(log: Log) -> None:
    log.write("a", "b", "a")
    log.export()
    log.prune(0)
    told = log.run("log", "export", "--output", str(log.path("second")), "--actor", "a")
    assert "Exported 1 entry of a log of 5" in told
    assert "1 entry of it had been pruned before" in told


def test_what_is_no_entry_is_in_no_selection_and_is_told(log: Log) -> None:
    log.write("a", "b")
    log.export()
    with log.store.transaction() as tx:
        tx.execute(update(log_entries).where(log_entries.c.id == 1).values(entry=b"\xff no entry\n"))
    told = log.run("log", "export", "--output", str(log.path("second")), "--actor", "b")
    assert "the first 0, no entry is stored but something else" in told


# --- since an earlier checkpoint


def kept(log: Log) -> Path:
    path = log.path("kept.checkpoint")
    path.write_text(log.run("log", "checkpoint"))
    return path


def test_an_export_proves_that_the_log_has_only_grown_since_a_checkpoint(log: Log) -> None:
    log.write("a", "b", "c")
    path = kept(log)
    log.write("d", at=log.store.moment() - timedelta(seconds=11))
    lines = log.export("--from", str(path), "--actor", "a")
    assert lines[-2]["consistency"]["from"] == path.read_text()
    assert log.verdict(log.path().read_bytes(), path.read_text()).verified


def test_lines_of_an_anchor_are_checkpoints_too(log: Log) -> None:
    notes = []
    for actor in ("a", "b", "c"):
        log.write(actor, at=log.store.moment() - timedelta(seconds=11))
        notes.append(log.run("log", "checkpoint"))
    anchor = "".join(json.dumps({"at": "2026-03-10T12:00:00Z", "checkpoint": note}) + "\n" for note in notes[:2])
    log.path("anchored").write_text(f"{anchor}cut o")
    lines = log.export("--from", str(log.path("anchored")), "--actor", "c")
    assert [line["consistency"]["from"] for line in lines if "consistency" in line] == notes[:2]
    assert log.verdict(log.path().read_bytes(), anchor).verified


def test_a_checkpoint_that_is_ahead_of_the_store_is_told(log: Log) -> None:
    log.write("a", "b", "c")
    path = kept(log)
    note = path.read_text().replace("\n3\n", "\n5\n")
    path.write_text(note)
    told = log.run("log", "export", "--output", str(log.path()), "--from", str(path), status=1)
    assert "the checkpoint was signed for 2 entries more than this store has sealed" in told


def test_a_checkpoint_that_this_log_does_not_go_on_from_is_told(log: Log) -> None:
    log.write("a", "b", "c")
    path = kept(log)
    lines = path.read_text().split("\n")
    lines[2] = "A" * 43 + "="
    path.write_text("\n".join(lines))
    told = log.run("log", "export", "--output", str(log.path()), "--from", str(path), status=1)
    assert "this log does not begin as the checkpoint says" in told


def test_a_checkpoint_of_another_log_is_told(log: Log) -> None:
    log.write("a")
    path = kept(log)
    path.write_text(path.read_text().replace("incident-bridge/", "incident-bridge/x", 1))
    told = log.run("log", "export", "--output", str(log.path()), "--from", str(path), status=1)
    assert "and this log is incident-bridge/" in told


@pytest.mark.parametrize("content", [b"", b"\xff", b"hello\n\nworld\n", b"origin\n-1\nroot\n\n- x y\n", b"\n" * 70_000])
def test_a_file_that_holds_no_checkpoint_is_told(log: Log, content: bytes) -> None:
    log.write("a")
    log.path("bad").write_bytes(content)
    told = log.run("log", "export", "--output", str(log.path()), "--from", str(log.path("bad")), status=2)
    assert "holds no checkpoint" in told


def test_a_checkpoint_that_is_not_there_is_told(log: Log) -> None:
    told = log.run("log", "export", "--output", str(log.path()), "--from", str(log.path("none")), status=2)
    assert "none cannot be read: No such file or directory" in told


# --- the log tells of it


def test_an_export_is_an_entry_with_the_sha256_of_the_file(log: Log) -> None:
    log.write("a", "b")
    log.export("--actor", "b")
    told = log.stored()[-1][1]
    assert (told["action"], told["actor"]) == ("log_exported", "cli:robin")
    assert told["detail"] == {
        "entries": 1,
        "filter": {"actor": "b"},
        "format": "jsonl",
        "sha256": hashlib.sha256(log.path().read_bytes()).hexdigest(),
        "size": 2,
    }


def test_an_export_that_cannot_be_noted_is_not_made(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write("a")

    def refuse(*_: Any) -> None:
        raise Transient("store_unavailable", "the disk is full")

    monkeypatch.setattr("bridge.log.entries.append", refuse)
    told = log.run("log", "export", "--output", str(log.path()), status=1)
    assert "nothing is shown, for the log cannot note who has read it: the disk is full" in told
    assert sorted(path.name for path in log.folder.iterdir() if "log.jsonl" in path.name) == []


# --- the file


def test_a_file_that_is_there_is_left_alone(log: Log) -> None:
    log.write("a")
    log.path().write_text("precious")
    told = log.run("log", "export", "--output", str(log.path()), status=2)
    assert "is there already: name another file, or say --replace" in told
    assert log.path().read_text() == "precious"


def test_a_file_is_there_whole_or_not_at_all(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(*["a"] * 3000)
    log.export(name="first")
    log.path().write_text("precious")

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("bridge.cli.log_export.noted", interrupted)
    log.run("log", "export", "--output", str(log.path()), "--replace", status=130)
    assert log.path().read_text() == "precious"
    assert not list(log.folder.glob(".log.jsonl*"))


def test_an_export_can_be_read_by_its_owner_alone(log: Log) -> None:
    log.write("a")
    log.export()
    assert log.path().stat().st_mode & 0o777 == 0o600


def test_to_stdout_goes_the_export_and_nothing_else(log: Log) -> None:
    log.write("a")
    output, told = log.both("log", "export", "--output", "-")
    assert log.verdict(output.encode()).verified
    assert "Exported 1 entry of a log of 1" in told


def test_an_export_into_a_folder_that_is_not_there_is_told(log: Log) -> None:
    log.write("a")
    told = log.run("log", "export", "--output", str(log.path("none/log.jsonl")), status=1)
    assert "none/log.jsonl cannot be written: No such file or directory" in told


def test_a_full_disk_is_told(log: Log) -> None:
    log.write("a")
    told = log.run("log", "export", "--output", "/dev/full", status=1)
    assert told == "/dev/full cannot be written: No space left on device\n"


def test_a_full_disk_behind_stdout_is_told_in_a_line(tmp_path: Path) -> None:
    write_configuration(tmp_path, f"sqlite:///{tmp_path / 'bridge.db'}")

    def bridge_run(*words: str, stdout: Any = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "bridge.cli", *words, "--config", str(tmp_path / "bridge.yaml")]
        return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)

    assert bridge_run("db", "upgrade").returncode == 0
    assert bridge_run("log", "show").returncode == 0  # an entry
    with Path("/dev/full").open("wb") as full:
        done = bridge_run("log", "export", "--output", "-", stdout=full)
    told = b"the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


# --- CSV


def test_csv_says_that_it_cannot_be_verified_and_has_every_entry(log: Log) -> None:
    log.write("a")
    log.take(alert("r1"))
    log.run("log", "export", "--output", str(log.path("log.csv")), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(log.path("log.csv").read_text(), newline="")))
    assert next(iter(rows[0])) == "index (for reading only: CSV cannot be verified)"
    assert [(row["action"], row["actor"]) for row in rows] == [("resumed", "a"), ("delivered", "source:probe")]
    assert json.loads(rows[1]["detail"])["alerts"][0]["correlation_id"] == "r1"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_csv_is_a_formula(log: Log, begin: str) -> None:
    log.write(f"{begin}1+1")
    log.run("log", "export", "--output", str(log.path("log.csv")), "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(log.path("log.csv").read_text(), newline=""))
    assert row["actor"][0] in ("'", "\\")
    assert row["actor"].endswith("1+1")


def test_csv_has_a_row_for_what_was_pruned(log: Log) -> None:
    log.write("a", "b", "c")
    log.export()
    log.prune(0, 1)
    output, _ = log.both("log", "export", "--output", "-", "--format", "csv")
    assert "0 to 1,pruned: only hashes are kept" in output


def test_csv_goes_without_a_checkpoint(log: Log) -> None:
    told = log.run("log", "export", "--output", "-", "--format", "csv", "--from", "x", status=2)
    assert "--from goes with jsonl" in told


# --- what cannot be asked for


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "7", "7w", "-1d", "99999d", "2026", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time_is_told(log: Log, option: str, text: str) -> None:
    assert "is not a time, as in 2026-11-26" in log.run("log", "export", "--output", "-", option, text, status=2)


def test_a_time_that_ends_before_it_begins_is_told(log: Log) -> None:
    told = log.run("log", "export", "--output", "-", "--since", "1h", "--until", "2h", status=2)
    assert "--since is not before --until" in told


@pytest.mark.parametrize("option", ["--source", "--correlation", "--incident", "--actor"])
def test_words_that_are_no_utf_8_are_told(log: Log, option: str) -> None:
    assert "is no UTF-8" in log.run("log", "export", "--output", "-", option, "a\udcff", status=2)
