"""Who publishes a mapping, and how that is known: the last commit's author where the mappings folder is a clean git
checkout, else the operating system's user; a name that --author claims and neither confirms stays a claim.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bridge.cli import person
from bridge.store.revisions import Author, KnownBy

GIT_SECONDS_MAX = 10


def author_of(folder: Path, claimed: str | None, *, of_commit: bool = True) -> Author:
    """`of_commit` False: the act is nobody's commit, a rollback."""
    committed = _commit_author(folder) if of_commit else None
    user = person.os_user()
    if committed is not None:
        name, email = committed
        whole = f"{name} <{email}>"
        if claimed is None or claimed.casefold() in (name.casefold(), email.casefold(), whole.casefold()):
            return Author(name=whole, known_by=KnownBy.GIT_COMMIT)
    if claimed is None or claimed == user:
        return Author(name=user, known_by=KnownBy.OS_USER)
    return Author(name=claimed, known_by=KnownBy.CLAIM)


def _commit_author(folder: Path) -> tuple[str, str] | None:
    """(name, email) of the last commit to the folder; None when it is no checkout, or holds what is not committed."""
    if _git(folder, "status", "--porcelain", "--ignored", "--untracked-files=all", "--", ".") != "":
        return None
    name, _, email = (_git(folder, "log", "-1", "--format=%an%x00%ae", "--", ".") or "").partition("\x00")
    return (name, email) if name and email else None


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None when it fails, or is not there."""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *words],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=GIT_SECONDS_MAX,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
