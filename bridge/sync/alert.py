"""The alert that speaks for a correlation, found again in its delivery and mapped by a revision that still knows it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy.exc import NoResultFound

from bridge.alert import Json, MappedAlert, key_of
from bridge.errors import Permanent, Unmappable
from bridge.library import Library, Published
from bridge.mapping.compile import Mapping
from bridge.mapping.load import compile_files
from bridge.sources.document import decode
from bridge.store import revisions
from bridge.store.engine import Store
from bridge.store.held import AlertSource, Held

OLD_REVISIONS_MAX = 32  # compiled, in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """The newest accepted alert of a correlation."""

    element: Json
    published: Published  # the revision that maps it
    mapped: MappedAlert


class Alerts:
    """Finds speakers. Old revisions, once compiled, are kept for a while."""

    def __init__(self, store: Store, library: Library) -> None:
        self._store = store
        self._library = library
        self._old = lru_cache(OLD_REVISIONS_MAX)(self._load)

    def of(self, held: Held) -> Speaker:
        """By the current revision; by the alert's own where the current one no longer makes the same ID of it."""
        source = held.alert
        if source is None or source.body is None:
            message = "The alert's body was erased: post the alert again, then `bridge incidents sync`."
            raise Permanent("alert_erased", message)
        document = _decoded(source.body)
        current = self._current(held.mapping)
        if current is not None and (speaker := _speaker(document, source, current, held)) is not None:
            return speaker
        old = self._recorded(source.revision_id)
        if old is not None and (speaker := _speaker(document, source, old, held)) is not None:
            return speaker
        raise Permanent(
            "mapping_gone",
            f"No revision of the mapping {held.mapping} maps this alert to its correlation "
            "ID any more: restore the mapping, or post the alert again; then `bridge incidents sync`.",
        )

    def element(self, body: bytes | None, position: int, revision_id: int | None) -> Json:
        """One alert of a delivery as it came, split by the revision that mapped it. Raises Permanent, Unmappable."""
        return self.mapped_by(body, position, revision_id)[1]

    def mapped_by(self, body: bytes | None, position: int, revision_id: int | None) -> tuple[Mapping, Json]:
        """The mapping of that revision, and the alert; raises as `element`."""
        old = self._recorded(revision_id)
        if body is None or old is None:
            raise Permanent("alert_erased", "The alert's body was erased.")
        elements, _more = old.mapping.split(_decoded(body), position, 1)
        return old.mapping, elements[0]

    def _current(self, mapping: str) -> Published | None:
        try:
            return self._library[mapping]
        except KeyError:
            return None

    def _recorded(self, revision_id: int | None) -> Published | None:
        try:
            return self._old(revision_id) if revision_id is not None else None
        except NoResultFound:  # pruned, or a database that was put together by hand
            return None

    def _load(self, revision_id: int) -> Published:
        with self._store.reading() as tx:
            name, files = revisions.load(tx, revision_id)
        return Published(mapping=compile_files(name, files), revision_id=revision_id)


def _decoded(body: bytes) -> Json:
    try:
        return decode(body).value
    except Unmappable as error:  # taken in by a version that was less strict
        message = f"The alert's stored body cannot be read any more: {error.message}"
        raise Permanent("alert_unreadable", message) from error


def _speaker(document: Json, source: AlertSource, published: Published, held: Held) -> Speaker | None:
    try:
        (element,), _more = published.mapping.split(document, source.position, 1)
        mapped = published.mapping.map(element)
    except (Unmappable, ValueError):  # the latter: there is no such element
        return None
    right = {key_of(held.correlation_id), key_of(source.correlation_id)}  # they differ when it was carried over
    if right.isdisjoint(map(key_of, (mapped.correlation_id, *mapped.former_ids))):
        return None
    return Speaker(element=element, published=published, mapped=mapped)
