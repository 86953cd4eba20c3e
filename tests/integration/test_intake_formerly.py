"""A mapping that changes the form of its correlation ID opens no second incident for what it knew under the old one."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest
from intake_world import NOW, PROBE, alert, delivery, library_of, rows, running_writer
from sqlalchemy import select, update
from sync_world import PROBE as SYNC_PROBE
from sync_world import World, itsm

from bridge.library import Library
from bridge.store import intake, queries
from bridge.store.engine import Store, open_store
from bridge.store.tables import correlations, incidents


def edited(text: str) -> str:
    """The mapping with an ID of another form."""
    assert 'id: "{{ rule }}"' in text
    return text.replace('id: "{{ rule }}"', 'id: "rule/{{ rule }}"\n  formerly: "{{ rule }}"')


@pytest.fixture
def old(store: Store) -> Library:
    return library_of(store)


@pytest.fixture
def new(store: Store) -> Library:
    return library_of(store, edited(PROBE))


def put(store: Store, library: Library, sender_id: str) -> str:
    with store.transaction() as tx:
        (answer,) = intake.commit(tx, [delivery(library, alert(), sender_id=sender_id)], store.now(tx))
    return answer.alerts[0].correlation_id or ""


@pytest.mark.parametrize("order", ["old new", "new old", "old new old new", "new new old"])
def test_both_revisions_in_any_order_feed_one_correlation(store: Store, old: Library, new: Library, order: str) -> None:
    for turn, which in enumerate(order.split()):
        put(store, {"old": old, "new": new}[which], str(turn))
    (only,) = rows(store, correlations)
    assert only.last_seq == len(order.split())


def test_the_answer_names_the_id_that_the_mapping_made(store: Store, old: Library, new: Library) -> None:
    assert [put(store, old, "1"), put(store, new, "2")] == ["r1", "rule/r1"]


def test_a_correlation_is_found_by_either_id(store: Store, old: Library, new: Library) -> None:
    put(store, old, "1")
    put(store, new, "2")
    with store.reading() as tx:
        assert queries.find_correlations(tx, "rule/r1") == queries.find_correlations(tx, "r1")


def test_after_the_change_is_done_a_problem_that_is_over_begins_anew_under_its_new_id(
    store: Store, old: Library, new: Library
) -> None:
    put(store, old, "1")
    put(store, new, "2")
    with store.transaction() as tx:  # applied, and its episode has ended
        tx.execute(update(correlations).values(applied_seq=correlations.c.last_seq, open=False))
    put(store, library_of(store, edited(PROBE).replace('\n  formerly: "{{ rule }}"', "")), "3")
    with store.reading() as tx:
        found = tx.execute(select(correlations.c.correlation_id).order_by(correlations.c.id)).scalars().all()
        assert list(found) == ["r1", "rule/r1"]
        assert [row.correlation_id for row in queries.find_correlations(tx, "rule/r1")] == ["rule/r1"]


POSTS = """
import sys
from intake_world import NOW, alert, delivery, library_of
from bridge.store.engine import open_store
from bridge.store.intake import commit

url, which, turns, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
store = open_store(url, lambda: NOW)
library = library_of(store, text)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(turns):
    one = delivery(library, alert(rule=f"r{turn}"), sender_id=f"{which}-{turn}")
    store.in_transaction(lambda tx: commit(tx, [one], store.now(tx)))
store.close()
"""


def test_two_processes_with_different_revisions_make_one_correlation(store: Store, store_url: str) -> None:
    turns = 40
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    lines = [
        [sys.executable, "-c", POSTS, store_url, which, str(turns), text]
        for which, text in (("old", PROBE), ("new", edited(PROBE)))
    ]
    pipes: dict[str, int] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(line, env=environment, text=True, **pipes)) for line in lines]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:  # both go through the same problems, and neither has seen one of them
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in running:
            process.wait(60)
        assert [process.returncode for process in running] == [0, 0]
    assert [row.last_seq for row in rows(store, correlations)] == [2] * turns


def test_two_writers_with_different_revisions_make_one_correlation(
    store: Store, store_url: str, old: Library, new: Library
) -> None:
    turns = 20
    with ExitStack() as stack:
        other = open_store(store_url, lambda: NOW)
        stack.callback(other.close)
        writers = [
            stack.enter_context(running_writer(store)),
            stack.enter_context(running_writer(store if store.is_sqlite else other)),
        ]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        start = Barrier(2)

        def post(which: int) -> None:
            for turn in range(turns):
                start.wait()  # at each turn both meet a problem that neither has seen
                one = delivery((old, new)[which], alert(rule=f"r{turn}"), sender_id=f"{which}-{turn}")
                writers[which].submit(one)

        list(pool.map(post, (0, 1)))
    assert [row.last_seq for row in rows(store, correlations)] == [2] * turns


def test_repeats_under_the_new_id_update_the_incident_that_the_old_one_opened(anywhere: World) -> None:
    anywhere.fire(level="low")
    anywhere.idle()
    anywhere.library = library_of(anywhere.store, edited(SYNC_PROBE))
    anywhere.aim(itsm())
    anywhere.fire(level="critical")
    anywhere.idle()
    record = anywhere.record()
    assert (record["correlation_id"], record["impact"]) == ("r1", "1")
    anywhere.resolve()
    anywhere.idle()
    assert anywhere.record()["state"] == "6"
    assert len(rows(anywhere.store, incidents)) == 1


def test_what_the_old_revision_left_to_be_applied_is_written_by_the_new_one(anywhere: World) -> None:
    anywhere.fire(level="low")
    anywhere.library = library_of(anywhere.store, edited(SYNC_PROBE))
    anywhere.aim(itsm())
    anywhere.fire(level="critical")
    anywhere.idle()
    assert (anywhere.record()["correlation_id"], anywhere.record()["impact"]) == ("r1", "1")
