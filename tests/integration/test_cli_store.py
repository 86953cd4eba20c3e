"""The commands that look into the store, on both engines: `main` with arguments, and what it prints."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from intake_world import NOW, PROBE, alert, body_of, delivery, delivery_of, library_of, rows
from sqlalchemy import update

import bridge.wiring
from bridge.alert import Severity
from bridge.cli import main
from bridge.correlation.policy import Episode
from bridge.log.entries import Action, Entry, append
from bridge.settings import Settings
from bridge.store.engine import Store, open_store
from bridge.store.intake import commit
from bridge.store.prepare import PreparedDelivery
from bridge.store.tables import (
    additions,
    correlations,
    deliveries,
    episodes,
    incidents,
    intents,
    log_entries,
    revisions,
)
from bridge.store.work import encode

BRIDGE = """\
database: %s
instances:
  corp: {url: "https://corp.example", auth: {scheme: basic, username: a, password: {env: NOT_NEEDED}}}
targets:
  itsm: {instance: corp, table: incident}
sources:
  probe: {mapping: probe, auth: {scheme: none}}
"""
FIXED = PROBE.replace("rule: .rule", "rule: .rule ?? .name")


class Bridge:
    """One store with its bridge.yaml, and the command line before it."""

    def __init__(self, store: Store, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = store
        self.folder = folder
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        assert main([*words, "--config", str(self.folder / "bridge.yaml")]) == status, self._capsys.readouterr().err
        output = self._capsys.readouterr()
        return output.out if status == 0 else output.err

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def take(self, *alerts: dict[str, Any]) -> None:
        """A delivery of these alerts."""
        self._commit(delivery(library_of(self.store), *alerts))

    def take_body(self, body: bytes) -> None:
        self._commit(delivery_of(library_of(self.store), body))

    def take_wrapped(self, body: bytes, content: bytes) -> None:
        self._commit(replace(delivery_of(library_of(self.store), content), body=body, content=content))

    def _commit(self, prepared: PreparedDelivery) -> None:
        with self.store.transaction() as tx:
            commit(tx, [prepared], self.store.now(tx))

    def change(self, **values: Any) -> None:
        """Of every correlation."""
        with self.store.transaction() as tx:
            tx.execute(update(correlations).values(**values))

    def open_incident(self, number: str = "INC0010001") -> None:
        """What sync leaves behind when it has made an incident for the first correlation."""
        with self.store.transaction() as tx:
            now = self.store.now(tx)
            row = {"tenant": "default", "target": "itsm", "correlation_id": "r1", "mapping": "probe", "state": "open"}
            tx.execute(incidents.insert().values(id=7, **row, number=number, sys_id="ab" * 16, epoch=1))
            tx.execute(episodes.insert().values(correlation=1, number=1, incident=7))
            tx.execute(
                update(correlations).values(episode=1, open=True, last_decision="create: first_alert", due_at=None)
            )
            intent = {
                "incident": 7,
                "correlation": 1,
                "epoch": 1,
                "operation": "create",
                "reason": "first_alert",
                "target": "itsm",
                "ref": "x1",
                "digest": b"d",
                "fields": b'{"short_description": "r1 on web-01"}',
                "read_seq": 1,
                "settlement": b"{}",
                "started_at": now,
                "deadline": now,
            }
            tx.execute(intents.insert().values(id=1, **intent))
            about = {"at": now, "actor": "sync", "correlation": 1, "incident": 7, "target": "itsm"}
            append(
                tx,
                Entry(action=Action.INTENDED, outcome="create", reason="first_alert", detail={"intent": 1}, **about),  # type: ignore[arg-type]
                Entry(action=Action.WRITTEN, outcome="applied", number=number, **about),  # type: ignore[arg-type]
            )


@pytest.fixture
def bridge_(store: Store, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bridge:  # noqa: E501  # fmt: skip
    def open_it(settings: Settings) -> Store:
        return open_store(settings.database, lambda: NOW)

    monkeypatch.setattr(bridge.wiring, "open_for_command", open_it, raising=False)
    monkeypatch.setattr("bridge.cli.person.os_user", lambda: "robin")
    (tmp_path / "bridge.yaml").write_text(BRIDGE % json.dumps(store_url))
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/probe.yaml").write_text(PROBE)
    return Bridge(store, tmp_path, capsys)


# --- alerts


def test_without_alerts_the_list_says_how_to_get_one(bridge_: Bridge) -> None:
    assert bridge_.run("alerts", "list") == "No alerts yet: post one to /hooks/<source>.\n"


def test_alerts_are_listed_newest_first_by_the_ids_of_their_answers(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", level="high"), alert("r2"))
    bridge_.take(alert("r3"))
    found = bridge_.json("alerts", "list")
    assert [(a["id"], a["correlation_id"], a["severity"]) for a in found] == [
        ("2-0", "r3", "medium"),
        ("1-1", "r2", "medium"),
        ("1-0", "r1", "high"),
    ]


def test_a_limit_keeps_the_newest(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"), alert("r2"))
    assert [a["id"] for a in bridge_.json("alerts", "list", "--limit", "1")] == ["1-1"]


def test_a_limit_has_no_maximum(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    assert len(bridge_.json("alerts", "list", "--limit", "9" * 30)) == 1


def test_the_list_of_alerts_reads_as_a_table(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", level="high"))
    head, row = bridge_.run("alerts", "list").splitlines()
    assert head.split()[:3] == ["ID", "SOURCE", "RECEIVED"]
    assert [word for word in row.split() if word in ("1-0", "probe", "accepted", "firing", "high", "r1")] == [
        "1-0",
        "probe",
        "accepted",
        "firing",
        "high",
        "r1",
    ]


def test_an_alert_is_shown_with_its_delivery_and_revision(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", level="high"))
    bridge_.open_incident()
    shown = bridge_.json("alerts", "show", "1-0")
    assert (shown["severity"], shown["seq"], shown["incident"]) == ("high", 1, "INC0010001")
    assert (shown["delivery"]["id"], shown["delivery"]["body_bytes"]) == (1, len(body_of(alert("r1", level="high"))))
    assert shown["revision"]["mapping"] == "probe"
    assert "body" not in shown


@pytest.mark.parametrize(
    ("at", "replaced"),
    [
        ("soon", "none readable, or more than 5 min ahead: received time taken"),
        ("2999-01-01T00:00:00Z", "none readable, or more than 5 min ahead: received time taken"),
        ("2026-03-10T11:00:00Z", None),
    ],
)
def test_an_event_time_that_was_not_taken_is_told(bridge_: Bridge, at: str, replaced: str | None) -> None:
    bridge_.take(alert("r1", at=at))
    assert bridge_.json("alerts", "show", "1-0")["event_time_replaced"] == replaced
    (entry,) = bridge_.json("log", "show")
    assert entry["detail"]["alerts"][0].get("event_time") == replaced
    for words in (("alerts", "show", "1-0"), ("log", "show")):
        assert (replaced or "taken") in bridge_.run(*words) or replaced is None


def test_the_body_of_an_alert_is_shown_when_asked_for(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    assert bridge_.json("alerts", "show", "1-0", "--raw")["body"] == {"alerts": [{"rule": "r1"}]}
    assert '"rule": "r1"' in bridge_.run("alerts", "show", "1-0", "--raw")


def test_a_body_that_is_no_json_is_shown_as_harmless_text(bridge_: Bridge) -> None:
    bridge_.take_body(b"\x1b[2Jnot json \xff")
    assert bridge_.json("alerts", "show", "1-0", "--raw")["body"] == "\\u001b[2Jnot json \\xff"
    assert "\x1b" not in bridge_.run("alerts", "show", "1-0", "--raw")


@pytest.mark.parametrize("name", ["9-0", "99999999999999999999-0", "one"])
def test_an_unknown_alert_is_told(bridge_: Bridge, name: str) -> None:
    expected = f"there is no alert {name}; `bridge alerts list` shows their IDs\n"
    assert bridge_.run("alerts", "show", name, status=1) == expected


def test_the_number_of_a_delivery_leads_to_its_first_alert(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    assert "there is no alert 1 (did you mean 1-0?)" in bridge_.run("alerts", "show", "1", status=1)


# --- mappings, over what is stored


def test_a_stored_alert_is_explained_as_of_its_receipt(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"), alert("r2", level="high", kind="noisy"))
    told = bridge_.json("mapping", "explain", "probe", "1-1")
    received = bridge_.json("alerts", "show", "1-1")["received_at"]
    assert (told["correlation_id"], told["severity"], told["outcome"]) == ("r2", "high", "suppressed")
    assert (told["element"], told["elements"], told["now"]) == (1, 2, received)


def test_a_stored_alert_is_explained_by_the_file_as_it_is_now(bridge_: Bridge) -> None:
    bridge_.take({"name": "r9"})
    assert bridge_.json("mapping", "explain", "probe", "1-0")["reason"] == "empty_identity"
    (bridge_.folder / "mappings/probe.yaml").write_text(FIXED)
    assert bridge_.json("mapping", "explain", "probe", "1-0")["correlation_id"] == "r9"


def test_a_stored_alert_is_explained_and_counted_as_it_came_out_of_its_envelope(bridge_: Bridge) -> None:
    bridge_.take_wrapped(b"\x1f\x8b", body_of(alert("r1")))
    assert bridge_.json("mapping", "explain", "probe", "1-0")["correlation_id"] == "r1"
    (told,) = bridge_.json("mapping", "coverage", "probe", "--last", "9")
    assert told["by"] == "1 stored alert"
    assert bridge_.json("alerts", "show", "1-0")["delivery"]["body_bytes"] == 2


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["9-0"], 1, "there is no alert 9-0; `bridge alerts list` shows their IDs"),
        (["1-0", "--element", "1"], 2, "--element goes with a file: 1-0 names one alert"),
    ],
)
def test_a_stored_alert_that_cannot_be_explained_is_named(
    bridge_: Bridge, words: list[str], status: int, says: str
) -> None:
    bridge_.take(alert("r1"))
    assert says in bridge_.run("mapping", "explain", "probe", *words, status=status)


def test_an_erased_alert_cannot_be_explained_and_is_not_counted(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.take(alert("r2"))
    with bridge_.store.transaction() as tx:
        tx.execute(update(deliveries).where(deliveries.c.id == 1).values(body=None))
    assert "the body of 1-0 was erased" in bridge_.run("mapping", "explain", "probe", "1-0", status=1)
    (told,) = bridge_.json("mapping", "coverage", "probe", "--last", "9")
    assert told["by"] == "1 stored alert; the bodies of 1 more are erased"


def test_coverage_counts_the_newest_stored_alerts(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", kind="unwanted"), alert("r2", level="low"))
    bridge_.take(alert("r3", level="high"), {"name": "no rule"})
    bridge_.take_body(b"not JSON")
    (told,) = bridge_.json("mapping", "coverage", "probe", "--last", "4")
    hits = {point["what"]: point["hits"] for point in told["points"]}
    assert told["by"] == "4 stored alerts"
    assert (hits["route[0] to drop"], hits["route[1] to itsm"]) == (0, 2)
    assert (hits["severity.table: low: low"], hits["severity.table: high: high"]) == (1, 1)


def test_coverage_over_the_store_leaves_out_the_alerts_of_other_mappings(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    (bridge_.folder / "mappings/other.yaml").write_text(PROBE.replace("probe", "other"))
    (told,) = bridge_.json("mapping", "coverage", "other", "--last", "4")
    assert (told["by"], told["hit"]) == ("0 stored alerts", 0)


# --- quarantine


def test_the_quarantine_lists_why(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"), {"name": "r9"})
    (found,) = bridge_.json("quarantine", "list")
    assert (found["id"], found["outcome"], found["correlation_id"]) == ("1-1", "quarantined", None)
    assert found["reason"] in bridge_.run("quarantine", "list")


def test_replay_needs_to_know_what(bridge_: Bridge) -> None:
    assert "name the alerts to replay, or say --all" in bridge_.run("quarantine", "replay", status=2)


def test_replay_takes_names_or_all_not_both(bridge_: Bridge) -> None:
    bridge_.run("quarantine", "replay", "1-0", "--all", status=2)


def test_replay_refuses_what_is_no_id(bridge_: Bridge) -> None:
    assert "one is not the ID of an alert" in bridge_.run("quarantine", "replay", "one", status=2)


def test_replay_refuses_an_alert_that_is_not_in_quarantine(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    assert "alert 1-0 is not in quarantine" in bridge_.run("quarantine", "replay", "1-0", status=1)


def test_after_a_fix_everything_is_replayed(bridge_: Bridge) -> None:
    bridge_.take({"name": "r8"}, {"name": "r9"})
    (bridge_.folder / "mappings/probe.yaml").write_text(FIXED)
    assert bridge_.run("quarantine", "replay", "--all") == "2 mapped, 0 still quarantined.\n"
    assert [a["correlation_id"] for a in bridge_.json("alerts", "list")] == ["r9", "r8"]
    assert len(rows(bridge_.store, revisions)) == 2


def test_one_alert_may_be_replayed_alone(bridge_: Bridge) -> None:
    bridge_.take({"name": "r8"}, {"name": "r9"})
    (bridge_.folder / "mappings/probe.yaml").write_text(FIXED)
    assert bridge_.json("quarantine", "replay", "1-1") == {"mapped": 1, "waiting": 0}
    assert [a["id"] for a in bridge_.json("quarantine", "list")] == ["1-0"]


def test_what_still_does_not_map_is_counted(bridge_: Bridge) -> None:
    bridge_.take({"name": "r8"})
    assert bridge_.run("quarantine", "replay", "--all").startswith("0 mapped, 1 still quarantined.\n")


def test_a_broken_mapping_replays_nothing(bridge_: Bridge) -> None:
    bridge_.take({"name": "r8"})
    (bridge_.folder / "mappings/probe.yaml").write_text("mapping: [")
    assert "probe.yaml:" in bridge_.run("quarantine", "replay", "--all", status=2)


def test_what_is_discarded_leaves_quarantine_and_the_log_says_who_and_why(bridge_: Bridge) -> None:
    bridge_.take({"name": "r8"}, {"name": "r9"})
    assert bridge_.run("quarantine", "discard", "1-1", "--reason", "a test") == "1 alert discarded.\n"
    assert [a["id"] for a in bridge_.json("quarantine", "list")] == ["1-0"]
    shown = bridge_.json("alerts", "show", "1-1")
    assert (shown["outcome"], shown["reason"], shown["detail"]) == ("dropped", "discarded", None)
    (entry,) = bridge_.json("log", "show", "--action", "discarded")
    assert (entry["actor"], entry["reason"], entry["delivery"]) == ("cli:robin", "a test", 1)
    assert entry["detail"] == {"positions": [1], "quarantined": ["empty_identity"]}


def test_all_of_one_source_are_discarded(bridge_: Bridge) -> None:
    bridge_.take({"name": "r8"}, {"name": "r9"})
    discard = ("quarantine", "discard", "--all", "--reason", "a test", "--source")
    assert bridge_.run(*discard, "nobody") == "Nothing was discarded.\n"
    assert bridge_.json(*discard, "probe") == {"discarded": 2}
    assert len(bridge_.json("log", "show", "--action", "discarded")) == 1


def test_what_was_discarded_is_not_replayed(bridge_: Bridge) -> None:
    bridge_.take({"name": "r8"})
    bridge_.run("quarantine", "discard", "--all", "--reason", "a test")
    (bridge_.folder / "mappings/probe.yaml").write_text(FIXED)
    assert bridge_.json("quarantine", "replay", "--all") == {"mapped": 0, "waiting": 0}


@pytest.mark.parametrize("name", ["1-0", "9-9"])
def test_what_is_not_in_quarantine_is_told_and_nothing_is_discarded(bridge_: Bridge, name: str) -> None:
    bridge_.take(alert("r1"), {"name": "r9"})
    told = bridge_.run("quarantine", "discard", "1-1", name, "--reason", "x", status=1)
    assert f"alert {name} is not in quarantine" in told
    assert [a["id"] for a in bridge_.json("quarantine", "list")] == ["1-1"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--reason", "x"), "name the alerts to discard, or say --all"),
        (("1-0", "--all", "--reason", "x"), "name the alerts to discard, or say --all"),
        (("1-0",), "Missing option '--reason'"),
        (("1-0", "--reason", " "), "say why"),
        (("1-0", "--source", "probe", "--reason", "x"), "--source goes with --all"),
        (("one", "--reason", "x"), "one is not the ID of an alert"),
    ],
)
def test_discard_needs_to_know_what_and_why(bridge_: Bridge, words: tuple[str, ...], told: str) -> None:
    assert told in bridge_.run("quarantine", "discard", *words, status=2)


# --- targets


def test_a_paused_target_says_who_paused_it(bridge_: Bridge) -> None:
    bridge_.run("targets", "pause", "itsm")
    (target,) = bridge_.json("targets", "list")
    assert (target["name"], target["mode"], target["paused"], target["paused_by"]) == (
        "itsm",
        "write",
        True,
        "cli:robin",
    )
    assert "by cli:robin" in bridge_.run("targets", "list")


def test_pause_and_resume_are_entries_of_the_log_once(bridge_: Bridge) -> None:
    for command in ("pause", "pause", "resume", "resume"):
        bridge_.run("targets", command, "itsm")
    told = [(entry["action"], entry["target"], entry["actor"]) for entry in bridge_.json("log", "show")]
    assert told == [("paused", "itsm", "cli:robin"), ("resumed", "itsm", "cli:robin")]


def test_an_alert_that_was_dropped_is_mapped_again_by_the_mapping_in_use(bridge_: Bridge) -> None:
    mapping = bridge_.folder / "mappings/probe.yaml"
    kept = mapping.read_text()
    bridge_.take(alert("r1", kind="unwanted"))
    (one,) = bridge_.json("alerts", "list")
    assert one["outcome"] == "dropped"
    mapping.write_text(kept.replace("kind: unwanted", "kind: nothing"))
    assert bridge_.run("alerts", "replay", one["id"]) == "1 mapped, 0 quarantined.\n"
    assert [row["outcome"] for row in bridge_.json("alerts", "list")] == ["accepted"]
    (entry,) = bridge_.json("log", "show", "--action", "quarantined")
    assert (entry["actor"], entry["reason"], entry["delivery"]) == ("cli:robin", "brought_back", 1)
    assert entry["detail"] == {"positions": [0]}


def test_of_an_alert_that_was_accepted_the_problem_is_looked_at_again(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(due_at=None, waits_for_person=True, failure="acl", failures=3)
    (one,) = bridge_.json("alerts", "list")
    assert bridge_.json("alerts", "replay", one["id"]) == {"mapped": 0, "waiting": 0, "looked_at": 1}
    (problem,) = bridge_.json("incidents", "list")
    assert (problem["waits"], problem["count"]) == ("due now", 1)


def test_an_alert_that_is_not_there_is_not_replayed(bridge_: Bridge) -> None:
    assert "there is no alert 9-0" in bridge_.run("alerts", "replay", "9-0", status=1)


def test_a_target_lets_go_what_its_brake_holds(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    assert bridge_.run("targets", "release", "itsm") == "itsm: nothing was held\n"
    bridge_.change(last_decision="nothing: brake", target="itsm")
    assert bridge_.json("targets", "list")[0]["held"] == 1
    assert "`bridge targets release itsm`" in bridge_.json("incidents", "list")[0]["waits"]
    assert bridge_.run("targets", "release", "itsm") == "itsm: 1 problem and 0 twins are let go\n"
    assert bridge_.json("targets", "release", "itsm") == [{"name": "itsm", "problems": 0, "twins": 0}]
    assert bridge_.json("targets", "list")[0]["held"] == 0


def test_a_resumed_target_runs(bridge_: Bridge) -> None:
    bridge_.run("targets", "pause", "itsm")
    assert bridge_.run("targets", "resume", "itsm") == "itsm: running again\n"
    assert bridge_.json("targets", "list")[0]["paused"] is False


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_an_unknown_target_is_told_with_the_known(bridge_: Bridge, command: str) -> None:
    assert "there is no target sir in" in bridge_.run("targets", command, "sir", status=2)
    assert "known: itsm" in bridge_.run("targets", command, "itsm", "sir", status=2)
    assert bridge_.json("log", "show") == []


def test_a_target_counts_what_waits_for_it(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"), alert("r2"))
    (target,) = bridge_.json("targets", "list")
    assert (target["due"], target["open_incidents"]) == (2, 0)


def test_what_is_due_later_is_not_counted_as_due(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(due_at=NOW + timedelta(days=36500))
    assert bridge_.json("targets", "list")[0]["due"] == 0


# --- incidents


def test_a_correlation_is_listed_before_it_has_an_incident(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", level="critical"), alert("r1"))
    (row,) = bridge_.json("incidents", "list")
    assert (row["correlation_id"], row["status"], row["severity"], row["count"]) == ("r1", "firing", "critical", 2)
    assert (row["number"], row["target"], row["table"]) == (None, "itsm", "incident")


def test_a_correlation_is_listed_with_its_incident(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.open_incident()
    (row,) = bridge_.json("incidents", "list")
    assert (row["number"], row["state"], row["last_decision"], row["waits"]) == (
        "INC0010001",
        "open",
        "create: first_alert",
        "",
    )
    assert "INC0010001" in bridge_.run("incidents", "list")


def test_the_list_says_why_a_correlation_waits(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(
        failures=3,
        failure="unreachable",
        failure_text="ServiceNow does not answer",
        due_at=NOW + timedelta(days=36500),
    )
    (row,) = bridge_.json("incidents", "list")
    assert row["waits"].startswith("unreachable: ServiceNow does not answer (failed 3 times, again in ")
    assert (row["failures"], row["failure"]) == (3, "unreachable")


def test_the_list_says_what_waits_for_a_person(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(failure="denied", failure_text="grant the role itil", waits_for_person=True, due_at=None)
    assert "for a person: denied: grant the role itil; then `bridge incidents sync`" in bridge_.run("incidents", "list")


def test_a_sentence_that_ends_is_not_ended_twice(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(failure="denied", failure_text="Grant the role.", waits_for_person=True, due_at=None)
    (row,) = bridge_.json("incidents", "list")
    assert row["waits"] == "for a person: denied: Grant the role; then `bridge incidents sync`"


def test_the_list_says_why_what_is_due_is_held_up_at_an_instance_that_is_left_alone(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(failures=1, failure="instance_held", failure_text="It hibernates.")
    bridge_.take(alert("r2"))
    newest = bridge_.json("incidents", "list")[0]
    assert (newest["correlation_id"], newest["waits"]) == (
        "r2",
        "due now, while itsm is left alone or fails: It hibernates",
    )


def test_the_list_says_that_a_target_is_paused(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.run("targets", "pause", "itsm")
    assert "target itsm is paused: `bridge targets resume itsm`" in bridge_.run("incidents", "list")


@pytest.mark.parametrize("words", ["r1", "R1", "INC0010001", "inc0010001"])
def test_an_incident_is_found_by_its_correlation_id_or_number(bridge_: Bridge, words: str) -> None:
    bridge_.take(alert("r1"))
    bridge_.open_incident()
    assert bridge_.json("incidents", "show", words)["correlation_id"] == "r1"


def test_a_correlation_is_found_by_the_text_before_the_100_character_rule(bridge_: Bridge) -> None:
    bridge_.take(alert("r" * 200))
    shown = bridge_.json("incidents", "show", "r" * 200)
    assert len(shown["correlation_id"]) == 100


def share_incident(bridge_: Bridge) -> None:
    """INC0010001 was opened for r1, and r2 has joined."""
    bridge_.take(alert("r1"), alert("r2"))
    bridge_.open_incident()
    bridge_.change(due_at=None)
    with bridge_.store.transaction() as tx:
        tx.execute(episodes.insert().values(correlation=2, number=1, incident=7, part="joined"))
        shown = Episode(open=True, severity=Severity.MEDIUM, told_count=2)
        tx.execute(update(incidents).values(episode=encode(shown)))
        tx.execute(update(intents).values(outcome="applied"))


def test_the_list_says_how_many_share_an_incident(bridge_: Bridge) -> None:
    share_incident(bridge_)
    assert "INC0010001 (2 share it)" in bridge_.run("incidents", "list")
    assert [(row["correlation_id"], row["shared_with"]) for row in bridge_.json("incidents", "list")] == [
        ("r2", ["r1"]),
        ("r1", ["r2"]),
    ]


def test_whichever_of_those_that_share_an_incident_is_shown_it_is_the_whole_story(bridge_: Bridge) -> None:
    share_incident(bridge_)
    shown = bridge_.json("incidents", "show", "r2")
    assert (shown["number"], shown["opened_for"], shown["shared_with"]) == ("INC0010001", "r1", ["r1"])
    assert [step["what"] for step in shown["story"]] == ["alert", "intended", "written"]
    text = bridge_.run("incidents", "show", "r2")
    assert "Opened for      r1" in text
    assert "Shared with     r1" in text


def test_what_joined_is_taken_out_by_a_command_that_the_log_tells(bridge_: Bridge) -> None:
    share_incident(bridge_)
    assert "r2 is taken out of INC0010001" in bridge_.run("incidents", "split", "r2")
    (row, _) = bridge_.json("incidents", "list")
    assert (row["correlation_id"], row["number"], row["shared_with"], row["waits"]) == ("r2", None, [], "due now")
    assert bridge_.json("incidents", "show", "INC0010001")["correlation_id"] == "r1"
    (entry,) = bridge_.json("log", "show", "--action", "split")
    assert (entry["actor"], entry["correlation_id"], entry["number"]) == ("cli:robin", "r2", "INC0010001")


def test_what_an_incident_was_opened_for_is_not_taken_out(bridge_: Bridge) -> None:
    share_incident(bridge_)
    said = bridge_.run("incidents", "split", "r1", status=1)
    assert "INC0010001 was opened for r1 and bears its ID" in said
    assert "bridge incidents show INC0010001" in said


def test_the_list_says_what_waits_to_join(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(last_decision="nothing: waits_to_join", due_at=NOW + timedelta(days=36500))
    assert "for the incident that it joins, which is being created" in bridge_.run("incidents", "list")


def test_an_unknown_incident_is_told(bridge_: Bridge) -> None:
    expected = "there is no correlation ID or incident number INC9; `bridge incidents list` shows them\n"
    assert bridge_.run("incidents", "show", "INC9", status=1) == expected


def test_the_story_of_an_incident_is_told_in_order(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", level="high"))
    bridge_.open_incident()
    shown = bridge_.json("incidents", "show", "INC0010001")
    assert [step["what"] for step in shown["story"]] == ["alert", "intended", "written"]
    assert shown["story"][1]["sent"] == {"short_description": "r1 on web-01"}
    assert [(one["id"], one["severity"]) for one in shown["alerts"]] == [("1-0", "high")]
    assert shown["complete"] is True


def test_the_story_reads_as_text(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", level="high"))
    bridge_.open_incident()
    text = bridge_.run("incidents", "show", "r1")
    for part in ("Incident", "INC0010001", "1-0 firing, high: accepted (new)", "short_description = r1 on web-01"):
        assert part in text


def test_what_goes_with_an_incident_is_shown_with_its_outcome(bridge_: Bridge) -> None:
    bridge_.take(alert("r1", level="high"))
    bridge_.open_incident()
    rows = [
        {"kind": "output:alarm", "outcome": "added", "finished_at": NOW},
        {"kind": "output:verdict", "outcome": "given_up", "outcome_code": "no_enrichment_path", "finished_at": NOW},
        {
            "kind": "attachment",
            "outcome": None,
            "outcome_code": "acl",
            "due_at": NOW + timedelta(minutes=2),
            "outcome_text": "No right to attach. " * 12 + "Give it.",
            "tries": 3,
        },
    ]
    planned = {"incident": 7, "correlation": 1, "delivery_id": 1, "position": 0, "epoch": 0, "failures": 0}
    with bridge_.store.transaction() as tx:
        for row in rows:
            tx.execute(additions.insert().values(**planned | row))
    shown = bridge_.json("incidents", "show", "r1")["additions"]
    assert [(one["kind"], one["outcome"], one["code"]) for one in shown] == [
        ("attachment", "waits", "acl"),
        ("output:alarm", "added", None),
        ("output:verdict", "given_up", "no_enrichment_path"),
    ]
    text = " ".join(bridge_.run("incidents", "show", "r1").split())
    assert "Beside it output:alarm of INC0010001: added" in text
    assert "Beside it output:verdict of INC0010001: given up, no_enrichment_path" in text
    assert "Beside it attachment of INC0010001: waits, tries again" in text
    assert ", was sent 3 times, acl: No right to attach." in text
    assert "attach. Give it." in text


def test_a_limit_keeps_the_newest_steps_and_says_so(bridge_: Bridge) -> None:
    bridge_.take(*[alert("r1")] * 5)
    shown = bridge_.json("incidents", "show", "r1", "--limit", "2")
    assert ([one["id"] for one in shown["alerts"]], len(shown["story"]), shown["complete"]) == (
        ["1-4", "1-3"],
        2,
        False,
    )
    assert "(The newest 2 steps; --limit shows more.)" in bridge_.run("incidents", "show", "r1", "--limit", "2")


def test_a_correlation_of_another_tenant_is_asked_for_by_name(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    assert "r1 is not of tenant blue" in bridge_.run("incidents", "show", "r1", "--tenant", "blue", status=2)
    assert bridge_.json("incidents", "show", "r1", "--tenant", "default")["tenant"] == "default"


def test_sync_clears_the_failure_and_makes_it_due(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(failures=2, failure="denied", failure_text="grant it", waits_for_person=True, due_at=None)
    bridge_.run("incidents", "sync", "r1")
    (row,) = rows(bridge_.store, correlations)
    assert (row.failures, row.failure, row.failure_text, row.waits_for_person) == (0, None, None, False)
    assert row.due_at is not None


def test_sync_is_an_entry_of_the_log(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.change(failure="denied", waits_for_person=True, due_at=None)
    bridge_.run("incidents", "sync", "r1")
    (entry,) = bridge_.json("log", "show", "--action", "sync_asked")
    assert (entry["actor"], entry["correlation_id"], entry["reason"]) == ("cli:robin", "r1", "denied")


def test_sync_of_all_asks_only_for_what_failed(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"), alert("r2"), alert("r3"))
    bridge_.change(due_at=None)
    with bridge_.store.transaction() as tx:
        tx.execute(update(correlations).where(correlations.c.key == "r1").values(waits_for_person=True))
        tx.execute(update(correlations).where(correlations.c.key == "r3").values(failures=1))
    assert bridge_.json("incidents", "sync", "--all") == {"asked": 2, "paused": []}
    assert [row.key for row in rows(bridge_.store, correlations) if row.due_at is not None] == ["r1", "r3"]


def test_sync_names_the_paused_targets_of_what_it_asked_for(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.run("targets", "pause", "itsm")
    assert bridge_.json("incidents", "sync", "r1") == {"asked": 1, "paused": ["itsm"]}
    assert "`bridge targets resume itsm`: it is paused." in bridge_.run("incidents", "sync", "r1")


def test_sync_needs_to_know_what(bridge_: Bridge) -> None:
    assert "name correlations or incidents, or say --all" in bridge_.run("incidents", "sync", status=2)


def test_sync_of_an_unknown_one_changes_nothing(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.run("incidents", "sync", "r1", "r9", status=1)
    assert [entry["action"] for entry in bridge_.json("log", "show")] == ["delivered"]


# --- log


def test_the_log_is_shown_newest_last(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.run("targets", "pause", "itsm")
    assert [entry["action"] for entry in bridge_.json("log", "show", "--limit", "1")] == ["paused"]
    assert [entry["action"] for entry in bridge_.json("log", "show")] == ["delivered", "paused", "log_read"]


def test_the_log_of_a_correlation_includes_its_deliveries(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.take(alert("r2"))
    bridge_.open_incident()
    found = bridge_.json("log", "show", "--correlation", "r1")
    assert [(entry["action"], entry.get("delivery")) for entry in found] == [
        ("delivered", 1),
        ("intended", None),
        ("written", None),
    ]


def test_the_log_of_a_source(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"))
    bridge_.run("targets", "pause", "itsm")
    assert [entry["action"] for entry in bridge_.json("log", "show", "--source", "probe")] == ["delivered"]


def test_an_unknown_action_is_told_with_the_known(bridge_: Bridge) -> None:
    assert "known: delivered, quarantined" in bridge_.run("log", "show", "--action", "deliverd", status=2)


def test_the_log_reads_as_a_table(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"), {"name": "r9"})
    assert "1 accepted, 1 quarantined (" in bridge_.run("log", "show")


def test_every_stored_entry_can_be_shown(bridge_: Bridge) -> None:
    bridge_.take(alert("r1"), {"name": "r9"})
    stored = [msgspec.json.decode(row.entry) for row in rows(bridge_.store, log_entries)]
    assert [entry["action"] for entry in bridge_.json("log", "show")] == [entry["action"] for entry in stored]
