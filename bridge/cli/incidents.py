"""`bridge incidents`: correlations with their incidents, the story of one, and a nudge to those that wait."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import age, counted, plain, show_facts, show_json, show_table, time_text, to_json
from bridge.cli.strays import adopt_command, strays_command

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.alert import Json
    from bridge.settings import Settings
    from bridge.store.engine import Store
    from bridge.store.rows import AdditionRow, CorrelationRow

STEPS_DEFAULT = 200  # of a story
SYNC_PAGE = 200  # asked for in one transaction: intake waits no longer than for one of its batches


@click.group(epilog=example("bridge incidents list", "bridge incidents show INC0010001"))
def incidents() -> None:
    """Correlations, their incidents, and why they wait."""


for command in (strays_command, adopt_command):
    incidents.add_command(command)


@incidents.command("list", epilog=example("bridge incidents list", "bridge incidents list --json --limit 1000"))
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
def list_command(config: Path, limit: int, *, as_json: bool) -> None:
    """Correlations, the newest first, each with its newest incident."""
    from bridge.store.queries import list_correlations

    with opened(config) as (settings, store), store.reading() as tx:
        found = list_correlations(tx, limit=limit)
        now, failing = store.now(tx), failing_targets(tx)
    if as_json:
        show_json([_as_object(row, settings, waits(row, now, failing)) for row in found])
        return
    columns = ("CORRELATION ID", "STATUS", "SEVERITY", "COUNT", "INCIDENT", "STATE", "TARGET", "DECISION", "WAITS")
    rows = [
        (
            row.correlation_id,
            row.status,
            row.severity,
            row.count,
            _numbered(row),
            row.state,
            row.target or "drop",
            row.last_decision,
            waits(row, now, failing),
        )
        for row in found
    ]
    show_table(columns, rows, empty="No correlations yet: `bridge alerts list` shows what was received.")


@incidents.command(
    "show", epilog=example("bridge incidents show INC0010001", "bridge incidents show 'edr:web-1' --json")
)
@click.argument("words", metavar="CORRELATION_ID|NUMBER")
@config_option
@json_option("One object")
@limit_option("The newest N steps of the story.", STEPS_DEFAULT)
@click.option("--tenant", metavar="NAME", help="Where several tenants have this correlation ID.")
def show_command(words: str, config: Path, limit: int, tenant: str | None, *, as_json: bool) -> None:
    """The whole story of one correlation.

    What arrived, what was decided, what ServiceNow was told.
    """
    from bridge.cli.story import rows_of, step_as_json, steps_of
    from bridge.store.additions import of_incidents
    from bridge.store.log_list import entries_of
    from bridge.store.queries import alerts_of, incidents_of, intents_of

    with opened(config) as (settings, store), store.reading() as tx:
        row = _only_one(found_by(tx, words), words, tenant)
        now = store.now(tx)
        waiting = waits(row, now, failing_targets(tx))
        incident_rows = incidents_of(tx, row.row_id)
        alerts = alerts_of(tx, row.row_id, limit=limit + 1)
        entries = entries_of(tx, row.row_id, incident_rows, limit=limit + 1)
        intents = intents_of(tx, incident_rows, limit=limit + 1)
        beside = of_incidents(tx, incident_rows)
    every_step = steps_of(alerts, entries, intents, of=row.correlation_id)
    steps = every_step[-limit:]
    complete = len(steps) == len(every_step)
    if as_json:
        shown = _as_object(row, settings, waiting)
        story = [step_as_json(step) for step in steps]
        alerts_shown, additions = to_json(alerts[:limit]), to_json(beside)
        show_json({**shown, "alerts": alerts_shown, "additions": additions, "story": story, "complete": complete})
        return
    _show(row, [_beside(one, settings, row, now) for one in beside], waiting)
    click.echo()
    if not complete:
        click.echo(f"(The newest {len(steps)} steps; --limit shows more.)")
    show_table(("AT", "WHAT", ""), rows_of(steps), empty="Nothing is known of it.")


@incidents.command("sync", epilog=example("bridge incidents sync INC0010001", "bridge incidents sync --all"))
@click.argument("words", nargs=-1, metavar="[CORRELATION_ID|NUMBER]...")
@click.option("--all", "everything", is_flag=True, help="All that failed, wait for a person, or go without something.")
@config_option
@json_option("One object")
def sync_command(words: tuple[str, ...], config: Path, *, everything: bool, as_json: bool) -> None:
    """Look again at once, after a repair.

    Nothing is forced: the decision is made as ever, by the `bridge serve` that is running.
    """
    if bool(words) == everything:
        raise click.UsageError("name correlations or incidents, or say --all")
    with opened(config) as (_, store):
        asked, paused = _ask_for_all(store) if everything else _ask_for(store, words)
    if as_json:
        show_json({"asked": asked, "paused": sorted(paused)})
        return
    click.echo(
        f"Asked for {asked} of them; `bridge incidents list` shows what comes of it." if asked else "Nothing waits."
    )
    for target in sorted(paused):
        click.echo(f"Nothing is written to {target} before `bridge targets resume {target}`: it is paused.")


@incidents.command("split", epilog=example("bridge incidents split 'edr:web-1:lsass'"))
@click.argument("correlation_id", metavar="CORRELATION_ID")
@config_option
@json_option("One object")
@click.option("--tenant", metavar="NAME", help="Where several tenants have this correlation ID.")
def split_command(correlation_id: str, config: Path, tenant: str | None, *, as_json: bool) -> None:
    """Take a correlation out of the incident that it joined.

    It gets an incident of its own, and joins this one no more. Both incidents say so.
    """
    from bridge.store.joins import split

    with opened(config) as (_, store), store.transaction() as tx:
        row = _only_one(found_by(tx, correlation_id), correlation_id, tenant)
        split(tx, row.row_id, actor=actor(), now=store.now(tx))
    if as_json:
        show_json({"correlation_id": row.correlation_id, "split_from": row.number, "shared_with": row.shared_with})
        return
    click.echo(f"{row.correlation_id} is taken out of {row.number}: `bridge incidents list` shows what comes of it.")
    for target in sorted(_paused([row])):
        click.echo(f"Nothing is written to {target} before `bridge targets resume {target}`: it is paused.")


def failing_targets(tx: Connection) -> dict[str, str]:
    """Where the instance does not answer, or takes no credentials: what is due there may wait without having failed."""
    from bridge.servicenow.breaker import CREDENTIALS, DOWN
    from bridge.store.queries import failing_at

    return failing_at(tx, DOWN | CREDENTIALS | {"instance_held"})


def waits(row: CorrelationRow, now: datetime, failing: Mapping[str, str]) -> str:
    """Why a correlation, or what goes beside its incident, is not in step with ServiceNow, and what ends it; "" when
    all is. `failing`: failing_targets."""
    failure = ": ".join(part for part in (row.failure, row.failure_text) if part)
    if row.waits_for_person:
        return f"for a person: {failure.rstrip('.')}; then `bridge incidents sync`"
    if row.due_at is None and row.given_up:
        return (
            f"goes without {counted(row.given_up, 'addition')}: `bridge incidents show`, then `bridge incidents sync`"
        )
    if row.due_at is None:
        return ""
    if row.paused_at is not None:
        return f"target {row.target} is paused: `bridge targets resume {row.target}`"
    if row.failures:
        again = "now" if row.due_at <= now else age(row.due_at, now)
        return f"{failure.rstrip('.')} (failed {counted(row.failures, 'time')}, again {again})"
    from bridge.store.backlog import WAITS_TO_JOIN
    from bridge.store.brake import BRAKED, RELEASED_WAITS

    if row.last_decision in (WAITS_TO_JOIN, RELEASED_WAITS):
        return f"for the incident that it joins, which is being created; looks again {age(row.due_at, now)}"
    if row.last_decision == BRAKED:
        again = age(row.due_at, now)
        return f"for `max_creates_per_hour`, looks again {again}: or `bridge targets release {row.target}`"
    if row.due_at <= now and (why := failing.get(row.target or "")):
        return f"due now, while {row.target} is left alone or fails: {why.rstrip('.')}"
    return "due now" if row.due_at <= now else f"looks again {age(row.due_at, now)}"


def _numbered(row: CorrelationRow) -> str | None:
    """The incident's number, and how many share it."""
    many = len(row.shared_with) + 1
    return f"{row.number} ({many} share it)" if row.number is not None and many > 1 else row.number


