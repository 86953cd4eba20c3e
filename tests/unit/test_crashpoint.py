"""Every commit of the engine has a name at which a test can die, and every name is of a commit or a send."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.crashpoint import COMMITS, CRASHPOINTS, crashpoint, listen

BRIDGE = Path(__file__).parents[2] / "bridge"
ENGINE = [
    *sorted((BRIDGE / "sync").glob("*.py")),
    *(BRIDGE / "store" / f"{name}.py" for name in ("writer", "replay", "calls")),
    BRIDGE / "erasure.py",
    BRIDGE / "pruning.py",
    BRIDGE / "sealer.py",
]


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


@pytest.mark.parametrize("module", ENGINE, ids=lambda module: module.name)
def test_every_transaction_of_the_engine_is_a_crash_point(module: Path) -> None:
    assert [line for line, name in commits(module) if name not in COMMITS] == []


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
