"""`bridge log prove` and `bridge log checkpoint`: that one entry is in the log, and the signed head of it all."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.log_reading import noted, sealed_head
from bridge.cli.log_since import from_option, grown_since, notes_in
from bridge.cli.opening import opened
from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import plain, show_facts, show_json, time_text
from bridge.errors import Permanent

if TYPE_CHECKING:
    from bridge.log.export import Kept
    from bridge.store.engine import Store
    from bridge.store.logbook import Seal

ID_MAX = 2**63 - 1


@click.command(
    "prove",
    epilog=example(
        "bridge log prove 42", "bridge log prove 42 --json > 42.jsonl", "bridge log verify 42.jsonl --key var/log.pub"
    ),
)
@click.argument("entry", metavar="ENTRY", type=click.IntRange(1, ID_MAX))
@config_option
@json_option("An export of this one entry, as `bridge log verify` takes it")
@from_option
def prove_command(entry: int, config: Path, earlier: Path | None, *, as_json: bool) -> None:
    """Prove that an entry is in the log of the newest checkpoint.

    The entry is named by its number in `bridge log show`.

    That it was read is an entry of the log itself.
    """
    from bridge.log.entries import Action
    from bridge.log.export import Filter, jsonl
    from bridge.log.tree import leaf_hash

    if earlier is not None and not as_json:
        raise click.UsageError("--from goes with --json")
    kept = [] if earlier is None else notes_in(earlier)
    with opened(config) as (settings, store):
        sealed_head(settings, store)
        found, head = _proved(store, entry)
        asked = Filter(entry=entry).named()
        told = {"filter": asked, "entries": 1, "size": head.size}
        if as_json:
            grown = [grown_since(store, note, head) for note in kept]
            lines = jsonl([found], origin=head.origin, asked=asked, checkpoint=head.note, consistency=grown)
            export = b"".join(lines)
            sha256 = hashlib.sha256(export).hexdigest()
            noted(store, Action.LOG_EXPORTED, told | {"format": "jsonl", "sha256": sha256})
            click.echo(export, nl=False)
            return
        noted(store, Action.LOG_READ, told)
    show_facts(
        [
            ("Entry", entry),
            ("Index", found.index),
            ("Leaf hash", leaf_hash(found.entry).hex()),
            *((f"Proof {at}", one.hex()) for at, one in enumerate(found.proof, 1)),
            ("Tree size", head.size),
            ("Root", head.root.hex()),
            ("Sealed", time_text(head.at)),
        ]
    )
    click.echo(f"\n{plain(found.entry.decode(errors='replace'))}\n")
    click.echo(head.note, nl=False)
    click.echo(
        f"\nTo verify: bridge log prove {entry} --json > {entry}.jsonl; "
        f"bridge log verify {entry}.jsonl --key var/log.pub"
    )


def _proved(store: Store, entry: int) -> tuple[Kept, Seal]:
    """With its proof in the newest checkpoint. Raises Permanent when there is nothing to prove, and says why."""
    from sqlalchemy import select

    from bridge.log.export import Kept
    from bridge.log.tree import inclusion_proof
    from bridge.store.logbook import entries_between, hash_reader, indices_of, newest_checkpoint
    from bridge.store.tables import log_entries

    with store.reading() as tx:
        index = indices_of(tx, [entry]).get(entry)
        if index is None:
            if tx.execute(select(log_entries.c.id).where(log_entries.c.id == entry)).first() is None:
                raise Permanent("no_such_entry", f"there is no entry {entry}; `bridge log show` has their numbers")
            raise Permanent("not_sealed", f"entry {entry} is newer than the last checkpoint: try again in a second")
        _, stored, _ = next(entries_between(tx, index, index + 1))
        if stored is None:
            text = f"entry {entry}, index {index}, was pruned: the log keeps its hash, and an export of all proves that"
            raise Permanent("pruned", text)
        head = newest_checkpoint(tx)  # asked last: it reaches at least as far as what was found
        assert head is not None  # noqa: S101 (the entry was sealed)
        return Kept(index, stored, inclusion_proof(index, head.size, hash_reader(tx))), head


@click.command(
    "checkpoint",
    epilog=example(
        "bridge log checkpoint > kept.checkpoint", "bridge log checkpoint --vkey", "bridge log checkpoint --json"
    ),
)
@config_option
@json_option("One object, with the anchors and the keys")
@click.option("--vkey", "as_vkey", is_flag=True, help="The public key instead, as a line for verifiers of C2SP notes.")
def checkpoint_command(config: Path, *, as_json: bool, as_vkey: bool) -> None:
    """The newest signed checkpoint, byte for byte. Keep it where nobody can change it: `bridge log verify --from`.

    It shows nothing of what is in the log, so nothing is noted.
    """
    if as_json and as_vkey:
        raise click.UsageError("say --json or --vkey, not both: --json has the keys too")
    from bridge.store.anchors import anchors_of
    from bridge.store.logbook import signing_keys

    with opened(config) as (settings, store):
        head, newer = sealed_head(settings, store)
        with store.reading() as tx:
            keys, anchors = signing_keys(tx), anchors_of(tx)
    if as_vkey:
        for key in keys:
            click.echo(key)
    elif as_json:
        show_json(
            {
                "origin": head.origin,
                "size": head.size,
                "root": base64.b64encode(head.root).decode(),
                "at": head.at,
                "keys": [{"key_id": key.split("+")[1], "vkey": key} for key in keys],
                "anchors": anchors,
                "note": head.note,
            }
        )
    else:
        click.echo(head.note, nl=False)
        if newer:
            click.echo(newer, err=True)
