"""`bridge log export`: the log, or a part of it, for somebody who need not trust us."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.log_filters import Moment, filter_of, filter_options, words
from bridge.cli.log_reading import entries_text, noted, sealed_head
from bridge.cli.log_since import from_option, grown_since, notes_in
from bridge.cli.opening import opened
from bridge.cli.options import config_option, example
from bridge.cli.output import time_text
from bridge.cli.output_file import STDOUT, output_file
from bridge.cli.progress import progress

if TYPE_CHECKING:
    from bridge.log.export import Filter, Piece
    from bridge.log.pieces import Tally
    from bridge.store.engine import Store
    from bridge.store.logbook import Seal

CSV = "csv"


@click.command(
    "export",
    epilog=example(
        "bridge log export --output log.jsonl",
        "bridge log export --output march.jsonl --since 2026-03-01 --until 2026-04-01",
        "bridge log export --output one.jsonl --correlation 'edr:web-1' --from kept.checkpoint",
        "bridge log export --output - --actor cli:robin --format csv | less",
    ),
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Where it goes, whole or not at all; - is stdout.",
)
@click.option("--replace", is_flag=True, help="Write over a file that is there.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", CSV]),
    default="jsonl",
    show_default=True,
    help="jsonl is what `bridge log verify` takes. csv is for reading only: it cannot be verified.",
)
@filter_options
@click.option("--incident", callback=words, metavar="NUMBER", help="Only what names this incident's record.")
@from_option
@config_option
def export_command(
    output: Path,
    form: str,
    since: Moment,
    until: Moment,
    source: str | None,
    correlation: str | None,
    incident: str | None,
    actor: str | None,
    earlier: Path | None,
    config: Path,
    *,
    replace: bool,
) -> None:
    """The log up to its newest checkpoint, with proofs.

    Or what the filters let through of it, each entry with the proof that it is in the log. `bridge log verify` checks
    it offline, with the public key alone.

    That the log was exported, by whom, and the file's SHA-256 is an entry of the log itself, committed before the file
    is there. A filter is held against every entry from --since on, some 100,000 a second.
    """
    from bridge.log.entries import Action
    from bridge.log.pieces import Tally

    if earlier is not None and form == CSV:
        raise click.UsageError("--from goes with jsonl: what is CSV cannot be verified")
    kept = [] if earlier is None else notes_in(earlier)
    with opened(config) as (settings, store), output_file(output, replace=replace) as file:
        asked = filter_of(
            store.moment(), since, until, source=source, correlation=correlation, incident=incident, actor=actor
        )
        head, newer = sealed_head(settings, store)
        tally, digest = Tally(), hashlib.sha256()
        with progress(head.size, "Exporting") as done:
            for line in _lines(store, asked, head, form, kept, tally, done):
                digest.update(line)
                file.write(line)
        told = {"filter": asked.named(), "format": form, "entries": tally.entries, "size": head.size}
        noted(store, Action.LOG_EXPORTED, told | {"sha256": digest.hexdigest()})
        # The log says that it was exported. If we die here it was not, and nobody has seen it.
        file.release()
    for sentence in (*_summary(head, tally, digest.hexdigest()), newer):
        if sentence:
            click.echo(sentence, err=output == STDOUT)


def _lines(
    store: Store,
    asked: Filter,
    head: Seal,
    form: str,
    kept: Sequence[str],
    tally: Tally,
    done: Callable[[int], None],
) -> Iterator[bytes]:
    from bridge.cli.log_csv import csv_lines
    from bridge.log.export import jsonl

    pieces = _pieces(store, asked, head.size, tally, done)
    if form == CSV:
        return csv_lines(pieces)
    grown = [grown_since(store, note, head) for note in kept]
    return jsonl(pieces, origin=head.origin, asked=asked.named(), checkpoint=head.note, consistency=grown)


def _pieces(store: Store, asked: Filter, size: int, tally: Tally, done: Callable[[int], None]) -> Iterator[Piece]:
    from bridge.log.export import Sieve
    from bridge.log.pieces import selected, whole
    from bridge.store.log_names import about_correlation, about_incident
    from bridge.store.logbook import first_since

    if not asked.named():
        return whole(store, size, tally, done)
    with store.reading() as tx:
        about = None if asked.correlation is None else about_correlation(tx, asked.correlation)
        record = None if asked.incident is None else about_incident(tx, asked.incident)
        first = 0 if asked.since is None else min(size, first_since(tx, asked.since))
    done(first)
    return selected(store, first, size, Sieve(asked, about, record), tally, done)


def _summary(head: Seal, tally: Tally, sha256: str) -> Iterator[str]:
    yield f"Exported {entries_text(tally.entries)} of a log of {head.size}, as it was sealed at {time_text(head.at)}."
    yield f"SHA-256 {sha256}"
    if tally.pruned:
        yield f"{entries_text(tally.pruned)} of it had been pruned before: only the hash of each is kept."
    untold = tally.untold()
    if untold is not None:
        yield (
            f"Of entry {untold} only the hash is there, and no entry of this export tells that it was pruned: "
            "it will not verify. Export again in a minute; if this stays, somebody took entries out of the database."
        )
    if tally.unreadable:
        first = tally.unreadable[0]
        yield (
            f"At {len(tally.unreadable)} indices, the first {first}, no entry is stored but something else: "
            "`bridge log verify` on a whole export says what."
        )
