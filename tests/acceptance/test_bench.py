"""The benchmarks run, on next to nothing: their figures are for `make bench`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
# Of each, how little it is given, and how many lines with an aim it prints.
SMALL = {
    "bench_intake": ("--requests 40 --rounds 1 --batches 2", 4),
    "bench_postgres": ("--requests 40 --rounds 1", 2),
    "bench_log": ("--requests 40 --pairs 2 --engine sqlite", 2),
    "bench_sync": ("--engine postgresql --problems 10 --probes 2", 2),
    "bench_storm": ("--alerts 2000 --problems 10 --engine sqlite", 2),
    "bench_verify": ("--entries 600", 2),
    "bench_growth": ("--correlations 100 200 --steps 5 --engine sqlite", 1),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs(name: str) -> None:
    words, aims = SMALL[name]
    done = subprocess.run(
        [sys.executable, str(BENCH / f"{name}.py"), *words.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"\baim\b", done.stdout)) == aims
