"""`bridge incidents strays` and `adopt`: records with our mark that are no incident here, and taking them in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import age, counted, show_json, show_table

if TYPE_CHECKING:
    from bridge.settings import Settings
    from bridge.store.adopting import Place


@click.command("strays", epilog=example("bridge incidents strays", "bridge incidents strays --json"))
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
def strays_command(config: Path, limit: int, *, as_json: bool) -> None:
    """Records with our mark that wait for a person.

    Orphans, those adopted whose problem no alert has told of yet, and twins that were not merged.
    """
    from bridge.store.queries import ROWS_MAX
    from bridge.store.strays import count_unsettled, list_told

    with opened(config) as (_, store), store.reading() as tx:
        found = list_told(tx, limit=min(limit, ROWS_MAX))
        now, unsettled = store.now(tx), count_unsettled(tx)
    if as_json:
        show_json(found)
        return
    columns = ("NUMBER", "CORRELATION ID", "INSTANCE", "TABLE", "FOUND", "WHAT", "WHAT TO DO")
    rows = [
        (row.number, row.correlation_id, row.instance, row.table, age(row.found_at, now), row.outcome, row.outcome_text)
        for row in found
    ]
    all_known = "Every record with our mark is the incident of a problem that is known here."
    show_table(columns, rows, empty=_unsettled(unsettled) if unsettled else all_known)
    if rows and unsettled:
        click.echo(_unsettled(unsettled))


@click.command("adopt", epilog=example("bridge incidents adopt INC0010042", "bridge incidents adopt --all"))
@click.argument("numbers", nargs=-1, metavar="[NUMBER]...")
@click.option("--all", "everything", is_flag=True, help="All orphans that are reported.")
@config_option
@json_option("One object")
def adopt_command(numbers: tuple[str, ...], config: Path, *, everything: bool, as_json: bool) -> None:
    """Take in orphans: records that this store has lost.

    They carry our mark, and are the incidents of their problems again.

    Nothing is written to ServiceNow by this; what is due is done by the `bridge serve` that is running.
    """
    if bool(numbers) == everything:
        raise click.UsageError("name the incidents, or say --all; `bridge incidents strays` shows them")
    from bridge.errors import Permanent
    from bridge.store.adopting import adopt
    from bridge.store.strays import count_unsettled, orphans

    done: dict[str, str] = {}
    with opened(config) as (settings, store):
        with store.reading() as tx:
            found, unsettled = orphans(tx, numbers if numbers else None), count_unsettled(tx)
        if absent := {number.upper() for number in numbers} - {stray.number for stray in found}:
            words = ", ".join(sorted(absent))
            raise Permanent("no_such_orphan", f"{words} is no orphan; `bridge incidents strays` shows those there are")
        for stray in found:
            with store.transaction() as tx:
                places = _places(settings, stray.instance, stray.table)
                done[stray.number] = adopt(tx, stray, places, actor=actor(), now=store.now(tx)).value
            # Committed, one by one: if we die here the others are orphans still, and the command may be given again.
    if as_json:
        show_json(done)
        return
    said = {"taken": "is the incident of its problem again", "expected": "is taken by the next alert of its problem"}
    for number, outcome in done.items():
        click.echo(f"{number} {said[outcome]}.")
    if not done:
        click.echo(_unsettled(unsettled) if unsettled else "There are no orphans.")


def _unsettled(many: int) -> str:
    return f"Still to be looked at: {counted(many, 'record')} with our mark. Ask again in a minute."


def _places(settings: Settings, instance: str, table: str) -> list[Place]:
    from bridge.errors import Permanent
    from bridge.sync.twins import places_of

    here = [t for t in settings.targets.values() if (t.instance, t.table) == (instance, table)]
    if not here:
        raise Permanent("no_target", f"no target of {settings.file} writes to {table} of {instance} any more")
    return places_of(here)
