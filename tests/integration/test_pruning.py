"""Retention: what is old goes, what is needed stays, the log verifies, and intake is not held up."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from crashing import Crash
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from erasing_world import CANARY, holders, personal, sir
from intake_world import alert, body_of, delivery, delivery_of, rows, running_writer
from sqlalchemy import func, select, update
from sync_world import World
from tree_judge import root_from_inclusion

from bridge import crashpoint
from bridge.log.note import Signer, opened, verifier
from bridge.log.tree import inclusion_proof, leaf_hash, root_of
from bridge.pruning import Pruner, Pruning
from bridge.settings import Retention
from bridge.simulator.faults import FaultKind
from bridge.store import intake
from bridge.store.engine import Store
from bridge.store.logbook import entries_between, hash_reader, indices_of, newest_checkpoint
from bridge.store.pruning import EVERY, Pruned
from bridge.store.pruning_tables import prunings
from bridge.store.sealing import seal
from bridge.store.tables import alerts, correlations, deliveries, episodes, incidents, intents, log_entries

OURS = Signer("incident-bridge/0a1b2c3d", Ed25519PrivateKey.from_private_bytes(bytes(32)))
AGED = (  # what says how old a row is
    *("deliveries.received_at", "alerts.received_at", "incidents.ended_at", "intents.started_at", "log_seals.at"),
    "prunings.due_at",
)


def ages(store: Store, days: float) -> None:
    """All that is there was there so many days earlier: PostgreSQL's clock is its own."""
    us = int(days * 86_400_000_000)
    with store.transaction() as tx:
        for column in AGED:
            table, name = column.split(".")
            tx.exec_driver_sql(f"UPDATE {table} SET {name} = {name} - {us}")


def pruned(store: Store, retention: Retention = Retention(), *, undo: bool = False) -> Pruned:  # noqa: B008 (frozen)
    return sum(Pruning(store=store, retention=retention, actor="cli:robin", undo=undo).batches(), Pruned())


def takes(world: World, *alerts_: dict[str, object], sender_id: str) -> None:
    with world.store.transaction() as tx:
        intake.commit(tx, [delivery(world.library, *alerts_, sender_id=sender_id)], world.store.now(tx))


def ends(world: World, rule: str = "r1") -> None:
    """A problem from its first alert to its close."""
    world.fire(rule, who=CANARY)
    world.idle()
    world.resolve(rule, who=CANARY)
    world.idle()


def with_body(store: Store) -> list[int]:
    return [row.id for row in rows(store, deliveries) if row.body is not None]


# --- bodies


def test_bodies_older_than_thirty_days_go_and_younger_ones_stay(anywhere: World) -> None:
    personal(anywhere)
    ends(anywhere)
    ages(anywhere.store, 31)
    ends(anywhere, "r2")
    assert pruned(anywhere.store) == Pruned(bodies=2)
    assert with_body(anywhere.store) == [3, 4]
    assert pruned(anywhere.store) == Pruned()


def test_pruning_is_an_entry_in_the_same_transaction(anywhere: World) -> None:
    personal(anywhere)
    ends(anywhere)
    ages(anywhere.store, 31)
    pruned(anywhere.store)
    (entry,) = anywhere.log("pruned")
    assert (entry["actor"], entry["detail"]) == ("cli:robin", {"removed": {"bodies": 2}})


def test_a_dry_run_counts_the_same_and_takes_nothing(anywhere: World) -> None:
    personal(anywhere, sir())
    ends(anywhere)
    ages(anywhere.store, 400)
    before = holders(anywhere.store)
    told = pruned(anywhere.store, undo=True)
    assert (holders(anywhere.store), anywhere.log("pruned")) == (before, [])
    assert told == pruned(anywhere.store)


def test_a_delivery_whose_body_was_pruned_is_still_a_duplicate(anywhere: World) -> None:
    personal(anywhere)
    ends(anywhere)
    ages(anywhere.store, 31)
    pruned(anywhere.store)
    again = delivery(anywhere.library, alert("r1", who=CANARY), sender_id="1")
    with anywhere.store.transaction() as tx:
        (answer,) = intake.commit(tx, [again], anywhere.store.now(tx))
    assert (answer.duplicate, answer.alerts[0].outcome) == (True, "accepted")


