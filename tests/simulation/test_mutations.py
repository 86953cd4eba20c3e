"""Safeguards of the engine cannot be taken away unseen; docs/guarantees.md says how soon each is missed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.sync import worker
from simulation.mutations import MUTATIONS, hunt, hunts

SEEDS_MAX = 600  # ten times what the slowest takes
GUARANTEES = Path(__file__).parents[2] / "docs/guarantees.md"


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_simulation_notices_a_safeguard_that_is_taken_away(name: str) -> None:
    (found,) = hunts([name], seeds=SEEDS_MAX, workers=1)
    assert found.seeds


@pytest.mark.parametrize(
    "patch",
    [
        lambda _store, sight, _record: sight,  # it is called with more by now
        lambda _store, sight, _record, *, installation: sight.seen_as_it_was,  # and what it uses is gone
    ],
)
def test_a_mutation_that_breaks_the_engine_instead_is_an_error(
    monkeypatch: pytest.MonkeyPatch, patch: Callable[..., object]
) -> None:
    monkeypatch.setitem(MUTATIONS, "rotten", lambda: monkeypatch.setattr(worker, "notice", patch))
    with pytest.raises(LookupError, match="called otherwise by now"):
        hunt("rotten", 10)


def test_the_page_on_guarantees_names_each_of_them() -> None:
    text = GUARANTEES.read_text("utf-8")
    assert [name for name in MUTATIONS if f"| {name} |" not in text] == []
