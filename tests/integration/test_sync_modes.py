"""Observe, pause and the brake: what holds writes back, and what happens when it lets go."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from sync_world import OBSERVE, World, itsm

from bridge.settings import Mode
from bridge.store import orders
from bridge.store.start import wake_observed
from bridge.store.tables import correlations


def switch_to_write(world: World) -> None:
    """As a start of the bridge does."""
    world.aim(itsm(mode=Mode.WRITE))
    with world.store.transaction() as tx:
        wake_observed(tx, ["itsm"], world.store.now(tx))
    world.idle()


def pause(world: World) -> None:
    with world.store.transaction() as tx:
        orders.pause(tx, "itsm", actor="test", now=world.store.now(tx))


def resume(world: World) -> None:
    with world.store.transaction() as tx:
        orders.resume(tx, "itsm", actor="test", now=world.store.now(tx))


def test_what_is_only_observed_is_told_once_and_not_written(anywhere: World) -> None:
    anywhere.aim(itsm(mode=OBSERVE))
    for _ in range(3):
        anywhere.fire()
        anywhere.idle()
    assert anywhere.simulator.calls == []
    assert anywhere.decisions() == ["create: first_alert"]
    assert anywhere.row().last_decision == "would_create: first_alert"


def test_what_still_fires_is_written_once_the_target_is(anywhere: World) -> None:
    anywhere.aim(itsm(mode=OBSERVE))
    anywhere.fire("r1")
    anywhere.fire("r2")
    anywhere.idle()
    anywhere.resolve("r2")
    anywhere.idle()
    switch_to_write(anywhere)
    assert anywhere.record()["correlation_id"] == "r1"


def test_an_open_incident_is_left_alone_while_its_target_is_observed(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    anywhere.aim(itsm(mode=OBSERVE))
    for _ in range(2):
        anywhere.fire(level="critical")
        anywhere.idle()
    assert anywhere.writes() == ["POST"]
    assert anywhere.decisions().count("update: severity_rose") == 1
    switch_to_write(anywhere)
    assert anywhere.record()["impact"] == "1"


def test_nothing_is_claimed_for_a_paused_target(anywhere: World) -> None:
    pause(anywhere)
    for rule in ("r1", "r2"):
        anywhere.fire(rule)
    anywhere.idle()
    assert anywhere.simulator.calls == []
    assert anywhere.row().due_at is not None
    resume(anywhere)
    anywhere.idle()
    assert len(anywhere.records()) == 2


def test_an_incident_at_a_paused_target_is_left_although_its_correlation_is_routed_elsewhere_by_now(
    world: World,
) -> None:
    world.fire()
    world.idle()
    world.resolve()
    world.idle()
    pause(world)
    world.fire()
    with world.store.transaction() as tx:
        tx.execute(update(correlations).values(target="other"))
    world.idle()
    assert world.record()["state"] == "6"


@pytest.fixture
def braked(world: World) -> World:
    world.aim(itsm(max_creates_per_hour=2))
    for number in range(5):
        world.fire(f"r{number}")
    world.idle()
    return world


def test_above_the_brake_creates_wait_with_that_reason(braked: World) -> None:
    assert len(braked.records()) == 2
    held = [f"r{n}" for n in range(5) if braked.row(f"r{n}").last_decision == "nothing: brake"]
    assert len(held) == 3


def test_what_the_brake_held_is_created_in_the_hours_after(braked: World) -> None:
    braked.pass_time(minutes=62)
    assert len(braked.records()) == 4
    braked.pass_time(minutes=62)
    assert len(braked.records()) == 5


def test_a_flood_that_the_brake_holds_leaves_room_for_closes_and_updates(world: World) -> None:
    world.aim(itsm(max_creates_per_hour=1))
    for number in range(40):
        world.fire(f"r{number:02}")
    world.idle()
    with world.store.reading() as tx:
        waits = correlations.c.last_decision == "nothing: brake"
        due = list(tx.execute(select(correlations.c.due_at).where(waits)).scalars())
    assert len(set(due)) == 39, "no two are due at the same moment"
    world.clock.advance(minutes=2)
    assert not world.worker.work(), "none is asked about before its turn may have come"


def test_the_next_in_turn_is_created_as_soon_as_the_hour_allows(world: World) -> None:
    world.aim(itsm(max_creates_per_hour=1))
    world.fire("r0")
    world.idle()
    world.clock.advance(minutes=58)
    world.fire("r1")
    world.fire("r2", level="critical")
    world.idle()
    world.pass_time(minutes=2, step=1)
    assert [record["correlation_id"] for record in world.records()] == ["r0", "r2"]


def test_the_brake_does_not_hold_updates(braked: World) -> None:
    first = braked.records()[0]["correlation_id"]
    braked.fire(first, level="critical")
    braked.idle()
    assert braked.records()[0]["impact"] == "1"


def test_what_resolves_while_the_brake_holds_it_is_not_created(braked: World) -> None:
    for number in range(5):
        braked.resolve(f"r{number}")
    braked.pass_time(hours=3, step=600)
    assert len(braked.records()) == 2


def test_the_brake_is_told_once_for_each_problem(braked: World) -> None:
    braked.pass_time(minutes=10)
    assert braked.decisions().count("nothing: brake") == 3


def test_a_new_episode_counts_against_the_brake(world: World) -> None:
    world.aim(itsm(max_creates_per_hour=1))
    world.fire()
    world.idle()
    world.person(state="8")
    world.resolve()
    world.idle()
    world.fire()
    world.idle()
    assert len(world.records()) == 1
    world.pass_time(minutes=62)
    assert len(world.records()) == 2


def test_work_for_an_instance_that_is_left_alone_is_not_claimed(world: World) -> None:
    for rule in ("r1", "r2", "r3", "r4", "r5", "r6"):
        world.fire(rule)
    world.servicenow.down()
    world.idle()
    world.servicenow.up()
    failed = [world.row(f"r{number}").failure for number in range(1, 7)]
    assert (failed.count("connect_failed"), failed.count(None)) == (5, 1)
    assert not world.worker.work()
    world.pass_time(step=5, minutes=2)
    assert len(world.records()) == 6
