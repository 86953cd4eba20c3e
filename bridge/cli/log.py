"""`bridge log`: the correlation log, entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.log_audit import audit_command
from bridge.cli.log_erase import erase_command
from bridge.cli.log_export import export_command
from bridge.cli.log_filters import Moment, filter_of, filter_options
from bridge.cli.log_proof import checkpoint_command, prove_command
from bridge.cli.log_reading import noted
from bridge.cli.log_verify import verify_command
from bridge.cli.opening import opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import show_json, show_table
from bridge.cli.story import entry_as_json, entry_text

if TYPE_CHECKING:
    from bridge.log.entries import Action, Entry


@click.group(epilog=example("bridge log show --limit 20", "bridge log export --output log.jsonl"))
def log() -> None:
    """Read the correlation log, and hand it to those who need not trust us.

    That somebody read or exported it is an entry of the log itself.
    """


for command in (audit_command, export_command, verify_command, prove_command, checkpoint_command, erase_command):
    log.add_command(command)


@log.command(
    "show",
    epilog=example("bridge log show --limit 20", "bridge log show --since 4h --action failed --json"),
)
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
@filter_options
@click.option("--action", "action_word", metavar="WORD", help="Only of this kind: delivered, decided, failed, …")
def show_command(
    config: Path,
    limit: int,
    since: Moment,
    until: Moment,
    source: str | None,
    correlation: str | None,
    actor: str | None,
    action_word: str | None,
    *,
    as_json: bool,
) -> None:
    """The newest entries, newest last.

    Each with its number and, once it is sealed, its index in the log.

    That the log was read is an entry of the log itself.
    """
    from bridge.cli.incidents import found_by
    from bridge.log.entries import Action
    from bridge.store.log_list import list_log
    from bridge.store.logbook import indices_of

    action = _action(action_word)
    with opened(config) as (_, store):
        asked = filter_of(store.moment(), since, until, source=source, correlation=correlation, actor=actor)
        with store.reading() as tx:
            correlations = None if correlation is None else [row.row_id for row in found_by(tx, correlation)]
            found = list_log(
                tx,
                limit=limit,
                source=source,
                correlation_rows=correlations,
                action=action,
                since=asked.since,
                until=asked.until,
                actor=actor,
            )
            found.reverse()
            index_of = indices_of(tx, [row.id for row in found])
        of_action = {} if action is None else {"action": action.value}
        noted(store, Action.LOG_READ, {"filter": asked.named() | of_action, "entries": len(found)})
    if as_json:
        show_json([entry_as_json(row) | {"index": index_of.get(row.id)} for row in found])
        return
    rows = [
        (
            row.id,
            index_of.get(row.id),
            row.entry.at,
            row.entry.action,
            row.entry.actor,
            row.entry.correlation_id or row.entry.target or _revision(row.entry),
            entry_text(row.entry, row.said),
        )
        for row in found
    ]
    show_table(("ENTRY", "INDEX", "AT", "ACTION", "ACTOR", "ABOUT", "WHAT"), rows, empty="No entries.")


def _revision(entry: Entry) -> str:
    return f"{entry.mapping} {entry.revision or ''}".rstrip() if entry.action == "published" else ""


def _action(word: str | None) -> Action | None:
    from bridge.log.entries import Action

    if word is None:
        return None
    try:
        return Action(word)
    except ValueError as error:
        known = ", ".join(action.value for action in Action)
        raise click.BadParameter(f"{word} is none; known: {known}", param_hint="--action") from error
