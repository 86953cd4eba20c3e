"""The thread that follows the mappings of a serving process: what it must not miss, and that it cannot die unseen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from intake_world import PROBE, alert, delivery
from publishing_world import OTHER, Place, Process

from bridge import publishing, reloader
from bridge.errors import Misconfigured, Problem, Transient
from bridge.metrics import Metrics
from bridge.store.engine import open_store
from bridge.store.intake import commit
from bridge.store.schema import upgrade_store
from bridge.wiring import utc_now

WAIT_SECONDS_MAX = 20.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    store = open_store(url, utc_now)
    upgrade_store(store)
    yield Place(store, tmp_path / "place", url, "auto")
    store.close()


@pytest.fixture
def process(place: Place) -> Iterator[Process]:
    process = place.process()
    yield process
    process.reloader.stop()


def quarantine(place: Place, process: Process, many: int) -> None:
    prepared = delivery(process.library, *([alert("")] * many))
    with place.store.transaction() as tx:
        commit(tx, [prepared], place.store.now(tx))


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_mapping_saved_before_the_watch_began_is_not_missed(place: Place, process: Process) -> None:
    place.write(OTHER)
    process.reloader.start()
    wait_for(lambda: process.text == OTHER)


def test_what_is_quarantined_when_a_process_starts_is_replayed(place: Place, process: Process) -> None:
    quarantine(place, process, 1)
    place.write(PROBE.replace("rule: .rule", 'rule: .rule ?? "none"'))
    started = place.process()
    started.look(files=False)
    assert len(place.log("replayed")) == 1


def test_a_refusal_that_could_not_be_told_is_told_at_the_next_look(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, away = reloader.append, iter([True])

    def once_away(*given: Any, **named: Any) -> None:
        if next(away, False):
            raise Transient("store_away", "The store is away.")
        real(*given, **named)

    def broken(*_given: Any, **_named: Any) -> None:
        raise Misconfigured([Problem("probe.yaml", 1, 0, "does not compile any more")])

    place.write(OTHER)
    place.process()
    monkeypatch.setattr(reloader, "append", once_away)
    monkeypatch.setattr(reloader, "in_use", broken)
    process.look(files=False)
    process.look(files=False)
    assert "does not compile any more" in process.library.refused
    assert len(place.log("mappings_refused")) == 1


def test_a_mapping_saved_while_it_is_watched_is_used(place: Place, process: Process) -> None:
    process.reloader.start()
    time.sleep(reloader.LOOK_SECONDS * 2)
    place.write(OTHER)
    wait_for(lambda: process.text == OTHER)


def test_a_folder_that_is_replaced_by_another_is_watched_on(place: Place, process: Process) -> None:
    process.reloader.start()
    time.sleep(reloader.LOOK_SECONDS * 2)
    folder = place.folder / "mappings"
    folder.rename(place.folder / "old")
    folder.mkdir()
    place.write(OTHER)
    wait_for(lambda: process.text == OTHER)


def test_a_folder_that_is_gone_is_named_and_watched_again_when_it_is_back(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloader, "RETRY_SECONDS", 0.05)
    folder = place.folder / "mappings"
    folder.rename(place.folder / "away")
    process.reloader.start()
    wait_for(lambda: "is not watched" in process.library.refused)
    (place.folder / "away").rename(folder)
    wait_for(lambda: process.library.refused == "")
    place.write(OTHER)
    wait_for(lambda: process.text == OTHER)


def test_while_nothing_can_be_watched_publications_are_taken_all_the_same(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more_watches(*_given: object, **_named: object) -> Iterator[Any]:
        raise OSError("no space left on device: the limit of watches is reached")

    monkeypatch.setattr(reloader, "watch", no_more_watches)
    monkeypatch.setattr(reloader, "RETRY_SECONDS", 0.05)
    process.reloader.start()
    wait_for(lambda: "the limit of watches is reached" in process.library.refused)
    place.write(OTHER)
    place.process()
    wait_for(lambda: process.text == OTHER)


@pytest.mark.parametrize("fails", ["publish_found", "replay_quarantine"])
def test_a_change_that_met_a_store_that_was_away_is_tried_again(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    quarantine(place, process, 1)
    real, away = getattr(reloader, fails), iter([True])

    def once_away(*given: Any, **named: Any) -> Any:
        if next(away, False):
            raise Transient("store_away", "The store is away.")
        return real(*given, **named)

    monkeypatch.setattr(reloader, fails, once_away)
    place.write(OTHER.replace("rule: .rule", 'rule: .rule ?? "none"'))
    process.look()
    assert process.library.refused == "The store is away."
    process.look(files=False)
    assert (process.library.refused, len(place.log("replayed"))) == ("", 1)


def test_a_bug_is_named_and_ends_nothing(place: Place, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_given: object, **_named: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(reloader, "publish_found", bug)
        process.look()
    assert "see the service's log" in process.library.refused
    place.write(OTHER)
    process.look()
    assert (process.text, process.library.refused) == (OTHER, "")


def test_a_bug_in_a_replay_is_met_once(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*_given: object, **_named: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(reloader, "replay_quarantine", bug)
    for _ in range(3):
        process.look(files=False)
    assert [one.getMessage() for one in caplog.records] == ["mappings not looked at"]


def test_stop_waits_for_one_page_of_a_long_replay_not_for_all(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, pages = threading.Event(), threading.Event(), []
    real = publishing.replay

    def slow(tx: Any, page: Any, **named: Any) -> Any:
        pages.append(page)
        begun.set()
        go_on.wait(WAIT_SECONDS_MAX)
        return real(tx, page, **named)

    quarantine(place, process, 500)
    monkeypatch.setattr(publishing, "replay", slow)
    process.reloader.start()
    place.write(OTHER)
    assert begun.wait(WAIT_SECONDS_MAX)
    stopping = threading.Thread(target=process.reloader.stop)
    stopping.start()
    wait_for(process.reloader._stop.is_set)
    go_on.set()
    stopping.join(WAIT_SECONDS_MAX)
    assert (stopping.is_alive(), len(pages)) == (False, 1)


def test_a_long_replay_makes_way_for_a_newer_revision(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []
    real = publishing.replay

    def publish_meanwhile(tx: Any, page: Any, **named: Any) -> Any:
        pages.append(page)
        return real(tx, page, **named)

    quarantine(place, process, 500)
    place.write(OTHER)
    monkeypatch.setattr(publishing, "replay", publish_meanwhile)
    monkeypatch.setattr(process.reloader, "_interrupted", lambda: bool(pages))
    process.look()
    assert (len(pages), process.text) == (1, OTHER)
    monkeypatch.undo()
    monkeypatch.setattr(publishing, "replay", publish_meanwhile)
    process.look(files=False)
    assert len(pages) > 3  # from the beginning


def test_a_refused_change_is_a_metric(place: Place, process: Process) -> None:
    metrics = Metrics()
    metrics.watch_mappings(lambda: bool(process.library.refused))
    assert b"bridge_mappings_refused 0.0" in metrics.text()
    place.write("mapping: probe\nno_such_key: 1\n")
    process.look()
    assert b"bridge_mappings_refused 1.0" in metrics.text()
    place.write(PROBE)
    process.look()
    assert b"bridge_mappings_refused 0.0" in metrics.text()
