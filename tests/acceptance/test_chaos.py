"""A short run of what `make chaos` does for long: kill -9 under load loses no alert and makes no twin."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import survive

KILLS = 5


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_killed_at_random_under_load_nothing_is_lost_and_nothing_is_there_twice(engine: str, tmp_path: Path) -> None:
    found = survive(engine, tmp_path, seed=1, enough=lambda kills: kills >= KILLS)
    assert found.problem == ""
    assert found.kills >= KILLS
    assert found.incidents > 0
