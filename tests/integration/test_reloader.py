"""Mappings read again while serving, on a store that fails for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge import publishing
from bridge.cli.init import init
from bridge.errors import Transient
from bridge.library import Library
from bridge.settings import load_settings
from bridge.store.engine import open_store
from bridge.wiring import prepare, utc_now

WAIT_SECONDS_MAX = 20.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert CliRunner().invoke(init, [str(tmp_path / "b")]).exit_code == 0
    return tmp_path / "b"


@pytest.mark.parametrize("fails", ["publish", "replay_quarantine"])
def test_a_change_that_met_a_store_that_was_away_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    settings = load_settings(folder / "bridge.yaml")
    lock = prepare(settings).lock
    assert lock is not None
    store = open_store(settings.database, utc_now)
    library = Library(publishing.publish(settings, store, actor="start"))
    old = library["try"]
    replayed: list[set[str]] = []
    real_publish = publishing.publish
    away: Iterator[bool] = iter([True])

    def publish(*given: object, **named: object) -> object:
        if fails == "publish" and next(away, False):
            raise Transient("store_away", "The store is away.")
        return real_publish(*given, **named)  # type: ignore[arg-type]

    def replay(_settings: object, _store: object, _library: object, names: set[str], *, actor: str) -> int:
        if fails == "replay_quarantine" and next(away, False):
            raise Transient("store_away", "The store is away.")
        replayed.append(set(names))
        return 0

    monkeypatch.setattr(publishing, "publish", publish)
    monkeypatch.setattr(publishing, "replay_quarantine", replay)
    reloader = publishing.Reloader(settings, store, library)
    reloader.start()
    try:
        mapping = folder / "mappings/try.yaml"
        text = mapping.read_text()
        # Saved until it is seen: the watch may not have begun.
        wait_for(
            lambda: bool(mapping.write_text(text + "# changed\n")) and (library["try"] != old or bool(library.refused))
        )
        wait_for(lambda: replayed == [{"try"}])
        assert (library.refused, library["try"] != old) == ("", True)
    finally:
        reloader.stop()
        store.close()
        lock.close()


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)
