"""A figure beside its floor or peer of the same run and its aim: what every benchmark here yields, and their table."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

COLUMNS = ("case", "measured", "floor or peer in the same run", "ratio", "aim", "reached", "command")
NOT_MEASURED = "NOT MEASURED"
FAILED = "FAILED"
NOTHING = "–"
TOO_SHORT = "too short to tell"
RUN_SECONDS_MIN = 0.5  # of a shorter run how it begins and ends is too large a part


@dataclass(frozen=True, slots=True)
class Aim:
    limit: float
    at: Literal["least", "most"]
    # What is to be so: the figure itself, in its unit, or its ratio.
    of: Literal["measured", "ratio"] = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    case: str
    # The file of tests/bench that measures it.
    command: str
    # A median where there are several; None: not measured, and the note says why.
    measured: float | None
    # Of `measured` and of `beside`.
    unit: str
    # The floor or the peer, in the same run, and its figure.
    beside: str = ""
    beside_measured: float | None = None
    # `measured` to `beside`: of medians, or the median of pairs.
    ratio: float | None = None
    aim: Aim | None = None
    # Seconds of the shortest run that it is of, where it is a rate, or of a load.
    shortest: float | None = None
    # What must be known to read the figure.
    note: str = ""
    # It stands for all rows of a benchmark that yielded none.
    failed: bool = False

    def cells(self) -> tuple[str, ...]:
        """As COLUMNS has them."""
        return (
            f"{self.case} ({note})" if (note := self._note()) else self.case,
            self._measured(),
            self._beside(),
            NOTHING if self.ratio is None else TOO_SHORT if self._too_short() else told(self.ratio),
            self._aim(),
            self._reached(),
            f"`{self.command}`",
        )

    def _measured(self) -> str:
        if self.failed:
            return FAILED
        return NOT_MEASURED if self.measured is None else f"{told(self.measured)} {self.unit}"

    def _note(self) -> str:
        if not self._too_short():
            return self.note
        short = f"a run took {told(self.shortest)} s only"  # type: ignore[arg-type]
        return f"{self.note}; {short}" if self.note else short

    def _too_short(self) -> bool:
        return self.shortest is not None and self.shortest < RUN_SECONDS_MIN

    def _beside(self) -> str:
        if self.beside_measured is None:
            return self.beside or NOTHING
        return f"{self.beside}: {told(self.beside_measured)} {self.unit}"

    def _aim(self) -> str:
        if self.aim is None:
            return NOTHING
        unit = "" if self.aim.of == "ratio" else f" {self.unit}"
        return f"at {self.aim.at} {told(self.aim.limit)}{unit}{' as ratio' if self.aim.of == 'ratio' else ''}"

    def _reached(self) -> str:
        if self.aim is None:
            return NOTHING
        value = self.ratio if self.aim.of == "ratio" else self.measured
        if value is None:
            return NOT_MEASURED
        if self._too_short():
            return TOO_SHORT
        short = self.aim.limit - value if self.aim.at == "least" else value - self.aim.limit
        if short <= 0:
            return "yes"
        if not self.aim.limit:
            return "no"
        return f"no, by {told(100 * short / self.aim.limit)} %"


def at_least(limit: float) -> Aim:
    return Aim(limit, "least")


def at_most(limit: float) -> Aim:
    return Aim(limit, "most")


def ratio_at_least(limit: float) -> Aim:
    return Aim(limit, "least", "ratio")


def ratio_at_most(limit: float) -> Aim:
    return Aim(limit, "most", "ratio")


def failed(benchmark: str, why: str) -> Row:
    note = why.replace("|", "/")  # which would end its cell
    return Row(case=benchmark, command=f"{benchmark}.py", measured=None, unit="", note=note, failed=True)


def told(figure: float) -> str:
    """What was counted, as it is; else three digits, two behind the point at most, or all before it."""
    if isinstance(figure, int):
        return f"{figure:,}"
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Line by line, each as soon as its row is there."""
    yield line(COLUMNS)
    yield line(["---"] * len(COLUMNS))
    for row in rows:
        yield line(row.cells())


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def rows_of(benchmark: str, words: list[str]) -> list[Row]:
    """Of a module here, with the words of its command line."""
    module = importlib.import_module(benchmark)
    return list(module.rows(module.parser().parse_args(words)))


def of_several(runs: Sequence[list[Row]]) -> list[Row]:
    """Of runs of one benchmark the whole one whose first row is in the middle: so its rows belong together.

    That one may be lucky in its other rows, so each that has an aim says how far the runs are apart; and of what must
    not be at all the worst is told, of whichever run.
    """
    middle = sorted(runs, key=lambda run: run[0].measured or 0)[len(runs) // 2]
    if len(runs) == 1:
        return middle
    rows = [row for run in runs for row in run]
    return [_among(rows, row) for row in middle]


def _among(rows: list[Row], row: Row) -> Row:
    if row.aim is None:
        return row
    same = [one for one in rows if (one.case, one.beside) == (row.case, row.beside)]
    if row.aim.of == "measured" and not row.aim.limit:
        return max(same, key=lambda one: one.measured or 0)
    as_ratio = row.aim.of == "ratio"
    figures = [figure for one in same if (figure := one.ratio if as_ratio else one.measured) is not None]
    if not figures:
        return row
    unit = "as ratio" if as_ratio else row.unit
    apart = f"{told(min(figures))} to {told(max(figures))} {unit} in {len(figures)} runs"
    return replace(row, note=f"{row.note}; {apart}" if row.note else apart)


def show(parser: argparse.ArgumentParser, rows: Callable[[argparse.Namespace], Iterable[Row]]) -> None:
    """What a benchmark does when it is run by itself."""
    for one in table(rows(parser.parse_args())):
        print(one, flush=True)