def test_what_waits_in_quarantine_is_kept_until_it_is_discarded(anywhere: World) -> None:
    personal(anywhere)
    with anywhere.store.transaction() as tx:
        intake.commit(tx, [delivery_of(anywhere.library, b"not JSON")], anywhere.store.now(tx))
    takes(anywhere, alert("r1", state="resolved"), sender_id="2")
    anywhere.idle()
    ages(anywhere.store, 400)
    pruned(anywhere.store)
    assert with_body(anywhere.store) == [1]
    with anywhere.store.transaction() as tx:
        tx.execute(update(alerts).where(alerts.c.outcome == "quarantined").values(outcome="dropped"))
    pruned(anywhere.store)
    assert with_body(anywhere.store) == []


def test_of_an_open_problem_the_newest_alert_is_kept_and_older_ones_go(anywhere: World) -> None:
    personal(anywhere)
    for level in ("low", "high", "low"):
        anywhere.fire("r1", level=level, who=CANARY)
        anywhere.idle()
    ages(anywhere.store, 400)
    assert pruned(anywhere.store).alerts == 2
    assert with_body(anywhere.store) == [3]


def test_of_one_whose_newest_alert_by_its_own_time_came_first_that_is_kept(anywhere: World) -> None:
    personal(anywhere)
    anywhere.fire("r1", at="2026-03-10T11:59:00Z", who=CANARY)
    anywhere.fire("r1", at="2026-03-10T11:00:00Z", who=CANARY)
    anywhere.idle()
    ages(anywhere.store, 31)
    pruned(anywhere.store)
    assert with_body(anywhere.store) == [1]


def test_an_alert_that_is_not_applied_is_kept(anywhere: World) -> None:
    personal(anywhere)
    anywhere.fire("r1", who=CANARY)
    anywhere.fire("r1", who=CANARY)
    ages(anywhere.store, 400)
    assert pruned(anywhere.store) == Pruned()
    anywhere.idle()
    assert anywhere.record()["short_description"] == f"r1 by {CANARY}"


def test_an_alert_that_is_yet_to_be_attached_is_kept(anywhere: World) -> None:
    personal(anywhere)
    anywhere.fire("r1", who=CANARY)
    anywhere.worker.work()  # the create; what goes beside it is due
    anywhere.fire("r1", who=CANARY, state="resolved")
    anywhere.worker.work()
    ages(anywhere.store, 400)
    pruned(anywhere.store)
    anywhere.idle()
    assert [entry["outcome"] for entry in anywhere.log("added")] == ["attachment"]


def test_an_open_problem_goes_on_when_all_but_its_newest_alert_is_pruned(anywhere: World) -> None:
    personal(anywhere)
    anywhere.fire("r1", level="low", who=CANARY)
    anywhere.fire("r1", level="low", who=CANARY)
    anywhere.idle()
    ages(anywhere.store, 400)
    pruned(anywhere.store)
    anywhere.ask_sync()
    anywhere.fire("r1", level="critical", who="another-1")
    anywhere.idle()
    assert anywhere.record()["description"] == "another-1 at critical"
    anywhere.resolve("r1")
    anywhere.idle()
    assert anywhere.record()["state"] == "6"


# --- rows


def test_after_a_year_rows_of_alerts_go_and_problems_stay_without_values(anywhere: World) -> None:
    personal(anywhere, sir())
    ends(anywhere)
    takes(anywhere, alert("last", state="resolved"), sender_id="last")
    anywhere.idle()
    ages(anywhere.store, 366)
    done = pruned(anywhere.store)
    assert done.counts == {
        "bodies": 3,
        "deliveries": 2,
        "alerts": 2,
        "incidents": 1,
        "intents": 2,
        "additions": 1,
    }
    assert holders(anywhere.store) == set()
    kept = {table.name: len(rows(anywhere.store, table)) for table in (correlations, episodes, incidents, intents)}
    assert kept == {"correlations": 2, "episodes": 2, "incidents": 2, "intents": 2}


def test_the_number_of_a_delivery_is_never_given_twice(anywhere: World) -> None:
    personal(anywhere)
    ends(anywhere)
    ages(anywhere.store, 400)
    pruned(anywhere.store)
    takes(anywhere, alert("r2"), sender_id="next")
    assert max(row.id for row in rows(anywhere.store, deliveries)) == 3


