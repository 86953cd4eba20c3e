"""The log of what people order and of what processes do: who, by which version, with what configuration, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic
from intake_world import NOW, alert, delivery, library_of
from log_world import entries, part_of
from publishing_world import NOTE, OTHER, PROBE, Command, Place
from sqlalchemy import update

from bridge.cli import person
from bridge.store import brake, discard, intake, orders, schema
from bridge.store.engine import Store, open_store
from bridge.store.tables import correlations, log_entries, metadata
from bridge.version import version
from bridge.wiring import Role, prepare, run, utc_now

ROBIN = {"actor": "cli:robin", "known_by": "os_user"}

# --- orders


def paused(store: Store) -> None:
    with store.transaction() as tx:
        orders.pause(tx, "itsm", actor="cli:robin", now=NOW)


def resumed(store: Store) -> None:
    paused(store)
    with store.transaction() as tx:
        orders.resume(tx, "itsm", actor="cli:robin", now=NOW)


def quarantined(store: Store) -> None:
    library = library_of(store)
    with store.transaction() as tx:
        intake.commit(tx, [delivery(library, {"level": "high"})], NOW)


def discarded(store: Store) -> None:
    quarantined(store)
    with store.transaction() as tx:
        assert discard.discard(tx, [(1, 0)], reason="a test run", actor="cli:robin", now=NOW) == 1


def brought_back(store: Store) -> None:
    discarded(store)
    with store.transaction() as tx:
        discard.bring_back(tx, [(1, 0)], actor="cli:robin", now=NOW)


def released(store: Store) -> None:
    library = library_of(store)
    with store.transaction() as tx:
        intake.commit(tx, [delivery(library, alert())], NOW)
        tx.execute(update(correlations).values(last_decision=brake.BRAKED))
        brake.release(tx, "itsm", instance="corp", table="incident", actor="cli:robin", now=NOW)


ORDERS: list[tuple[Callable[[Store], None], str, dict[str, Any]]] = [
    (paused, "paused", ROBIN | {"target": "itsm"}),
    (resumed, "resumed", ROBIN | {"target": "itsm"}),
    (
        released,
        "released",
        ROBIN | {"instance": "corp", "target": "itsm", "table": "incident", "detail": {"problems": 1, "twins": 0}},
    ),
    (discarded, "discarded", ROBIN | {"reason": "a test run", "delivery": 1, "detail": {"positions": [0]}}),
    (brought_back, "quarantined", ROBIN | {"reason": "brought_back", "delivery": 1, "detail": {"positions": [0]}}),
]


@pytest.mark.parametrize(("order", "action", "expected"), ORDERS, ids=[row[0].__name__ for row in ORDERS])
def test_an_order_names_who_gave_it_and_on_which_host(
    store: Store, order: Callable[[Store], None], action: str, expected: dict[str, Any]
) -> None:
    order(store)
    entry = entries(store, action)[-1]
    assert part_of(entry, expected) == expected
    assert entry["address"]


# --- mappings


def test_a_publication_names_its_author_and_has_the_digest_of_the_diff_that_people_read(command: Command) -> None:
    old, new = command.publish(PROBE), command.publish(OTHER)
    printed = command.run("diff", "probe", old, new)
    expected = ROBIN | {
        "outcome": "published",
        "mapping": "probe",
        "revision": new,
        "detail": {
            "author": "robin",
            "author_known_by": "os_user",
            "author_verified": True,
            "note": NOTE[1],
            "old_revision": old,
            "diff_digest": hashlib.sha256(printed.encode()).hexdigest(),
        },
    }
    entry = entries(command.place.store, "published")[-1]
    assert part_of(entry, expected) == expected
    assert (entry["detail"]["old_digest"][:12], entry["detail"]["new_digest"][:12]) == (old, new)


def test_an_author_that_is_only_named_is_not_verified(command: Command) -> None:
    command.place.write(OTHER)
    command.run("publish", *NOTE, "--author", "Kim")
    expected = ROBIN | {"detail": {"author": "Kim", "author_known_by": "claim", "author_verified": False}}
    assert part_of(command.place.log("published")[-1], expected) == expected


def test_a_rollback_is_told_as_one(command: Command) -> None:
    old = command.publish(OTHER.replace("Probe: ", "P: "))
    new = command.publish(OTHER)
    command.run("rollback", "probe", old, *NOTE)
    expected = ROBIN | {"outcome": "rolled_back", "revision": old, "detail": {"old_revision": new, "author": "robin"}}
    assert part_of(command.place.log("published")[-1], expected) == expected


def test_a_mapping_that_is_refused_is_named_by_its_place_and_quoted_beside_the_entry(place: Place) -> None:
    process = place.process()
    place.write(OTHER.replace("owner:", "a-secret-word: x\nowner:"))
    process.look()
    (entry,) = place.log("mappings_refused")
    assert [one.rpartition("/")[2] for one in entry["detail"]["problems"]] == ["probe.yaml:4"]
    (row,) = [row for row in place.rows(log_entries) if row.action == "mappings_refused"]
    assert (b"a-secret-word" in row.entry, "a-secret-word" in row.said) == (False, True)


# --- processes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("NOT_NEEDED", "x")
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    store = open_store(url, utc_now)
    schema.upgrade_store(store)
    yield Place(store, tmp_path / "place", url, "auto")
    store.close()


def started_and_stopped(place: Place) -> None:
    prepared = prepare(place.settings, Role.ALL)
    run(place.settings, prepared, Role.INTAKE).stop()
    assert prepared.lock is not None
    prepared.lock.close()


def test_a_start_and_a_stop_name_the_version_and_the_configuration(place: Place) -> None:
    started_and_stopped(place)
    expected = {"actor": "serve", "detail": {"role": "intake", "version": version()}}
    expected["detail"] |= {"configuration": place.settings.configuration.digest}  # type: ignore[operator]
    assert part_of(place.log("started")[0], expected) == expected
    assert place.log("stopped")[0]["detail"] == {"version": version()}


EDITS = [
    # what a person writes in bridge.yaml, the keys that the next start names
    ("nothing", lambda text: text, []),
    ("a comment", lambda text: f"# hello\n{text}", []),
    ("a mode", lambda text: text.replace("table: incident", "table: incident, mode: observe"), ["targets.itsm.mode"]),
    ("a host", lambda text: text.replace("127.0.0.1:9", "127.0.0.1:10"), ["instances.corp.url"]),
    ("a key less", lambda text: text.replace("path: mappings, ", ""), ["mappings.path"]),
]


@pytest.mark.parametrize(("edit", "changed"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_a_start_names_the_keys_that_changed_since_the_last_and_no_values(
    place: Place, edit: Callable[[str], str], changed: list[str]
) -> None:
    started_and_stopped(place)
    file = place.folder / "bridge.yaml"
    file.write_text(edit(file.read_text()))
    started_and_stopped(place)
    first, second = entries(place.store, "started")
    assert "changed" not in first["detail"]
    assert second["detail"].get("changed", []) == changed
    assert (first["detail"]["configuration"] == second["detail"]["configuration"]) is not bool(changed)


def test_a_schema_that_was_upgraded_is_told_with_both_versions_and_by_whom(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(store_url, utc_now, actor="cli:robin")
    store = open_store(store_url, utc_now)
    assert entries(store, "schema_upgraded") == []
    with store.transaction() as tx:
        tx.exec_driver_sql("update alembic_version set version_num = '0018'")
    monkeypatch.setattr(alembic, "upgrade", lambda *_given: None)
    schema.upgrade_store(store, actor="cli:robin")
    (entry,) = entries(store, "schema_upgraded")
    with store.transaction() as tx:
        tx.exec_driver_sql("drop table alembic_version")
    metadata.drop_all(store.engine)
    store.close()
    assert part_of(entry, ROBIN) == ROBIN
    assert (entry["detail"]["from"], entry["detail"]["version"]) == ("0018", version())
    assert entry["detail"]["to"] > "0018"


def test_the_actor_of_a_command_is_whom_the_operating_system_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.cli.opening import actor

    monkeypatch.setattr(person, "os_user", lambda: "robin")
    assert actor() == "cli:robin"
