"""An erasure, in one sentence: find all that speaks of somebody, take the values out batch by batch, log each batch.

What is rendered goes first and bodies last: after a crash the bodies that are left still find the rest. A batch and its
log entry are one transaction, and what is at rest is asked under the locks of that transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from bridge.alert import Json
from bridge.log.digest import new_salt, shortened
from bridge.log.entries import Action, Entry, append
from bridge.store.engine import Store
from bridge.store.erasing import Taken, erase_deliveries, erase_problems, forget_sentences
from bridge.store.mentions import Mentions
from bridge.store.tables import log_entries

PROBLEMS_PER_BATCH = 50
SENTENCES_PER_BATCH = 200
DELIVERIES_PER_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who asked for which erasure, as the log tells it."""

    kind: str  # person | host | correlation
    digest: str  # of the identifier, salted
    correlation_id: str | None = None  # of a correlation, whose ID is no secret to the log
    reason: str
    actor: str


@dataclass(slots=True)
class Outcome:
    taken: Taken = field(default_factory=Taken)
    deliveries: int = 0  # that were looked at
    held_deliveries: set[int] = field(default_factory=set)
    held_problems: set[int] = field(default_factory=set)  # correlations that are live still, for whose sake


def salted(identifier: str) -> tuple[str, str]:
    """(salt, digest): with the salt, which is stored nowhere, it can be shown whom an entry is about."""
    salt = new_salt()
    return salt.hex(), digest_of(salt, identifier)


def digest_of(salt: bytes, identifier: str) -> str:
    return shortened(salt + identifier.strip().casefold().encode())


def survey(store: Store, found: Mentions, order: Order) -> Outcome:
    """What `erase` would do now, by the same statements, each batch undone. Raises Transient."""
    return _run(store, found, order, done=lambda _: None, undo=True)


def erase(store: Store, found: Mentions, order: Order, *, done: Callable[[int], None]) -> Outcome:
    """`done` is told of rows as they are over. Raises Transient: what was erased until then stays so; begin again."""
    outcome = _run(store, found, order, done=done, undo=False)
    if outcome.held_problems or not outcome.taken:
        with store.transaction("erased") as tx:
            append(tx, _entry(order, Taken(), store.now(tx), kept_for=len(outcome.held_problems)))
    return outcome


def _run(store: Store, found: Mentions, order: Order, *, done: Callable[[int], None], undo: bool) -> Outcome:
    outcome = Outcome(deliveries=len(found.deliveries))

    def batch(work: Callable[[Connection, datetime], Taken]) -> Taken:
        with store.trial() if undo else store.transaction("erased") as tx:
            now = store.now(tx)
            taken = work(tx, now)
            if taken:
                append(tx, _entry(order, taken, now))
        # Durable, and in the log. If we die here, the same command finds what is left.
        return taken

    def problems(some: list[int], tx: Connection, now: datetime) -> Taken:
        taken, held = erase_problems(tx, some, now)
        outcome.held_problems |= held
        return taken

    def bodies(some: list[int], tx: Connection, now: datetime) -> Taken:
        taken, held = erase_deliveries(tx, some, actor=order.actor, now=now)
        outcome.held_deliveries |= held.keys()
        outcome.held_problems |= {one for many in held.values() for one in many}
        return taken

    def sentences(some: list[int], tx: Connection, _now: datetime) -> Taken:
        return forget_sentences(tx, log_entries.c.id.in_(some))

    for step, ids, size in (
        (problems, found.correlations, PROBLEMS_PER_BATCH),
        (sentences, found.sentences, SENTENCES_PER_BATCH),
        (bodies, found.deliveries, DELIVERIES_PER_BATCH),
    ):
        rows = sorted(ids)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            outcome.taken += batch(partial(step, some))
            done(len(some))
    return outcome


def _entry(order: Order, taken: Taken, now: datetime, *, kept_for: int = 0) -> Entry:
    """`kept_for`: so many problems are not over; the log must not say of them that nothing was found."""
    detail: dict[str, Json] = {"of": order.kind, "identifier": order.digest, "removed": taken.counts}
    if kept_for:
        detail["problems"] = kept_for
    return Entry(
        at=now,
        action=Action.ERASED,
        actor=order.actor,
        outcome="erased" if taken else "kept" if kept_for else "nothing_found",
        reason=order.reason,
        correlation_id=order.correlation_id,
        detail=detail,
    )
