"""Mapping revisions: each published content once, so that an old alert can be mapped by what was in use then."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from bridge.store.tables import revisions


def register(tx: Connection, *, mapping: str, digest: str, files: dict[str, str], now: datetime) -> int:
    """The id of this revision; a new row when it was never in use before."""
    known = select(revisions.c.id).where(revisions.c.mapping == mapping, revisions.c.digest == digest)
    if (found := tx.execute(known).scalar()) is not None:
        return int(found)
    row = {
        "mapping": mapping,
        "digest": digest,
        "files": msgspec.json.encode(files, order="sorted"),
        "first_used_at": now,
    }
    return int(tx.execute(revisions.insert().values(row).returning(revisions.c.id)).scalar_one())


def load(tx: Connection, revision_id: int) -> tuple[str, dict[str, str]]:
    """(mapping name, files) of a revision. Raises NoResultFound for an id that was never registered."""
    row = tx.execute(select(revisions.c.mapping, revisions.c.files).where(revisions.c.id == revision_id)).one()
    return row.mapping, msgspec.json.decode(row.files, type=dict[str, str])
