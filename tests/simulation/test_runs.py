"""What of a long run is left, by the rows of docs/guarantees-runs.csv."""

from __future__ import annotations

import pytest

from simulation import __main__ as command
from simulation import runs
from simulation.runner import Outcome

HERE = "1d243a5"
PART = 500


def simulated(of: str, *, held: str = "yes", commit: str = HERE) -> runs.Row:
    return {"commit": commit, "run": "simulate", "of": of, "found": "500 seeds, 0 failed, 9 s", "held": held}


def killed(count: int, *, held: str = "yes", commit: str = HERE, engine: str = "sqlite") -> runs.Row:
    of, found = f"{engine}, {count} kills", f"{count} kills in 99 s, 700 alerts, 32 incidents: no alert lost, no twin"
    return {"commit": commit, "run": "chaos", "of": of, "found": found, "held": held}


def left(*told: runs.Row, seeds: int = 1000, commit: str = HERE) -> list[range]:
    return runs.seeds_left(told, commit, "sqlite", range(seeds), part=PART)


def test_where_nothing_is_noted_all_seeds_run_in_parts() -> None:
    assert left(seeds=1200) == [range(500), range(500, 1000), range(1000, 1200)]


def test_what_held_is_not_run_again() -> None:
    assert left(simulated("sqlite, 0-499"), simulated("sqlite, 500-999")) == []
    assert left(simulated("sqlite, 0-999"), seeds=1200) == [range(1000, 1200)]


def test_seeds_that_were_run_from_a_later_one_on_are_no_reason_to_leave_out_those_before() -> None:
    assert left(simulated("sqlite, 5000-5499")) == [range(500), range(500, 1000)]


def test_holes_are_run() -> None:
    assert left(simulated("sqlite, 0-249"), simulated("sqlite, 500-749")) == [range(250, 500), range(750, 1000)]


def test_a_part_that_failed_runs_again_until_it_held() -> None:
    failed = simulated("sqlite, 0-499", held="no")
    assert left(failed, simulated("sqlite, 500-999")) == [range(500)]
    assert left(failed, simulated("sqlite, 500-999"), simulated("sqlite, 0-499")) == []


def test_seeds_of_another_commit_of_another_engine_and_of_a_dirty_tree_run_again() -> None:
    told = (
        simulated("sqlite, 0-999", commit="5732d81"),
        simulated("postgresql, 0-999"),
        simulated("sqlite, 0-999", commit=f"{HERE}+"),
        killed(999),
    )
    assert left(*told) == [range(500), range(500, 1000)]
    assert left(*told, commit=f"{HERE}+") == [range(500), range(500, 1000)]


def test_kills_count_that_held_at_this_commit() -> None:
    told = [
        killed(100),
        killed(101),
        killed(30, held="no"),
        killed(200, commit="5732d81"),
        killed(400, commit=HERE + "+"),
    ]
    told += [killed(7, engine="postgresql"), simulated("sqlite, 0-499")]
    assert runs.kills(told, HERE, "sqlite") == 201
    assert runs.kills(told, HERE, "postgresql") == 7
    assert runs.kills(told, f"{HERE}+", "sqlite") == 0


@pytest.mark.parametrize(("problem", "status"), [("", 0), ("two incidents stand open", 1)])
def test_a_part_that_failed_before_is_run_again_and_the_exit_status_tells(
    monkeypatch: pytest.MonkeyPatch, problem: str, status: int
) -> None:
    noted: list[tuple[str, bool]] = []
    told = [simulated("sqlite, 0-499", held="no"), simulated("sqlite, 500-999")]
    monkeypatch.setattr("sys.argv", ["simulate", "--seeds", "1000"])
    monkeypatch.setattr(runs, "commit", lambda: HERE)
    monkeypatch.setattr(runs, "rows", lambda: told)
    monkeypatch.setattr(runs, "append", lambda _run, of, _found, failed, **_more: noted.append((of, failed)))
    monkeypatch.setattr(
        command, "many", lambda seeds, **_more: [Outcome(seed, problem, ("a story",), 1) for seed in seeds]
    )
    assert command.main() == status
    assert noted == [("sqlite, 0-499", bool(problem))]
