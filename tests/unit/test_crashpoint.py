"""Every commit of the bridge has a name at which a test can die, or says why it needs none; every name is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.crashpoint import COMMITS, CRASHPOINTS, crashpoint, listen

BRIDGE = Path(__file__).parents[2] / "bridge"
# Modules whose transactions need no name, and why. "cli" is all of the commands.
EXEMPT = {
    "cli": "a person sees that a command died, and gives it again",
    "anchoring.py": "a checkpoint may be sent twice; tests/integration/test_anchoring.py has its turns",
    "beginning.py": "one transaction of a start, which the next start does anew",
    "watching.py": "a start registers a revision, once, whoever does",
    "publishing.py": "one transaction; a start or the next look finds the same files",
    "reloader.py": "entries of what was loaded or refused; a start loads the same",
    "store/callers.py": "when each source was last heard of, and what was turned away: the next delivery says so again",
    "store/signins.py": "entries of sign-ins that were refused, which had no effect",
    "web/api.py": "an entry before an answer, and nothing besides",
    "store/backup.py": "of a copy, in the command of a person; what is served changes in one transaction of SQLite",
    "store/schema.py": "one transaction; the next start does it anew",
    "store/engine.py": "where the names are passed on, and the probe, which changes nothing",
}


def modules() -> Iterator[Path]:
    """Of bridge/, those that begin transactions."""
    for module in sorted(BRIDGE.rglob("*.py")):
        if any(True for _ in commits(module)):
            yield module


def exemption(module: Path) -> str:
    """Its key of EXEMPT; else empty."""
    name = module.relative_to(BRIDGE).as_posix()
    return next((key for key in (name, name.partition("/")[0]) if key in EXEMPT), "")


def commits(module: Path) -> Iterator[tuple[int, str]]:
    """(line, name) of the transactions that a module begins; "": without one."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        place = {"transaction": 0, "in_transaction": 1}.get(node.func.attr)
        if place is None:
            continue
        name = node.args[place] if len(node.args) > place else None
        yield node.lineno, name.value if isinstance(name, ast.Constant) else ""


ENGINE = [module for module in modules() if not exemption(module)]


@pytest.mark.parametrize("module", ENGINE, ids=lambda module: module.name)
def test_every_transaction_of_the_engine_is_a_crash_point(module: Path) -> None:
    assert [line for line, name in commits(module) if name not in COMMITS] == []


def test_no_exemption_is_older_than_its_reason() -> None:
    unnamed = {exemption(module) for module in modules() if any(not name for _line, name in commits(module))}
    assert unnamed == set(EXEMPT)


def test_every_name_is_used() -> None:
    used = {name for module in ENGINE for _line, name in commits(module)}
    assert used == set(COMMITS)


def test_a_crash_point_is_nothing_while_nobody_listens() -> None:
    for name in CRASHPOINTS:
        crashpoint(name)


def test_who_listens_is_told_what_is_passed() -> None:
    passed: list[str] = []
    listen(passed.append)
    try:
        crashpoint("intent:committed")
    finally:
        listen(None)
    crashpoint("intent:committed")
    assert passed == ["intent:committed"]
