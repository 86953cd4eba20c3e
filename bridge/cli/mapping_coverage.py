"""`bridge mapping coverage`: which routes, rows, suppressions and alternatives are ever come to."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.mapping_folder import chosen, folder_and_tables, optional_config, recorded
from bridge.cli.options import CONFIG_DEFAULT, example, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from bridge.mapping.compile import Mapping
    from bridge.mapping.coverage import Coverage, Point, Sort
    from bridge.store.rows import AlertRow


COLUMNS = ("MAPPING", "MATCHES", "ALTERNATIVES", "ROWS", "SUPPRESSIONS", "ROUTES", "OUTPUTS", "COVERED")  # as Sort is


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One mapping and what came to its places."""

    mapping: str
    by: str  # "10 tests", "500 stored alerts"
    points: list[Point]

    @property
    def hit(self) -> int:
        return sum(point.hits > 0 for point in self.points)


@click.command(
    epilog=example(
        "bridge mapping coverage elastic", "bridge mapping coverage | grep never", "bridge mapping coverage --last 1000"
    )
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--last", type=click.IntRange(min=1), metavar="N", help="Over the newest N stored alerts of each, not its tests."
)
@optional_config
@json_option("An array with one object for each mapping")
def coverage(names: tuple[str, ...], last: int | None, config: Path | None, *, as_json: bool) -> None:
    """Count the alerts that come to each place.

    Places are routes, rows of tables, suppressions, and the alternatives of `??` and of `match`.
    The alerts are those of the mappings' tests. With --last they are stored ones, each mapped by the file as it is now
    and rendered as if it opened an incident. What no alert came to is marked `never`. Exits 0 whatever the count.
    """
    from bridge.cli.output import show_json

    folder, tables = folder_and_tables(config)
    covered = [
        _by_tests(name, folder, tables) if last is None else _by_store(name, folder, tables, config, last)
        for name in chosen(folder, names)
    ]
    if as_json:
        show_json([{"mapping": one.mapping, "by": one.by, "hit": one.hit, "points": one.points} for one in covered])
    else:
        _show(covered)


def _by_tests(name: str, folder: Path, tables: dict[str, str]) -> Covered:
    from bridge.cli.output import counted
    from bridge.mapping.coverage import Coverage
    from bridge.mapping.load import load_mappings
    from bridge.mapping.trial import try_mapping

    mapping, recorder = recorded(folder, name)
    coverage = Coverage(recorder)
    trials = try_mapping(mapping, folder, tables, beside=load_mappings(folder, [name])[name])
    coverage.count()
    failed = sum(not trial.passed for trial in trials)
    by = counted(len(trials), "test") + (f", {failed} of which fail (see `bridge mapping test`)" if failed else "")
    return Covered(mapping=name, by=by, points=coverage.points())


def _by_store(name: str, folder: Path, tables: dict[str, str], config: Path | None, last: int) -> Covered:
    from bridge.cli.opening import opened
    from bridge.cli.output import counted
    from bridge.mapping.coverage import Coverage
    from bridge.store.queries import list_alerts

    mapping, recorder = recorded(folder, name)
    coverage, erased = Coverage(recorder), 0
    with opened(config or CONFIG_DEFAULT) as (settings, store), store.reading() as tx:
        sources = [source.name for source in settings.sources.values() if source.mapping == name]
        alerts = list_alerts(tx, limit=last, sources=sources)
        for delivery, its_alerts in groupby(alerts, key=lambda alert: int(alert.id.partition("-")[0])):
            erased += _count_delivery(tx, delivery, list(its_alerts), coverage, mapping, tables)
    by = counted(len(alerts) - erased, "stored alert") + (f"; the bodies of {erased} more are erased" if erased else "")
    return Covered(mapping=name, by=by, points=coverage.points())


def _count_delivery(
    tx: Connection, delivery: int, alerts: list[AlertRow], coverage: Coverage, mapping: Mapping, tables: dict[str, str]
) -> int:
    """How many of its alerts cannot be counted, because the body was erased."""
    from bridge.errors import Unmappable
    from bridge.mapping.explain import Setting
    from bridge.sources.document import decode
    from bridge.store.queries import content_of

    body = content_of(tx, delivery)
    if body is None:
        return len(alerts)
    try:
        document = decode(body)
    except Unmappable:  # it came to nothing in the mapping
        return 0
    for alert in alerts:
        setting = Setting(now=alert.received_at, source=alert.source, tables=tables)
        coverage.count_alert(mapping, document, int(alert.id.partition("-")[2]), setting)
    return 0


def _show(covered: list[Covered]) -> None:
    from bridge.cli.output import show_table
    from bridge.mapping.coverage import Sort

    for one in covered:
        click.echo(f"{one.mapping}, by {one.by}")
        rows = [(point.hits or "never", point.what, point.place) for point in one.points]
        show_table(("HITS", "WHAT", "PLACE"), rows, empty="The mapping has no place to choose at.")
        click.echo()
    show_table(COLUMNS, [_summary(one, list(Sort)) for one in covered], empty="")


def _summary(one: Covered, sorts: Sequence[Sort]) -> tuple[str, ...]:
    counts = []
    for sort in sorts:
        hits = [point.hits > 0 for point in one.points if point.sort is sort]
        counts.append(f"{sum(hits)}/{len(hits)}" if hits else "-")
    share = f"{100 * one.hit // len(one.points)}%" if one.points else "-"
    return (one.mapping, *counts, share)
