"""Which fields of each source's alerts were always there, as the looks of all processes have it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select, update

from bridge.correlation.lamps import Kind, Trouble
from bridge.correlation.vanishing import SUDDENLY_LOOKS, Look, Run
from bridge.store.reconciler_tables import fields


def note(tx: Connection, source: str, look: Look) -> list[str]:
    """The fields that have vanished with this look. Whoever calls holds the source's row of `callers`."""
    known = {row.path: Run(row.there, row.gone) for row in tx.execute(select(fields).where(fields.c.source == source))}
    if over := known.keys() - look.had.keys():  # the mapping reads them no more
        tx.execute(delete(fields).where(fields.c.source == source, fields.c.path.in_(over)))
    vanished, new = [], []
    for path, had in look.had.items():
        before = known.get(path, Run())
        run = before.after(had, look.alerts)
        if path not in known:
            new.append({"source": source, "path": path, "there": run.there, "gone": run.gone})
        elif run != before:
            is_this = (fields.c.source == source, fields.c.path == path)
            tx.execute(update(fields).where(*is_this).values(there=run.there, gone=run.gone))
        if run.has_vanished and not before.has_vanished:
            vanished.append(path)
    if new:
        tx.execute(insert(fields), new)
    return vanished


def troubles(tx: Connection, sources: Collection[str]) -> list[Trouble]:
    found: dict[str, dict[str, int]] = {}
    gone = select(fields.c.source, fields.c.path).where(fields.c.gone >= SUDDENLY_LOOKS)
    for source, path in tx.execute(gone.order_by(fields.c.source, fields.c.path)):
        if source in sources:
            found.setdefault(source, {})[path] = 1
    return [Trouble(source=source, kind=Kind.VANISHED, reasons=paths) for source, paths in found.items()]
