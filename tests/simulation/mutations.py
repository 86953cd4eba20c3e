"""The check of the check: each safeguard is taken away in turn, and the simulation must notice. `make mutate`.

A mutation is a patch of functions in a process of its own. One that no seed notices is a hole in the simulation, or a
safeguard that guards nothing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from typing import Any

from sqlalchemy import delete, insert, select, update

from bridge.correlation.policy import End
from bridge.servicenow.connection import Call
from bridge.store import additions, joins, prepare, strays, tables, writer
from bridge.store import settle as settling
from bridge.store.writer import Writer
from bridge.sync import fields, noticing, reading, twins, worker
from bridge.sync.worker import Worker
from simulation.__main__ import one

SEEDS_MAX = 2_000
OF_THE_PATCH = ("TypeError", "AttributeError")  # by which a patch fails that does not fit any more
PATCHED: tuple[Any, ...] = (
    *(Call, Worker, Writer, additions, fields, joins, prepare, reading, settling, strays, twins, worker),
)


@dataclass(frozen=True, slots=True)
class Found:
    name: str
    seeds: int  # how many it took; 0: not found
    problem: str  # the first line


def no_intent() -> None:
    """The intent is written with its outcome, not before the call."""
    kept: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    real_intend, real_outcome, real_plan = Worker._intend, settling.record_outcome, additions.plan

    def intend(self: Worker, *given: Any) -> Any:
        intended = real_intend(self, *given)
        if not isinstance(intended, datetime):  # until when the brake holds: then nothing was intended
            with self._store.transaction() as tx:
                row = tx.execute(select(tables.intents).where(tables.intents.c.id == intended[1].id)).one()._asdict()
                newest = select(tables.log_entries).where(tables.log_entries.c.action == "intended")
                entry = tx.execute(newest.order_by(tables.log_entries.c.id.desc()).limit(1)).one()._asdict()
                tx.execute(delete(tables.intents).where(tables.intents.c.id == row["id"]))
                tx.execute(delete(tables.log_entries).where(tables.log_entries.c.id == entry["id"]))
                kept[row["id"]] = row, entry
        return intended

    def outcome(tx: Any, intent: int, *given: Any, **more: Any) -> None:
        if intent in kept:
            row, entry = kept.pop(intent)
            del row["id"], entry["id"]  # they may have been given away since
            intent = tx.execute(insert(tables.intents).values(**row)).inserted_primary_key[0]
            tx.execute(insert(tables.log_entries).values(**entry))
        real_outcome(tx, intent, *given, **more)

    def plan(tx: Any, held: Any, *given: Any) -> None:
        tx.execute(delete(tables.additions).where(tables.additions.c.incident == held.incident.id))  # of one taken back
        real_plan(tx, held, *given)

    Worker._intend = intend  # type: ignore[method-assign]
    settling.record_outcome = outcome
    additions.plan = plan


def no_deadline() -> None:
    """A write goes out however late it is."""
    real = Call.remaining.fget  # type: ignore[attr-defined]
    Call.remaining = property(lambda call: max(1.0, real(call)))  # type: ignore[method-assign, assignment]


def no_look_up() -> None:
    """Once the window is over it is sent again, whatever is there."""
    worker.look_again = lambda *_given, **_more: None  # type: ignore[assignment]


def no_fence() -> None:
    """A holder whose lease was taken over goes on as if it were its own."""
    settling.fence = lambda *_given, **_more: None


def no_window() -> None:
    """What a look-up does not show has not happened."""
    worker.window_end = lambda deadline, _late: deadline - timedelta(days=1)


def no_delivery_key() -> None:
    """Every request is another delivery."""
    real, count = prepare.fingerprint, itertools.count()
    prepare.fingerprint = lambda source, sender_id, content: real(source, f"{sender_id} {next(count)}", content)


def due_cleared() -> None:
    """What arrived during the round does not make the correlation due again."""
    real = settling.settle

    def settle(tx: Any, held: Any, settlement: Any, *given: Any, **more: Any) -> None:
        real(tx, held, settlement, *given, **more)
        row = update(tables.correlations).where(tables.correlations.c.id == held.correlation)
        tx.execute(row.values(due_at=settlement.wake_at))

    settling.settle = settle


def no_retry_alone() -> None:
    """A batch with one delivery that the database cannot take is refused as a whole."""
    Writer._store_alone = lambda _writer, ticket: writer._refuse(ticket, None)  # type: ignore[method-assign, assignment]


def all_is_ours() -> None:
    """Whatever carries our correlation ID is taken."""
    worker.is_ours = lambda *_given, **_more: True  # type: ignore[assignment]


def no_read() -> None:
    """What people did to a record is not held against a decision: of what is read only the first look, and that it is
    gone, for without those no round ends.
    """
    real = worker.notice

    def notice(store: Any, sight: Any, record: Any, *, installation: str) -> Any:
        if record is None or (sight.episode is not None and sight.episode.taken):
            return real(store, sight, record, installation=installation)
        return noticing._as_read(store, sight, record, first=False)

    worker.notice = notice


def all_fields() -> None:
    """A field that a person has written is written over."""
    fields.still_ours = lambda changed, _record, _written: (changed, [])


def ours_for_ever() -> None:
    """What we had closed counts as closed by us, whatever a person has made of it."""
    reading._end_of_ours = lambda *_given: End.BY_US  # type: ignore[assignment]


def nothing_known() -> None:
    """The record of an earlier episode counts as that of this one."""
    settling.known_elsewhere = lambda *_given, **_more: False  # type: ignore[assignment]


def no_mark() -> None:
    """Of what goes with an incident nothing is kept that it may have been sent."""
    real = additions.again

    def again(*given: Any, sent: tuple[int, Any] | None, **more: Any) -> None:
        real(*given, sent=(sent[0], None) if sent is not None else None, **more)

    additions.about_to_send = lambda *_given: True  # type: ignore[assignment]
    additions.again = again


def no_join_key() -> None:
    """Of two that arrive at the same moment each takes the key, whoever has it."""
    real, look = joins.hold_keys, joins.taker_of

    def hold_keys(*given: Any, **more: Any) -> None:
        joins.taker_of = lambda *_given, **_more: None
        try:
            real(*given, **more)
        finally:
            joins.taker_of = look

    joins.hold_keys = hold_keys


def settled_by_hope() -> None:
    """A write whose answer was lost counts as applied."""
    worker.look_again = lambda *_given, **_more: worker.Found(record=None)  # type: ignore[assignment]


def twins_of_nobody() -> None:
    """Of two records the younger is closed, whoever works on it."""
    real = twins.merge

    def merge(kept: Any, twin: Any) -> Any:
        return real(kept, replace(twin, touched=False) if twin is not None else None)

    twins.merge = merge


def closes_without_end() -> None:
    """However many twins were closed within the hour, the next one is."""
    strays.other_closes_since = lambda *_given: 0  # type: ignore[assignment]


MUTATIONS: dict[str, Callable[[], None]] = {
    "intent before the write": no_intent,
    "deadline checked before the first byte": no_deadline,
    "look-up": no_look_up,
    "epoch fence": no_fence,
    "late-commit window": no_window,
    "delivery key": no_delivery_key,
    "due computed anew from seq": due_cleared,
    "group commit: one by one after a refusal": no_retry_alone,
    "ownership": all_is_ours,
    "read before write": no_read,
    "fields that people wrote": all_fields,
    "what a person says of what we had closed": ours_for_ever,
    "records of other episodes": nothing_known,
    "mark before what goes with an incident": no_mark,
    "join key": no_join_key,
    "ambiguous is not applied": settled_by_hope,
    "a twin that a person works on": twins_of_nobody,
    "closes of twins in an hour": closes_without_end,
}


def hunt(name: str, seeds: int) -> Found:
    """Seeds with this safeguard taken away, until one fails. In a process of its own: nothing is put back."""
    names = [set(vars(owner)) for owner in PATCHED]
    MUTATIONS[name]()
    if [set(vars(owner)) for owner in PATCHED] != names:
        raise LookupError(f"{name}: what it patches is not there any more, so nothing is taken away")
    for seed in range(seeds):
        if problem := one(seed).problem:
            if any(error in problem for error in OF_THE_PATCH):
                raise LookupError(f"{name}: what it patches is called otherwise by now, so nothing was found out")
            return Found(name, seed + 1, problem.partition("\n")[0])
    return Found(name, 0, "")


def hunts(names: list[str], *, seeds: int, workers: int) -> Iterator[Found]:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        yield from pool.map(hunt, names, [seeds] * len(names))


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(MUTATIONS)}")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    names = [name for name in MUTATIONS if not given.names or any(word in name for word in given.names)]
    unseen = 0
    for found in hunts(names, seeds=given.seeds, workers=given.workers):
        unseen += not found.seeds
        seeds = f"{found.seeds:5} seeds" if found.seeds else "NOT FOUND  "
        print(f"{seeds}  {found.name:42} {found.problem[:110]}", flush=True)
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
