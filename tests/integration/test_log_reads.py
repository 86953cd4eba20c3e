"""`bridge log show`, `prove` and `checkpoint`, on both engines."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from export_world import KEY, Log
from tree_judge import root_from_inclusion

from bridge.errors import Transient
from bridge.log.entries import Action
from bridge.log.note import opened, verifier, vkey
from bridge.log.tree import leaf_hash
from bridge.store.engine import Store
from bridge.store.log_tables import log_anchors

# --- show


def test_an_entry_is_shown_with_its_index_once_it_is_sealed(log: Log) -> None:
    log.write("a", "b")
    assert [entry["index"] for entry in log.json("log", "show")] == [None, None]
    log.export()
    assert [entry["index"] for entry in log.json("log", "show")] == [0, 1, 2, None]


def test_the_index_stands_in_the_table(log: Log) -> None:
    log.write("a")
    log.export()
    header, first, *_ = log.run("log", "show").splitlines()
    assert header.split()[:3] == ["ENTRY", "INDEX", "AT"]
    assert first.split()[:2] == ["1", "0"]


def test_reading_the_log_is_an_entry_with_what_was_asked_for(log: Log) -> None:
    log.write("a", "b")
    log.run("log", "show", "--actor", "b", "--action", "resumed")
    told = log.stored()[-1][1]
    assert (told["action"], told["actor"]) == ("log_read", "cli:robin")
    assert told["detail"] == {"entries": 1, "filter": {"action": "resumed", "actor": "b"}}


def test_what_was_asked_for_stands_in_the_table(log: Log) -> None:
    log.run("log", "show", "--actor", "b")
    assert log.run("log", "show").splitlines()[1].endswith("actor b, entries 0")


def test_what_cannot_be_noted_is_not_shown(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write("a")

    def refuse(*_: Any) -> None:
        raise Transient("store_unavailable", "the database is read-only")

    monkeypatch.setattr("bridge.log.entries.append", refuse)
    told = log.run("log", "show", status=1)
    assert told == "nothing is shown, for the log cannot note who has read it: the database is read-only\n"


def test_entries_of_an_actor_are_found_however_many_others_there_are(log: Log) -> None:
    log.write("a", *["b"] * 1500, "a", "b")
    assert [entry["id"] for entry in log.json("log", "show", "--actor", "a")] == [1, 1502]
    assert [entry["id"] for entry in log.json("log", "show", "--actor", "a", "--limit", "1")] == [1502]


def test_entries_of_a_time_begin_with_since_and_end_before_until(log: Log) -> None:
    begin = log.store.moment().replace(microsecond=0) - timedelta(hours=3)
    for minute in range(4):
        log.write(f"minute {minute}", at=begin + timedelta(minutes=minute))
    since, until = ((begin + timedelta(minutes=minute)).isoformat() for minute in (1, 3))
    found = log.json("log", "show", "--since", since, "--until", until)
    assert [entry["actor"] for entry in found] == ["minute 1", "minute 2"]


def test_a_span_is_a_time_before_now(log: Log) -> None:
    now = log.store.moment()
    log.write("long ago", at=now - timedelta(hours=5))
    log.write("lately", at=now - timedelta(hours=3))
    assert [entry["actor"] for entry in log.json("log", "show", "--since", "4h")] == ["lately"]


@pytest.mark.parametrize(
    "text", ["2026-03-10", "2026-03-10T00:00", "2026-03-10 00:00:00Z", "20260310", "2026-03-10T01:00:00+01:00"]
)
def test_a_time_may_be_written_in_each_of_these_ways(log: Log, text: str) -> None:
    log.run("log", "show", "--since", text)
    assert log.stored()[-1][1]["detail"]["filter"] == {"since": "2026-03-10T00:00:00.000000Z"}


def test_a_time_as_it_is_shown_can_be_asked_for(log: Log) -> None:
    log.write("a")
    shown = log.run("log", "show").splitlines()[1].split()
    assert log.json("log", "show", "--since", f"{shown[1]} {shown[2]}")[0]["actor"] == "a"


# --- prove


def test_a_proof_leads_from_the_entry_to_the_signed_root(log: Log) -> None:
    log.write(*[f"actor {number}" for number in range(9)])
    export = log.run("log", "prove", "5", "--json")
    header, entry, last = (json.loads(line) for line in export.splitlines())
    assert (header["kind"], header["filter"], last["count"]) == ("selection", {"entry": 5}, 1)
    canonical = json.dumps(entry["entry"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    proof = [base64.b64decode(one) for one in entry["proof"]]
    signed = opened(last["checkpoint"], [verifier((log.folder / "log.pub").read_text())])
    assert (entry["index"], signed.size) == (4, 9)
    assert root_from_inclusion(leaf_hash(canonical), 4, 9, proof) == signed.root


def test_the_verifier_takes_a_proof(log: Log) -> None:
    log.write("a", "b", "c")
    assert log.verdict(log.run("log", "prove", "2", "--json").encode()).verified


def test_a_proof_goes_on_from_a_checkpoint_that_was_kept(log: Log) -> None:
    log.write("a", "b", "c")
    kept = log.run("log", "checkpoint")
    log.path("kept").write_text(kept)
    log.write("d", at=log.store.moment() - timedelta(seconds=11))
    raw = log.run("log", "prove", "2", "--json", "--from", str(log.path("kept"))).encode()
    assert log.verdict(raw, kept).verified
    assert not log.verdict(log.run("log", "prove", "2", "--json").encode(), kept).verified


def test_a_proof_as_text_goes_on_from_nothing(log: Log) -> None:
    assert "--from goes with --json" in log.run("log", "prove", "2", "--from", "kept", status=2)


def test_a_proof_reads_as_text(log: Log) -> None:
    log.write("a", "b", "c")
    told = log.run("log", "prove", "2")
    assert "Index      1" in told
    assert '"actor":"b"' in told
    assert log.run("log", "checkpoint") in told


def test_a_proof_is_an_entry_of_the_log(log: Log) -> None:
    log.write("a", "b")
    log.run("log", "prove", "1")
    assert log.stored()[-1][1]["action"] == "log_read"
    export = log.run("log", "prove", "1", "--json")
    told = log.stored()[-1][1]
    assert (told["action"], told["detail"]["filter"]) == ("log_exported", {"entry": 1})
    assert told["detail"]["sha256"] == hashlib.sha256(export.encode()).hexdigest()


def test_an_entry_that_is_not_sealed_yet_is_told(log: Log) -> None:
    log.write("a")
    log.export()
    assert "entry 2 is newer than the last checkpoint: try again in a second" in log.run("log", "prove", "2", status=1)


@pytest.mark.parametrize("number", ["7", str(2**63 - 1)])
def test_an_entry_that_there_never_was_is_told(log: Log, number: str) -> None:
    log.write("a")
    assert f"there is no entry {number}; `bridge log show`" in log.run("log", "prove", number, status=1)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1-0", str(2**63)])
def test_what_is_no_number_of_an_entry_is_told(log: Log, number: str) -> None:
    log.write("a")
    assert "bridge log prove --help" in log.run("log", "prove", "--", number, status=2)


def test_an_entry_that_was_pruned_cannot_be_proved_and_is_told(log: Log) -> None:
    log.write("a", "b")
    log.export()
    log.prune(0)
    assert "entry 1, index 0, was pruned" in log.run("log", "prove", "1", status=1)


# --- checkpoint


def test_the_checkpoint_is_printed_byte_for_byte(log: Log) -> None:
    log.write("a", "b")
    note = log.run("log", "checkpoint")
    assert note == json.loads(log.run("log", "prove", "1", "--json").splitlines()[-1])["checkpoint"]
    assert opened(note, [verifier((log.folder / "log.pub").read_text())]).size == 2


def test_the_checkpoint_as_json_says_all_that_is_known_of_it(log: Log) -> None:
    log.write("a")
    shown = log.json("log", "checkpoint")
    signed = opened(shown["note"], [verifier((log.folder / "log.pub").read_text())])
    assert (shown["origin"], shown["size"], base64.b64decode(shown["root"])) == (signed.origin, 1, signed.root)
    assert shown["anchors"] == []
    assert shown["keys"] == [{"key_id": shown["keys"][0]["key_id"], "vkey": vkey(signed.origin, KEY.public_key())}]


def test_the_checkpoint_as_json_tells_how_far_each_anchor_has_got(log: Log) -> None:
    log.write("a")
    with log.store.transaction() as tx:
        tx.execute(log_anchors.insert().values(name="file:anchors.log", size=1, error="no space"))
    (anchor,) = log.json("log", "checkpoint")["anchors"]
    assert anchor == {"name": "file:anchors.log", "size": 1, "at": None, "failed_at": None, "error": "no space"}


def test_the_public_key_is_printed_as_a_line_for_verifiers(log: Log) -> None:
    log.write("a")
    line = log.run("log", "checkpoint", "--vkey")
    assert opened(log.run("log", "checkpoint"), [verifier(line)]).size == 1


def test_looking_at_the_checkpoint_reads_nothing_of_the_log_and_is_no_entry(log: Log) -> None:
    log.write("a")
    log.run("log", "checkpoint")
    assert [entry["action"] for _, entry in log.stored()] == [Action.RESUMED]


def test_the_checkpoint_is_shown_where_the_store_cannot_be_written(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write("a")
    note = log.run("log", "checkpoint")
    log.write("b", at=log.store.moment() - timedelta(seconds=11))

    def refuse(*_: Any, **__: Any) -> Any:
        raise Transient("store_unavailable", "the database is read-only")

    monkeypatch.setattr(Store, "transaction", refuse)
    output, told = log.both("log", "checkpoint")
    assert output == note
    assert told == "1 entry is newer than the last checkpoint: the database is read-only.\n"


def test_a_log_without_a_checkpoint_says_so(log: Log) -> None:
    assert "the log has no checkpoint yet: it has no entry" in log.run("log", "checkpoint", status=1)


def test_a_checkpoint_is_shown_in_one_form_at_a_time(log: Log) -> None:
    assert "not both" in log.run("log", "checkpoint", "--json", "--vkey", status=2)
