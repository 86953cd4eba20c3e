"""What is in the way of one record holds up neither the others nor ServiceNow; a late close ends no incident."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from crashing import Crash, at, die
from intake_world import rows
from reconciler_world import CLOSES, Hiding, states, twin
from sqlalchemy import update
from sync_world import World, itsm

from bridge.servicenow.table import TableApi
from bridge.simulator.faults import FaultKind
from bridge.simulator.seed import fixed_id
from bridge.store import orders, reconciling
from bridge.store.held import LEASE
from bridge.store.reconciler_tables import strays
from bridge.store.tables import incidents

FRED = fixed_id("sys_user", "fred")


@pytest.fixture
def opened(world: World) -> World:
    world.fire()
    world.idle()
    world.watch(minutes=1)
    return world


def test_a_refused_write_is_tried_once_more_when_somebody_writes_a_note_and_not_at_every_poll(opened: World) -> None:
    opened.fail(FaultKind.BUSINESS_RULE, "PATCH", times=None)
    opened.fire(level="critical")
    opened.idle()
    assert opened.row().waits_for_person
    opened.person(work_notes="I am looking into this.")
    opened.watch(hours=1)
    assert (opened.writes(), opened.log("edited")) == (["POST", "PATCH", "PATCH"], [])


def test_a_twin_that_cannot_be_asked_about_is_told_and_the_strays_after_it_are_worked(opened: World) -> None:
    opened.fail(FaultKind.ACL, "GET", path="parent_incident", times=None)
    twin(opened)
    opened.clock.advance(seconds=1)
    twin(opened, "unknown")
    opened.watch(minutes=2)
    first, second = rows(opened.store, strays)
    assert (first.outcome, second.outcome, states(opened)) == ("two", "orphan", ["1", "1", "1"])
    assert "ServiceNow answered 403" in first.outcome_text


def test_a_record_that_may_not_be_read_does_not_keep_the_deletion_of_another_from_being_seen(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.sync.reconciler.SYS_IDS_MAX", 1)
    opened.fire("r2")
    opened.idle()
    hidden, deleted = opened.records()
    monkeypatch.setattr(Hiding, "sys_id", hidden["sys_id"])
    monkeypatch.setattr("sync_world.TableApi", Hiding)
    opened.aim(itsm())
    opened.simulator.person_deletes("incident", deleted["sys_id"])
    opened.watch(minutes=70)
    assert (opened.row("r1").open, opened.row("r2").open) == (True, False)


def test_what_is_missing_beside_a_hidden_record_is_not_taken_for_deleted_and_told(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hiding, "sys_id", opened.record()["sys_id"])
    monkeypatch.setattr("sync_world.TableApi", Hiding)
    opened.aim(itsm())
    opened.turn(sweeps=True)
    with opened.store.reading() as tx:
        assert "incident has incidents of ours that may not be read any more" in reconciling.unreconciled(tx)
    assert (opened.row().open, opened.row().failure) == (True, None)


def test_a_twin_whose_close_may_still_commit_does_not_become_the_incident(opened: World) -> None:
    other = twin(opened)
    opened.fail(FaultKind.LATE_COMMIT, "PATCH", seconds=150)
    opened.turn()
    opened.simulator.edit_as_person("incident", other["sys_id"], {"assigned_to": FRED}, user="analyst")
    opened.watch(minutes=10)
    assert (states(opened), opened.row().open) == (["1", "6"], True)


def test_a_twin_that_a_person_took_up_is_the_incident_once_its_lost_close_cannot_commit_any_more(
    opened: World,
) -> None:
    other = twin(opened)
    opened.fail(FaultKind.RESET_BEFORE_COMMIT, "PATCH")
    opened.turn()
    opened.simulator.edit_as_person("incident", other["sys_id"], {"assigned_to": FRED}, user="analyst")
    opened.watch(minutes=10)
    (stray,) = rows(opened.store, strays)
    assert (states(opened), stray.sys_id == other["sys_id"], stray.outcome) == (["6", "1"], False, "closed")


def test_a_create_that_waits_for_a_person_is_looked_up_ever_less_often_for_a_record_that_may_be_its_own(
    world: World,
) -> None:
    world.fail(FaultKind.BUSINESS_RULE, "POST")
    world.fire()
    world.idle()
    world.fail(FaultKind.ACL, "GET", path="sysparm_query=correlation_id=", times=None)
    twin(world)
    world.watch(hours=3)
    looked = [path for _method, path, _status in world.simulator.calls if "sysparm_query=correlation_id=" in path]
    assert 1 < len(looked) < 20


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_record_whose_create_is_not_settled_is_no_twin_of_the_incident_before_whatever_the_clocks_say(
    world: World, hours: int
) -> None:
    world.simulator.offset = timedelta(hours=hours)
    world.fire()
    world.idle()
    world.person(**CLOSES)
    world.resolve()
    world.watch(minutes=5)

    world.fire()
    with pytest.raises(Crash), at("write:answered", die):
        world.idle()
    world.turn()
    world.watch(minutes=10)
    assert (states(world), world.row().open) == (["7", "1"], True)


def test_a_record_that_became_an_incident_while_it_was_read_is_not_closed_as_a_twin(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of another problem; the store learns of it between the reconciler's reading and its writing."""
    other = twin(opened)
    reads = TableApi.read

    def taken(api: TableApi, *args: Any, **more: Any) -> Any:
        with opened.store.transaction() as tx:
            tx.execute(update(incidents).values(sys_id=other["sys_id"]))
        return reads(api, *args, **more)

    monkeypatch.setattr(TableApi, "read", taken)
    opened.turn()
    assert (states(opened), rows(opened.store, strays)) == (["1", "1"], [])
    opened.made_for_us = {opened.records()[0]["number"]}


