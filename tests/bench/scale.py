"""docs/scaling.md's table: what so many alerts a second take, reckoned from what one was measured to cost. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import bench_cost as cost
from row import Row, line, told

from bridge.settings import CALLS_PER_HOUR_DEFAULT

RATES = (1_000, 10_000, 100_000)  # alerts a second
BUSY = 0.6  # of a processor's time, at most: the rest is for what comes in bursts
CALLS_PER_INCIDENT = 3  # made, told more, closed
COLUMNS = (
    *("alerts a second", "as", "intake processes", "PostgreSQL's processors", "WAL", "stored a day"),
    *("the sealer is busy", "alerts an incident must coalesce"),
)


def table(rows: Sequence[Row]) -> Iterator[str]:
    figures = {row.case: row.measured for row in rows if row.measured is not None}
    yield line(COLUMNS)
    yield line(["---"] * len(COLUMNS))
    for rate in RATES:
        for load in (cost.SINGLE, cost.BATCH):
            yield line(needs(figures, rate, load))


def needs(figures: dict[str, float], rate: int, load: str) -> tuple[str, ...]:
    """Cells, as COLUMNS has them. A process of ours keeps one processor busy and no more."""
    busy = figures[cost.SEALED] * figures[cost.ENTRIES] * rate / cost.ALERTS[load] / 1e6
    incidents = CALLS_PER_HOUR_DEFAULT / 3_600 / CALLS_PER_INCIDENT
    return (
        f"{rate:,}",
        load,
        f"{ceil(figures[cost.INTAKE + load] * rate / 1e6 / BUSY):,}",
        told(figures[cost.DATABASE + load] * rate / 1e6 / BUSY),
        f"{told(figures[cost.WAL + load] * rate / 1e3)} MB/s",
        f"{told(figures[cost.STORED + load] * rate * 86_400 / 1e6)} GB",
        f"{told(100 * busy)} %",
        told(rate / incidents),
    )
