"""Mapping revisions: each content once, so that an old alert can be mapped by what was in use then; and publications,
which say what is in use, since when, by whom and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, Row, Select, func, select

from bridge.errors import Permanent
from bridge.store.tables import publications, revisions
from bridge.store.upsert import insert_into
from bridge.typed import decode

LOCK_KEY = 0x7075626C  # "publ": the advisory lock of a PostgreSQL database while something is published


class KnownBy(StrEnum):
    """How the author of a publication is known. A claim proves nothing, and the log says that it is one."""

    GIT_COMMIT = "git_commit"  # the mappings folder is a clean checkout, and the author is its last commit's
    OS_USER = "os_user"
    CLAIM = "claim"
    NOBODY = "nobody"  # the files were found changed on disk

    @property
    def verified(self) -> bool:
        return self in (KnownBy.GIT_COMMIT, KnownBy.OS_USER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    name: str
    known_by: KnownBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One row: from then on the mapping is at this revision, until the next row."""

    id: int
    mapping: str
    revision_id: int | None  # None: the mapping was removed
    digest: str | None  # of the revision
    published_at: datetime
    author: Author
    note: str
    disk_digest: str | None  # of the mapping on disk then; None: the disk held nothing that could be used


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    id: int
    digest: str
    files: dict[str, str]  # path below the mappings folder -> text


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
    new = insert_into(tx, revisions).values(row).on_conflict_do_nothing()
    if (made := tx.execute(new.returning(revisions.c.id)).scalar()) is None:  # another process was quicker
        made = tx.execute(known).scalar_one()
    return int(made)


def load(tx: Connection, revision_id: int) -> tuple[str, dict[str, str]]:
    """(mapping name, files) of a revision. Raises NoResultFound for an id that was never registered."""
    row = tx.execute(select(revisions.c.mapping, revisions.c.files).where(revisions.c.id == revision_id)).one()
    return row.mapping, _files(row.files)


def find(tx: Connection, mapping: str, digits: str) -> Revision:
    """The one revision of the mapping whose digest begins so. Raises Permanent when there is none, or more than one."""
    beginning = revisions.c.digest.startswith(digits.lower(), autoescape=True)
    rows = tx.execute(select(revisions).where(revisions.c.mapping == mapping, beginning).limit(2)).all()
    if len(rows) == 1:
        return Revision(id=rows[0].id, digest=rows[0].digest, files=_files(rows[0].files))
    what = "several revisions begin" if rows else "no revision begins"
    listed = f"`bridge mapping revisions {mapping}` lists them"
    raise Permanent("no_such_revision", f"of the mapping {mapping} {what} with {digits}: {listed}")


def lock(tx: Connection) -> None:
    """One publisher at a time, until its transaction ends: ids of publications are then in the order of commits."""
    if tx.dialect.name == "postgresql":  # on SQLite the transaction's own write lock serves
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")


def publish(
    tx: Connection,
    *,
    mapping: str,
    revision_id: int | None,
    author: Author,
    note: str,
    disk_digest: str | None,
    now: datetime,
) -> None:
    """Under `lock`. From the commit on this is what every process serves."""
    row = {
        "mapping": mapping,
        "revision_id": revision_id,
        "published_at": now,
        "author": author.name,
        "author_known_by": author.known_by.value,
        "note": note,
        "disk_digest": disk_digest,
    }
    tx.execute(publications.insert().values(row))


def newest(tx: Connection) -> int:
    """Rises whenever anything is published; 0 before the first time."""
    return tx.execute(select(func.max(publications.c.id))).scalar() or 0


def in_use(tx: Connection) -> dict[str, Publication]:
    """The newest publication of every mapping that ever had one, those that were removed included."""
    latest = select(func.max(publications.c.id)).group_by(publications.c.mapping)
    rows = tx.execute(_publications().where(publications.c.id.in_(latest)).order_by(publications.c.mapping))
    return {row.mapping: _publication(row) for row in rows}


def history(tx: Connection, mapping: str, *, limit: int) -> list[Publication]:
    """What was in use, newest first."""
    rows = tx.execute(
        _publications().where(publications.c.mapping == mapping).order_by(publications.c.id.desc()).limit(limit)
    )
    return [_publication(row) for row in rows]


def _publications() -> Select[tuple[object, ...]]:
    return select(publications, revisions.c.digest).outerjoin(revisions, revisions.c.id == publications.c.revision_id)


def _publication(row: Row[tuple[object, ...]]) -> Publication:
    return Publication(
        id=row.id,
        mapping=row.mapping,
        revision_id=row.revision_id,
        digest=row.digest,
        published_at=row.published_at,
        author=Author(name=row.author, known_by=KnownBy(row.author_known_by)),
        note=row.note,
        disk_digest=row.disk_digest,
    )


def _files(raw: bytes) -> dict[str, str]:
    return decode(raw, dict[str, str])
