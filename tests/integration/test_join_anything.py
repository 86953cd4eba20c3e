"""Joining, whatever happens: alerts, people, faults, rounds that die, in any order; at rest all is as it should be."""

from __future__ import annotations

import contextlib
import random
from unittest.mock import patch

import pytest
from crashing import Crash
from intake_world import library_of, rows
from sqlalchemy import select
from sync_world import PROBE, World, itsm

from bridge.errors import Permanent, Transient
from bridge.servicenow.table import TableApi
from bridge.simulator.faults import FaultKind
from bridge.store import joins, work
from bridge.store.held import Part
from bridge.store.tables import correlations, episodes, incidents

HOSTS = {"r1": "web-1", "r2": "web-1", "r3": "web-1", "r4": "web-2", "r5": "web-2"}
JOINS = "  reopen: {within: 2h, else: create}\n  join: [{same: [.host], within: 4h}]\nroute:"
LEVELS = ["low", "low", "high"]
FAULTS = [FaultKind.RESET_AFTER_COMMIT, FaultKind.RESET_BEFORE_COMMIT, FaultKind.SERVER_ERROR, FaultKind.BUSINESS_RULE]
STEPS = 40


def dies(world: World, chance: random.Random) -> None:
    """In the middle of a write, before it was sent or after."""
    method, sent = chance.choice(["create", "update"]), chance.random() < 0.5
    real = getattr(TableApi, method)

    def dying(*args: object, **more: object) -> None:
        if sent:
            real(*args, **more)
        raise Crash

    with patch.object(TableApi, method, dying), contextlib.suppress(Crash):
        for _ in range(4):
            world.worker.work()


def lives(world: World, chance: random.Random) -> None:
    """One thing happens."""
    rule = chance.choice(list(HOSTS))
    match chance.randrange(17):
        case 0 | 1 | 2 | 3 | 4:
            world.fire(rule, host=HOSTS[rule], level=chance.choice(LEVELS))
        case 5 | 6 | 7:
            world.resolve(rule, host=HOSTS[rule])
        case 8:
            world.fail(chance.choice(FAULTS), chance.choice(["POST", "PATCH"]))
        case 9:
            edits = {"state": "6", "close_code": "Solution provided", "close_notes": "done"}
            if open_ones := [record for record in world.records() if record["state"] == "1"]:
                world.simulator.edit_as_person("incident", chance.choice(open_ones)["sys_id"], edits, user="analyst")
        case 10:
            if over := [record["sys_id"] for record in world.records() if record["state"] == "6"]:
                world.simulator.edit_as_person("incident", chance.choice(over), {"state": "1"}, user="analyst")
        case 11:
            with contextlib.suppress(Permanent, Transient), world.store.transaction() as tx:
                known = {row.correlation_id: row.id for row in rows(world.store, correlations)}
                if rule in known:
                    joins.split(tx, known[rule], actor="cli:robin", now=world.store.now(tx))
        case 12:  # a round dies under its lease
            with world.store.transaction() as tx:
                work.claim(tx, world.store.now(tx), paused=())
        case 13:
            world.pass_time(minutes=chance.choice([1, 16, 130]), step=300)
        case 14:
            dies(world, chance)
        case _:
            for _ in range(chance.randrange(4)):
                world.worker.work()


def rest(world: World) -> None:
    """Nothing goes wrong any more, a person has tried again what failed, and time has gone by."""
    world.simulator.faults.clear()
    world.pass_time(minutes=12, step=60)
    for row in rows(world.store, correlations):
        if row.waits_for_person:
            world.ask_sync(row.correlation_id)
    world.pass_time(minutes=12, step=60)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_each_problem_is_told_where_it_belongs(world: World, seed: int) -> None:
    world.library = library_of(world.store, PROBE.replace("route:", JOINS, 1))
    world.aim(itsm())
    chance = random.Random(seed)
    for _ in range(STEPS):
        lives(world, chance)
    rest(world)
    with world.store.reading() as tx:
        newest = episodes.c.correlation == correlations.c.id, episodes.c.number == correlations.c.episode
        query = (
            select(correlations, episodes.c.part, incidents.c.state, incidents.c.sys_id, incidents.c.id.label("of"))
            .join(episodes, newest[0] & newest[1])
            .join(incidents, incidents.c.id == episodes.c.incident)
        )
        found = tx.execute(query).all()
    assert len(found) == len(rows(world.store, correlations)), "each has come to an incident, or to a plan"
    for row in found:
        name = f"{row.correlation_id}: {row.last_decision}"
        assert row.failure is None, f"{name}: {row.failure_text}"
        assert row.applied_seq == row.last_seq, name
        assert row.part in (Part.OPENED, Part.JOINED), name
        assert row.open == (row.state == "open"), name
        if row.status == "firing":
            assert row.open or row.last_decision == "nothing: closed_by_person", name
        elif row.open:  # kept open by another that shares it
            others = [one for one in found if one.of == row.of and one.status == "firing"]
            assert others or row.last_decision.endswith(("left_to_person", "close_refused")), name
        if row.part == Part.JOINED and row.open:
            notes = [entry["value"] for entry in world.simulator.journal(row.sys_id)]
            assert any(f"of {row.correlation_id} joined" in note for note in notes), name
            refs = [note.rpartition("[")[2] for note in notes if note.endswith("]")]
            assert len(refs) == len(set(refs)), "a note was written twice"
    opened = [row.of for row in found if row.part == Part.OPENED]
    assert len(opened) == len(set(opened)), "an incident is opened for one"
