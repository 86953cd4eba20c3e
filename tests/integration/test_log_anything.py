"""In whatever order transactions begin, write, commit and break off: each entry is sealed once, none is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from simulation.log_invariants import KEY, log_wrongs
from sqlalchemy import Connection

from bridge.log.entries import Action, Entry, append
from bridge.log.note import Signer
from bridge.store.engine import Store, open_store
from bridge.store.moved import renumber_if_moved
from bridge.store.sealing import seal, waiting
from bridge.store.tables import metadata
from bridge.wiring import utc_now

INSTALLATION = "0a1b2c3d"
SIGNER = Signer(f"incident-bridge/{INSTALLATION}", KEY)
OTHER = Signer(SIGNER.name, Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
WRITERS = 4
STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, WRITERS - 1), st.integers(1, 4)),
    st.tuples(st.sampled_from(["commit", "break off"]), st.integers(0, WRITERS - 1), st.just(0)),
    st.tuples(
        st.sampled_from(["seal", "seal as another", "seal and write", "break a seal off"]),
        st.just(0),
        st.integers(1, 5),
    ),
)


# Of one transaction a part is sealed, then of one that is older and was committed later: both parts are remembered.
TWO_IN_PART = [
    ("write", 0, 4),
    ("write", 1, 4),
    ("commit", 1, 0),
    ("seal", 0, 2),
    ("commit", 0, 0),
    ("seal", 0, 2),
    ("seal", 0, 5),
    ("seal", 0, 5),
]


@pytest.fixture(scope="module")
def postgres(postgres_url: str) -> Iterator[Store]:
    store = open_store(postgres_url, utc_now)
    metadata.drop_all(store.engine)
    metadata.create_all(store.engine)
    yield store
    metadata.drop_all(store.engine)
    store.close()


@example(TWO_IN_PART)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=30))
def test_each_entry_is_sealed_once(postgres: Store, steps: list[tuple[str, int, int]]) -> None:
    with postgres.transaction() as tx:
        tx.exec_driver_sql("TRUNCATE log_entries, log_head, log_seals, log_tiles RESTART IDENTITY")
    writers = [postgres.engine.connect() for _ in range(WRITERS)]
    try:
        for what, which, count in steps:
            take(postgres, writers[which], what, count)
    finally:
        for writer in writers:
            writer.close()  # what is not committed is broken off
    assert log_wrongs(postgres, INSTALLATION, at_rest=True) == []
    with postgres.reading() as tx:
        assert waiting(tx, 1).entries == 0


def take(store: Store, writer: Connection, what: str, count: int) -> None:
    if what == "write":
        write(writer, count)
    elif what == "commit":
        writer.commit()
    elif what == "break off":
        writer.rollback()
    else:
        with store.engine.connect() as tx:
            if what == "seal and write":
                write(tx, 1)
            renumber_if_moved(tx)
            seal(tx, [OTHER if what == "seal as another" else SIGNER], utc_now(), count)
            if what == "seal and write":
                write(tx, 1)
            if what != "break a seal off":
                tx.commit()


def write(tx: Connection, count: int) -> None:
    append(tx, *[Entry(at=utc_now(), action=Action.DECIDED, actor="test") for _ in range(count)])
