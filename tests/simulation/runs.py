"""docs/guarantees-runs.csv: every long run, with what it found. Rows are only ever added."""

from __future__ import annotations

import csv
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/guarantees-runs.csv"
COLUMNS = ("date", "commit", "run", "of", "found", "held")


def append(run: str, of: str, found: str, failed: bool) -> None:
    """`run`: simulate, chaos or soak; `of`: on which engine, and which seeds or how long."""
    day = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")  # noqa: TID251 (a run is dated)
    row = (day, commit(), run, of, " ".join(found.split()), "no" if failed else "yes")
    with FILE.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerow(row)


def simulated_to(revision: str, engine: str) -> int:
    """The seed after the last one that was run at this commit: where a run that was broken off goes on."""
    told = [row["of"] for row in rows("simulate") if row["commit"] == revision and row["of"].startswith(engine)]
    return max((int(one.rpartition("-")[2]) + 1 for one in told), default=0)


def rows(run: str) -> list[dict[str, str]]:
    """What the file tells of one kind of run."""
    if not FILE.exists():
        return []
    with FILE.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["run"] == run]


def commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
