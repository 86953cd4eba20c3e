"""What the bridge tells of itself: a flood that its brake holds, sources that need somebody; each is one incident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from intake_world import delivery_of, library_of, rows
from sqlalchemy import update
from sync_world import PROBE, World, itsm

from bridge.attention import attention_mapping
from bridge.correlation.vanishing import ALWAYS_LOOKS, SUDDENLY_LOOKS
from bridge.errors import Transient
from bridge.library import Library, Published
from bridge.settings import Attention, Source, SourceAuth, Target
from bridge.store import brake, intake, revisions
from bridge.store.backlog import backlog
from bridge.store.callers import Callers
from bridge.store.engine import Store
from bridge.store.prepare import seen_in
from bridge.store.reconciler_tables import callers
from bridge.store.tables import correlations
from bridge.sync.lamps import Lamps

SOURCES = {"probe": Source(name="probe", mapping="probe", auth=SourceAuth(scheme="none"))}
ATTENTION = Attention(target="itsm", assignment_group="SOC L1", after=timedelta(minutes=15))


def lamps_of(
    world: World, target: Target, attention: Attention | None = ATTENTION, every: timedelta | None = None
) -> Callable[[], None]:
    """A look, and what comes of it: whatever the time is."""
    mapping = attention_mapping(["itsm"])
    with world.store.transaction() as tx:
        now = world.store.now(tx)
        row = revisions.register(tx, mapping=mapping.name, digest=mapping.digest, files=mapping.files, now=now)
    own = {mapping.name: Published(mapping=mapping, revision_id=row)}
    world.library = Library(world.library.current, own)
    world.aim(target)

    def look() -> None:
        lamps = Lamps(
            store=world.store,
            library=world.library,
            targets={target.name: target},
            sources={name: replace(source, expect_every=every) for name, source in SOURCES.items()},
            attention=attention,
        )
        lamps.look()
        world.idle()

    return look


def about(world: World, lamp: str) -> list[dict[str, str]]:
    return [record for record in world.records() if record["correlation_id"].startswith(lamp)]


# --- the flood


@pytest.fixture
def flooded(world: World) -> World:
    world.look = lamps_of(world, itsm(max_creates_per_hour=2))
    for number in range(6):
        world.fire(f"r{number}", level="low" if number < 5 else "critical")
    world.idle()
    world.look()
    return world


def test_a_flood_is_one_incident_that_says_how_many_wait_and_for_whom(flooded: World) -> None:
    flooded.look()
    (record,) = about(flooded, "flood:")
    assert record["short_description"] == "flood from probe: 4 problems wait"
    assert "tests@corp.example" in record["description"]
    assert "bridge targets release itsm" in record["description"]


def test_the_flood_incident_says_so_when_twice_as_many_wait(flooded: World) -> None:
    for number in range(10, 20):
        flooded.fire(f"r{number}")
    flooded.idle()
    flooded.clock.advance(minutes=20)
    flooded.idle()
    flooded.look()
    assert about(flooded, "flood:")[0]["short_description"] == "flood from probe: 14 problems wait"


def test_the_flood_incident_closes_when_nothing_waits_any_more(flooded: World) -> None:
    flooded.pass_time(hours=3, step=60)
    flooded.look()
    assert about(flooded, "flood:")[0]["state"] == "6"


def test_the_worst_of_what_waits_is_created_first(world: World) -> None:
    world.aim(itsm(max_creates_per_hour=1))
    world.fire("first")
    world.idle()
    for rule, level in (("low", "low"), ("critical", "critical"), ("high", "high")):
        world.fire(rule, level=level)
        world.clock.advance(seconds=1)
    world.idle()
    created = []
    for _ in range(3):
        world.pass_time(minutes=62)
        created = [record["correlation_id"] for record in world.records()]
    assert created == ["first", "critical", "high", "low"]


def release(world: World) -> tuple[int, int]:
    with world.store.transaction() as tx:
        now = world.store.now(tx)
        return brake.release(tx, "itsm", instance="test", table="incident", actor="test", now=now)


def test_what_a_person_releases_is_created_at_once_the_worst_first(anywhere: World) -> None:
    anywhere.aim(itsm(max_creates_per_hour=1))
    anywhere.fire("first")
    anywhere.idle()
    for rule, level in (("low", "low"), ("critical", "critical"), ("high", "high")):
        anywhere.fire(rule, level=level)
    anywhere.idle()
    assert release(anywhere) == (3, 0)
    anywhere.idle()
    assert [record["correlation_id"] for record in anywhere.records()] == ["first", "critical", "high", "low"]
    anywhere.fire("later")
    anywhere.idle()
    assert anywhere.row("later").last_decision == "nothing: brake", "what comes later is held as ever"


# --- attention


@pytest.fixture
def attentive(world: World) -> World:
    world.look = lamps_of(world, itsm())
    return world


def quarantine(world: World) -> None:
    world._sent += 1
    broken = delivery_of(world.library, b"no JSON", sender_id=str(world._sent))
    with world.store.transaction() as tx:
        intake.commit(tx, [broken], world.store.now(tx))


def test_a_quarantine_that_lasts_is_one_incident_of_its_owners(attentive: World) -> None:
    quarantine(attentive)
    attentive.look()
    assert about(attentive, "attention:") == []
    attentive.clock.advance(minutes=16)
    for _ in range(3):
        attentive.look()
    (record,) = about(attentive, "attention:")
    assert record["short_description"] == "probe: alerts could not be mapped"
    assert "bridge quarantine list" in record["description"]
    assert record["assignment_group"]


def test_problems_that_wait_for_a_person_are_told(attentive: World) -> None:
    attentive.fire()
    attentive.idle()
    with attentive.store.transaction() as tx:
        tx.execute(update(correlations).values(waits_for_person=True, failure="acl", failures=1))
    attentive.look()
    attentive.clock.advance(minutes=16)
    attentive.look()
    (record,) = about(attentive, "attention:")
    assert "1 problems wait for a person (acl: 1)" in record["description"]
    with attentive.store.transaction() as tx:
        tx.execute(update(correlations).values(waits_for_person=False, failure=None, failures=0))


def test_the_incident_closes_itself_when_there_is_nothing_any_more(attentive: World) -> None:
    quarantine(attentive)
    attentive.look()
    attentive.clock.advance(minutes=16)
    attentive.look()
    with attentive.store.transaction() as tx:
        tx.exec_driver_sql("update alerts set outcome = 'dropped', reason = 'discarded'")
    attentive.look()
    assert about(attentive, "attention:")[0]["state"] == "6"


def test_another_trouble_is_told_in_the_same_incident(attentive: World) -> None:
    quarantine(attentive)
    attentive.fire()
    attentive.idle()
    attentive.look()
    attentive.clock.advance(minutes=16)
    attentive.look()
    with attentive.store.transaction() as tx:
        tx.execute(
            update(correlations).where(correlations.c.mapping == "probe").values(waits_for_person=True, failure="acl")
        )
    attentive.look()
    attentive.clock.advance(minutes=20)
    attentive.look()
    attentive.clock.advance(minutes=20)
    attentive.idle()
    (record,) = about(attentive, "attention:")
    assert "problems wait for a person" in record["short_description"]
    with attentive.store.transaction() as tx:
        tx.execute(update(correlations).values(waits_for_person=False, failure=None))


def caller(world: World) -> Callers:
    return Callers(world.store, SOURCES)


def test_refusals_that_last_are_told_and_are_over_an_hour_after_a_delivery_was_taken(attentive: World) -> None:
    doors = caller(attentive)
    for _ in range(4):
        doors.refused("probe", "not_authenticated", attentive.clock.now)
        doors.flush()
        attentive.clock.advance(minutes=6)
    attentive.look()
    (record,) = about(attentive, "attention:")
    assert record["short_description"] == "probe: deliveries were refused"
    assert "4 deliveries were refused (not_authenticated: 4)" in record["description"]
    doors.came("probe", attentive.clock.now)
    attentive.clock.advance(minutes=70)
    doors.flush()
    attentive.look()
    assert about(attentive, "attention:")[0]["state"] == "6"


def test_a_refusal_amid_deliveries_that_are_taken_is_nobodys_business(attentive: World) -> None:
    doors = caller(attentive)
    doors.refused("probe", "not_authenticated", attentive.clock.now)
    attentive.clock.advance(minutes=1)
    doors.came("probe", attentive.clock.now)
    doors.flush()
    attentive.clock.advance(minutes=30)
    attentive.look()
    assert about(attentive, "attention:") == []


def test_a_refusal_that_nothing_follows_is_told(attentive: World) -> None:
    doors = caller(attentive)
    doors.refused("probe", "too_large", attentive.clock.now)
    doors.flush()
    attentive.clock.advance(minutes=16)
    attentive.look()
    assert "too_large: 1" in about(attentive, "attention:")[0]["description"]


def test_what_could_not_be_stored_is_stored_the_next_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_given: Any) -> None:
        raise Transient("store_away", "The store is away.")

    doors = caller(world)
    doors.came("probe", world.clock.now)
    doors.refused("probe", "too_large", world.clock.now)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "in_transaction", away)
        with pytest.raises(Transient):
            doors.flush()
    world.clock.advance(minutes=2)
    doors.refused("probe", "too_large", world.clock.now)
    doors.flush()
    (row,) = rows(world.store, callers)
    assert row.came_at == world.clock.now - timedelta(minutes=2)
    assert (row.refused_since, row.refused_at) == (row.came_at, world.clock.now)
    assert [one["detail"]["deliveries"] for one in world.log("refused")] == [2]


def test_of_two_processes_the_later_word_holds(world: World) -> None:
    one, other = caller(world), caller(world)
    for doors, minutes in ((other, 1), (one, 0)):
        doors.came("probe", world.clock.now + timedelta(minutes=minutes))
        doors.flush()
    (row,) = rows(world.store, callers)
    assert row.came_at == world.clock.now + timedelta(minutes=1)


def test_refusals_are_entries_of_the_log_at_each_flush_one_for_each_reason(world: World) -> None:
    doors = caller(world)
    for reason in ("not_authenticated", "not_authenticated", "too_large"):
        doors.refused("unknown", reason, world.clock.now)
    doors.flush()
    for _ in range(2):
        doors.refused("unknown", "too_large", world.clock.now)
        world.clock.advance(seconds=30)
    doors.flush()
    told = [(one["source"], one["reason"], one["detail"]["deliveries"]) for one in world.log("refused")]
    assert told == [("unknown", "not_authenticated", 2), ("unknown", "too_large", 1), ("unknown", "too_large", 2)]


def test_a_source_that_is_silent_for_too_long_is_told(world: World) -> None:
    look = lamps_of(world, itsm(), every=timedelta(hours=24))
    doors = caller(world)
    look()
    world.clock.advance(hours=20)
    doors.came("probe", world.clock.now)
    doors.flush()
    world.clock.advance(hours=20)
    look()
    assert world.records() == []
    world.clock.advance(hours=5)
    look()
    assert world.record()["short_description"] == "probe: nothing arrives"
    doors.came("probe", world.clock.now)
    doors.flush()
    look()
    assert world.record()["state"] == "6"


def test_a_field_that_was_always_there_and_suddenly_is_not_is_told_until_it_is_back(world: World) -> None:
    look = lamps_of(world, itsm())
    doors, mapping = caller(world), world.library["probe"].mapping

    def minute(body: bytes) -> None:
        doors.came("probe", world.clock.now)
        assert doors.wants_look("probe")
        doors.looked("probe", [text for text, _ in mapping.reads], seen_in(mapping, body))
        world.clock.advance(minutes=1)
        doors.flush()

    whole, less = b'{"alerts": [{"rule": "r", "level": "high"}]}', b'{"alerts": [{"rule": "r"}]}'
    for _ in range(ALWAYS_LOOKS):
        minute(whole)
    for _ in range(SUDDENLY_LOOKS):
        look()
        assert world.records() == []
        minute(less)
    look()
    record = world.record()
    assert record["short_description"] == "probe: fields that were always there are missing"
    assert "probe: fields that were always there are missing: .level." in record["description"]
    assert [one["detail"] for one in world.log("field_vanished")] == [{"field": ".level"}]
    with world.store.reading() as tx:
        assert backlog(tx, world.clock.now).troubles == (("probe", "vanished"),)
    minute(whole)
    look()
    assert world.record()["state"] == "6"


def test_a_source_that_never_sent_is_silent_from_when_it_was_known(anywhere: World) -> None:
    look = lamps_of(anywhere, itsm(), every=timedelta(0))
    with anywhere.store.transaction() as tx:
        long_ago = anywhere.store.now(tx) - timedelta(days=1)
        tx.execute(callers.insert().values(source="probe", known_since=long_ago))
    for _ in range(2):
        look()
    assert anywhere.record()["short_description"] == "probe: nothing arrives"


def test_without_attention_there_is_no_incident_about_a_source(world: World) -> None:
    look = lamps_of(world, itsm(), attention=None)
    quarantine(world)
    look()
    world.clock.advance(hours=1)
    look()
    assert world.records() == []


def test_two_processes_tell_a_trouble_once(anywhere: World) -> None:
    first = lamps_of(anywhere, itsm(), attention=replace(ATTENTION, after=timedelta(0)))
    quarantine(anywhere)
    first()
    first()
    assert len(about(anywhere, "attention:")) == 1
    assert anywhere.row("attention:probe").alert_count == 1


def test_the_mapping_of_its_own_is_there_whatever_is_published(anywhere: World) -> None:
    lamps_of(anywhere, itsm())
    anywhere.library.swap(library_of(anywhere.store, PROBE).current)
    assert anywhere.library["bridge-attention"].mapping.name == "bridge-attention"
    assert rows(anywhere.store, correlations) == []