def test_a_problem_that_comes_back_after_it_was_pruned_goes_on_with_its_next_episode(world: World) -> None:
    personal(world)
    ends(world)
    world.clock.advance(days=400)
    takes(world, alert("other", state="resolved"), sender_id="other")
    world.idle()
    pruned(world.store)
    world.fire("r1", who="another-1")
    world.idle()
    assert [record["short_description"] for record in world.records()] == [f"r1 by {CANARY}", "r1 by another-1"]
    assert world.row().episode == 2


def test_an_incident_that_was_tried_in_vain_loses_its_values_too(world: World) -> None:
    personal(world)
    world.fail(FaultKind.BUSINESS_RULE, "POST")
    world.fire("r1", who=CANARY)
    world.idle()
    assert world.row().waits_for_person
    world.clock.advance(days=400)
    assert pruned(world.store).intents == 0
    world.simulator.faults.clear()
    world.resolve("r1")
    world.ask_sync()
    world.idle()
    assert world.row().last_decision == "nothing: resolved_before_incident"
    world.clock.advance(days=400)
    pruned(world.store)
    assert "intents.fields" not in holders(world.store)


# --- the log


def sealed(store: Store) -> None:
    with store.transaction() as tx:
        while seal(tx, [OURS], store.now(tx), 5) is not None:
            pass


def test_entries_that_were_sealed_a_year_ago_go_and_the_tree_verifies(anywhere: World) -> None:
    store = anywhere.store
    personal(anywhere)
    ends(anywhere)
    sealed(store)
    with store.reading() as tx:
        before = newest_checkpoint(tx)
        hashes = [(index, hashed) for index, _, hashed in entries_between(tx, 0, 10_000)]
    ages(store, 366)
    done = pruned(store)
    sealed(store)
    with store.reading() as tx:
        head = newest_checkpoint(tx)
        told = list(entries_between(tx, 0, 10_000))
        assert before is not None
        assert head is not None
        assert [(index, hashed) for index, _, hashed in told[: before.size]] == hashes
        # The last of them stayed, for SQLite would give its number to the next.
        assert [index for index, entry, _ in told if entry is None] == list(range(done.entries))
        assert all(leaf_hash(entry) == hashed for _, entry, hashed in told if entry is not None)
        assert root_of([hashed for _, _, hashed in told]) == head.root == opened(head.note, [verifier(OURS.vkey)]).root
        newest = tx.execute(select(func.max(log_entries.c.id))).scalar_one()
        index = indices_of(tx, [newest])[newest]
        proof = inclusion_proof(index, head.size, hash_reader(tx))
        assert root_from_inclusion(told[index][2], index, head.size, proof) == head.root
    assert done.entries >= before.size - 2


def test_an_entry_that_is_not_sealed_is_never_pruned(anywhere: World) -> None:
    personal(anywhere)
    ends(anywhere)
    many = len(rows(anywhere.store, log_entries))
    ages(anywhere.store, 4_000)
    assert pruned(anywhere.store).entries == 0
    assert len(rows(anywhere.store, log_entries)) > many


def test_the_entry_names_the_indices_that_were_pruned(anywhere: World) -> None:
    personal(anywhere)
    ends(anywhere)
    sealed(anywhere.store)
    ages(anywhere.store, 366)
    done = pruned(anywhere.store)
    told = [entry["detail"] for entry in anywhere.log("pruned") if "indices" in entry["detail"]]
    assert sum(detail["removed"]["entries"] for detail in told) == done.entries
    assert told[0]["indices"]["first"] == 0
    assert pruned(anywhere.store).entries == 0


# --- a crash, a writer, and turns


