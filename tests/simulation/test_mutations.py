"""Safeguards of the engine cannot be taken away unseen; docs/guarantees.md says how soon each is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.mutations import MUTATIONS, hunts

SEEDS_MAX = 600  # three times what the slowest takes
GUARANTEES = Path(__file__).parents[2] / "docs/guarantees.md"


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_simulation_notices_a_safeguard_that_is_taken_away(name: str) -> None:
    (found,) = hunts([name], seeds=SEEDS_MAX, workers=1)
    assert found.seeds


def test_the_page_on_guarantees_names_each_of_them() -> None:
    text = GUARANTEES.read_text("utf-8")
    assert [name for name in MUTATIONS if f"| {name} |" not in text] == []
