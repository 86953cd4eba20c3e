"""`bridge mapping plan`: what an edited mapping would change, told by the alerts that were received."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.moments import span
from bridge.cli.opening import opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import plain, show_json, show_table, to_json
from bridge.cli.progress import progress
from bridge.errors import Misconfigured, Permanent

if TYPE_CHECKING:
    from bridge.mapping.compile import Mapping
    from bridge.plan import Comparison, Plan
    from bridge.settings import Settings
    from bridge.store.engine import Store

NOTHING_CHANGES, WRONG, CHANGES = 0, 1, 2
SINCE_DEFAULT = timedelta(days=7)
SHOWN_DEFAULT = 10
VALUE_CHARACTERS_MAX = 160  # of a field in the text; --json has all of it


@click.command(
    "plan", epilog=example("bridge mapping plan elastic --since 7d", "bridge mapping plan --last 10000 --json")
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="The newest N alerts, whenever they came.")
@click.option("--since", callback=span, metavar="SPAN", help="The alerts of the last 90m, 4h, 7d. Default: 7d.")
@config_option
@json_option("An array with one object for each mapping")
@limit_option("At most N of each list.", default=SHOWN_DEFAULT)
def plan_command(
    names: tuple[str, ...], last: int | None, since: timedelta | None, config: Path, limit: int, *, as_json: bool
) -> None:
    """What an edited mapping would change, on alerts received.

    Replays them through the published mapping and the one on disk, and tells what differs: what would be created,
    updated and dropped, fields, and correlation IDs. Mappings of all sources, or those named.

    Nothing is written, and ServiceNow is not asked: people count as staying away, and both begin without incidents.

    Exits 2 when anything would change, 0 when nothing would, 1 when it cannot be told.
    """
    if last is not None and since is not None:
        raise click.UsageError("say --last or --since, not both")
    try:
        with opened(config) as (settings, store):
            pairs = _pairs(settings, store, names)
            plans = _plans(settings, store, pairs, last, since or SINCE_DEFAULT)
    except Misconfigured as error:
        for problem in error.problems:
            click.echo(" ".join(plain(problem).split()), err=True)
        raise click.exceptions.Exit(WRONG) from error
    same = [name for name, (published, edited) in pairs.items() if published == edited]
    if as_json:
        show_json([_as_json(plan, limit) for plan in plans] + [{"mapping": name, "changes": False} for name in same])
    else:
        for plan in plans:
            _show(plan, limit)
        for name in same:
            click.echo(f"{name}: the files on disk are what is published.")
    raise click.exceptions.Exit(CHANGES if any(plan.changes for plan in plans) else NOTHING_CHANGES)


def _pairs(settings: Settings, store: Store, names: tuple[str, ...]) -> dict[str, tuple[Mapping, Mapping]]:
    """name -> (published, edited). Raises Misconfigured, and Permanent for one that was never published."""
    from bridge.mapping.load import compile_files
    from bridge.publishing import load, used_by
    from bridge.store import revisions

    edited = load(settings, store.moment().date(), names or used_by(settings))
    with store.reading() as tx:
        ids = {name: row.revision_id for name, row in revisions.in_use(tx).items()}
        files = {name: revisions.load(tx, row)[1] for name in edited if (row := ids.get(name)) is not None}
    if absent := sorted(edited.keys() - files.keys()):
        remedy = f"`bridge mapping publish {' '.join(absent)} --note WHY`"
        raise Permanent("never_published", f"there is nothing to compare {', '.join(absent)} with: {remedy}")
    return {name: (compile_files(name, files[name]), mapping) for name, mapping in edited.items()}


def _plans(
    settings: Settings,
    store: Store,
    pairs: dict[str, tuple[Mapping, Mapping]],
    last: int | None,
    since: timedelta,
) -> list[Plan]:
    from bridge.store.bodies import Window, ids_within, pages, window_of_last

    comparisons = _comparisons(settings, pairs)
    of_source = {
        source.name: comparisons[source.mapping]
        for source in settings.sources.values()
        if source.mapping in comparisons
    }
    with store.reading() as tx:
        now = store.now(tx)
        if last is not None:
            window = window_of_last(tx, of_source.keys(), last)
        else:
            window = Window(sources=frozenset(of_source), since=now - since)
        ids = ids_within(tx, window)
    with progress(len(ids), "Replaying") as done:
        for page in pages(store, ids):
            for delivery in page:
                of_source[delivery.source].take(delivery)
            done(len(page))
    for comparison in comparisons.values():
        comparison.advance(now)
    return [comparison.plan() for comparison in comparisons.values()]


def _comparisons(settings: Settings, pairs: dict[str, tuple[Mapping, Mapping]]) -> dict[str, Comparison]:
    from bridge.correlation.policy import CloseWhen
    from bridge.plan import Comparison

    targets = settings.targets.values()
    closing = {target.name: target.close for target in targets if target.close is not None and target.close.code}
    closes = {target.name: CloseWhen.NEVER for target in targets} | {name: one.when for name, one in closing.items()}
    tables = {target.name: target.table for target in targets}
    return {
        name: Comparison(published, edited, tables=tables, closes=closes)
        for name, (published, edited) in sorted(pairs.items())
        if published != edited
    }


def _as_json(plan: Plan, limit: int) -> dict[str, Any]:
    shown: dict[str, Any] = to_json(plan)
    cut = {name: shown[name][:limit] for name in ("outcomes", "ids", "shapes")}
    return shown | cut | {"changes": plan.changes, "ids_changed": len(plan.ids)}


def _show(plan: Plan, limit: int) -> None:
    from bridge.library import REVISION_DIGITS

    published, edited = plan.published[:REVISION_DIGITS], plan.edited[:REVISION_DIGITS]
    erased = f"; of {_many(plan.erased, 'delivery', 'deliveries')} the body was erased" if plan.erased else ""
    click.echo(f"{plan.mapping}: {published} (published) and {edited} (disk)")
    replayed = f"{_many(plan.alerts, 'alert', 'alerts')} of {_many(plan.deliveries, 'delivery', 'deliveries')}"
    click.echo(f"Replayed: {replayed}{erased}.\n")
    counts = [(one.name, getattr(plan.before, one.name), getattr(plan.after, one.name)) for one in fields(plan.before)]
    rows = [(name, old, new, f"{new - old:+d}" if new != old else "") for name, old, new in counts]
    show_table(("", "PUBLISHED", "DISK", ""), rows, empty="")
    if plan.outcomes:
        click.echo("\nAlerts that would be settled otherwise:")
        for one in plan.outcomes[:limit]:
            click.echo(f"  {one.before} → {one.after}: {one.count}, the first {one.alert}")
        _more(len(plan.outcomes), limit)
    if plan.ids:
        click.echo(
            f"\nCorrelation IDs that would change: {len(plan.ids)}, of {_many(plan.ids_alerts, 'alert', 'alerts')}."
        )
        click.echo(f"New incidents for problems that have one open: {plan.new_incidents}.")
        for pair in plan.ids[:limit]:
            told = f"{_many(pair.count, 'alert', 'alerts')}, the first {pair.alert}{'; carried over' * pair.carried}"
            click.echo(plain(f"  {pair.before} → {pair.after}: {told}"))
        _more(len(plan.ids), limit)
    if plan.shapes:
        click.echo("\nFields that would differ:")
        for shape in plan.shapes[:limit]:
            _show_shape(shape)
        _more(len(plan.shapes), limit)
    click.echo("" if plan.changes else "\nNothing would change.")


def _show_shape(shape: Any) -> None:
    what = ", ".join(f"{change.field} {change.how}" for change in shape.example)
    click.echo(f"  {shape.operation}, {_many(shape.count, 'time', 'times')}: {what}; as of alert {shape.alert}:")
    for change in shape.example:
        for sign, value in (("-", change.before), ("+", change.after)):
            if value is not None:
                click.echo(f"    {sign} {change.field}: {_short(value)}")


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _short(value: str) -> str:
    text = " ".join(plain(value).split())
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 1] + "…"


def _more(many: int, limit: int) -> None:
    if many > limit:
        click.echo(f"  and {many - limit} more (--limit {many})")
