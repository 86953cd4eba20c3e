"""`--from`: that the log has only grown since a checkpoint which somebody has kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.log_reading import entries_text
from bridge.errors import Permanent

if TYPE_CHECKING:
    from bridge.log.export import Consistency
    from bridge.store.engine import Store
    from bridge.store.logbook import Seal

CHECKPOINTS_MAX = 1_000  # of an anchor's file the newest

from_option = click.option(
    "--from",
    "earlier",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CHECKPOINT",
    help="A file with an earlier checkpoint, or lines of an anchor: the export proves that the log only grew since.",
)


def notes_in(path: Path) -> list[str]:
    """Raises click.BadParameter when the file has no checkpoint in it."""
    from bridge.log.note import BadNote, unverified
    from bridge.log.verify import Misuse, kept_in

    try:
        notes = [one.note for one in kept_in(path.read_text("utf-8"))[-CHECKPOINTS_MAX:]]
        for note in notes:
            unverified(note)
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="--from") from error
    except (Misuse, BadNote, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} holds no checkpoint: {error}", param_hint="--from") from error
    return notes


def grown_since(store: Store, kept: str, head: Seal) -> Consistency:
    """The proof that the log has only grown since. Raises Permanent when it has not."""
    from bridge.log.export import Consistency
    from bridge.log.note import unverified
    from bridge.log.tree import BadProof, consistency_proof, verify_consistency
    from bridge.store.logbook import hash_reader

    old, now = unverified(kept), unverified(head.note)
    without = (
        "Export without --from, and hand the checkpoint over with it: `bridge log verify --from` says what is wrong."
    )
    if old.origin != now.origin:
        raise Permanent("other_log", f"the checkpoint is of {old.origin}, and this log is {now.origin}")
    if old.size > now.size:
        text = f"the checkpoint was signed for {entries_text(old.size - now.size)} more than this store has sealed."
        raise Permanent("log_cut_back", f"{text} {without}")
    with store.reading() as tx:
        proof = consistency_proof(old.size, now.size, hash_reader(tx))
    try:
        verify_consistency(old.size, now.size, old.root, now.root, proof)
    except BadProof as error:
        raise Permanent("log_changed", f"this log does not begin as the checkpoint says: {error}. {without}") from error
    return Consistency(note=kept, proof=proof)
