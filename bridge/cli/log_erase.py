"""`bridge log erase`: take out of the store what it holds of a person, a host or a problem."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.log_filters import utf8, words
from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import counted, plain, show_json, show_table
from bridge.cli.progress import progress

if TYPE_CHECKING:
    from bridge.alert import Json
    from bridge.erasure import Order, Outcome
    from bridge.sources.mention import Identifier
    from bridge.store.engine import Store
    from bridge.store.mentions import Mentions
    from bridge.store.rows import CorrelationRow

SHOWN_MAX = 20  # correlation IDs named on a terminal; --json has all
WHAT = {  # tables, as `Taken` names them
    "deliveries": "bodies of deliveries",
    "alerts": "quarantined alerts, which are discarded",
    "correlations": "texts of correlation IDs",
    "incidents": "incidents' fields as written and read",
    "intents": "writes' fields",
    "additions": "observables and facts beside incidents",
    "join_keys": "digests of joined values",
    "strays": "sentences about records",
    "log_entries": "sentences beside entries of the log",
}
LEFT = (
    "Not erased by this: the incidents in ServiceNow, checkpoints that were anchored, exports that were handed out, "
    'backups, and the service\'s log. See docs/correlation-log.md, "Erasing".'
)


@click.command(
    "erase",
    epilog=example(
        "bridge log erase --person ann@corp.example --dry-run",
        "bridge log erase --person ann@corp.example --reason 'request 4711' --yes",
    ),
)
@click.option("--person", callback=words, metavar="ID", help="A user name, mail address or number, as alerts have it.")
@click.option("--host", callback=words, metavar="NAME", help="A name or address, as alerts have it.")
@click.option(
    "--correlation",
    callback=words,
    metavar="ID",
    help="All that there is of one problem: correlation ID or incident number.",
)
@click.option(
    "--reason",
    callback=utf8,
    default="",
    metavar="TEXT",
    help="Why; it stands in the log, with your name. No name in it.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask. Needed where there is no terminal.")
@config_option
@json_option("One object")
def erase_command(
    person: str | None,
    host: str | None,
    correlation: str | None,
    reason: str,
    config: Path,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove values: bodies, and all that was rendered of them.

    Found are alerts in which the identifier is a value, or a word of its own in a text, whatever its case; give other
    spellings in runs of their own. Removed are their bodies as received and as unwrapped, and of their problems the
    fields that were written and read. Rows, counts, IDs and numbers stay, a delivery that comes again is a duplicate
    still, and the log verifies: its bytes hold no values.

    What belongs to an open problem, or to one that is being worked, is kept until that is over and is named; run it
    again then. Exit status: 0, 1 when something was kept.
    """
    given = {"person": person, "host": host, "correlation": correlation}
    named = [(kind, text) for kind, text in given.items() if text is not None]
    if len(named) != 1:
        raise click.UsageError("name one of --person, --host and --correlation")
    kind, text = named[0]
    if not (dry_run or yes or (sys.stdin.isatty() and not as_json)):
        raise click.UsageError("nobody can be asked here: look at it with --dry-run, then say --yes")
    from bridge.erasure import Order, erase, salted, survey

    with opened(config) as (_, store):
        found, correlation_id = _found(store, kind, text)
        salt, digest = salted(correlation_id or text)
        order = Order(kind=kind, digest=digest, correlation_id=correlation_id, reason=reason.strip(), actor=actor())
        outcome = survey(store, found, order)
        if not (dry_run or yes):
            _show(store, found, outcome, removed="would be removed")
            click.confirm("Remove it? It cannot be brought back.", abort=True)
        if not dry_run:
            with progress(len(found.correlations) + len(found.deliveries), "Erasing") as done:
                outcome = erase(store, found, order, done=done)
            forgotten = store.forget_history()
        if as_json:
            show_json(_as_json(store, found, outcome, order, salt=salt, dry_run=dry_run))
        else:
            _show(store, found, outcome, removed="would be removed" if dry_run else "removed")
            if not dry_run:
                _show_end(order, salt, forgotten=forgotten)
    if outcome.held_problems:
        click.get_current_context().exit(1)


def _found(store: Store, kind: str, text: str) -> tuple[Mentions, str | None]:
    """What is to be erased; of one problem, its ID as well. Raises UsageError, Permanent."""
    from bridge.cli.incidents import found_by
    from bridge.store.mentions import mentions_of, mentions_of_problems, to_look_through

    if kind == "correlation":
        with store.reading() as tx:
            rows: list[CorrelationRow] = found_by(tx, text)
        only = rows[0].correlation_id if len(rows) == 1 else None
        return mentions_of_problems(store, [row.row_id for row in rows]), only
    identifier = _identifier(kind, text)
    with store.reading() as tx:
        total = to_look_through(tx)
    with progress(total, "Looking") as looked:
        return mentions_of(store, identifier, looked=looked), None


def _identifier(kind: str, text: str) -> Identifier:
    from bridge.sources.mention import Identifier

    try:
        return Identifier(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{kind}") from error


def _show(store: Store, found: Mentions, outcome: Outcome, *, removed: str) -> None:
    rows = [(WHAT[name], count) for name, count in outcome.taken.counts.items()]
    show_table((removed.upper(), "ROWS"), rows, empty=f"There is nothing that {_could(removed)}.")
    if outcome.held_problems:
        problems = _named(store, outcome.held_problems)
        click.echo(
            f"Kept is what {counted(len(problems), 'problem')} still need, open or being worked: {_list(problems)} "
            f"(bodies: {len(outcome.held_deliveries)}). Run this again when they are over."
        )
    if found.correlation_ids:
        ids = sorted(found.correlation_ids)
        click.echo(f"Stays, for the log and ServiceNow carry it: {counted(len(ids), 'correlation ID')} ({_list(ids)}).")
    if found.entries:
        click.echo(f"Stays: of the log's entries {found.entries} hold it, in an ID or a name.")


def _show_end(order: Order, salt: str, *, forgotten: bool) -> None:
    click.echo(
        f"In the log it is `erased {order.digest}`. With the salt {salt}, which is kept nowhere, it can be shown"
    )
    click.echo("that this entry is about it: keep the salt with the request, or throw it away.")
    if not forgotten:
        click.echo("The WAL of the database could not be cleared, for somebody reads: run this again in a while.")
    click.echo(LEFT)


def _as_json(
    store: Store, found: Mentions, outcome: Outcome, order: Order, *, salt: str, dry_run: bool
) -> dict[str, Json]:
    return {
        "dry_run": dry_run,
        "removed": outcome.taken.counts,
        "kept_deliveries": sorted(outcome.held_deliveries),
        "kept_for": _named(store, outcome.held_problems),
        "correlation_ids": sorted(found.correlation_ids),
        "log_entries": found.entries,
        "identifier": None if dry_run else order.digest,
        "salt": None if dry_run else salt,
    }


def _named(store: Store, correlation_rows: set[int]) -> list[str]:
    from bridge.store.mentions import ids_of

    with store.reading() as tx:
        return ids_of(tx, correlation_rows)


def _could(removed: str) -> str:
    return "was removed" if removed == "removed" else removed


def _list(words: list[str]) -> str:
    shown = ", ".join(plain(word) for word in words[:SHOWN_MAX])
    return shown + (f" and {len(words) - SHOWN_MAX} more" if len(words) > SHOWN_MAX else "")
