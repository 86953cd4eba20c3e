"""A course over stored deliveries counts what the worker did with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from intake_world import library_of
from sqlalchemy import func, select
from sync_world import PROBE, World, itsm

from bridge.alert import Outcome
from bridge.correlation.policy import CloseWhen
from bridge.course import Course
from bridge.store.bodies import StoredDelivery, Window, ids_within, pages
from bridge.store.prepare import map_content
from bridge.store.tables import deliveries

MINUTES = [0, 1, 3, 20, 70]
LEVELS = ["low", "high", "critical"]


def story(world: World, seed: int, **more: str) -> None:
    """Some alerts of three problems, the worker at work between them."""
    for step in range(25):
        number = seed * 31 + step * 7
        rule = f"r{number % 3}"
        if number % 5 == 0:
            world.resolve(rule, **more)
        else:
            world.fire(rule, level=LEVELS[number % 7 % 3], **more)
        world.idle()
        world.pass_time(minutes=MINUTES[(number // 3) % len(MINUTES)])


def pages_of(world: World, window: Window) -> Iterator[list[StoredDelivery]]:
    with world.store.reading() as tx:
        ids = ids_within(tx, window)
    return pages(world.store, ids)


def course_of(world: World) -> Course:
    course = Course(world.library["probe"].mapping, {"itsm": CloseWhen.UNTOUCHED})
    for page in pages_of(world, Window(sources=frozenset({"probe"}))):
        for one in page:
            course.advance(one.received_at)
            for alert in map_content(course.mapping, one.body or b"", now=one.received_at):
                course.take(alert, tenant=one.tenant, source=one.source, now=one.received_at)
    course.advance(world.clock.now)
    return course


@pytest.mark.parametrize("seed", range(8))
def test_it_decides_what_the_worker_decided(world: World, seed: int) -> None:
    story(world, seed)
    course = course_of(world)
    written = Counter(entry["outcome"] for entry in world.log("intended"))
    assert {kind.value: count for kind, count in course.decisions.items()} == dict(written)
    assert len(course.open_keys()) == sum(world.row(rule).open for rule in ("r0", "r1", "r2"))
    assert course.outcomes == {Outcome.ACCEPTED: 25}


@pytest.mark.parametrize("seed", range(4))
def test_it_joins_what_the_worker_joined(world: World, seed: int) -> None:
    joins = "  join: [{same: [.host], within: 2h}]\nroute:"
    world.library = library_of(world.store, PROBE.replace("route:", joins, 1))
    world.aim(itsm())
    story(world, seed, host="web-1")
    course = course_of(world)
    done = Counter(entry["outcome"] for entry in world.log("intended")) + Counter(join=len(world.log("joined")))
    assert {kind.value: count for kind, count in course.decisions.items()} == dict(done)
    assert done["join"] > 0
    assert len(course.open_keys()) == sum(world.row(rule).open for rule in ("r0", "r1", "r2"))


def test_a_page_begins_where_the_last_one_ended(anywhere: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.store.bodies.PAGE", 2)
    for number in range(5):
        anywhere.fire(f"r{number}")
    found = [len(page) for page in pages_of(anywhere, Window(sources=frozenset({"probe"})))]
    assert found == [2, 2, 1]


def test_a_window_leaves_out_other_sources_and_older_deliveries(anywhere: World) -> None:
    anywhere.fire("r1")
    with anywhere.store.reading() as tx:
        newest = tx.execute(
            select(func.max(deliveries.c.received_at, type_=deliveries.c.received_at.type))
        ).scalar_one()
    later = Window(sources=frozenset({"probe"}), since=newest + timedelta(seconds=1))
    assert [list(pages_of(anywhere, one)) for one in (later, Window(sources=frozenset({"other"})))] == [[], []]
