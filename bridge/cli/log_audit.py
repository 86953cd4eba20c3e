"""`bridge log audit`: what became of all that was received, what is open, and whether the record agrees with itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.log_filters import Moment, since_option, until_option
from bridge.cli.moments import at
from bridge.cli.opening import opened
from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import age, counted, plain, show_json, show_table, span, time_text, to_json

if TYPE_CHECKING:
    from bridge.log.statement import SourceFigures, Statement

WINDOW = timedelta(hours=24)  # where nothing else is asked for
BAR_CELLS = 12
# Of each alert what became of it; a terminal and a file show the same.
CELLS = (
    ("█", ("applied",)),
    ("▓", ("observed",)),
    ("▒", ("suppressed", "dropped", "discarded")),
    ("░", ("quarantined",)),
    ("?", ("open",)),
)
BAR_SAYS = "█ applied  ▓ observed  ▒ suppressed, dropped, discarded  ░ held in quarantine  ? open"


@click.command(
    "audit",
    epilog=example(
        "bridge log audit --day 2026-11-25", "bridge log audit --since 2026-11-01 --until 2026-12-01 --json"
    ),
)
@config_option
@json_option("One object")
@click.option("--day", metavar="YYYY-MM-DD", help="This UTC day.")
@since_option
@until_option
def audit_command(config: Path, day: str | None, since: Moment, until: Moment, *, as_json: bool) -> None:
    """Hold log, store and incidents against each other.

    Has every alert an end, every incident its alerts, every problem its incident? Does the log say what the store
    holds? Without --day or --since: of the last 24 hours.

    Reads only, in short transactions, beside a bridge that runs.

    Exit status: 1 when there are differences (a record that was lost, put in or changed; an alert that nothing would
    bring forward). What is open for a reason (braked, paused, waiting, failing, leased, for a person), held in
    quarantine or silent is named, however long it lasts, and is 0.

    \b
    --json: since, until, at, compared_from, outcome (complete | open | differences),
      sources: [{source, received, refused: {reason: n}, alerts, ends: {end: {rule: n}}, held, open, oldest_open,
                 creates, p99, worst, silence: {began, lasted, broken}}],
      open: [{source, correlation_id, target, alerts, oldest, why, text}], open_by: {why: n},
      differences: [{code, about, text}], difference_count. Spans are seconds.
    """
    from bridge.audit import audit
    from bridge.store.pruning import kept_from

    with opened(config) as (settings, store):
        now = store.moment()
        first, end = _period(day, since, until, now)
        expected = {name: source.expect_every for name, source in settings.sources.items()}
        with store.reading() as tx:
            oldest = kept_from(tx, settings.retention.log, now)
        found = audit(store, since=first, until=end, expected=expected, kept_from=oldest)
    if as_json:
        show_json(to_json(found) | {"outcome": found.word})
    else:
        _show(found)
    if found.difference_count:
        raise click.exceptions.Exit(1)


def _period(day: str | None, since: Moment, until: Moment, now: datetime) -> tuple[datetime, datetime]:
    if day is not None:
        if since is not None or until is not None:
            raise click.UsageError("--day is a period by itself: leave --since and --until out, or --day")
        first = _midnight(day)
        if first > now:
            raise click.BadParameter(f"{day} has not begun (UTC)", param_hint="--day")
        return first, first + timedelta(days=1)
    end = at(until, now) or now + timedelta(microseconds=1)
    try:
        first = at(since, now) or end - WINDOW
    except OverflowError as error:
        raise click.BadParameter("there is no day before it", param_hint="--until") from error
    if first >= end:
        raise click.BadParameter(f"{time_text(first)} is not before {time_text(end)}", param_hint="--since")
    return first, end


def _midnight(day: str) -> datetime:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day) is None:
            raise ValueError(day)
        return datetime.fromisoformat(day).replace(tzinfo=UTC)
    except ValueError as error:
        raise click.BadParameter(f"{day} is no day: write it as in 2026-11-25", param_hint="--day") from error


def _show(found: Statement) -> None:
    click.echo(f"From {time_text(found.since)} to {time_text(found.until)}, as it is at {time_text(found.at)}.")
    if found.compared_from is not None:
        click.echo(f"Store and log are compared from {time_text(found.compared_from)}: what was before is pruned.")
    click.echo()
    columns = ("", "SOURCE", "RECEIVED", "REFUSED", "ALERTS", "ENDS", "", "HELD", "OPEN", "OLDEST", "P99", "WORST")
    rows = [_row(one, found) for one in found.sources]
    show_table((*columns, "SILENCE"), rows, empty="No source is configured, and none has sent anything.")
    if rows:
        click.echo(f"\nENDS: {BAR_SAYS}\nP99, WORST: from the 200 to the incident, over the creates of the period.")
    if found.open:
        click.echo()
        many = sum(found.open_by.values())
        reasons = ", ".join(f"{count} {why.value}" for why, count in sorted(found.open_by.items()))
        longest = f"; the {len(found.open)} that are open longest" if many > len(found.open) else ""
        click.echo(f"{counted(many, 'problem')} with alerts that have no end yet ({reasons}){longest}:")
        open_rows = [
            (one.why, age(one.oldest, found.at), one.source, one.alerts, one.correlation_id, one.target, one.text)
            for one in found.open
        ]
        titles = ("WHY", "RECEIVED", "SOURCE", "ALERTS", "CORRELATION ID", "TARGET", "WHAT ENDS IT")
        show_table(titles, open_rows, empty="")
    if found.differences:
        click.echo()
        show_table(
            ("DIFFERENCE", "ABOUT", "WHAT"), [(one.code, one.about, one.text) for one in found.differences], empty=""
        )
    click.echo()
    click.echo(_verdict(found))


def _verdict(found: Statement) -> str:
    if found.difference_count:
        more = found.difference_count - len(found.differences)
        rest = f" ({more} more are not shown)" if more else ""
        return f"WRONG: the record does not agree with itself: {counted(found.difference_count, 'difference')}{rest}."
    if found.open_by:
        return "The record agrees with itself. Not everything has an end: each that is open has its reason."
    return "Complete: everything that was received has an end, and the record agrees with itself."


def _row(one: SourceFigures, found: Statement) -> tuple[object, ...]:
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(one.refused.items()))
    ends = ", ".join(
        f"{sum(rules.values())} {end.value}{_by_rule(end.value, rules)}" for end, rules in sorted(one.ends.items())
    )
    silence = span(one.silence.lasted) + (" (expected sooner)" if one.silence.broken else "") if one.silence else ""
    return (
        _lamp(one, found),
        one.source,
        one.received,
        refused or 0,
        one.alerts,
        _bar({end.value: sum(rules.values()) for end, rules in one.ends.items()}),
        ends,
        one.held,
        one.open,
        age(one.oldest_open, found.at),
        _took(one.p99),
        _took(one.worst),
        silence,
    )


def _by_rule(end: str, rules: Mapping[str, int]) -> str:
    """What decided it, where that tells more than the end does."""
    if end in ("suppressed", "quarantined"):
        return f" ({', '.join(f'{count} {plain(rule)}' for rule, count in sorted(rules.items()))})"
    return ""


def _lamp(one: SourceFigures, found: Statement) -> str:
    """The worst that is so of a source, in a word."""
    from bridge.log.statement import OPEN_LONG, Why

    if any(open_one.source == one.source and open_one.why is Why.LOST for open_one in found.open):
        return "lost"
    if one.oldest_open is not None and found.at - one.oldest_open > OPEN_LONG:
        return "late"
    if one.silence is not None and one.silence.broken:
        return "silent"
    if one.held:
        return "held"
    return "open" if one.open else "ok"


def _bar(ends: dict[str, int]) -> str:
    """The shares of what became of the alerts. What there is at all has a cell, however small its share."""
    counts = [(cell, sum(ends.get(end, 0) for end in of_cell)) for cell, of_cell in CELLS]
    total = sum(count for _, count in counts)
    if not total:
        return ""
    cells = {cell: max(1, count * BAR_CELLS // total) for cell, count in counts if count}
    widest = max(cells, key=lambda cell: cells[cell])
    cells[widest] += BAR_CELLS - sum(cells.values())
    return "".join(cell * cells[cell] for cell, _ in counts if cell in cells)


def _took(time: timedelta | None) -> str:
    if time is None:
        return ""
    return f"{time.total_seconds():.1f} s" if time < timedelta(minutes=1) else span(time)
