"""Erasure: no value is left anywhere, all else is as it was, and the engine goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from crashing import Crash, at, die
from erasing_world import CANARY, erased, found, holders, lives, order, personal, sir, surveyed
from intake_world import rows
from reconciler_world import CLOSES
from sqlalchemy import func, select, update
from sync_world import World, itsm

from bridge.erasure import digest_of, erase, salted
from bridge.store import intake, queries
from bridge.store.tables import alerts, correlations, deliveries, incidents, intents, log_entries, metadata

DOCS = Path(__file__).parents[2] / "docs/correlation-log.md"
# Where a value lies once it has gone through the engine. What is not here is no proof: the canary never came there.
REACHED = {
    "deliveries.body",
    "deliveries.content",
    "deliveries.content_type",
    "deliveries.sender_id",
    "alerts.detail",
    "correlations.correlation_text",
    "incidents.written",
    "incidents.seen",
    "intents.fields",
    "intents.before",
    "log_entries.said",
    "additions.content",
    "additions.outcome_text",
}


@pytest.fixture
def lived(anywhere: World) -> World:
    lives(personal(anywhere, sir()))
    return anywhere


def test_no_column_of_any_table_holds_a_value_after_its_erasure(lived: World) -> None:
    assert holders(lived.store) == REACHED
    erased(lived.store)
    assert holders(lived.store) == set()


def test_the_files_of_sqlite_do_not_either(worlds: object, tmp_path: Path) -> None:
    world = worlds()  # type: ignore[operator]
    lives(personal(world, sir()))
    files = sorted(tmp_path.glob("bridge.db*"))
    assert CANARY.encode() in b"".join(file.read_bytes() for file in files)
    erased(world.store)
    assert world.store.forget_history()
    assert [file.name for file in files if CANARY.encode() in file.read_bytes()] == []


def test_every_table_is_in_the_list_of_where_values_lie() -> None:
    text = DOCS.read_text("utf-8").partition("## Where values lie")[2].partition("\n## ")[0]
    assert [name for name in metadata.tables if f"`{name}" not in text] == []


def test_rows_counts_and_the_logs_bytes_stay(lived: World) -> None:
    counted = {table.name: len(rows(lived.store, table)) for table in (deliveries, alerts, correlations, intents)}
    told = [bytes(row.entry) for row in rows(lived.store, log_entries)]
    erased(lived.store)
    assert {
        table.name: len(rows(lived.store, table)) for table in (deliveries, alerts, correlations, intents)
    } == counted
    assert [bytes(row.entry) for row in rows(lived.store, log_entries)][: len(told)] == told


def test_the_erasure_is_an_entry_that_names_counts_and_nobody(lived: World) -> None:
    salt, digest = salted(CANARY)
    erase(lived.store, found(lived.store), order(), done=lambda _: None)
    entries = lived.log("erased")
    assert {(entry["actor"], entry["reason"], entry["outcome"]) for entry in entries} == {
        ("cli:robin", "request 1", "erased")
    }
    removed = [entry["detail"]["removed"] for entry in entries]
    assert removed == [
        {"correlations": 1, "incidents": 1, "intents": 5, "additions": 1, "join_keys": 1, "log_entries": 1},
        {"deliveries": 7, "alerts": 1},
    ]
    assert digest == digest_of(bytes.fromhex(salt), CANARY.upper())
    assert digest_of(bytes.fromhex(salt), "another") != digest


def test_an_erasure_that_finds_nothing_is_an_entry_too(lived: World) -> None:
    erased(lived.store, "nobody-1")
    (entry,) = lived.log("erased")
    assert (entry["outcome"], entry["detail"]["removed"]) == ("nothing_found", {})


def test_a_second_erasure_finds_nothing(lived: World) -> None:
    assert erased(lived.store).taken
    assert not erased(lived.store).taken


def test_a_survey_counts_what_an_erasure_takes_and_takes_nothing(lived: World) -> None:
    told = surveyed(lived.store)
    assert holders(lived.store) == REACHED
    assert lived.log("erased") == []
    assert told.taken == erased(lived.store).taken


def test_a_delivery_that_comes_again_is_a_duplicate_and_gets_its_first_answer(lived: World) -> None:
    from dataclasses import replace

    from intake_world import alert, delivery

    again = delivery(lived.library, alert("r1", level="low", who=CANARY), sender_id="1")
    with lived.store.transaction() as tx:
        (before,) = intake.commit(tx, [again], lived.store.now(tx))
    erased(lived.store)
    with lived.store.transaction() as tx:
        (after,) = intake.commit(tx, [replace(again)], lived.store.now(tx))
    assert (before.duplicate, after) == (True, before)


def test_what_waits_in_quarantine_is_discarded_with_its_body(lived: World) -> None:
    erased(lived.store)
    quarantined = [row.reason for row in rows(lived.store, alerts) if row.outcome == "quarantined"]
    assert quarantined == []
    assert [entry["reason"] for entry in lived.log("discarded")] == ["erased"]


def test_others_are_left_alone(anywhere: World) -> None:
    personal(anywhere)
    anywhere.fire("r9", who="another-1")
    anywhere.idle()
    anywhere.resolve("r9", who="another-1")
    anywhere.idle()
    before = holders(anywhere.store, "another-1")
    lives(anywhere)
    erased(anywhere.store)
    assert before
    assert holders(anywhere.store, "another-1") == before


# --- what is not over yet


def test_an_open_problem_keeps_all_and_is_named(anywhere: World) -> None:
    personal(anywhere)
    anywhere.fire("r1", who=CANARY)
    anywhere.idle()
    outcome = erased(anywhere.store)
    assert not outcome.taken
    assert outcome.held_problems == {anywhere.row().id}
    assert len(outcome.held_deliveries) == 1
    (entry,) = anywhere.log("erased")
    assert (entry["outcome"], entry["detail"]["problems"]) == ("kept", 1)
    anywhere.resolve("r1", who=CANARY)
    anywhere.idle()
    assert not erased(anywhere.store).held_problems
    assert holders(anywhere.store) == set()


def test_a_delivery_is_kept_while_one_of_its_problems_is_open(anywhere: World) -> None:
    from intake_world import alert, delivery

    personal(anywhere)
    both = delivery(anywhere.library, alert("over", who=CANARY), alert("open", who="another-1"), sender_id="1")
    with anywhere.store.transaction() as tx:
        intake.commit(tx, [both], anywhere.store.now(tx))
    anywhere.idle()
    anywhere.resolve("over")
    anywhere.idle()
    outcome = erased(anywhere.store)
    assert outcome.held_problems == {anywhere.row("open").id}
    assert holders(anywhere.store) == {"deliveries.body"}
    anywhere.fire("open", level="critical", who="another-1")
    anywhere.idle()
    assert anywhere.row("open").failure is None


POINTS = [
    *("claim:committed", "intent:committed", "write:send", "write:answered", "applied:committed"),
    *("addition_claim:committed", "addition_mark:committed"),
]


@pytest.mark.parametrize("point", POINTS)
def test_at_no_point_of_a_round_can_it_take_what_the_round_needs(anywhere: World, point: str) -> None:
    personal(anywhere)
    anywhere.fire("r1", who=CANARY)
    kept = []

    def look() -> None:
        kept.append(holders(anywhere.store))
        kept.append(holders(anywhere.store) if not erased(anywhere.store).taken else set())

    with at(point, look):
        anywhere.idle()
    assert kept[0] == kept[1] != set()
    assert anywhere.row().failure is None
    assert anywhere.record()["short_description"] == f"r1 by {CANARY}"


@pytest.mark.parametrize("point", ["intent:committed", "write:answered"])
def test_a_write_whose_outcome_is_not_known_keeps_what_it_is_looked_up_by(world: World, point: str) -> None:
    personal(world)
    world.fire("r1", who=CANARY)

    with pytest.raises(Crash), at(point, die):
        world.idle()
    world.clock.advance(hours=1)
    with world.store.transaction() as tx:  # as when its mapping was removed
        tx.execute(update(correlations).values(due_at=None))
    assert not erased(world.store).taken
    world.wake()
    world.idle()
    assert world.record()["short_description"] == f"r1 by {CANARY}"
    assert world.row().failure is None


@pytest.mark.parametrize(
    "unknown", [{"outcome": None}, {"outcome": "ambiguous"}, {"outcome": "applied", "outcome_code": "lease_lost"}]
)
def test_a_newest_write_in_doubt_is_reason_enough(anywhere: World, unknown: dict[str, str | None]) -> None:
    over(personal(anywhere))
    newest = select(func.max(intents.c.id)).scalar_subquery()
    with anywhere.store.transaction() as tx:
        tx.execute(update(intents).where(intents.c.id == newest).values(**unknown))
    assert not erased(anywhere.store).taken
    with anywhere.store.transaction() as tx:
        tx.execute(update(intents).values(outcome="applied", outcome_code=None))
    assert erased(anywhere.store).taken


# --- and then it goes on


def over(world: World) -> World:
    """A problem that came to its end and was erased."""
    personal(world)
    world.fire("r1", level="high", who=CANARY)
    world.idle()
    world.clock.advance(minutes=1)
    world.fire("r1", level="critical", who=CANARY)
    world.idle()
    world.clock.advance(minutes=1)
    world.resolve("r1", who=CANARY)
    world.idle()
    assert world.record()["state"] == "6"
    return world


def test_what_comes_back_is_reopened_and_its_fields_are_still_ours(world: World) -> None:
    over(world)
    before = world.record()
    erased(world.store)
    world.clock.advance(minutes=1)
    world.fire("r1", level="high", who="another-1")
    world.idle()
    assert world.record()["state"] not in ("6", "7")
    assert world.record()["short_description"] == before["short_description"]
    world.clock.advance(hours=2)
    world.fire("r1", level="critical", who="another-1")
    world.idle()
    assert world.decisions()[-1] == "update: repeats"
    assert world.record()["description"] == "another-1 at critical"
    assert [entry for entry in world.log("decided") if "left_to_person" in entry.get("detail", {})] == []
    assert world.row().failure is None


def test_what_a_person_had_changed_before_is_still_theirs(world: World) -> None:
    personal(world)
    world.fire("r1", level="high", who=CANARY)
    world.idle()
    world.clock.advance(minutes=1)
    world.fire("r1", level="critical", who=CANARY)
    world.idle()
    world.person(description="mine")
    world.turn()
    world.resolve("r1", who=CANARY)
    world.idle()
    erased(world.store)
    world.clock.advance(minutes=1)
    world.fire("r1", level="high", who="another-1")
    world.idle()
    world.clock.advance(hours=2)
    world.fire("r1", level="critical", who="another-1")
    world.idle()
    assert world.decisions()[-1] == "update: repeats"
    assert world.record()["description"] == "mine"


def test_the_next_episode_begins_after_an_erased_one(world: World) -> None:
    over(world)
    erased(world.store)
    world.clock.advance(days=30)
    world.fire("r1", who="another-1")
    world.idle()
    assert [record["short_description"] for record in world.records()] == [f"r1 by {CANARY}", "r1 by another-1"]
    assert world.row().episode == 2


def test_an_alert_that_comes_late_needs_no_erased_body(world: World) -> None:
    over(world)
    erased(world.store)
    world.fire("r1", at="2026-03-10T11:00:00Z", who="another-1")
    world.idle()
    assert world.row().failure is None
    assert world.row().last_decision == "nothing: stale"


def test_a_person_who_asks_for_a_look_at_it_changes_nothing(world: World) -> None:
    over(world)
    erased(world.store)
    before = world.record()
    world.ask_sync()
    world.idle()
    assert (world.row().last_decision, world.row().waits_for_person) == ("nothing: erased", False)
    assert world.record() == before
    (row,) = rows(world.store, incidents)
    assert row.state == "ended"


def test_an_erased_problem_whose_record_a_person_reopens_spins_nothing(world: World) -> None:
    over(world)
    erased(world.store)
    world.clock.advance(minutes=10)
    world.person(state="2")
    world.turn()
    assert world.row().last_decision == "nothing: erased"
    told = len(world.log("decided"))
    for _ in range(3):
        world.clock.advance(minutes=1)
        world.turn()
    assert len(world.log("decided")) == told
    world.clock.advance(minutes=10)
    world.fire("r1", who="another-1")
    world.idle()
    assert world.row().failure is None
    assert world.record()["state"] == "2"
    (row,) = rows(world.store, incidents)
    assert row.state == "open"


def test_what_a_person_reopens_of_an_erased_problem_is_read_at_its_next_alert(world: World) -> None:
    personal(world)
    world.fire("r1", who=CANARY)
    world.idle()
    world.person(**CLOSES)
    world.turn()
    erased(world.store)
    world.clock.advance(minutes=10)
    world.person(state="2")
    for _ in range(3):
        world.turn()
        world.clock.advance(minutes=1)
    assert world.row().last_decision == "nothing: erased"
    world.fire("r1", who="somebody-1")
    world.idle()
    assert world.row().open


def test_the_story_of_an_erased_problem_can_still_be_told(world: World) -> None:
    over(world)
    erased(world.store)
    with world.store.reading() as tx:
        (row,) = queries.find_correlations(tx, "r1")
        told = queries.intents_of(tx, queries.incidents_of(tx, row.row_id), limit=10)
        bodies = [queries.body_of(tx, one) for one in tx.execute(select(deliveries.c.id)).scalars()]
    assert {intent.outcome for intent in told} == {"applied"}
    assert [intent.fields for intent in told] == [{}] * len(told)
    assert set(bodies) == {None}


def test_an_open_incident_that_another_problem_shares_keeps_its_values(world: World) -> None:
    personal(world)
    world.fire("r1", who=CANARY)
    world.idle()
    world.fire("r2", who=CANARY)
    world.idle()
    world.resolve("r1", who=CANARY)
    world.idle()
    outcome = erased(world.store)
    assert not outcome.taken
    world.aim(itsm())
    world.resolve("r2", who=CANARY)
    world.idle()
    assert not erased(world.store).held_problems
    assert holders(world.store) == set()
