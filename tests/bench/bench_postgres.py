"""How fast two processes take in on one PostgreSQL, beside two processes with a view that does nothing.

    python tests/bench/bench_postgres.py [--requests N] [--rounds N]

As bench_intake: 4 KB alerts, signed, each a problem of its own; 16 connections to each of the two.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acceptance"))

from bench_intake import run_load, served
from postgres import postgres

PROCESSES = 2
RATE_AIM, P99_MS_AIM = 1_200, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"noop_app": [], "bridge_app": []}
    took: list[float] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path(__file__).parent))
        database = stack.enter_context(postgres(Path(folder, "data")))
        ports = {kind: [stack.enter_context(served(kind, database.url))[0] for _ in range(PROCESSES)] for kind in rates}
        for turn in range(arguments.rounds):
            for kind, measured in rates.items():
                seconds, times = run_load(ports[kind], "single", arguments.requests, f"{kind}{turn}")
                measured.append(arguments.requests / seconds)
                took += times if kind == "bridge_app" else []
    floor, rate = (statistics.median(rates[kind]) for kind in ("noop_app", "bridge_app"))
    quantiles = statistics.quantiles(took, n=100)
    print(f"no-op Flask views      {floor:8.0f} requests/s")
    print(f"intake of 4 KB alerts  {rate:8.0f} requests/s   aim {RATE_AIM}")
    print(f"ratio                  {rate / floor:8.2f}")
    print(f"p50, p99               {quantiles[49] * 1e3:5.1f}, {quantiles[98] * 1e3:.1f} ms     aim {P99_MS_AIM} ms")


if __name__ == "__main__":
    main()
