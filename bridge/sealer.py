"""The thread of a serving process that seals the correlation log: in every process, one at a time does it.

It stands in nobody's way: what cannot be sealed waits, and is told. Sealing on SQLite takes the one write lock, so
a seal is short: at most BATCH_ENTRIES, and a pause before the next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import Connection

from bridge.errors import Transient
from bridge.log.note import Signer, origin_of
from bridge.settings import Settings
from bridge.store.engine import Store
from bridge.store.moved import renumber_if_moved
from bridge.store.sealing import Sealed, seal, waiting
from bridge.watch import Watch

ENTRIES_MAX = 256  # so many do not wait
AGE_MAX = timedelta(seconds=1)  # nor does one that is as old as this
LOOK_SECONDS = 0.5
BATCH_ENTRIES = 1_024  # of one seal: a few milliseconds of SQLite's write lock
PAUSE_SECONDS = 0.02  # between two seals: intake comes first
LATE = timedelta(minutes=1)  # older entries that wait are told
LAST_TRIES = 100  # at a stop, while another process seals: two seconds

NO_KEY = (
    "the correlation log is not sealed: `log.signing_key` is not set, its entries wait "
    "(`bridge init DIR` in an empty folder makes a pair of keys)"
)

_log = logging.getLogger(__name__)


class NoKey(Exception):
    """There is nothing to sign with. The text is a sentence for people."""


class Sealer:
    """`start` and `stop` frame the thread's life; `look` is one round of it."""

    def __init__(self, store: Store, signers: Callable[[], Sequence[Signer]]) -> None:
        self._store = store
        self._signers = signers  # asked at every seal, for keys change; raises NoKey
        self._problem = ""
        self._stopping = threading.Event()
        self._watch = Watch([(self.look, LOOK_SECONDS)], self._stopping)

    def start(self) -> None:
        self._watch.start()

    def wind_down(self) -> None:
        """No other seal is begun. Returns at once."""
        self._watch.wind_down()

    def stop(self) -> None:
        """Returns when the seal in progress is over."""
        self._watch.stop()

    def finish(self) -> None:
        """The last seal, after `stop`: of what the end of the process wrote, too. Raises nothing."""
        for _ in range(LAST_TRIES):
            self._guarded(self._last)
            if self._problem or self._nothing_waits():
                return
            threading.Event().wait(PAUSE_SECONDS)  # another process is about to seal, and may not have seen all

    def problem(self) -> str:
        """Empty while entries are sealed, else what keeps them waiting and what to do."""
        return self._problem

    def look(self) -> None:
        """Seal what waits, if it is time. Raises nothing: what goes wrong is told, and tried again."""
        self._guarded(self._look)

    def _guarded(self, work: Callable[[], str]) -> None:
        """`work` returns a problem, or nothing."""
        try:
            problem = work()
        except NoKey as error:
            problem = str(error)
        except Transient as error:
            problem = f"the correlation log is not sealed now: {error.message}"
        except Exception:  # noqa: BLE001 (the loop's edge: a bug must not end sealing unseen)
            problem = "the correlation log could not be sealed: see the service's log"
            if problem != self._problem:
                _log.exception("the correlation log could not be sealed")
        if problem and problem != self._problem:
            _log.warning("%s", problem)
        self._problem = problem

    def _last(self) -> str:
        self._seal_all(lambda: False)
        return ""

    def _look(self) -> str:
        self._signers()
        with self._store.reading() as tx:
            found, now = waiting(tx, ENTRIES_MAX), self._store.now(tx)
        if found.entries >= ENTRIES_MAX or (found.oldest_at is not None and now - found.oldest_at >= AGE_MAX):
            sealed = self._seal_all(self._stopping.is_set)
            return "" if sealed else _late(found.oldest_at, now)
        return ""

    def _seal_all(self, stopping: Callable[[], bool]) -> bool:
        """True: something was sealed."""
        signers, took = self._signers(), False
        while True:
            sealed = seal_some(self._store, signers)
            # The seal is durable, or nothing of it is: one row says which entries it took, in the transaction that
            # moves the head on. If we die here, nobody but the anchors has yet to learn of it.
            took |= sealed is not None
            if sealed is None or not sealed.more or stopping():
                return took
            self._stopping.wait(PAUSE_SECONDS)

    def _nothing_waits(self) -> bool:
        try:
            with self._store.reading() as tx:
                return waiting(tx, 1).entries == 0
        except Transient:
            return True


def seal_some(store: Store, signers: Sequence[Signer]) -> Sealed | None:
    """One seal. None: nothing waits, or another process seals. Raises Transient."""

    def work(tx: Connection) -> Sealed | None:
        renumber_if_moved(tx)
        return seal(tx, signers, store.now(tx), BATCH_ENTRIES)

    return store.in_transaction(work, "seal")


def _late(oldest_at: datetime | None, now: datetime) -> str:
    """We have a key and could not seal: another process holds the head, and has not sealed for as long."""
    if oldest_at is None or now - oldest_at < LATE:
        return ""
    return f"entries of the correlation log have waited to be sealed since {oldest_at:%Y-%m-%d %H:%M:%S} UTC"


def sealer_of(settings: Settings, store: Store, installation: str) -> Sealer:
    """With the keys that `log.signing_key` names, as their files are at each seal."""
    return Sealer(store, partial(read_signers, settings.signing_keys, origin_of(installation)))


def read_signers(paths: Sequence[Path], origin: str) -> list[Signer]:
    """Raises NoKey."""
    if not paths:
        raise NoKey(NO_KEY)
    return [Signer(origin, _read_key(path)) for path in paths]


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise NoKey(f"the correlation log is not sealed: {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NoKey(f"the correlation log is not sealed: {path} holds no private key that can be used") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise NoKey(f"the correlation log is not sealed: {path} holds no Ed25519 key")
    return key
