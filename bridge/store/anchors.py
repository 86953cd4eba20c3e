"""What is known of each anchor: how far it has got, why it fails, and whose turn it is to send it the next checkpoint.

One row stands for an anchor, however many processes serve the store. None of them owns it: whoever claims its turn
sends, so a process that sealed and died leaves no checkpoint behind that nobody anchors.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from bridge.correlation.retry import backoff
from bridge.errors import Permanent, Transient
from bridge.log.anchors import Anchored
from bridge.log.entries import Action, Entry, append
from bridge.log.note import origin_of
from bridge.log.tree import BadProof, consistency_proof, verify_consistency
from bridge.store.log_tables import log_anchors
from bridge.store.logbook import Seal, hash_reader, newest_checkpoint
from bridge.store.reconciling import mark_restored
from bridge.store.tables import installation
from bridge.store.upsert import insert_into

TURN_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorState:
    name: str
    size: int  # of the last checkpoint that it took; 0: none
    at: datetime | None  # when
    failed_at: datetime | None  # since when it fails; None: it works
    error: str | None  # why, as a sentence


def anchors_of(tx: Connection) -> list[AnchorState]:
    """By name; those that bridge.yaml names no more are there too."""
    columns = (getattr(log_anchors.c, name) for name in AnchorState.__slots__)
    rows = tx.execute(select(*columns).order_by(log_anchors.c.name))
    return [AnchorState(**row._mapping) for row in rows]


def unanchored(tx: Connection, names: Collection[str]) -> str:
    """Sentences on the anchors of these names that fail; empty: all is well."""
    return " ".join(
        f"No checkpoint has reached {state.name} since {state.failed_at:%Y-%m-%d %H:%M:%S} UTC: {state.error}."
        for state in anchors_of(tx)
        if state.name in names and state.failed_at is not None
    )


def claim(tx: Connection, name: str, size: int, now: datetime, *, paced: bool = True) -> bool:
    """Whether the checkpoint of `size` is to be sent to it now, by whoever asks; nobody else does so for TURN_EVERY.

    Not `paced`: at the end of a process. What fails waits its time out all the same.
    """
    new = insert_into(tx, log_anchors).values(name=name, size=0, failures=0)
    tx.execute(new.on_conflict_do_nothing())
    due = or_(log_anchors.c.due_at.is_(None), log_anchors.c.due_at <= now)
    if not paced:
        due = or_(due, log_anchors.c.failures == 0)
    turn = update(log_anchors).where(log_anchors.c.name == name, log_anchors.c.size < size, due)
    return tx.execute(turn.values(due_at=now + TURN_EVERY)).rowcount == 1


def note_taken(tx: Connection, name: str, size: int, now: datetime) -> None:
    values = {"size": size, "at": now, "failures": 0, "failed_at": None, "error": None}
    tx.execute(update(log_anchors).where(log_anchors.c.name == name).values(**values))


def note_failed(tx: Connection, name: str, error: str, now: datetime, *, jitter: float) -> None:
    """It is tried again after a while, ever longer ones. A sentence: without its full stop."""
    mine = log_anchors.c.name == name
    known = tx.execute(select(log_anchors.c.failures, log_anchors.c.failed_at).where(mine).with_for_update()).one()
    pause = max(TURN_EVERY, backoff(known.failures + 1, jitter=jitter))
    values = {
        "failures": known.failures + 1,
        "failed_at": known.failed_at or now,
        "error": error,
        "due_at": now + pause,
    }
    tx.execute(update(log_anchors).where(mine).values(**values))


# --- an anchor that knows more than the store


def compare(tx: Connection, anchored: Anchored) -> str:
    """ "", or why the store is not what the anchor has seen: `anchor_ahead`, or `anchor_differs`.

    Raises Permanent when the checkpoint is another installation's, Transient when the store cannot say. The signature
    is not looked at: a checkpoint that somebody made up costs look-ups, one of a key that has gone since must count.
    """
    seen = anchored.checkpoint
    if seen.origin != origin_of(str(tx.execute(select(installation.c.id)).scalar())):
        text = f"its checkpoints are another installation's, {seen.origin}"
        remedy = "give this one an anchor of its own, or bring the database back that it belongs to"
        raise Permanent("anchor_of_another", f"{text}: {remedy}")
    newest = newest_checkpoint(tx)
    if newest is None or seen.size > newest.size:
        return "anchor_ahead"
    try:
        _refuse_another_history(tx, anchored, newest)
    except BadProof:
        return "anchor_differs"
    except LookupError as error:
        raise Transient("log_damaged", "the log's tree has gaps: bring a backup back") from error
    return ""


def _refuse_another_history(tx: Connection, anchored: Anchored, newest: Seal) -> None:
    seen = anchored.checkpoint
    proof = consistency_proof(seen.size, newest.size, hash_reader(tx))
    verify_consistency(seen.size, newest.size, seen.root, newest.root, proof)


def mark(tx: Connection, name: str, anchored: Anchored, reason: str, now: datetime, *, actor: str) -> None:
    """The store is restored: something was written since that it does not know. The entry keeps what tells it."""
    newest = newest_checkpoint(tx)
    mark_restored(tx, now)
    detail = {
        "anchor": name,
        "anchored_size": anchored.checkpoint.size,
        "checkpoint": anchored.note,
        "size": newest.size if newest else 0,
    }
    append(tx, Entry(at=now, action=Action.RESTORED, actor=actor, reason=reason, detail=detail))
