"""Benchmarks one after the other, or a few at once, in one table. One that fails stops no other."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from row import Row, failed, of_several, rows_of, table

LAST_LINES = 8  # of what a benchmark that failed says
TIMES = 3  # that a benchmark without rounds of its own is run

Words = Mapping[str, str]  # of benchmarks: its name -> its command line


def run(
    words: Words,
    write: Callable[[list[str], list[Row]], None],
    *,
    at_once: int = 1,
    repeated: Collection[str] = (),
) -> None:
    """Prints the table, and has it written: its lines, and its rows. `repeated`: benchmarks that are run TIMES times.

    Raises SystemExit, and nothing is written, where a benchmark failed: a page without its rows would look whole.
    """
    lines, found = [], []
    for line in table(_kept(rows(words, at_once, repeated), found)):
        print(line, flush=True)
        lines.append(line)
    if broken := [row.command for row in found if row.failed]:
        raise SystemExit(f"failed, so that nothing was written: {', '.join(broken)}")
    write(lines, found)


def _kept(rows: Iterator[Row], found: list[Row]) -> Iterator[Row]:
    for row in rows:
        found.append(row)
        yield row


def rows(words: Words, at_once: int, repeated: Collection[str]) -> Iterator[Row]:
    """In their order, each as soon as it and those before it are there."""
    with ThreadPoolExecutor(at_once) as threads:
        running = {
            name: threads.submit(_runs, name, line, TIMES if name in repeated else 1) for name, line in words.items()
        }
        try:
            for name, runs in running.items():
                yield from _of(name, runs)
        finally:
            threads.shutdown(cancel_futures=True)


def _runs(name: str, line: str, times: int) -> list[list[Row]]:
    """Each run has a process of its own: what one leaves in memory is not in the figures of the next."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as process:
        return [process.submit(rows_of, name, line.split()).result() for _ in range(times)]


def _of(name: str, runs: Future[list[list[Row]]]) -> list[Row]:
    error = runs.exception()  # its own end, or its process is gone
    if error is None or isinstance(error, KeyboardInterrupt):
        return of_several(runs.result())
    said = "".join(traceback.format_exception(error)).strip().splitlines()
    print(f"{name} FAILED:", *said[-LAST_LINES:], sep="\n  ", file=sys.stderr, flush=True)
    return [failed(name, said[-1])]