def test_a_round_that_stood_still_while_a_twin_became_the_incident_writes_nothing_any_more(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = opened.record(), twin(opened, assigned_to=FRED)
    reads, stood = TableApi.read, []

    def stands_still(api: TableApi, *args: Any, **more: Any) -> Any:
        record = reads(api, *args, **more)
        if not stood:
            stood.append(record)
            opened.clock.advance(seconds=LEASE.total_seconds() + 1)
            opened.reconciler.sweep()
        return record

    opened.fire(level="critical")
    monkeypatch.setattr(TableApi, "read", stands_still)
    opened.idle()
    opened.watch(minutes=10)
    assert {row["sys_id"]: row["impact"] for row in opened.records()} == {
        first["sys_id"]: first["impact"],
        other["sys_id"]: "1",
    }
    assert rows(opened.store, incidents)[0].sys_id == other["sys_id"]


def test_a_twin_of_a_record_that_is_gone_is_told_as_that(opened: World) -> None:
    twin(opened)
    opened.simulator.person_deletes("incident", opened.records()[0]["sys_id"])
    opened.turn()
    (stray,) = rows(opened.store, strays)
    assert stray.outcome_text == (
        "INC0010002 is open, and INC0010001, of the same problem, is deleted or may not be read: close it in "
        "ServiceNow where nobody needs it."
    )
    opened.turn(sweeps=True)


def test_a_twin_is_not_closed_once_its_target_is_paused_though_its_turn_had_begun(anywhere: World) -> None:
    anywhere.fire()
    anywhere.idle()
    twin(anywhere)

    def pause() -> None:
        with anywhere.store.transaction() as tx:
            orders.pause(tx, "itsm", actor="test", now=anywhere.store.now(tx))

    with at("stray:committed", pause):
        anywhere.turn()
    assert states(anywhere) == ["1", "1"]
    with anywhere.store.transaction() as tx:
        orders.resume(tx, "itsm", actor="test", now=anywhere.store.now(tx))
        tx.execute(update(strays).values(due_at=anywhere.store.now(tx)))
    anywhere.turn()
    assert sorted(states(anywhere)) == ["1", "6"]