def found_by(tx: Connection, words: str) -> list[CorrelationRow]:
    """At least one; what is not found is an error that says where to look."""
    from bridge.errors import Permanent
    from bridge.store.queries import find_correlations

    found = find_correlations(tx, words)
    if not found:
        text = f"there is no correlation ID or incident number {shlex.quote(words)}; `bridge incidents list` shows them"
        raise Permanent("no_such_correlation", text)
    return found


def _only_one(found: list[CorrelationRow], words: str, tenant: str | None) -> CorrelationRow:
    found = [row for row in found if tenant in (None, row.tenant)]
    if not found:
        raise click.UsageError(f"{words} is not of tenant {tenant}")
    if len({row.tenant for row in found}) > 1:
        tenants = ", ".join(row.tenant for row in found)
        raise click.UsageError(f"several tenants have {words}: say --tenant with one of {tenants}")
    if len({row.incident for row in found}) > 1:
        ids = ", ".join(row.correlation_id for row in found)
        raise click.UsageError(f"several incidents have the number {words}: name the correlation ID, one of {ids}")
    return found[0]  # of several that share one incident, the first led to it


def _as_object(row: CorrelationRow, settings: Settings, waiting: str) -> dict[str, Json]:
    shown: dict[str, Json] = to_json(row)
    target = settings.targets.get(row.target or "")
    del shown["row_id"], shown["incident"]  # numbers of this store alone
    shown["instance"] = target.instance if target else None
    shown["table"] = target.table if target else None
    shown["waits"] = waiting
    return shown


