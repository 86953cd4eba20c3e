"""`bridge log`: the correlation log, entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.log_verify import verify_command
from bridge.cli.opening import opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import show_json, show_table
from bridge.cli.story import entry_as_json, entry_text

if TYPE_CHECKING:
    from bridge.log.entries import Action, Entry


@click.group(epilog=example("bridge log show --limit 20"))
def log() -> None:
    """Read the correlation log."""


for command in (verify_command,):
    log.add_command(command)


@log.command("show", epilog=example("bridge log show --limit 20", "bridge log show --action failed --json"))
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
@click.option("--source", metavar="NAME", help="Only of this source.")
@click.option("--correlation", "words", metavar="ID", help="Only of this correlation ID, or incident number.")
@click.option("--action", "action_word", metavar="WORD", help="Only of this kind: delivered, decided, failed, …")
def show_command(
    config: Path, limit: int, source: str | None, words: str | None, action_word: str | None, *, as_json: bool
) -> None:
    """The newest entries, newest last."""
    from bridge.cli.incidents import found_by
    from bridge.store.queries import list_log

    action = _action(action_word)
    with opened(config) as (_, store), store.reading() as tx:
        correlation_rows = None if words is None else [row.row_id for row in found_by(tx, words)]
        found = list_log(tx, limit=limit, source=source, correlation_rows=correlation_rows, action=action)
    found.reverse()
    if as_json:
        show_json([entry_as_json(row) for row in found])
        return
    rows = [
        (
            row.id,
            row.entry.at,
            row.entry.action,
            row.entry.actor,
            row.entry.correlation_id or row.entry.target or _revision(row.entry),
            entry_text(row.entry, row.said),
        )
        for row in found
    ]
    show_table(("ENTRY", "AT", "ACTION", "ACTOR", "ABOUT", "WHAT"), rows, empty="No entries.")


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
