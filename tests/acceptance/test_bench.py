"""The benchmarks run, on next to nothing: their figures are for `make bench`, which writes docs/performance.md."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import bench_cost
import bench_growth
import page
import scale
import suite
from row import (
    COLUMNS,
    FAILED,
    NOT_MEASURED,
    NOTHING,
    RUN_SECONDS_MIN,
    TOO_SHORT,
    Aim,
    Row,
    at_least,
    at_most,
    of_several,
    ratio_at_least,
    table,
)

BENCH = Path(__file__).resolve().parents[1] / "bench"
ALERTMANAGER = "prometheus-alertmanager"  # Debian's package and program
# Of each, how little it is given, and how many of its rows have an aim.
SMALL = {
    "bench_intake": ("--requests 40 --rounds 1 --batches 40", 4),  # more than connections: each is used again
    "bench_postgres": ("--requests 40 --rounds 1", 3),
    "bench_switches": ("--requests 40 --rounds 1", 0),
    "bench_path": ("--requests 40", 0),
    "bench_cost": ("--requests 40 --batches 2", 0),
    "bench_failover": ("--rounds 1 --away 2.2", 9),
    "bench_memory": ("--alerts 2000 --alone 1", 1),
    "bench_overload": ("--seconds 1 --engine sqlite", 4),
    "bench_peers": ("--requests 40 --alerta 40 --rounds 1", 1),
    "bench_log": ("--requests 40 --pairs 2", 4),
    "bench_sync": ("--engine postgresql --problems 10 --probes 2", 2),
    "bench_storm": ("--alerts 2000 --problems 10", 6),
    "bench_mapping": ("--rounds 1 --calls 1", 7),
    "bench_plan": ("--alerts 100", 1),
    "bench_verify": ("--entries 600", 3),
    "bench_start": ("--runs 1", 3),
    "bench_growth": ("--correlations 20 200 --steps 3 --rounds 1", 20),
}


def run(name: str, words: str) -> str:
    line = [sys.executable, str(BENCH / f"{name}.py"), *words.split()]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_yields_its_rows(name: str) -> None:
    words, aims = SMALL[name]
    rows = rows_of(run(name, words))
    assert rows
    assert sum(row["aim"] != NOTHING for row in rows) == aims
    assert {row["command"] for row in rows} == {f"`{name}.py`"}
    lacking = [row["case"] for row in rows if NOT_MEASURED in row["measured"]]
    if name == "bench_peers" and shutil.which(ALERTMANAGER) is None:
        assert len(lacking) == 1
        pytest.skip(f"alerta was measured; {ALERTMANAGER}, the package of Debian, is not installed here")
    assert lacking == []


def test_where_the_disk_has_no_room_for_ten_million_problems_growth_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000_000))
    rows = bench_growth.rows(bench_growth.parser().parse_args(["--correlations", "10000", "10000000"]))
    assert [row.cells()[:2] for row in rows] == [
        (f"{engine}: growth to 10,000,000 problems ({note} GB are free)", NOT_MEASURED)
        for engine, note in (
            ("SQLite", "it takes 17 GB of disk while it runs, and 10"),
            ("PostgreSQL", "it takes 24 GB of disk while it runs, and 10"),
        )
    ]


def test_all_benchmarks_are_tried_here() -> None:
    assert {file.stem for file in BENCH.glob("bench_*.py")} == {*SMALL}


# --- the table and the page


def rows_of(told: str) -> list[dict[str, str]]:
    """What `table` made, read again."""
    lines = [line for line in told.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert cells[0] == list(COLUMNS)
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells[2:]]


ROW = Row(case="intake", command="bench_intake.py", measured=450.0, unit="requests/s", aim=at_least(500))


def test_the_page_has_the_table_that_the_suite_writes_or_says_that_there_is_none() -> None:
    measured = page.measured(page.PAGE.read_text("utf-8"))
    if measured != page.NOT_YET:
        assert measured.startswith("- Date: ")
        commands = {row["command"].strip("`") for row in rows_of(measured)}
        assert commands == {f"{name}.py" for name in SMALL}


def test_a_page_is_renewed_between_its_marks_and_nowhere_else() -> None:
    before = page.PAGE.read_text("utf-8")
    after = page.renewed(before, table([ROW]))
    assert [row["case"] for row in rows_of(page.measured(after))] == ["intake"]
    assert page.renewed(after, page.measured(before).splitlines()) == before


def test_what_many_alerts_take_is_reckoned_from_what_one_costs() -> None:
    figures = {
        bench_cost.INTAKE + bench_cost.SINGLE: 600.0,
        bench_cost.DATABASE + bench_cost.SINGLE: 120.0,
        bench_cost.WAL + bench_cost.SINGLE: 4.0,
        bench_cost.STORED + bench_cost.SINGLE: 5.0,
        bench_cost.SEALED: 25.0,
        bench_cost.ENTRIES: 2.0,
    }
    cells = dict(zip(scale.COLUMNS, scale.needs(figures, 10_000, bench_cost.SINGLE), strict=True))
    assert cells == {
        "alerts a second": "10,000",
        "as": bench_cost.SINGLE,
        "intake processes": "10",
        "PostgreSQL's processors": "2.00",
        "WAL": "40.0 MB/s",
        "stored a day": "4,320 GB",
        "the sealer is busy": "50.0 %",
        "alerts an incident must coalesce": "5,400",
    }


def test_the_page_on_scale_has_a_place_for_its_table() -> None:
    before = page.SCALING.read_text("utf-8")
    after = page.renewed(before, [scale.line(scale.COLUMNS)])
    assert scale.COLUMNS[-1] in page.measured(after)


def test_the_page_tells_the_machine_and_the_versions() -> None:
    date, machine, versions, packages = page.about(page.date(2026, 11, 26))
    assert "2026-11-26" in date
    assert date.endswith(f"of commit {page.COMMIT}")
    assert "cores" in machine
    assert "databases on " in machine
    assert all(name in versions for name in ("Python", "SQLite", "PostgreSQL"))
    assert "sqlalchemy" in packages


def test_without_git_the_page_says_that_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert page.commit() == "unknown"


@pytest.mark.parametrize(
    ("aim", "measured", "ratio", "reached"),
    [
        (at_least(500), 500.0, None, "yes"),
        (at_least(500), 450.0, None, "no, by 10.0 %"),
        (at_most(50), 50.0, None, "yes"),
        (at_most(50), 60.0, None, "no, by 20.0 %"),
        (ratio_at_least(0.6), 1.0, 0.6, "yes"),
        (ratio_at_least(0.6), 1.0, 0.3, "no, by 50.0 %"),
        (at_most(0), 0.0, None, "yes"),
        (at_most(0), 1.0, None, "no"),
        (ratio_at_least(15), None, None, NOT_MEASURED),
        (None, 1.0, 1.0, NOTHING),
    ],
)
def test_a_row_says_whether_its_aim_is_reached(
    aim: Aim | None, measured: float | None, ratio: float | None, reached: str
) -> None:
    row = Row(case="a case", command="bench_intake.py", measured=measured, unit="ms", ratio=ratio, aim=aim)
    assert dict(zip(COLUMNS, row.cells(), strict=True))["reached"] == reached


# --- the suite


def benchmark(folder: Path, name: str, body: str) -> str:
    (folder / f"{name}.py").write_text(
        "import argparse\nfrom row import Row\nparser = argparse.ArgumentParser\n\n"
        f"def rows(_):\n    yield Row(case='{name}', command='{name}.py', measured=1, unit='ms')\n    {body}\n"
    )
    return name


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('a | of its own')",
        "raise SystemExit('a | of its own')",
        "import os; print('a | of its own'); os._exit(1)",
    ],
    ids=["an error", "its own end", "its process is gone"],
)
def test_a_benchmark_that_fails_stops_no_other_and_nothing_is_written(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    broken, sound = benchmark(tmp_path, "broken", body), benchmark(tmp_path, "sound", "")
    written: list[object] = []
    with pytest.raises(SystemExit, match=r"broken\.py") as ended:
        suite.run({broken: "", sound: ""}, lambda *table: written.append(table))
    assert isinstance(ended.value.code, str)  # which ends a process with 1
    assert written == []
    told = capfd.readouterr()
    rows = {row["command"]: row["measured"] for row in rows_of(told.out)}
    assert rows == {"`broken.py`": FAILED, "`sound.py`": "1 ms"}
    assert "broken FAILED:" in told.err


def test_what_every_benchmark_has_measured_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    one, other = benchmark(tmp_path, "sound_one", ""), benchmark(tmp_path, "sound_other", "")
    written: list[str] = []
    suite.run({one: "", other: ""}, lambda lines, _: written.extend(lines), at_once=2)
    assert [row["case"] for row in rows_of("\n".join(written))] == [one, other]
    assert capfd.readouterr().out.splitlines() == written


def several(*runs: tuple[float, float, int]) -> list[Row]:
    """Of runs of a rate, a wait and what was lost."""

    def run(rate: float, wait: float, lost: int) -> list[Row]:
        figures = Row(case="rate", command="x.py", measured=rate, unit="a second", beside="floor", beside_measured=rate)
        late = Row(case="wait", command="x.py", measured=wait, unit="ms", aim=at_most(50), note="p99")
        return [figures, late, Row(case="lost", command="x.py", measured=lost, unit="alerts", aim=at_most(0))]

    return of_several([run(*figures) for figures in runs])


def test_of_several_runs_the_whole_one_is_told_whose_first_row_is_in_the_middle() -> None:
    told = several((3.0, 10.0, 0), (1.0, 30.0, 0), (2.0, 20.0, 0))
    assert [(row.measured, row.beside_measured) for row in told] == [(2.0, 2.0), (20.0, None), (0, None)]
    told = several((3.0, 20.0, 0), (1.0, 30.0, 0), (2.0, 10.0, 0))
    assert [row.measured for row in told] == [2.0, 10.0, 0]  # which in its second row is the least of all


def test_of_several_runs_what_has_an_aim_says_how_far_they_are_apart_and_what_must_not_be_is_the_worst() -> None:
    told = several((3.0, 60.0, 0), (1.0, 30.0, 2), (2.0, 20.0, 0))
    assert [row.note for row in told] == ["", "p99; 20.0 to 60.0 ms in 3 runs", ""]
    assert told[-1].measured == 2


def test_of_one_run_all_is_told_as_it_is() -> None:
    assert [row.note for row in several((3.0, 60.0, 2))] == ["", "p99", ""]


def test_a_ratio_and_an_aim_are_not_told_of_a_run_that_was_too_short() -> None:
    row = replace(ROW, ratio=2.0, shortest=RUN_SECONDS_MIN / 2)
    cells = dict(zip(COLUMNS, row.cells(), strict=True))
    assert (cells["case"], cells["ratio"], cells["reached"]) == (
        "intake (a run took 0.25 s only)",
        TOO_SHORT,
        TOO_SHORT,
    )
    assert dict(zip(COLUMNS, replace(row, shortest=RUN_SECONDS_MIN).cells(), strict=True))["ratio"] == "2.00"
