"""What the commands share that show the log: reading it is an entry itself, and what is not sealed yet is told.

The entry is committed before anything is shown; what cannot be noted is not shown.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bridge.cli.opening import actor
from bridge.errors import Permanent, Transient

if TYPE_CHECKING:
    from bridge.alert import Json
    from bridge.log.entries import Action
    from bridge.settings import Settings
    from bridge.store.engine import Store
    from bridge.store.logbook import Seal

NOBODY_SEALS = timedelta(seconds=10)  # an entry that has waited for so long: no process that serves is there


def noted(store: Store, action: Action, detail: dict[str, Json]) -> None:
    """Raises Transient, which says that therefore nothing is shown."""
    from bridge.log.entries import Entry, append

    try:
        with store.transaction() as tx:
            append(tx, Entry(at=store.now(tx), action=action, actor=actor(), detail=detail))
    except Transient as error:
        text = f"nothing is shown, for the log cannot note who has read it: {error.message}"
        raise Transient(error.code, text, retry_after=error.retry_after) from error


def sealed_head(settings: Settings, store: Store) -> tuple[Seal, str]:
    """The newest checkpoint, and a sentence about entries that are newer; "" when there are none.

    Where no process seals, what waits is sealed here, if the key can be read. Raises Permanent without any checkpoint.
    """
    from bridge.store.logbook import newest_checkpoint
    from bridge.store.sealing import COUNTED_MAX, waiting

    with store.reading() as tx:
        head, found, now = newest_checkpoint(tx), waiting(tx, COUNTED_MAX), store.now(tx)
    why = ""
    if found.oldest_at is not None and (head is None or now - found.oldest_at > NOBODY_SEALS):
        why = _seal_all(settings, store)
        with store.reading() as tx:
            head, found = newest_checkpoint(tx), waiting(tx, COUNTED_MAX)
    if head is None:
        raise Permanent("no_checkpoint", f"the log has no checkpoint yet: {why or 'it has no entry'}")
    if not found.entries:
        return head, ""
    many = entries_text(found.entries) if found.entries < COUNTED_MAX else f"At least {found.entries} entries"
    newer = f"{many} {'is' if found.entries == 1 else 'are'} newer than the last checkpoint"
    return head, f"{newer}: {why}." if why else f"{newer}."


def entries_text(many: int) -> str:
    return "1 entry" if many == 1 else f"{many} entries"


def _seal_all(settings: Settings, store: Store) -> str:
    """Seal what waits. Returns why not all of it is sealed."""
    from bridge.log.note import origin_of
    from bridge.sealer import NoKey, read_signers, seal_some
    from bridge.store.moved import renumber_if_moved
    from bridge.store.start import installation_id

    try:
        with store.transaction() as tx:
            renumber_if_moved(tx)  # before a start has: the seals of this transaction leave out what it rewrites
            installation = installation_id(tx, store.now(tx))
        signers = read_signers(settings.signing_keys, origin_of(installation))
        while (sealed := seal_some(store, signers)) is not None and sealed.more:
            pass
    except NoKey as error:
        return str(error)
    except Transient as error:
        return error.message
    return ""
