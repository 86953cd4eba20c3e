"""Exports of a log, built from entries with the sealing code's own tree and notes, for the verifier to be tried on."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tree_judge import Frontier

from bridge.log import note, tree, verify

ORIGIN = "incident-bridge/acme"
KEY, OLD_KEY = (Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))


def key_of(private: Ed25519PrivateKey, name: str | None = None) -> verify.Key:
    return verify.Key(private.public_key(), name)


def line_of(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def entries_of(count: int, changed: dict[int, str] | None = None, *, pruned_to: int | None = None) -> list[bytes]:
    """Stored bytes of entries; `changed`: what another history says at an index.

    `pruned_to`: one more tells that those before this index were pruned.
    """
    told = [] if pruned_to is None else [pruning_of(pruned_to)]
    return [
        line_of(
            {
                "action": (changed or {}).get(at, "delivered"),
                "actor": "source:elastic",
                "at": f"2026-11-24T21:{at // 60:02}:{at % 60:02}.000000Z",
                "delivery": at + 1,
                "detail": {"alerts": [{"correlation_id": f"rule:Zürich-{at}", "seq": at}], "quote": '"\\\n'},
            }
        )[:-1]
        for at in range(count)
    ] + told


def pruning_of(end: int) -> bytes:
    """An entry: those before this index were pruned."""
    detail = {"indices": {"end": end, "first": 0}, "removed": {"entries": end}}
    return line_of({"action": "pruned", "actor": "retention", "at": "2026-11-24T22:00:00.000000Z", "detail": detail})[
        :-1
    ]


@dataclass
class Log:
    """A history. Every size can have its checkpoint."""

    entries: Sequence[bytes]
    origin: str = ORIGIN
    keys: Sequence[Ed25519PrivateKey] = field(default=(KEY,))

    @cached_property
    def leaves(self) -> list[bytes]:
        return [tree.leaf_hash(entry) for entry in self.entries]

    def hash_at(self, level: int, index: int) -> bytes:
        if not level:
            return self.leaves[index]
        return tree.node_hash(self.hash_at(level - 1, 2 * index), self.hash_at(level - 1, 2 * index + 1))

    def root(self, size: int) -> bytes:
        frontier = Frontier()
        for leaf in self.leaves[:size]:
            frontier.add(leaf)
        return frontier.root()

    def checkpoint(self, size: int | None = None) -> str:
        signers = [note.Signer(self.origin, key) for key in self.keys]
        size = len(self.entries) if size is None else size
        return note.sign(note.Checkpoint(self.origin, size, self.root(size)), signers)

    def whole(self, *, pruned: Sequence[int] = (), passed: Sequence[int] = (), since: int | None = None) -> bytes:
        """Entries at `pruned` by their hashes, a run for each; a checkpoint on the way at each of `passed`."""
        lines = [self.header("whole", {})]
        for at, entry in enumerate(self.entries):
            if at in pruned:
                lines.append(line_of({"first": at, "hashes": encoded(self.leaves[at]), "pruned": 1}))
            else:
                lines.append(b'{"entry":%b,"index":%d}\n' % (entry, at))
            if at + 1 in passed:
                lines.append(line_of({"checkpoint": self.checkpoint(at + 1)}))
        return closed([*lines, *self.consistency(since)], self.checkpoint())

    def selection(self, indices: Iterable[int], *, since: int | None = None) -> bytes:
        lines = [self.header("selection", {"source": "elastic"})]
        for at in indices:
            proof = tree.inclusion_proof(at, len(self.entries), self.hash_at)
            entry = {"entry": json.loads(self.entries[at]), "index": at, "proof": [encoded(one) for one in proof]}
            lines.append(line_of(entry))
        return closed([*lines, *self.consistency(since)], self.checkpoint())

    def header(self, kind: str, asked: dict[str, str]) -> bytes:
        return line_of({"bridge_log_export": 1, "filter": asked, "kind": kind, "origin": self.origin})

    def consistency(self, since: int | None) -> list[bytes]:
        if since is None:
            return []
        proof = tree.consistency_proof(since, len(self.entries), self.hash_at)
        return [line_of({"consistency": {"from": self.checkpoint(since), "proof": [encoded(one) for one in proof]}})]


def closed(lines: Sequence[bytes], checkpoint: str) -> bytes:
    """These lines with a last one that fits them."""
    before = b"".join(lines)
    count = sum(line.startswith(b'{"entry":') for line in lines)
    return before + line_of({"checkpoint": checkpoint, "count": count, "sha256": hashlib.sha256(before).hexdigest()})


def closed_anew(export: bytes) -> bytes:
    """As somebody makes it who changed lines, has no key, and covers the traces that can be covered."""
    *lines, last = export.splitlines(keepends=True)
    return closed(lines, json.loads(last)["checkpoint"])
