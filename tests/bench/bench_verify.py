"""Verifying an export of the log: seconds and memory of deploy/verify_log.py, beside what the same bytes cost anybody.

    python tests/bench/bench_verify.py [--entries N]

Seconds are the processor's, of a process of its own; for so long it waits where nothing else runs. The floors are in
this process: the SHA-256 of the file, and each line parsed and written again, without which no line is known to have
one reading.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from row import Row, at_most, show

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tree_judge import Frontier

from bridge.log.note import Checkpoint, Signer, sign
from bridge.log.tree import leaf_hash

SCRIPT = Path(__file__).resolve().parents[2] / "deploy/verify_log.py"
ORIGIN = "incident-bridge/bench"
COMMAND = Path(__file__).name
SECONDS_AIM, MEGABYTES_AIM = 20, 200  # for a million
PASSED_EVERY = 256  # entries from one checkpoint on the way to the next, as in an export

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--entries", type=int, default=1_000_000)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    count = arguments.entries
    with tempfile.TemporaryDirectory() as folder:
        export, key = Path(folder, "log.jsonl"), Path(folder, "log.pub")
        signer = Signer(ORIGIN, Ed25519PrivateKey.generate())
        key.write_bytes(signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        write(export, count, signer)
        size = export.stat().st_size
        seconds, megabytes = verifying(export, key)
        floors = {"SHA-256 of the bytes": floor(export, hashed), "JSON parsed and written": floor(export, rewritten)}
    case = f"bridge log verify of {count:,} entries"
    for name, least in floors.items():
        yield Row(
            case=case,
            command=COMMAND,
            measured=seconds,
            unit="s",
            beside=name,
            beside_measured=least,
            ratio=seconds / least,
            aim=at_most(SECONDS_AIM * count / 1e6),
            note=f"{size / 1e6:,.1f} MB",
        )
    yield Row(
        case=f"{case}, its peak memory", command=COMMAND, measured=megabytes, unit="MB", aim=at_most(MEGABYTES_AIM)
    )


def write(export: Path, count: int, signer: Signer) -> None:
    """As `bridge log export` does, line by line."""
    frontier, digest = Frontier(), hashlib.sha256()
    with export.open("wb") as file:
        for line in before_last(count, frontier, signer):
            digest.update(line)
            file.write(line)
        file.write(line_of({"checkpoint": note_of(frontier, signer), "count": count, "sha256": digest.hexdigest()}))


def before_last(count: int, frontier: Frontier, signer: Signer) -> Iterator[bytes]:
    yield line_of({"bridge_log_export": 1, "filter": {}, "kind": "whole", "origin": ORIGIN})
    for index in range(count):
        entry = line_of(entry_of(index))[:-1]
        frontier.add(leaf_hash(entry))
        yield b'{"entry":%b,"index":%d}\n' % (entry, index)
        if not frontier.size % PASSED_EVERY:
            yield line_of({"checkpoint": note_of(frontier, signer)})


def note_of(frontier: Frontier, signer: Signer) -> str:
    return sign(Checkpoint(ORIGIN, frontier.size, frontier.root()), [signer])


def line_of(value: object) -> bytes:
    return f"{_encode(value)}\n".encode()


def entry_of(index: int) -> dict[str, object]:
    """Of the four that one alert leads to, in turn."""
    entry: dict[str, object] = {
        "actor": "sync",
        "at": f"2026-11-24T{index // 3_600 % 24:02}:{index // 60 % 60:02}:{index % 60:02}.123456Z",
        "correlation": index,
        "correlation_id": f"elastic:{index:032x}",
        "mapping": "elastic",
        "revision": "3fa9b8c7d6e5",
        "source": "elastic",
        "tenant": "default",
    }
    record = {"incident": index, "number": f"INC{index:07}", "sys_id": f"{index:032x}", "table": "incident"}
    digests = {name: {"after": f"{index:022}", "before": f"{index:022}"} for name in ("priority", "description")}
    kinds: list[dict[str, object]] = [
        {"action": "delivered", "delivery": index, "detail": {"alerts": [{"correlation_id": f"elastic:{index:032x}"}]}},
        {"action": "decided", "detail": {"alerts": 3, "seq": [17, 19], "severity": "high"}, "reason": "severity_rose"},
        {"action": "intended", "detail": {"ref": f"{index:08x}"}, "outcome": "update", **record},
        {"action": "written", "detail": {"fields": digests}, "outcome": "applied", **record},
    ]
    return entry | kinds[index % len(kinds)]


def verifying(export: Path, key: Path) -> tuple[float, float]:
    """(seconds of the processor, megabytes at the peak)"""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(export), "--key", str(key)], stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit("the export did not verify")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1_000


def floor(export: Path, pass_over: Callable[[Path], None]) -> float:
    began = time.process_time()
    pass_over(export)
    return time.process_time() - began


def hashed(export: Path) -> None:
    with export.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def rewritten(export: Path) -> None:
    with export.open("rb") as file:
        for line in file:
            _encode(json.loads(line))


if __name__ == "__main__":
    show(parser(), rows)
