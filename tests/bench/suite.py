"""Benchmarks one after the other, or some at once, in one table. One that fails stops no other."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from row import Row, failed, of_several, rows_of, table

LAST_LINES = 8  # of what a benchmark that failed says
TIMES = 3  # that a benchmark without rounds of its own is run

Words = Mapping[str, str]  # of benchmarks: its name -> its command line


def run(
    groups: Iterable[Words], write: Callable[[list[str], list[Row]], None], *, repeated: Collection[str] = ()
) -> None:
    """Prints the table, and has it written: its lines, and its rows. `repeated`: benchmarks that are run TIMES times.

    Raises SystemExit, and nothing is written, where a benchmark failed: a page without its rows would look whole.
    """
    lines, found = [], []
    for line in table(_kept(rows(groups, repeated), found)):
        print(line, flush=True)
        lines.append(line)
    if broken := [row.command for row in found if row.failed]:
        raise SystemExit(f"failed, so that nothing was written: {', '.join(broken)}")
    write(lines, found)


def _kept(rows: Iterator[Row], found: list[Row]) -> Iterator[Row]:
    for row in rows:
        found.append(row)
        yield row


def rows(groups: Iterable[Words], repeated: Collection[str]) -> Iterator[Row]:
    """Each run has a process of its own: what one leaves in memory is not in the figures of the next. Those of a group
    run at once.
    """
    for group in groups:
        print(f"{', '.join(group)} ...", file=sys.stderr, flush=True)
        with contextlib.ExitStack() as stack:
            running = {}
            for name, words in group.items():
                pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
                process = stack.enter_context(pool)
                times = TIMES if name in repeated else 1
                running[name] = [process.submit(rows_of, name, words.split()) for _ in range(times)]
            for name, runs in running.items():
                yield from _of(name, runs)


def _of(name: str, runs: Sequence[Future[list[Row]]]) -> list[Row]:
    error = next((error for run in runs if (error := run.exception())), None)  # its own end, or its process is gone
    if error is None or isinstance(error, KeyboardInterrupt):
        return of_several([run.result() for run in runs])
    said = "".join(traceback.format_exception(error)).strip().splitlines()
    print(f"{name} FAILED:", *said[-LAST_LINES:], sep="\n  ", file=sys.stderr, flush=True)
    return [failed(name, said[-1])]
