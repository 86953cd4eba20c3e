"""The lines of an export, and what a filter lets through: pure, against the verifier that auditors have."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tree_judge import Frontier

from bridge.log.entries import Action, Entry, encode
from bridge.log.export import About, Consistency, Filter, Kept, Piece, Pruned, Sieve, jsonl
from bridge.log.note import Checkpoint, Signer, sign
from bridge.log.tree import consistency_proof, inclusion_proof, leaf_hash, root_of
from bridge.log.verify import Key, Verdict, verify

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OURS = Signer("incident-bridge/0a1b2c3d", Ed25519PrivateKey.from_private_bytes(bytes(32)))
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LOGS = st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=20)  # (actor, whether it was pruned)


def stored(actor: str) -> bytes:
    return encode(Entry(at=AT, action=Action.PAUSED, actor=actor))


class Tree:
    def __init__(self, entries: list[bytes]) -> None:
        self.leaves = [leaf_hash(entry) for entry in entries]

    def hash_at(self, level: int, index: int) -> bytes:
        return root_of(self.leaves[index << level : (index + 1) << level])

    def note(self, size: int) -> str:
        frontier = Frontier()
        for leaf in self.leaves[:size]:
            frontier.add(leaf)
        return sign(Checkpoint(OURS.name, size, frontier.root()), [OURS])

    def since(self, old: int) -> Consistency:
        return Consistency(note=self.note(old), proof=consistency_proof(old, len(self.leaves), self.hash_at))


def verdict(raw: bytes, since: str | None = None) -> Verdict:
    return verify(BytesIO(raw), [Key(OURS.key.public_key(), None)], since)


@given(log=LOGS)
def test_every_whole_export_verifies_whatever_was_pruned(log: list[tuple[str, bool]]) -> None:
    log = [*log, ("retention", False)]
    told = Entry(at=AT, action=Action.PRUNED, actor="retention", detail={"indices": {"first": 0, "end": len(log) - 1}})
    entries = [*(stored(actor) for actor, _ in log[:-1]), encode(told)]
    tree = Tree(entries)
    pieces: list[Piece] = [
        Pruned(index, [tree.leaves[index]]) if pruned else Kept(index, entries[index])
        for index, (_, pruned) in enumerate(log)
    ]
    raw = b"".join(jsonl(pieces, origin=OURS.name, asked={}, checkpoint=tree.note(len(log))))
    assert verdict(raw).verified
    assert json.loads(raw.splitlines()[-1])["count"] == sum(not pruned for _, pruned in log)


@given(log=LOGS, old=st.integers(1, 20))
def test_every_selection_verifies_and_goes_on_from_the_checkpoint_it_was_made_with(
    log: list[tuple[str, bool]], old: int
) -> None:
    entries = [stored(actor) for actor, _ in log]
    tree, size = Tree(entries), len(log)
    pieces = [
        Kept(index, entries[index], inclusion_proof(index, size, tree.hash_at))
        for index, (_, left_out) in enumerate(log)
        if not left_out
    ]
    grown = tree.since(min(old, size))
    lines = jsonl(pieces, origin=OURS.name, asked={"actor": "x"}, checkpoint=tree.note(size), consistency=[grown])
    assert verdict(b"".join(lines), grown.note).verified


def test_bytes_that_somebody_wrote_into_the_database_do_not_verify() -> None:
    tree = Tree([stored("a"), stored("b")])
    pieces = [Kept(0, stored("a")), Kept(1, b'{"actor":"c"}\n{"index":1}')]
    raw = b"".join(jsonl(pieces, origin=OURS.name, asked={}, checkpoint=tree.note(2)))
    assert not verdict(raw).verified


# --- what a filter lets through

DELIVERED = encode(
    Entry(
        at=AT,
        action=Action.DELIVERED,
        actor="source:edr",
        source="edr",
        delivery=3,
        detail={"alerts": [{"correlation_id": "Edr:1"}, {"correlation_id": None}]},
    )
)
WRITTEN = encode(
    Entry(at=AT, action=Action.WRITTEN, actor="sync", correlation_id="edr:1", correlation=1, incident=7, number="INC1")
)
DISCARDED = encode(
    Entry(at=AT, action=Action.DISCARDED, actor="cli:robin", source="edr", delivery=4, detail={"positions": [0]})
)
ODD = encode(Entry(at=AT, action=Action.RELEASED, actor="cli:robin", delivery=5, detail={"alerts": 7}))
ALL = {"delivered": DELIVERED, "written": WRITTEN, "discarded": DISCARDED, "odd": ODD}
LATER = AT.replace(microsecond=1)


@pytest.mark.parametrize(
    ("asked", "about", "record", "through"),
    [
        (Filter(), None, None, "delivered written discarded odd"),
        (Filter(source="edr"), None, None, "delivered discarded"),
        (Filter(actor="cli:robin"), None, None, "discarded odd"),
        (Filter(since=AT), None, None, "delivered written discarded odd"),
        (Filter(since=LATER), None, None, ""),
        (Filter(until=AT), None, None, ""),
        (Filter(until=LATER), None, None, "delivered written discarded odd"),
        (Filter(correlation="edr:1"), About(keys=frozenset({"edr:1"})), None, "delivered written"),
        (Filter(correlation="edr:1"), About(correlations=frozenset({1})), None, "written"),
        (Filter(correlation="edr:2"), About(incidents=frozenset({7})), None, "written"),
        (Filter(correlation="edr:2"), About(deliveries=frozenset({4})), None, "discarded"),
        (Filter(correlation="edr:2"), About(keys=frozenset({"edr:2"})), None, ""),
        (Filter(incident="inc1"), None, About(), "written"),
        (Filter(incident="INC2"), None, About(incidents=frozenset({7})), "written"),
        (Filter(incident="INC2"), None, About(), ""),
        (Filter(source="edr", actor="cli:robin"), None, None, "discarded"),
    ],
)
def test_a_filter_lets_through(asked: Filter, about: About | None, record: About | None, through: str) -> None:
    sieve = Sieve(asked, about, record)
    assert [name for name, entry in ALL.items() if sieve.takes(entry)] == through.split()


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b"{}", b'{"at":1,"actor":"a"}', b"null"])
def test_what_is_no_entry_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Sieve(Filter(actor="a"), None, None).takes(raw)


def test_a_filter_says_in_words_what_was_asked_for() -> None:
    asked = Filter(since=AT, source="edr")
    assert asked.named() == {"since": "2026-03-10T12:00:00.000000Z", "source": "edr"}