def _show(row: CorrelationRow, beside: Sequence[str], waiting: str) -> None:
    seen = f"{counted(row.count, 'alert')}, first {time_text(row.first_seen)}, last {time_text(row.last_seen)}"
    show_facts(
        [
            ("Correlation ID", row.correlation_id),
            ("Tenant", row.tenant),
            ("Source", f"{row.source}, mapping {row.mapping}"),
            ("Status", row.status),
            ("Severity", row.severity),
            ("Seen", seen),
            ("Incident", row.number),
            ("Opened for", row.opened_for if row.shared_with and row.opened_for != row.correlation_id else None),
            ("Shared with", ", ".join(row.shared_with) or None),
            ("State", row.state),
            ("As we last wrote it", f"state {plain(row.record_state)}" if row.record_state else None),
            ("Episode", row.episode or None),
            ("Target", row.target or "drop"),
            ("Last decision", row.last_decision),
            ("Waits", waiting),
            *(("Beside it", one) for one in beside),
        ]
    )


def _beside(one: AdditionRow, settings: Settings, row: CorrelationRow, now: datetime) -> str:
    """`output:alarm of INC0010001: given up, no_enrichment_path: <why, and what to do>`."""
    from bridge.settings import Mode

    said = one.outcome.replace("_", " ")
    if one.outcome == "waits" and one.due_at is not None:
        target = settings.targets.get(one.target)
        if row.target == one.target and row.paused_at is not None:
            said = f"waits: target {one.target} is paused"
        elif target is not None and target.mode is Mode.OBSERVE:
            said = f"waits: target {one.target} is only observed"
        else:
            said = f"waits, tries again {age(one.due_at, now) if one.due_at > now else 'now'}"
            said += f", was sent {counted(one.tries, 'time')}" if one.tries else ""
    reason = ": ".join(part for part in (one.code, one.text) if part)
    return ", ".join(part for part in (f"{one.kind} of {one.number or '?'}: {said}", reason) if part)


def _ask_for(store: Store, words: tuple[str, ...]) -> tuple[int, set[str]]:
    """(how many, the paused targets among theirs)"""
    from bridge.store.orders import ask_sync

    with store.transaction() as tx:
        rows = {row.row_id: row for one in words for row in found_by(tx, one)}
        ask_sync(tx, list(rows.values()), actor=actor(), now=store.now(tx))
    return len(rows), _paused(rows.values())


def _ask_for_all(store: Store) -> tuple[int, set[str]]:
    from bridge.store.orders import ask_sync
    from bridge.store.queries import list_correlations

    asked, paused, before = 0, set[str](), None
    while True:
        with store.transaction() as tx:
            rows = list_correlations(tx, limit=SYNC_PAGE, before=before, stuck_only=True)
            ask_sync(tx, rows, actor=actor(), now=store.now(tx))
        # Committed: these are due. If we die here the older ones still wait, and the command may be given again.
        if not rows:
            return asked, paused
        paused |= _paused(rows)
        asked, before = asked + len(rows), rows[-1].row_id


def _paused(rows: Iterable[CorrelationRow]) -> set[str]:
    return {row.target for row in rows if row.target is not None and row.paused_at is not None}
