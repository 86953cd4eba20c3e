"""The thread that seals: when it begins, what keeps it from sealing and how that is told, and its last seal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from simulation.log_invariants import KEY, log_wrongs
from sync_world import Clock

from bridge import sealer as module
from bridge.errors import Transient
from bridge.log.entries import Action, Entry, append
from bridge.log.note import Signer
from bridge.sealer import NoKey, Sealer, read_signers
from bridge.store.engine import Store, open_store
from bridge.store.logbook import newest_checkpoint
from bridge.store.sealing import seal, waiting
from bridge.store.tables import metadata

INSTALLATION = "0a1b2c3d"
ORIGIN = f"incident-bridge/{INSTALLATION}"
OURS = Signer(ORIGIN, KEY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sqlite(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", clock)
    metadata.create_all(store.engine)
    yield store
    store.close()


def write(store: Store, count: int) -> None:
    with store.transaction() as tx:
        append(tx, *[Entry(at=store.now(tx), action=Action.DECIDED, actor="test") for _ in range(count)])


def size(store: Store) -> int:
    with store.reading() as tx:
        newest = newest_checkpoint(tx)
    return newest.size if newest is not None else 0


def sealer(store: Store, signers: Callable[[], Sequence[Signer]] = lambda: [OURS]) -> Sealer:
    return Sealer(store, signers)


def test_a_few_entries_wait_a_second(sqlite: Store, clock: Clock) -> None:
    write(sqlite, 255)
    ours = sealer(sqlite)
    ours.look()
    before = size(sqlite)
    clock.advance(seconds=1)
    ours.look()
    assert (before, size(sqlite)) == (0, 255)


def test_many_entries_do_not_wait(sqlite: Store) -> None:
    write(sqlite, 256)
    sealer(sqlite).look()
    assert size(sqlite) == 256


def test_a_backlog_is_sealed_in_batches_and_whole(sqlite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ENTRIES", 100)
    write(sqlite, 350)
    sealer(sqlite).look()
    assert (size(sqlite), log_wrongs(sqlite, INSTALLATION, at_rest=True)) == (350, [])


def test_the_thread_seals_by_itself_and_ends(store: Store) -> None:
    ours = sealer(store)
    ours.start()
    write(store, 300)
    until_sealed(store, 300)
    ours.stop()
    assert log_wrongs(store, INSTALLATION, at_rest=False) == []


def test_without_a_key_entries_wait_and_what_to_do_is_told(sqlite: Store) -> None:
    write(sqlite, 300)
    ours = sealer(sqlite, lambda: read_signers((), ORIGIN))
    ours.look()
    assert (size(sqlite), "`log.signing_key` is not set" in ours.problem()) == (0, True)


def key_file(folder: Path, key: object) -> Path:
    path = folder / "log.key"
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) if hasattr(key, "private_bytes") else key
    path.write_bytes(raw)  # type: ignore[arg-type]
    return path


NO_KEYS = {
    "that is not there": (None, "cannot be read: No such file or directory"),
    "that is none": (b"nonsense", "holds no private key"),
    "of another kind": (generate_private_key(SECP256R1()), "holds no Ed25519 key"),
}


@pytest.mark.parametrize("what", NO_KEYS)
def test_a_key_is_told_and_its_entries_are_sealed_once_it_can_be_used(
    sqlite: Store, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    key, said = NO_KEYS[what]
    path = tmp_path / "log.key" if key is None else key_file(tmp_path, key)
    write(sqlite, 300)
    ours = sealer(sqlite, lambda: read_signers((path,), ORIGIN))
    ours.look()
    ours.look()
    told, logged = ours.problem(), len(caplog.records)
    key_file(tmp_path, KEY)
    ours.look()
    assert (f"{path} {said}" in told, logged, ours.problem(), size(sqlite)) == (True, 1, "", 300)


def test_two_keys_sign_during_rotation(sqlite: Store, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    new, old = key_file(tmp_path, Ed25519PrivateKey.generate()), key_file(tmp_path / "old", KEY)
    write(sqlite, 300)
    sealer(sqlite, lambda: read_signers((new, old), ORIGIN)).look()
    assert log_wrongs(sqlite, INSTALLATION, at_rest=False) == []


def away() -> list[Signer]:
    raise Transient("store_unavailable", "The store is away.")


def broken() -> list[Signer]:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(("fails", "said"), [(away, "The store is away."), (broken, "see the service's log")])
def test_what_goes_wrong_is_told_once_and_tried_again(
    sqlite: Store, fails: Callable[[], list[Signer]], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(sqlite, 300)
    given = [fails, fails, lambda: [OURS], lambda: [OURS]]
    ours = sealer(sqlite, lambda: given.pop(0)())
    ours.look()
    logged = len(caplog.records)
    ours.look()
    told, again = ours.problem(), len(caplog.records)
    ours.look()
    assert (said in told, again, ours.problem(), size(sqlite)) == (True, logged, "", 300)


def test_entries_that_somebody_else_keeps_from_being_sealed_are_told(postgres: Store) -> None:
    write(postgres, 1)
    sealer(postgres).finish()
    with postgres.transaction() as tx:
        long_ago = postgres.now(tx) - timedelta(minutes=2)
        append(tx, Entry(at=long_ago, action=Action.DECIDED, actor="test"))
    ours = sealer(postgres)
    with postgres.transaction() as hangs:
        seal(hangs, [OURS], postgres.now(hangs), 1)
        ours.look()
        told = ours.problem()
    ours.look()
    assert (f"since {long_ago:%Y-%m-%d %H:%M:%S} UTC" in told, ours.problem()) == (True, "")


def test_the_last_seal_waits_for_nothing(store: Store) -> None:
    write(store, 3)
    ours = sealer(store)
    ours.start()
    ours.stop()
    write(store, 1)
    ours.finish()
    assert size(store) == 4


def test_the_last_seal_comes_after_that_of_another_process(postgres: Store) -> None:
    write(postgres, 1)
    sealer(postgres).finish()
    write(postgres, 1)
    ours = sealer(postgres)
    ending = threading.Thread(target=ours.finish)
    with postgres.transaction() as other:
        seal(other, [OURS], postgres.now(other), 1000)
        write(postgres, 1)
        ending.start()
    ending.join()
    assert (size(postgres), ours.problem()) == (3, "")


def test_sealers_that_race_seal_every_entry_once(postgres: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ENTRIES", 7)  # most seals are cut, in the middle of a transaction
    running = [sealer(postgres) for _ in range(4)]
    ending = threading.Event()

    def press() -> None:
        while not ending.is_set():
            for one in running:
                one._guarded(one._last)

    threads = [threading.Thread(target=press) for _ in range(3)]
    writers = [threading.Thread(target=write_slowly, args=(postgres, number)) for number in range(4)]
    for thread in (*threads, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ending.set()
    for thread in threads:
        thread.join()
    assert [one.problem() for one in running] == [""] * 4
    assert log_wrongs(postgres, INSTALLATION, at_rest=True) == []
    assert size(postgres) == 4 * 20 * 3


def write_slowly(store: Store, number: int) -> None:
    """Twenty transactions of three entries, that end in another order than they begin."""
    for _ in range(10):
        with store.transaction() as outer:
            append(outer, Entry(at=store.now(outer), action=Action.DECIDED, actor=f"outer {number}"))
            write(store, 3)
            append(outer, *[Entry(at=store.now(outer), action=Action.DECIDED, actor="outer") for _ in range(2)])


def until_sealed(store: Store, entries: int) -> None:
    pause = threading.Event()
    for _ in range(400):
        if size(store) >= entries:
            return
        pause.wait(0.05)
    with store.reading() as tx:
        raise AssertionError(f"{waiting(tx, 1000).entries} entries still wait")


def test_no_key_is_a_sentence() -> None:
    with pytest.raises(NoKey, match="entries wait"):
        read_signers((), ORIGIN)
