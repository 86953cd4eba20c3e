"""The statement of completeness of a period: its figures, what is open, and the record held against itself.

Read an hour at a time, each in a snapshot of its own: no lock is held, no transaction is long, and what is kept in
memory does not grow with the period, but for eight bytes a create.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.log.statement import (
    Difference,
    Differences,
    End,
    Opens,
    SourceFigures,
    Span,
    Statement,
    Times,
    Why,
    lost,
    silence_of,
)
from bridge.store import crosscheck, figures
from bridge.store.engine import Store
from bridge.store.figures import Part

HOUR = timedelta(hours=1)


@dataclass(slots=True)
class _Source:
    """What is known of a source so far."""

    received: int = 0
    spans: list[Span] = field(default_factory=list)  # at most one for each hour with a delivery
    ends: Counter[tuple[End, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    times: Times = field(default_factory=Times)


class Stopped(Exception):
    """The audit was given up half-way."""


def audit(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    expected: Mapping[str, timedelta | None],
    kept_from: datetime | None,
    stopped: Callable[[], bool] = lambda: False,
) -> Statement:
    """All that was received from `since` up to `until`, as it stands now.

    `expected`: the configured sources and their `expect_every`. `kept_from`: entries and rows from before it may have
    been pruned, so nothing before it is compared. `stopped` is asked in between. Raises Stopped, and Transient as the
    store does.
    """
    now = store.moment()
    whole = Part(since=since, until=until)
    compared = Part(since=max(since, kept_from) if kept_from is not None else since, until=until)
    opens, differences = Opens(), Differences()
    with store.snapshot() as tx:
        names = sorted({*figures.sources(tx), *expected})
        before = {name: figures.last_before(tx, name, since) for name in names}
        held = figures.held(tx, until)
        listened_from = max(since, figures.began(tx) or since)
        after, last = crosscheck.neighbours(tx, names, compared)
    sources = {name: _Source() for name in names}
    for part in _parts(store, names, whole):
        _go_on(stopped)
        with store.snapshot() as tx:
            for name in names:
                _add(tx, name, sources[name], part)
            for (name, reason), count in figures.refused(tx, part).items():
                sources.setdefault(name, _Source()).refused[reason] += count
            for name, took in figures.creates(tx, part):
                sources.setdefault(name, _Source()).times.values.append(took)
        for name in names if part.until > compared.since else ():
            _compare(store, name, Part(since=max(part.since, compared.since), until=part.until), differences, stopped)
    for looked in _looks(store, compared, after, last, kept_from):
        _go_on(stopped)
        differences.add(looked)
    _open(store, until, now, opens, differences, stopped)
    heard = Part(since=listened_from, until=min(until, now))
    return Statement(
        since=since,
        until=until,
        at=now,
        compared_from=compared.since if compared.since > since else None,
        sources=tuple(
            _figures(name, one, before.get(name), heard, held.get(name, 0), opens, expected, known=name in names)
            for name, one in sorted(sources.items())
        ),
        open=opens.named(),
        open_by=opens.count,
        differences=differences.named(),
        difference_count=differences.count,
    )


def _parts(store: Store, names: Sequence[str], period: Part) -> Iterator[Part]:
    """The hours in which there is anything."""
    rest = period
    while True:
        with store.snapshot() as tx:
            part = figures.next_part(tx, names, rest, HOUR)
        if part is None:
            return
        yield part
        rest = Part(since=part.until, until=period.until)


def _add(tx: Connection, name: str, source: _Source, part: Part) -> None:
    count, span = figures.received(tx, name, part)
    if span is None:
        return
    source.received += count
    source.spans.append(span)
    source.ends.update(figures.ends(tx, name, part))


def _compare(store: Store, name: str, part: Part, differences: Differences, stopped: Callable[[], bool]) -> None:
    """The deliveries of a source. Of a storm that was quarantined and replayed each is a suspect."""
    with store.snapshot() as tx:
        suspects = crosscheck.suspects(tx, name, part)
    for start in range(0, len(suspects), crosscheck.PAGE):
        _go_on(stopped)
        with store.snapshot() as tx:
            differences.add(crosscheck.deliveries_differ(tx, suspects[start : start + crosscheck.PAGE]))


def _looks(
    store: Store, period: Part, after: int, before: int | None, kept_from: datetime | None
) -> Iterator[Sequence[Difference]]:
    """All that is compared page by page."""
    with store.snapshot() as tx:
        end = before if before is not None else crosscheck.newest_told(tx) + 1
    for start in range(after, end, crosscheck.ROWS_PAGE):
        with store.snapshot() as tx:
            yield crosscheck.unstored(tx, period, start, min(start + crosscheck.ROWS_PAGE + 1, end))
    by_pages: tuple[Callable[[Connection, int], tuple[list[Difference], int | None]], ...] = (
        lambda tx, row: crosscheck.intents_differ(tx, period, row),
        lambda tx, row: crosscheck.entries_differ(tx, period, row),
        crosscheck.problems_differ,
        lambda tx, row: crosscheck.incidents_differ(tx, row, pruned=kept_from is not None),
    )
    for look in by_pages:
        row: int | None = 0
        while row is not None:
            with store.snapshot() as tx:
                found, row = look(tx, row)
            yield found


def _open(
    store: Store, until: datetime, now: datetime, opens: Opens, differences: Differences, stopped: Callable[[], bool]
) -> None:
    after = 0
    while True:
        _go_on(stopped)
        with store.snapshot() as tx:
            page = figures.open_problems(tx, after)
            for one in figures.opens(tx, page, until=until, now=now):
                opens.add(one)
                if one.why is Why.LOST:
                    differences.add([lost(one)])
        if not page:
            return
        after = page[-1]


def _figures(
    name: str,
    one: _Source,
    before: datetime | None,
    heard: Part,
    held: int,
    opens: Opens,
    expected: Mapping[str, timedelta | None],
    *,
    known: bool,
) -> SourceFigures:
    """`heard`: of the period what this bridge has seen: before it was there nobody was silent."""
    silence = silence_of(before, one.spans, heard.since, heard.until, expected.get(name))
    return SourceFigures(
        source=name,
        received=one.received,
        refused=dict(one.refused),
        alerts=one.ends.total(),
        ends=figures.by_end(one.ends),
        held=held,
        open=opens.alerts.get(name, 0),
        oldest_open=opens.oldest.get(name),
        creates=len(one.times.values),
        p99=one.times.p99(),
        worst=one.times.worst(),
        silence=silence if known else None,
    )


def _go_on(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise Stopped
