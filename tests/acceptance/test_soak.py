"""A short run of what `make soak` does for long: it judges, and measures what it tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from endurance import soak


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_under_load_nothing_is_lost_and_what_a_soak_tells_is_measured(engine: str, tmp_path: Path) -> None:
    found = soak(engine, tmp_path, seconds=3, seed=1)
    assert found.problem == ""
    assert min(found.alerts, found.memory, found.wal_bytes, found.p99_first) > 0