@pytest.mark.parametrize("at", ["commit", "committed"])
def test_a_crash_leaves_the_rest_to_the_next_run(anywhere: World, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    monkeypatch.setattr("bridge.store.pruning.DELIVERIES_PER_BATCH", 1)
    personal(anywhere)
    for rule in ("r1", "r2", "r3"):
        ends(anywhere, rule)
    ages(anywhere.store, 31)
    passed = []

    def die(name: str) -> None:
        passed.append(name)
        if passed.count(f"pruned:{at}") == 2:
            raise Crash

    crashpoint.listen(die)
    try:
        with pytest.raises(Crash):
            pruned(anywhere.store)
    finally:
        crashpoint.listen(None)
    told = sum(entry["detail"]["removed"]["bodies"] for entry in anywhere.log("pruned"))
    assert told == 6 - len(with_body(anywhere.store)) == (1 if at == "commit" else 2)
    pruned(anywhere.store)
    assert with_body(anywhere.store) == []


def test_while_it_prunes_alerts_are_received_and_nothing_of_them_is_lost(
    anywhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.pruning.DELIVERIES_PER_BATCH", 2)
    store = anywhere.store
    personal(anywhere)
    for number in range(60):
        takes(anywhere, alert(f"old{number}", state="resolved"), sender_id=f"old{number}")
    anywhere.idle()
    ages(store, 400)
    answers, over = [], threading.Event()

    def send() -> None:
        with running_writer(store) as writer:
            for number in range(2_000):
                again = alert(f"old{number % 60}", state="resolved")
                sent = delivery_of(anywhere.library, body_of(again), sender_id=f"new{number}")
                answers.append((writer.submit(sent), sent.sender_id))
                if over.is_set() and number > 60:
                    return

    sender = threading.Thread(target=send)
    sender.start()
    done = pruned(store)
    over.set()
    sender.join()
    anywhere.idle()  # what came meanwhile may have needed what an old alert said, until it was applied
    done += pruned(store)
    there = {row.id: row.sender_id for row in rows(store, deliveries) if row.body is not None}
    assert there == {answer.delivery: sender_id for answer, sender_id in answers}
    assert done.bodies == 60
    counted = {row.id: row.last_seq for row in rows(store, correlations)}
    assert sum(counted.values()) == 60 + len(answers)


def pruner(store: Store, *, seconds: float = 0.0) -> Pruner:
    """Each time it asks, so many seconds have gone by since."""
    now = iter(range(1_000_000))
    return Pruner(store, Retention(), monotonic=lambda: 1_000.0 + next(now) * seconds)


def test_a_process_prunes_once_a_day(anywhere: World) -> None:
    personal(anywhere)
    ends(anywhere)
    ages(anywhere.store, 31)
    pruner(anywhere.store).look()
    assert with_body(anywhere.store) == []
    ends(anywhere, "r2")
    with anywhere.store.transaction() as tx:
        old = anywhere.store.now(tx) - timedelta(days=31)
        tx.execute(update(deliveries).values(received_at=old))
    pruner(anywhere.store).look()
    assert len(with_body(anywhere.store)) == 2
    with anywhere.store.transaction() as tx:
        tx.execute(update(prunings).values(due_at=anywhere.store.now(tx) - EVERY))
    pruner(anywhere.store).look()
    assert with_body(anywhere.store) == []
    assert {entry["actor"] for entry in anywhere.log("pruned")} == {"retention"}


def test_a_long_turn_is_taken_a_moment_at_a_time_and_no_other_process_joins_in(
    anywhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.pruning.DELIVERIES_PER_BATCH", 1)
    personal(anywhere)
    ends(anywhere)
    ends(anywhere, "r2")
    ages(anywhere.store, 31)
    one, other = pruner(anywhere.store, seconds=60), pruner(anywhere.store, seconds=60)
    left = []
    for _ in range(6):
        one.look()
        left.append(len(with_body(anywhere.store)))
        other.look()
        assert len(with_body(anywhere.store)) == left[-1]
    assert left == [3, 2, 1, 0, 0, 0]


def test_a_turn_whose_process_died_is_taken_over_when_its_lease_is_over(
    anywhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.pruning.DELIVERIES_PER_BATCH", 1)
    personal(anywhere)
    ends(anywhere)
    ages(anywhere.store, 31)
    one, other = pruner(anywhere.store, seconds=60), pruner(anywhere.store)
    one.look()
    with anywhere.store.transaction() as tx:
        tx.execute(update(prunings).values(lease_until=anywhere.store.now(tx)))
    other.look()
    assert with_body(anywhere.store) == []
    one.look()
    assert rows(anywhere.store, prunings)[0].lease_until is None
