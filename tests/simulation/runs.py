"""docs/guarantees-runs.csv: every long run, with what it found. Rows are only ever added."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/guarantees-runs.csv"
COLUMNS = ("date", "commit", "run", "of", "found", "held")
DIRTY = "+"  # after the commit
Row = dict[str, str]


def append(run: str, of: str, found: str, failed: bool, *, revision: str) -> None:
    """`run`: simulate, chaos or soak; `of`: on which engine, and which seeds or how long; `revision`: the commit as it
    began.
    """
    day = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")  # noqa: TID251 (a run is dated)
    row = (day, revision, run, of, " ".join(found.split()), "no" if failed else "yes")
    with FILE.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerow(row)


def seeds_left(told: Iterable[Row], revision: str, engine: str, seeds: range, *, part: int) -> list[range]:
    """Those of the seeds that are in no run that held at this commit, in parts of so many at most."""
    held: set[int] = set()
    for row in _held(told, "simulate", revision, engine):
        first, last = row["of"].rpartition(" ")[2].split("-")
        held.update(range(int(first), int(last) + 1))
    parts: list[range] = []
    for seed in seeds:
        if seed in held:
            continue
        if parts and parts[-1].stop == seed and len(parts[-1]) < part:
            parts[-1] = range(parts[-1].start, seed + 1)
        else:
            parts.append(range(seed, seed + 1))
    return parts


def kills(told: Iterable[Row], revision: str, engine: str) -> int:
    """Of the runs that held at this commit."""
    rows_held = _held(told, "chaos", revision, engine)
    return sum(int(found[1]) for row in rows_held if (found := re.search(r"(\d+) kills", row["found"])))


def _held(told: Iterable[Row], run: str, revision: str, engine: str) -> list[Row]:
    """None where the tree was dirty: nobody knows whether it is the same one."""
    if revision.endswith(DIRTY):
        return []
    return [
        row
        for row in told
        if (row["run"], row["commit"], row["held"]) == (run, revision, "yes") and row["of"].startswith(f"{engine}, ")
    ]


def rows() -> list[Row]:
    if not FILE.exists():
        return []
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def commit() -> str:
    """With a "+" where the tree is dirty, but for the file of the runs itself."""
    asked = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", f":(exclude){FILE.relative_to(ROOT)}")
    clean = asked.returncode == changed.returncode == 0 and not changed.stdout
    return (asked.stdout.strip() or "unknown") + ("" if clean else DIRTY)


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
