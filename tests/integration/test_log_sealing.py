"""Sealing: every entry once, in gap-free indices, whatever the order of commits; and read back as it was sealed."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from export_world import BRIDGE
from sqlalchemy import select
from tree_judge import root_from_inclusion

from bridge.cli.log_reading import sealed_head
from bridge.log.entries import Action, Entry, append
from bridge.log.note import Signer, opened, verifier
from bridge.log.tree import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
)
from bridge.settings import load_settings
from bridge.store.columns import EPOCH
from bridge.store.engine import Store
from bridge.store.log_tables import log_head, log_seals
from bridge.store.logbook import entries_between, hash_reader, indices_of, newest_checkpoint, seal_holding
from bridge.store.moved import renumber_if_moved
from bridge.store.sealing import Horizon, Sealed, seal, waiting
from bridge.store.tables import installation, log_entries

OURS = Signer("incident-bridge/0a1b2c3d", Ed25519PrivateKey.from_private_bytes(bytes(32)))
NEXT = Signer("incident-bridge/0a1b2c3d", Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))


def write(store: Store, count: int, actor: str = "test") -> None:
    with store.transaction() as tx:
        at = store.now(tx)
        append(tx, *[Entry(at=at, action=Action.DECIDED, actor=f"{actor} {one}") for one in range(count)])


def seal_once(store: Store, at_most: int = 1000, signers: tuple[Signer, ...] = (OURS,)) -> Sealed | None:
    with store.transaction() as tx:
        return seal(tx, signers, store.now(tx), at_most)


def seal_all(store: Store, at_most: int = 1000) -> list[Sealed]:
    return list(iter(lambda: seal_once(store, at_most), None))


def entries(store: Store) -> list[bytes]:
    """As they are sealed; after a look at indices, hashes, root and note."""
    with store.reading() as tx:
        newest = newest_checkpoint(tx)
        assert newest is not None
        held = list(entries_between(tx, 0, newest.size))
    assert [index for index, _, _ in held] == list(range(newest.size))
    found = [entry for _, entry, _ in held if entry is not None]
    assert [leaf_hash(entry) for entry in found] == [hashed for _, _, hashed in held]
    checkpoint = opened(newest.note, [verifier(OURS.vkey), verifier(NEXT.vkey)])
    assert (checkpoint.origin, checkpoint.size) == (OURS.name, newest.size)
    assert checkpoint.root == newest.root == root_of([leaf_hash(entry) for entry in found])
    return found


def all_entries(store: Store) -> list[bytes]:
    with store.reading() as tx:
        return [bytes(row.entry) for row in tx.execute(select(log_entries.c.entry))]


def actors(store: Store) -> list[str]:
    return [msgspec.json.decode(entry)["actor"] for entry in entries(store)]


@pytest.mark.parametrize("at_most", [1, 7, 256, 10_000])
def test_every_entry_is_sealed_once_however_many_are_taken_at_a_time(store: Store, at_most: int) -> None:
    for count in (1, 3, 300, 2):
        write(store, count)
        seal_once(store, at_most)
    if at_most == 1:
        seal_all(store, 50)
    seal_all(store, at_most)
    assert sorted(entries(store)) == sorted(all_entries(store))


def test_with_nothing_to_seal_nothing_is_written(store: Store) -> None:
    write(store, 1)
    seal_all(store)
    assert seal_once(store) is None


def test_a_seal_says_what_it_took(store: Store) -> None:
    write(store, 5)
    first = seal_once(store, 3)
    rest = seal_once(store, 3)
    assert first is not None
    assert rest is not None
    assert (first.first, first.size, first.more, rest.first, rest.size, rest.more) == (0, 3, True, 3, 5, False)


def test_what_waits_is_counted(store: Store) -> None:
    write(store, 5)
    seal_once(store, 2)
    with store.reading() as tx:
        counted, bounded = waiting(tx, 100).entries, waiting(tx, 2).entries
    assert (counted, bounded) == (3, 2)


def test_a_log_that_was_never_sealed_waits_whole(store: Store) -> None:
    write(store, 5)
    with store.reading() as tx:
        assert waiting(tx, 100).entries == 5


@pytest.fixture
def sealed(store: Store) -> Store:
    """700 entries in seals of 100: tiles of two levels."""
    write(store, 700)
    seal_all(store, 100)
    return store


@pytest.mark.parametrize("index", [0, 1, 255, 256, 511, 512, 600, 699])
def test_an_entry_is_proved_to_be_in_the_log(sealed: Store, index: int) -> None:
    with sealed.reading() as tx:
        newest = newest_checkpoint(tx)
        ((_, _, leaf),) = entries_between(tx, index, index + 1)
        proof = inclusion_proof(index, 700, hash_reader(tx))
    assert newest is not None
    assert root_from_inclusion(leaf, index, 700, proof) == newest.root


@pytest.mark.parametrize("old", [100, 200, 300, 600])
def test_the_log_is_proved_to_begin_as_it_did(sealed: Store, old: int) -> None:
    with sealed.reading() as tx:
        then, newest = seal_holding(tx, old - 1), newest_checkpoint(tx)
        proof = consistency_proof(old, 700, hash_reader(tx))
    assert then is not None
    assert newest is not None
    verify_consistency(old, 700, then.root, newest.root, proof)


def test_the_seal_of_an_index_is_found(sealed: Store) -> None:
    with sealed.reading() as tx:
        spans = [(held.first, held.size) for at in (0, 99, 100, 699) if (held := seal_holding(tx, at))]
        beyond = seal_holding(tx, 700)
    assert (spans, beyond) == ([(0, 100), (0, 100), (100, 200), (600, 700)], None)


def test_the_index_of_an_entry_is_found(sealed: Store) -> None:
    write(sealed, 1)  # not sealed yet
    with sealed.reading() as tx:
        ids = list(tx.execute(select(log_entries.c.id).order_by(log_entries.c.id)).scalars())
        found = indices_of(tx, ids)
        alone = indices_of(tx, [ids[699]])
    assert (found, alone) == (dict(zip(ids, range(700), strict=False)), {ids[699]: 699})


def test_what_was_pruned_keeps_its_hash(sealed: Store) -> None:
    with sealed.transaction() as tx:
        ids = list(tx.execute(select(log_entries.c.id).order_by(log_entries.c.id)).scalars())
        before = [hashed for _, _, hashed in entries_between(tx, 0, 700)]
        tx.execute(log_entries.delete().where(log_entries.c.id.in_(ids[:300])))
    with sealed.reading() as tx:
        held = list(entries_between(tx, 0, 700))
    assert [hashed for _, _, hashed in held] == before
    assert [entry is None for _, entry, _ in held] == [True] * 300 + [False] * 400


@pytest.mark.parametrize("at_most", [1000, 3])
def test_where_the_key_changes_an_entry_of_the_old_and_the_new_comes_first(store: Store, at_most: int) -> None:
    write(store, 2, "old")
    seal_all(store)
    write(store, 5, "new")
    seal_once(store, at_most, signers=(NEXT,))
    while seal_once(store, at_most, signers=(NEXT,)) is not None:
        pass
    told = [msgspec.json.decode(entry) for entry in entries(store)]
    assert [entry["actor"] for entry in told] == ["old 0", "old 1", "sealer", *(f"new {one}" for one in range(5))]
    assert told[2]["detail"] == {"old": [OURS.vkey], "new": [NEXT.vkey]}
    with store.reading() as tx:
        notes = list(tx.execute(select(log_seals.c.note).order_by(log_seals.c.first_index)).scalars())
    assert opened(notes[1], [verifier(NEXT.vkey)]).size == 2 + 1 + min(at_most, 5)


# --- PostgreSQL: transactions that commit late


def test_an_entry_that_commits_late_is_sealed_later(postgres: Store) -> None:
    with postgres.engine.connect() as slow:
        began = slow.begin()
        append(slow, Entry(at=postgres.now(slow), action=Action.DECIDED, actor="late"))
        write(postgres, 1, "quick")
        seal_all(postgres)
        with postgres.engine.connect() as slower, slower.begin():
            append(slower, Entry(at=postgres.now(slower), action=Action.DECIDED, actor="later"))
            began.commit()
            seal_all(postgres)
        write(postgres, 1, "last")
        seal_all(postgres)
    assert actors(postgres) == ["quick 0", "late", "later", "last 0"]


def test_a_transaction_that_hangs_keeps_no_other_s_entries_waiting(postgres: Store) -> None:
    with postgres.engine.connect() as hangs, hangs.begin():
        append(hangs, Entry(at=postgres.now(hangs), action=Action.DECIDED, actor="hangs"))
        for _ in range(3):
            write(postgres, 3, "quick")
            seal_all(postgres, 2)
        assert actors(postgres) == ["quick 0", "quick 1", "quick 2"] * 3
    seal_all(postgres, 2)
    assert actors(postgres)[-1] == "hangs"


def test_of_two_sealers_one_finds_the_other_at_work(postgres: Store) -> None:
    write(postgres, 1)
    seal_all(postgres)
    write(postgres, 2)
    with postgres.transaction() as one:
        assert seal(one, [OURS], postgres.now(one), 1000) is not None
        assert seal_once(postgres) is None
    assert len(entries(postgres)) == 3


def test_what_the_sealing_transaction_wrote_itself_is_sealed_next(postgres: Store) -> None:
    write(postgres, 1, "before")
    with postgres.transaction() as tx:
        append(tx, Entry(at=postgres.now(tx), action=Action.DECIDED, actor="mine"))
        seal(tx, [OURS], postgres.now(tx), 1000)
    seal_all(postgres)
    assert actors(postgres) == ["before 0", "mine"]


def test_a_database_that_a_dump_brought_elsewhere_goes_on(postgres: Store) -> None:
    brought_elsewhere(postgres)
    write(postgres, 1, "new before")
    with postgres.engine.connect() as slow, slow.begin():
        append(slow, Entry(at=postgres.now(slow), action=Action.DECIDED, actor="late"))
        needed = [postgres.in_transaction(renumber_if_moved) for _ in range(2)]
        write(postgres, 1, "new after")
        seal_all(postgres, 2)
    seal_all(postgres)
    assert needed == [True, False]
    assert sorted(actors(postgres)) == sorted(
        [*(f"sealed {one}" for one in range(3)), "left 0", "left 1", "new before 0", "new after 0", "late"]
    )


def test_a_command_that_seals_such_a_database_seals_nothing_twice(
    postgres: Store, postgres_url: str, tmp_path: Path
) -> None:
    brought_elsewhere(postgres)
    with postgres.transaction() as tx:
        tx.execute(installation.insert().values(id="0a1b2c3d", created_at=postgres.now(tx)))
        tx.execute(log_entries.update().values(at=EPOCH))
    (tmp_path / "log.key").write_bytes(OURS.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "bridge.yaml").write_text(BRIDGE % json.dumps(postgres_url))
    sealed_head(load_settings(tmp_path / "bridge.yaml"), postgres)
    assert sorted(actors(postgres)) == [*(f"left {one}" for one in range(2)), *(f"sealed {one}" for one in range(3))]


def brought_elsewhere(store: Store) -> None:
    """Where transactions are counted from lower on: what the dump carries seems to be of the future."""
    write(store, 3, "sealed")
    seal_all(store, 2)
    write(store, 2, "left")
    with store.transaction() as tx:
        tx.execute(log_entries.update().values(xact=log_entries.c.xact + 1_000_000))
        horizon = msgspec.json.decode(tx.execute(select(log_head.c.horizon)).scalar_one(), type=Horizon)
        moved = Horizon(end=horizon.end + 1_000_000, running=tuple(one + 1_000_000 for one in horizon.running))
        tx.execute(log_head.update().values(horizon=msgspec.json.encode(moved).decode()))


def test_a_seal_leaves_a_database_that_was_not_moved_alone(store: Store) -> None:
    write(store, 3)
    seal_all(store)
    assert store.in_transaction(renumber_if_moved) is False


def test_entries_older_than_the_column_are_sealed_too(postgres: Store) -> None:
    write(postgres, 10)
    with postgres.transaction() as tx:
        tx.execute(log_entries.update().values(xact=0))
    seal_once(postgres, 4)
    write(postgres, 1)
    seal_all(postgres, 4)
    assert len(entries(postgres)) == 11
