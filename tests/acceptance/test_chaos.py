"""A short run of what `make chaos` does for long: kill -9 under load loses no alert and makes no twin."""

from __future__ import annotations

from pathlib import Path

from endurance import endure


def test_killed_at_random_under_load_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    found = endure(tmp_path / "bridge", "sqlite:///var/bridge.db", seconds=15, seed=1, kills=True)
    assert found.problem == ""
    assert found.kills > 1
