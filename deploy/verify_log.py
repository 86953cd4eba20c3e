"""Verifies an export of an incident bridge's correlation log, offline, with the public key alone.

    python3 verify_log.py EXPORT.jsonl --key log.pub [--key OLD.pub] [--from CHECKPOINT] [--json]

One file, for those who will not install the bridge: it needs Python 3.11 or later and the package cryptography.
`bridge log verify` runs the same code. docs/auditors-guide.md says what a verdict means, and what it cannot mean.

Nothing in the file is believed. Every line must equal its own canonical encoding, so that no byte has two readings;
entries are hashed into the tree of RFC 6962, and the root must be the one in the checkpoint: a C2SP tlog-checkpoint in
a C2SP signed note, by Ed25519. Written apart from the code that seals: neither trusts the other.

Exit status: 0 verified, 1 not verified, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, TextIO

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
except ImportError:
    sys.stderr.write("The package cryptography is needed: python3 -m pip install cryptography\n")
    sys.exit(2)

VERSION = 1  # of the export's format
LINE_BYTES_MAX = 4 << 20  # no line that the bridge writes comes near; a longer one is not read
TAIL_BYTES = 64 << 10  # the last line is shorter
PROGRESS_BYTES_MIN = 32 << 20  # a smaller file is verified before anyone wonders
VERIFIED, NOT_VERIFIED, MISUSED, INTERRUPTED = 0, 1, 2, 130

# The kinds of lines, known by their keys.
HEADER = ("bridge_log_export", "filter", "kind", "origin")
ENTRY, SELECTED = ("entry", "index"), ("entry", "index", "proof")
PRUNED, PASSED, CONSISTENCY = ("first", "hashes", "pruned"), ("checkpoint",), ("consistency",)
LAST = ("checkpoint", "count", "sha256")
GIVEN = "the checkpoint given by --from"


class Misuse(Exception):
    """Nothing can be verified: a file cannot be read, or is not what it was given as."""


class Bad(Exception):
    """The export does not verify. `line` and `index` name the first place, `last` the end of a range of indices."""

    def __init__(self, why: str, *, line: int | None = None, index: int | None = None, last: int | None = None) -> None:
        super().__init__(why)
        self.why, self.line, self.index, self.last = why, line, index, last


@dataclass(frozen=True)
class Verdict:
    verified: bool
    says: tuple[str, ...]  # sentences for a person
    facts: dict[str, Any]  # for programs: what was verified, or the first `line` and `index` that are wrong


# --- the story


def verify(file: BinaryIO, keys: Sequence[Key], since: str | None = None) -> Verdict:
    """What is to be said of an export. `since`: checkpoints that were kept elsewhere, as `kept_in` reads them.

    Raises Misuse.
    """
    notes = [] if since is None else kept_in(since)
    try:
        return _verified(file, keys, notes)
    except Bad as bad:
        where = ", ".join(f"{what} {at}" for what, at in (("line", bad.line), ("index", bad.index)) if at is not None)
        says = f"{where}: {bad.why}." if bad.line else f"{bad.why}."
        return Verdict(False, (says[:1].upper() + says[1:],), {"line": bad.line, "index": bad.index, "to": bad.last})


def _verified(file: BinaryIO, keys: Sequence[Key], notes: Sequence[Kept]) -> Verdict:
    kept = sorted((replace(opened(note, keys, GIVEN), at=at) for note, at in notes), key=lambda one: one.size)
    signed = _promised(file, keys)  # read first, for proofs need it, and a wrong key need not wait for the rest
    lines = Lines(file)
    header = _header(lines)
    _one_log(header["origin"], signed, kept)
    body = (Whole if header["kind"] == "whole" else Selection)(signed, keys, kept)
    last = _read(lines, body)
    number, before = lines.number, lines.before.hexdigest()
    for _ in lines:
        raise Bad("something follows the line that closes the export", line=number + 1)
    if signed is None:
        raise Bad(f"it is longer than {TAIL_BYTES} bytes: the bridge writes no such last line", line=number)
    body.close(signed)
    if type(last["count"]) is not int or last["count"] != body.entries:
        raise Bad(f"it counts {shown(last['count'])} entries, and there are {body.entries}", line=number)
    if last["sha256"] != before:
        raise Bad("its SHA-256 is not that of the lines before: they were changed after the export", line=number)
    return _verdict(header, body, signed, kept)


def _read(lines: Lines, body: Whole) -> dict[str, Any]:
    """Up to the line that closes the export, which is returned."""
    try:
        for line, value in lines:
            if tuple(value) == LAST:
                return value
            body.take(line, value)
    except Bad as bad:
        bad.line = lines.number
        bad.index = body.due if bad.index is None else bad.index
        raise
    raise Bad(
        f"the file ends after line {lines.number}, without the line that closes an export: it was cut off",
        index=body.due,
    )


def _promised(file: BinaryIO, keys: Sequence[Key]) -> Checkpoint | None:
    """The checkpoint of the last line; None when that does not close an export: reading all tells why."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        raise Bad("the file is empty")
    file.seek(max(0, end - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    file.seek(0)
    try:
        value = parsed(tail[tail.rfind(b"\n", 0, -1) + 1 :])
    except Bad:
        return None
    return opened(value["checkpoint"], keys, "the checkpoint in the last line") if tuple(value) == LAST else None


def _header(lines: Lines) -> dict[str, Any]:
    _, value = next(lines)
    if tuple(value) != HEADER:
        raise Bad("it does not begin an export of the log (of JSONL; CSV is for reading, not for verifying)", line=1)
    version = shown(value["bridge_log_export"])
    if version != str(VERSION):
        raise Bad(f"its format is {version}, and this program knows {VERSION}: take the newest one", line=1)
    if value["kind"] not in ("whole", "selection"):
        raise Bad(f"its kind is {shown(value['kind'])}, neither whole nor selection", line=1)
    return value


def _one_log(origin: Any, signed: Checkpoint | None, kept: Sequence[Checkpoint]) -> None:
    """The export, its checkpoint and those given must be of one log, and the export's the newest."""
    if signed is None:
        return
    if origin != signed.origin:
        raise Bad(f"an export of {shown(origin)}, with a checkpoint of {shown(signed.origin)}", line=1)
    for one in kept:
        if one.origin != signed.origin:
            raise Bad(f"{GIVEN} is of another log: of {shown(one.origin)}, and the export of {shown(signed.origin)}")
        if one.size == signed.size and one.root != signed.root:
            raise Bad(f"{FORKED}: this export is not of the one that {GIVEN} is of")
    if kept and kept[-1].size > signed.size:
        lacking = counted(kept[-1].size - signed.size, "entry that was anchored is", "entries that were anchored are")
        why = f"{lacking} not in this export: it has {signed.size}, and {GIVEN} {kept[-1].size}. Ask for a newer export"
        raise Bad(f"{why}; if there is none, the log was cut back", index=signed.size, last=kept[-1].size - 1)


FORKED = "the key has signed two histories of one log"


def _verdict(header: dict[str, Any], body: Whole, signed: Checkpoint, kept: Sequence[Checkpoint]) -> Verdict:
    facts = {
        "kind": header["kind"],
        "origin": signed.origin,
        "size": signed.size,  # entries in the log at the checkpoint
        "root": base64.b64encode(signed.root).decode(),
        "signed_by": [key.id_for(signed.origin) for key in signed.keys],
        "not_checked": signed.others,  # key IDs of signatures by keys that were not given
        "entries": body.entries,
        "pruned": body.pruned,
        "indices": body.indices,  # the first and the last
        "earliest": body.earliest,
        "latest": body.latest,
        "from": kept[-1].size if kept else None,  # the newest that was given
    }
    log, has = bare(signed.origin), counted(body.entries, "entry", "entries")
    if body.pruned:
        has += f" and the hashes of {body.pruned} that were pruned"
    if body.indices:
        has += f", index {body.indices[0]} to {body.indices[1]}"
    if header["kind"] == "whole":
        says = [f"The whole log of {log} up to its checkpoint of {signed.size}: {has}; none is missing."]
    else:
        says = [f"A selection of the log of {log}: {has}, each in its checkpoint of {signed.size}."]
        says.append(f"Not proven is that none is left out of what was asked for: {shown(header['filter'])}.")
    if body.earliest is not None:
        says.append(f"Times of the entries: {bare(body.earliest)} to {bare(body.latest)}.")
    says += [f"Signed by key {key.id_for(signed.origin)}: SHA-256 {key.fingerprint}." for key in signed.keys]
    if signed.others:
        says.append(f"Also signed by {', '.join(signed.others)}: not checked, for no such key was given.")
    if not kept:
        says.append("Not proven is that this is the history that was anchored: give a checkpoint by --from.")
    else:
        when = f", anchored at {bare(kept[-1].at)}" if kept[-1].at else ""
        which = GIVEN if len(kept) == 1 else f"the {len(kept)} checkpoints given by --from"
        says.append(f"It goes on from {which}: the first {kept[-1].size} entries are the same{when}.")
    return Verdict(True, tuple(says), facts)


# --- lines


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a whole number")


# As json.loads and json.dumps, without the work that those, and `encode`, do for every call. A tenth of all that is
# done here is the making of encoders; by what, is no documented part of Python.
_decode = json.JSONDecoder(parse_float=_no_number, parse_constant=_no_number).raw_decode
_encode: Any = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
with suppress(LookupError, TypeError, ValueError):
    _made: Any = vars(json.encoder)["c_make_encoder"]
    _chunks = _made(None, None, json.encoder.encode_basestring, None, ":", ",", True, False, True)
    if "".join(_chunks({"b": [-1, None, 'é"\n\0'], "a": {}}, 0)) == '{"a":{},"b":[-1,null,"é\\"\\n\\u0000"]}':
        _encode = lambda value: "".join(_chunks(value, 0))  # noqa: E731


def parsed(line: bytes) -> dict[str, Any]:
    """One line. Raises Bad unless it is, byte by byte, the one canonical encoding of a JSON object."""
    if len(line) > LINE_BYTES_MAX:
        raise Bad(f"it is longer than {LINE_BYTES_MAX} bytes: the bridge writes no such line")
    if not line.endswith(b"\n"):
        raise Bad("it ends in the middle: the file was cut off")
    try:
        text = line.decode()
        value, _ = _decode(text)
        canonical = _encode(value) + "\n" == text
    except UnicodeDecodeError as error:
        raise Bad("it is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Bad("it is not JSON as the bridge writes it") from error
    if not canonical or type(value) is not dict:
        raise Bad("it is not an object in the one form that the bridge writes: keys in order, and nothing superfluous")
    return value


class Lines:
    """The lines of a file. `number` is that of the one given last, `before` the SHA-256 of all bytes before it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._line = b""
        self.number = 0
        self.before = hashlib.sha256()

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> tuple[bytes, dict[str, Any]]:
        self.before.update(self._line)
        self._line = line = self._file.readline(LINE_BYTES_MAX + 1)
        if not line:
            raise StopIteration
        self.number += 1
        try:
            return line, parsed(line)
        except Bad as bad:
            bad.line = self.number
            raise


class Whole:
    """What stands between header and last line: all entries from the first on, which give the root of the tree."""

    def __init__(self, signed: Checkpoint | None, keys: Sequence[Key], kept: Sequence[Checkpoint]) -> None:
        self.signed, self.keys = signed, keys
        self.entries = self.pruned = 0
        self._gone: list[tuple[int, int]] = []  # (first, end) of runs of which only hashes are here
        self._told_to = 0  # entries below are told to be pruned, by an entry that is here
        self.earliest: str | None = None
        self.latest: str | None = None
        self._tree = Tree()
        self._same_to = 0  # so many entries are those that a checkpoint was signed for,
        self._other_by: tuple[int, str] | None = None  # and so many, at most, are not: of which checkpoint
        self._ahead = list(reversed(kept))  # the next one is the last
        self._kept_here()

    def take(self, line: bytes, value: dict[str, Any]) -> None:
        kind = tuple(value)
        if kind == ENTRY:
            self._count(value["entry"])
            self._add(leaf_hash(_stored(line, b',"index":%d}\n' % self._at(value["index"]))))
        elif kind == PRUNED:
            for hashed in _hashes(value, self._at(value["first"])):
                self._add(hashed)
            self.pruned += value["pruned"]
            self._gone.append((value["first"], self._tree.size))
        elif kind == PASSED:
            self._passed(value["checkpoint"])
        elif kind == CONSISTENCY:
            consistent(value[kind[0]], self.signed, self.keys)
        else:
            raise Bad(f"a line with {shown(list(kind))} does not belong here")

    def close(self, signed: Checkpoint) -> None:
        """After the last: is this what was signed?"""
        size = self._tree.size
        if size != signed.size:
            why = f"{signed.size} entries were signed, and {size} are here"
            raise Bad(why, index=min(size, signed.size), last=max(size, signed.size) - 1)
        if self._tree.root() == signed.root:
            if self._other_by is not None:
                raise Bad(f"{FORKED}: this export is not of the one that {self._other_by[1]} is of")
            self._all_told()
            return
        first, last = self._same_to, (self._other_by[0] if self._other_by else size) - 1
        which = f"entry {first} is" if first == last else f"of the entries {first} to {last} one or more are"
        raise Bad(f"{which} not what was signed", index=first, last=last)

    def _all_told(self) -> None:
        """Whoever takes an entry out may leave its hash: that it was pruned, an entry of the log must say."""
        for first, end in self._gone:
            if end > self._told_to:
                lacks = max(first, self._told_to)
                why = f"{span(lacks, end - 1)} here by hash only, and no entry tells that retention has pruned so far"
                raise Bad(why, index=lacks, last=end - 1)

    @property
    def due(self) -> int | None:
        """The index of the next entry, where there is one, and it is known."""
        return self._tree.size if self.signed is None or self._tree.size < self.signed.size else None

    @property
    def indices(self) -> tuple[int, int] | None:
        """The first and the last that is here."""
        return (0, self._tree.size - 1) if self._tree.size else None

    def _count(self, entry: Any) -> None:
        if type(entry) is not dict:
            raise Bad("its entry is no object")
        self.entries += 1
        if type(at := entry.get("at")) is str:
            self.earliest = at if self.earliest is None else min(self.earliest, at)
            self.latest = at if self.latest is None else max(self.latest, at)
        self._told_to = max(self._told_to, pruned_to(entry))

    def _at(self, index: Any) -> int:
        """The index, if it is the one that is due."""
        due = self._tree.size
        if index == due and type(index) is int:
            return due
        if type(index) is not int or not 0 <= index < 1 << 63:
            raise Bad(f"{shown(index)} is no index")
        if index < due:
            raise Bad(f"index {index} once more, or out of order", index=due)
        raise Bad(f"{span(due, index - 1)} not here", index=due, last=index - 1)

    def _add(self, hashed: bytes) -> None:
        self._tree.add(hashed)
        if self._ahead:
            self._kept_here()

    def _kept_here(self) -> None:
        while self._ahead and self._ahead[-1].size == self._tree.size:
            self._compare(self._ahead.pop(), GIVEN)

    def _passed(self, note: Any) -> None:
        """A checkpoint on the way helps to find what was changed; nothing depends on it, so its key may be unknown."""
        try:
            passed = opened(note, self.keys, "its checkpoint")
        except Unsigned:
            return
        if self.signed is not None and (passed.origin, passed.size) != (self.signed.origin, self._tree.size):
            raise Bad(f"a checkpoint of {shown(passed.origin)} with {passed.size} entries does not belong here")
        self._compare(passed, f"the checkpoint of {passed.size}")

    def _compare(self, checkpoint: Checkpoint, which: str) -> None:
        if self._tree.root() != checkpoint.root:
            self._other_by = self._other_by or (checkpoint.size, which)
        elif self._other_by is None:
            self._same_to = checkpoint.size


class Selection(Whole):
    """Some entries, in order, each with the proof that it is in the log."""

    indices: tuple[int, int] | None = None
    due = None

    def take(self, line: bytes, value: dict[str, Any]) -> None:
        kind = tuple(value)
        if kind == SELECTED:
            self._select(line, value)
        elif kind == CONSISTENCY:
            since = consistent(value[kind[0]], self.signed, self.keys)
            self._ahead = [one for one in self._ahead if (one.size, one.root) != (since.size, since.root)]
        else:
            raise Bad(f"a line with {shown(list(kind))} does not belong into a selection")

    def _select(self, line: bytes, value: dict[str, Any]) -> None:
        self._count(value["entry"])
        index = value["index"]
        first, last = self.indices or (index, -1)
        if type(index) is not int or index <= last:
            raise Bad(f"index {shown(index)} where {last + 1} or more is due", index=last + 1)
        self.indices = first, index
        if self.signed is None:
            return  # it will end as a bad one anyway
        tail = _encode({"index": index, "proof": value["proof"]})
        hashed = leaf_hash(_stored(line, f",{tail[1:]}\n".encode()))
        if root_of(hashed, index, self.signed.size, proof_of(value["proof"])) != self.signed.root:
            raise Bad(f"entry {index} is not what was signed, or its proof is of another", index=index)

    def close(self, signed: Checkpoint) -> None:
        lacking = [one.size for one in self._ahead if one.size < signed.size]
        if lacking:
            why = f"this selection has no proof for {GIVEN}, of {lacking[0]} entries"
            raise Bad(f"{why}: give the one that it was exported with, or ask for a new one")


def consistent(value: Any, signed: Checkpoint | None, keys: Sequence[Key]) -> Checkpoint:
    """The older checkpoint of a consistency line, whose history this log goes on with."""
    if type(value) is not dict or tuple(value) != ("from", "proof"):
        raise Bad("it proves nothing: `from` and `proof` are due")
    old, proof = opened(value["from"], keys, "its checkpoint"), proof_of(value["proof"])
    if signed is not None and (old.origin != signed.origin or not grown(old, signed, proof)):
        raise Bad(f"the log is not proven to go on from the checkpoint of {old.size} entries")
    return old


def pruned_to(entry: dict[str, Any]) -> int:
    """The index before which this entry tells that entries were pruned; 0: it tells of none."""
    if entry.get("action") != "pruned":
        return 0
    told = entry.get("detail")
    indices = told.get("indices") if type(told) is dict else None
    end = indices.get("end") if type(indices) is dict else None
    return end if type(end) is int else 0


def _stored(line: bytes, tail: bytes) -> bytes:
    """The entry as the log holds it, out of its line."""
    return line[len(b'{"entry":') : -len(tail)]


def _hashes(value: dict[str, Any], first: int) -> list[bytes]:
    count, joined = value["pruned"], unbased(value["hashes"])
    if type(count) is not int or count < 1 or len(joined) != 32 * count:
        raise Bad(f"these are not the hashes of {shown(count)} pruned entries", index=first)
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


# --- the tree of RFC 6962, and its proofs, by the definitions in its section 2.1


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """Grows by leaf hashes; keeps the roots of its full subtrees, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, hashed: bytes) -> None:
        full = self.size
        while full & 1:
            hashed = _node(self._roots.pop(), hashed)
            full >>= 1
        self._roots.append(hashed)
        self.size += 1

    def root(self) -> bytes:
        if not self._roots:
            return hashlib.sha256().digest()
        root = self._roots[-1]
        for left in self._roots[-2::-1]:
            root = _node(left, root)
        return root


def proof_of(value: Any) -> list[bytes]:
    if type(value) is not list or len(value) > 64:
        raise Bad("its proof is no list of hashes")
    return [unbased(one) for one in value]


def root_of(hashed: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """The root of the tree of this size that the proof leads to from the leaf; None where it fits no such leaf."""
    if size <= 1 or not proof:
        return None if proof or index or size != 1 else hashed
    left, other = _left(size), proof[-1]
    if index < left:
        below = root_of(hashed, index, left, proof[:-1])
        return below and _node(below, other)
    below = root_of(hashed, index - left, size - left, proof[:-1])
    return below and _node(other, below)


def grown(old: Checkpoint, new: Checkpoint, proof: list[bytes]) -> bool:
    """Whether this proves that the first entries of the new tree are those of the old one."""
    if not old.size:
        return not proof and old.root == Tree().root()
    return _roots(old.size, new.size, proof, known=old.root) == (old.root, new.root)


def _roots(old: int, new: int, proof: list[bytes], *, known: bytes | None) -> tuple[bytes, bytes] | None:
    """The roots that a consistency proof leads to; `known`: the old one, while the proof leaves it out."""
    if old == new:
        rest = proof if known is None else [*proof, known]
        return (rest[0], rest[0]) if len(rest) == 1 else None
    if old > new or not proof:
        return None
    left, other = _left(new), proof[-1]
    if old <= left:
        below = _roots(old, left, proof[:-1], known=known)
        return below and (below[0], _node(below[1], other))
    below = _roots(old - left, new - left, proof[:-1], known=None)
    return below and (_node(other, below[0]), _node(other, below[1]))


def _left(size: int) -> int:
    """Leaves of the left subtree: the largest power of two that is smaller."""
    return 1 << (size - 1).bit_length() - 1


# --- checkpoints (c2sp.org/tlog-checkpoint) in signed notes (c2sp.org/signed-note), and keys


ED25519 = b"\1"
_BODY = re.compile(r"([^\x00-\x1f]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")
_SIGNATURE = re.compile(r"— ([^ +\n]+) ([A-Za-z0-9+/]+=*)")


class Unsigned(Bad):
    """None of the keys that were given has signed it."""


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    keys: tuple[Key, ...]  # whose signatures were verified
    others: tuple[str, ...]  # key IDs of signatures by keys that were not given
    at: str | None = None  # when it was anchored, as the anchor says


@dataclass(frozen=True)
class Key:
    public: Ed25519PublicKey
    name: str | None  # a PEM file has none: it is that of the log

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER form, as `openssl pkey -pubin -in log.pub -outform DER | sha256sum` says it."""
        return hashlib.sha256(bytes.fromhex("302a300506032b6570032100") + self.public.public_bytes_raw()).hexdigest()

    def id_for(self, name: str) -> str:
        """Of a signed note: eight hex digits."""
        return hashlib.sha256(name.encode() + b"\n" + ED25519 + self.public.public_bytes_raw()).hexdigest()[:8]


def opened(note: Any, keys: Sequence[Key], what: str) -> Checkpoint:
    """The checkpoint of a signed note. Raises Bad unless one of the keys has signed it, Unsigned if none says so."""
    text, _, lines = note.partition("\n\n") if type(note) is str else ("", "", "")
    body = _BODY.fullmatch(f"{text}\n")
    signatures = [_SIGNATURE.fullmatch(line) for line in lines.split("\n")[:-1]]
    if body is None or not signatures or None in signatures or not lines.endswith("\n"):
        raise Bad(f"{what} is no checkpoint in a signed note")
    origin, root = body[1], unbased(body[3])
    ours = {key.id_for(origin): key for key in keys if key.name in (None, origin)}
    good, others = [], []
    for name, encoded in (match.groups() for match in signatures if match):
        signature = unbased(encoded)
        by = signature[:4].hex()
        if by not in ours or name != origin:
            others.append(by)
            continue
        try:
            ours[by].public.verify(signature[4:], f"{text}\n".encode())
        except InvalidSignature as error:
            raise Bad(f"{what} is not signed by key {by}, which it names: forged, or changed") from error
        good.append(ours[by])
    if not good:
        given = ", ".join(key.id_for(key.name or origin) for key in keys)
        who = f"signed by key {', '.join(others)}, and not by what was given: {given}"
        raise Unsigned(f"{what}, of {shown(origin)}, is {who}")
    return Checkpoint(origin, int(body[2]), root, tuple(good), tuple(others))


class Kept(NamedTuple):
    note: str
    at: str | None


def kept_in(text: str) -> list[Kept]:
    """Checkpoints that were kept: one signed note, or lines of an anchor's file or a syslog. Raises Misuse.

    A line that has none, as one that was cut off, is passed over.
    """
    if _BODY.match(text):
        return [Kept(text, None)]
    found = []
    for line in text.splitlines():
        _, begins, rest = line.partition('{"at":')
        with suppress(ValueError, RecursionError):
            value, _ = _decode(begins + rest)
            if type(value.get("checkpoint")) is str and type(value["at"]) is str:
                found.append(Kept(value["checkpoint"], value["at"]))
    if not found:
        what = "neither a signed checkpoint nor lines of an anchor"
        raise Misuse(f"--from: {what}: give what was anchored, or what `bridge log checkpoint` printed")
    return found


def unbased(text: Any) -> bytes:
    """Base64 of the standard alphabet, with one encoding for what it says."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise Bad("it has no base64 where hashes or signatures are due") from error
    if base64.b64encode(decoded).decode() != text:
        raise Bad("it has base64 that could be written in another way")
    return decoded


def key_of(file: Path) -> Key:
    """The public key of a PEM file, or of a line `name+id+key` (a vkey of C2SP). Raises Misuse."""
    text = _text_of(file).strip()
    name, _, rest = text.partition("+")
    shown_id, _, encoded = rest.partition("+")
    try:
        if rest and not text.startswith("-"):
            raw = unbased(encoded)
            key = Key(Ed25519PublicKey.from_public_bytes(raw[1:]), name)
            if raw[:1] != ED25519 or key.id_for(name) != shown_id:
                raise Misuse(f"{file}: the key's line was changed: its ID is not that of its name and key")
            return key
        public = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm, Bad) as error:
        raise Misuse(f"{file}: neither a public key in PEM, as var/log.pub, nor a line name+ID+key") from error
    if not isinstance(public, Ed25519PublicKey):
        raise Misuse(f"{file}: this key is of another kind: the log is signed by Ed25519")
    return Key(public, None)


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "no text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise Misuse(f"{file}: cannot be read: {why}") from error


# --- words


def shown(value: Any) -> str:
    """A value out of the file, safe for a terminal."""
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def bare(text: str | None) -> str:
    return shown(text)[1:-1]


def counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def span(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


# --- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status. Wrong usage leaves by SystemExit, as argparse has it."""
    parser = argparse.ArgumentParser(description="Verifies an export of an incident bridge's correlation log, offline.")
    parser.add_argument("export", type=Path, help="JSONL, of `bridge log export`")
    parser.add_argument("--key", type=Path, action="append", required=True, help="the public key; may be repeated")
    parser.add_argument("--from", type=Path, dest="since", help="a checkpoint kept elsewhere, or lines of an anchor")
    parser.add_argument("--json", action="store_true", dest="as_json", help="the verdict as JSON")
    given = parser.parse_args(arguments)
    return run(given.export, given.key, given.since, as_json=given.as_json)


def run(export: Path, keys: Sequence[Path], since: Path | None, *, as_json: bool) -> int:
    """Verify a file and print the verdict; the exit status."""
    try:
        given = [key_of(key) for key in keys]
        note = None if since is None else _text_of(since).strip() + "\n"
        with Watched(FileIO(export), sys.stderr) as file:
            verdict = verify(file, given, note)
    except (OSError, Misuse) as error:
        said = f"{export}: cannot be read: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"{said}\n")
        return MISUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stdout.write(_as_json(export, verdict) if as_json else _as_text(export, verdict))
    return VERIFIED if verdict.verified else NOT_VERIFIED


class Watched(BufferedReader):
    """A file that tells a person at a terminal how far it is read."""

    def __init__(self, raw: FileIO, terminal: TextIO) -> None:
        super().__init__(raw)
        self._size = os.fstat(raw.fileno()).st_size
        self._terminal = terminal if self._size >= PROGRESS_BYTES_MIN and terminal.isatty() else None
        self._read = self._percent = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if self._terminal is not None:
            self._read += len(line)
            if (percent := self._read * 100 // self._size) != self._percent:
                self._percent = percent
                self._terminal.write(f"\r{percent:3} % verified" if percent < 100 else "\r\x1b[K")
                self._terminal.flush()
        return line


def _as_json(export: Path, verdict: Verdict) -> str:
    told = {"file": str(export), "verified": verdict.verified, "says": verdict.says, **verdict.facts}
    return json.dumps(told, indent=2) + "\n"


def _as_text(export: Path, verdict: Verdict) -> str:
    word, colour = ("VERIFIED", 32) if verdict.verified else ("NOT VERIFIED", 31)
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        word = f"\x1b[1;{colour}m{word}\x1b[0m"
    return f"{word}  {bare(str(export))}\n" + "".join(f"  {sentence}\n" for sentence in verdict.says)


if __name__ == "__main__":
    sys.exit(main())
