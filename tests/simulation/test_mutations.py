"""Safeguards of the engine cannot be taken away unseen; docs/guarantees.md says how soon each is missed."""

from __future__ import annotations

import os
from pathlib import Path

from simulation.mutations import MUTATIONS, hunts

SEEDS_MAX = 200  # several times what the slowest takes
GUARANTEES = Path(__file__).parents[2] / "docs/guarantees.md"


def test_the_simulation_notices_safeguards_that_are_taken_away() -> None:
    found = hunts(list(MUTATIONS), seeds=SEEDS_MAX, workers=os.cpu_count() or 1)
    assert [one.name for one in found if not one.seeds] == []


def test_the_page_on_guarantees_names_each_of_them() -> None:
    text = GUARANTEES.read_text("utf-8")
    assert [name for name in MUTATIONS if f"| {name} |" not in text] == []
