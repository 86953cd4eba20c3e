"""What waits, as /readyz tells it."""

from __future__ import annotations

from sqlalchemy import update
from sync_world import World, itsm

from bridge.simulator.faults import FaultKind
from bridge.store import orders
from bridge.store.backlog import backlog, braked, paused
from bridge.store.engine import Store
from bridge.store.tables import correlations


def test_a_paused_target_is_named_with_the_command_that_resumes_it(store: Store) -> None:
    with store.transaction() as tx:
        for name in ("sir", "itsm", "elsewhere"):
            orders.pause(tx, name, actor="test", now=store.now(tx))
    with store.reading() as tx:
        assert paused(tx, ["itsm", "sir"]) == "paused: itsm, sir; `bridge targets resume itsm sir` ends it"


def test_a_target_that_runs_is_no_problem(store: Store) -> None:
    with store.reading() as tx:
        assert paused(tx, ["itsm"]) == ""


def test_problems_that_wait_for_the_hourly_limit_are_counted_with_its_key(world: World) -> None:
    world.aim(itsm(max_creates_per_hour=1))
    for rule in ("r1", "r2", "r3"):
        world.fire(rule)
    world.idle()
    with world.store.reading() as tx:
        assert braked(tx).startswith(
            "more new problems than the target takes in an hour (itsm: 2): see `max_creates_per"
        )


def test_a_resumed_target_has_no_work_that_still_says_paused(anywhere: World) -> None:
    anywhere.fire()
    with anywhere.store.transaction() as tx:
        orders.pause(tx, "itsm", actor="test", now=anywhere.store.now(tx))
        tx.execute(update(correlations).values(failure="paused", failures=3, due_at=None))
        orders.resume(tx, "itsm", actor="test", now=anywhere.store.now(tx))
    anywhere.idle()
    assert (anywhere.row().failure, len(anywhere.records())) == (None, 1)


def test_the_age_of_the_queue_goes_on_however_often_its_oldest_alert_is_tried(world: World) -> None:
    world.fail(FaultKind.LOGIN, "POST", times=None)
    world.fire()
    world.idle()
    world.pass_time(minutes=4)
    assert _age(world) == 240.0
    world.simulator.faults.clear()
    world.pass_time(minutes=6)
    assert (_age(world), len(world.records())) == (0.0, 1)


def _age(world: World) -> float:
    with world.store.reading() as tx:
        return backlog(tx, world.store.now(tx)).oldest_unapplied_seconds
