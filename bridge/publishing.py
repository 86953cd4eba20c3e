"""Putting mapping files into use: compiled, checked against the targets, registered, swapped, quarantine replayed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from datetime import date

from watchfiles import watch

from bridge.errors import Misconfigured, Transient
from bridge.library import Library, Published
from bridge.log.entries import Action, Entry, append
from bridge.mapping.compile import Mapping
from bridge.mapping.load import load_mappings
from bridge.settings import Settings
from bridge.settings_routes import route_problems
from bridge.store.engine import Store
from bridge.store.replay import quarantined, replay
from bridge.store.revisions import register

_log = logging.getLogger(__name__)


def load(settings: Settings, today: date) -> dict[str, Mapping]:
    """The mappings on disk, compiled. Raises Misconfigured with every problem, routes to nowhere included."""
    names = {source.mapping for source in settings.sources.values()}
    mappings = load_mappings(settings.mappings_path, names, today=today)
    if problems := route_problems(settings, mappings):
        raise Misconfigured(problems)
    return mappings


def publish(settings: Settings, store: Store, *, actor: str) -> dict[str, Published]:
    """The mappings on disk, each a revision that the store knows. Raises Misconfigured as `load` does."""
    return put_into_use(store, load(settings, store.moment().date()), actor=actor)


def put_into_use(store: Store, mappings: MappingType[str, Mapping], *, actor: str) -> dict[str, Published]:
    """Compiled mappings, each a revision that the store knows."""
    with store.transaction() as tx:
        now = store.now(tx)
        current = {
            name: Published(
                mapping=mapping,
                revision_id=register(tx, mapping=name, digest=mapping.digest, files=mapping.files, now=now),
            )
            for name, mapping in mappings.items()
        }
        revisions = {name: mapping.digest[:12] for name, mapping in sorted(mappings.items())}
        append(tx, Entry(at=now, action=Action.MAPPINGS_LOADED, actor=actor, detail={"revisions": revisions}))
    return current


def replay_quarantine(
    settings: Settings, store: Store, library: Library, mappings: Iterable[str], *, actor: str
) -> int:
    """Map again what waits for these mappings; how many alerts left quarantine."""
    mapping_of = {source.name: source.mapping for source in settings.sources.values()}
    mapped = 0
    for source in [name for name, mapping in mapping_of.items() if mapping in set(mappings)]:
        after = (0, -1)
        while True:
            with store.reading() as tx:
                page = quarantined(tx, source=source, after=after)
            if not page:
                break
            with store.transaction() as tx:
                done = replay(tx, page, library=library, mapping_of=mapping_of, actor=actor, now=store.now(tx))
            # Committed: this page is done for good. If we die here the rest still waits.
            mapped, after = mapped + done.mapped, page[-1]
    return mapped


class Reloader:
    """Watches the mappings folder. A set with an error is refused whole: the old one goes on, and says why."""

    def __init__(self, settings: Settings, store: Store, library: Library) -> None:
        self._settings = settings
        self._store = store
        self._library = library
        self._unreplayed: set[str] = set()  # mappings in use whose quarantine has yet to be mapped again
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mappings", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # rust_timeout: how soon `stop` is noticed and a reload that failed is tried again, in milliseconds.
        folder, again = self._settings.mappings_path, False
        for changes in watch(folder, stop_event=self._stop, rust_timeout=500, yield_on_timeout=True):
            if not changes and not again:
                continue
            again = False
            try:
                self._reload()
            except Transient as error:  # the store is away; nobody saves the file a second time because of that
                again = True
                self._library.refused = error.message
                _log.warning("mappings not reloaded, trying again: %s", error.message)
            except Exception:  # noqa: BLE001 (the loop's edge: a bug must not end reloading unseen)
                self._library.refused = "the mappings could not be reloaded: see the service's log"
                _log.exception("mappings not reloaded")

    def _reload(self) -> None:
        try:
            current = publish(self._settings, self._store, actor="reload")
        except Misconfigured as error:
            self._library.refused = error.message
            _log.warning("mappings refused, the old ones stay in use: %s", error.message)
            with self._store.transaction() as tx:
                detail = {"problems": [str(problem) for problem in error.problems]}
                append(tx, Entry(at=self._store.now(tx), action=Action.MAPPINGS_REFUSED, actor="reload", detail=detail))
            return
        self._unreplayed |= self._library.swap(current)
        if self._unreplayed:
            mapped = replay_quarantine(self._settings, self._store, self._library, self._unreplayed, actor="reload")
            names, self._unreplayed = ", ".join(sorted(self._unreplayed)), set()
            _log.info("mappings in use: %s changed; %d alerts left quarantine", names, mapped)
