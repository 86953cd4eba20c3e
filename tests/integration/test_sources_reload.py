"""Sources that come, change and go in bridge.yaml while a process serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from intake_world import PROBE
from publishing_world import OTHER, Place, Process

from bridge import reloader
from bridge.cli import main
from bridge.doors import doors_of
from bridge.errors import Misconfigured, Transient
from bridge.library import Library
from bridge.publishing import in_use
from bridge.sources_file import still_there
from bridge.store.engine import open_store
from bridge.store.schema import upgrade_store
from bridge.wiring import utc_now

SECOND = "  second: {mapping: second, auth: {scheme: bearer, secret: {file: second.secret}}}\n"
SECOND_MAPPING = PROBE.replace("mapping: probe", "mapping: second")


@pytest.fixture(params=["auto", "publish_only"])
def reload(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path, reload: str) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    store = open_store(url, utc_now)
    upgrade_store(store)
    made = Place(store, tmp_path / "place", url, "auto")
    made.process()  # publishes what is there
    config = made.folder / "bridge.yaml"
    config.write_text(config.read_text().replace("reload: auto", f"reload: {reload}"))
    yield made
    store.close()


@pytest.fixture
def process(place: Place) -> Process:
    return Process(place)


def edit(place: Place, change: Callable[[str], str]) -> None:
    config = place.folder / "bridge.yaml"
    config.write_text(change(config.read_text()))


def add_second(place: Place, *, secret: str = "s3cret") -> None:
    (place.folder / "second.secret").write_text(secret)
    edit(place, lambda text: text + SECOND)


only_auto = pytest.mark.parametrize("reload", ["auto"], indirect=True)
only_by_order = pytest.mark.parametrize("reload", ["publish_only"], indirect=True)


@only_auto
def test_a_source_that_is_added_is_let_in_with_its_mapping(place: Place, process: Process) -> None:
    place.write(SECOND_MAPPING, "second")
    add_second(place)
    process.look(files=False)
    assert process.doors == {"probe", "second"}
    assert process.library["second"].mapping.name == "second"
    assert place.log("sources_loaded")[-1]["detail"] == {"added": ["second"], "changed": [], "removed": []}


@only_by_order
def test_where_mappings_are_published_by_order_a_source_waits_for_its_own(place: Place, process: Process) -> None:
    place.write(SECOND_MAPPING, "second")
    add_second(place)
    process.look(files=False)
    assert process.doors == {"probe"}
    assert "the mapping second was never published" in process.library.refused
    config = str(place.folder / "bridge.yaml")
    assert main(["mapping", "publish", "second", "--config", config, "--note", "a reason"]) == 0
    process.look(files=False)
    assert process.doors == {"probe", "second"}
    assert process.library.refused == ""


@only_auto
def test_a_source_without_its_mapping_waits_until_that_is_there(place: Place, process: Process) -> None:
    add_second(place)
    process.look(files=False)
    assert process.doors == {"probe"}
    assert "second.yaml: there is no such file" in process.library.refused
    place.write(SECOND_MAPPING, "second")
    process.look(files=True)
    assert process.doors == {"probe", "second"}
    assert process.library.refused == ""


@only_auto
def test_a_source_whose_secret_is_empty_waits_until_it_is_filled(place: Place, process: Process) -> None:
    place.write(SECOND_MAPPING, "second")
    add_second(place, secret="")
    process.look(files=False)
    assert process.doors == {"probe"}
    assert "second.secret is empty" in process.library.refused
    (place.folder / "second.secret").write_text("s3cret")
    process.look(files=False)
    assert process.doors == {"probe", "second"}


@only_auto
def test_a_secret_that_goes_away_after_it_was_checked_is_told_and_looked_for_again(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = place.folder / "second.secret"
    place.write(SECOND_MAPPING, "second")
    add_second(place)

    def checked_and_gone(_settings: Any) -> list[Any]:
        secret.unlink()
        return []

    monkeypatch.setattr("bridge.sources_file.check_secrets", checked_and_gone)
    process.look(files=False)
    assert process.doors == {"probe"}
    assert "second.secret cannot be read" in process.library.refused
    secret.write_text("s3cret")
    process.look(files=False)
    assert process.doors == {"probe", "second"}
    assert process.library.refused == ""


def test_a_source_that_is_removed_is_shut_and_the_others_stay(place: Place, process: Process) -> None:
    edit(place, lambda text: text.replace("  probe:", "  renamed:"))
    process.look(files=False)
    assert process.doors == {"renamed"}
    assert place.log("sources_loaded")[-1]["detail"] == {"added": ["renamed"], "changed": [], "removed": ["probe"]}


def test_what_is_wrong_in_the_file_leaves_all_doors_as_they_are(place: Place, process: Process) -> None:
    edit(place, lambda text: text.replace("scheme: none", "scheme: nobody"))
    process.look(files=False)
    assert process.doors == {"probe"}
    assert "`nobody` is not a word for `scheme`" in process.library.refused
    edit(place, lambda text: text.replace("scheme: nobody", "scheme: none"))
    process.look(files=False)
    assert process.library.refused == ""


def test_what_changes_beside_the_sources_waits_for_a_restart(
    place: Place, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    edit(place, lambda text: text.replace("table: incident", "table: sn_si_incident"))
    process.look(files=False)
    assert "what changed beside `sources` is used after a restart" in caplog.text
    assert place.log("sources_loaded") == []


def test_nothing_is_told_while_the_file_stays(place: Place, process: Process) -> None:
    process.look(files=False)
    process.look(files=False)
    assert place.log("sources_loaded") == []


@only_auto
@pytest.mark.parametrize("fails", ["publish_found", "append"])
def test_a_source_that_met_a_store_that_was_away_is_taken_at_the_next_look_and_told(
    place: Place, process: Process, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    real, away = getattr(reloader, fails), iter([True])

    def once_away(*given: Any, **named: Any) -> Any:
        if next(away, False):
            raise Transient("store_away", "The store is away.")
        return real(*given, **named)

    monkeypatch.setattr(reloader, fails, once_away)
    place.write(SECOND_MAPPING, "second")
    add_second(place)
    process.look(files=False)
    assert (process.doors, process.library.refused) == ({"probe"}, "The store is away.")
    process.look(files=False)
    assert (process.doors, process.library.refused) == ({"probe", "second"}, "")
    assert [entry["detail"]["added"] for entry in place.log("sources_loaded")] == [["second"]]


@only_auto
def test_mappings_that_change_are_followed_after_the_sources_changed(place: Place, process: Process) -> None:
    place.write(SECOND_MAPPING, "second")
    add_second(place)
    process.look(files=False)
    place.write(OTHER.replace("mapping: probe", "mapping: second"), "second")
    process.look(files=True)
    assert "Probe: " in process.library["second"].mapping.files["second.yaml"]


@only_auto
def test_who_takes_the_place_of_a_process_that_died_needs_no_secret_of_a_source_that_is_gone(place: Place) -> None:
    place.write(SECOND_MAPPING, "second")
    add_second(place)
    started = place.settings
    edit(place, lambda text: text.replace(SECOND, ""))
    (place.folder / "second.secret").unlink()
    with pytest.raises(Misconfigured, match=r"second\.secret"):
        doors_of(started, None)
    assert set(doors_of(still_there(started), None)) == {"probe"}
    assert Library(in_use(still_there(started), place.store).current)["probe"]
