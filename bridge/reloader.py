"""The thread of a serving process that follows the mappings and the sources: files that change, under `reload: auto`,
are published; what is published, by whatever process, is taken; so is what changes in `sources` of bridge.yaml. A set
with an error is refused whole: the old one goes on, and why is said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from watchfiles import watch

from bridge.alert import Json
from bridge.errors import Misconfigured, Transient
from bridge.library import Library
from bridge.log.entries import Action, Entry, append
from bridge.publishing import InUse, in_use, load, log_taken, publish_found, replay_quarantine, used_by
from bridge.settings import Reload, Settings, Source
from bridge.sources_file import SourcesFile
from bridge.store import revisions
from bridge.store.engine import Store

LOOK_SECONDS = 0.5  # how soon a publication, and `stop`, is noticed, and what failed is tried again
RETRY_SECONDS = 2.0  # before a folder that could not be watched is watched again

_log = logging.getLogger(__name__)


class Reloader:
    """`start` and `stop` frame the thread's life; `look` is one round of it."""

    def __init__(
        self, settings: Settings, store: Store, library: Library, taken: InUse, sources_file: SourcesFile
    ) -> None:
        self._settings = settings
        self._sources_file = sources_file
        self._store = store
        self._library = library
        self._auto = settings.reload is Reload.AUTO
        self._newest = taken.newest
        self._seen = dict(taken.disk)  # what the disk held, mapping -> digest: only something else is news
        self._unread = False  # files changed and are yet to be looked at: the store was away
        self._refused: Settings | None = None  # with sources whose mappings cannot be used as they are
        self._unreplayed = used_by(settings)  # mappings in use whose quarantine has yet to be mapped again
        self._problems: dict[str, str] = {}  # what keeps a change out of use, by where it came from
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mappings", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wind_down(self) -> None:
        """Nothing more is taken in. Returns at once."""
        self._stop.set()

    def stop(self) -> None:
        """Returns soon, also in the middle of a long quarantine: what is left of it waits for the next start."""
        self.wind_down()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self, *, files: bool, replay: bool = True) -> None:
        """Publish what changed on disk, if `files` may have; take what is published; replay what waited for it."""
        self._unread |= files and self._auto
        before = self._newest
        try:
            news = self._unread
            if self._unread:
                self._look_at_files()
                self._unread = False
            self._look_at_store()
            self._look_at_sources(news=news or self._newest != before)
            if replay:
                self._replay()
        except Transient as error:  # the store is away; nobody saves the file a second time because of that
            self._tell("store", error.message)
            self._refused = None  # that refused no sources: they are tried again, too
            _log.warning("mappings not looked at, trying again: %s", error.message)
        except Exception:  # noqa: BLE001 (the loop's edge: a bug must not end reloading unseen)
            self._tell("store", "the mappings could not be looked at: see the service's log")
            _log.exception("mappings not looked at")
            self._unread = False  # the same files would bring the same about
        else:
            self._tell("store", "")

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._auto:
                    self._watch()
                else:
                    self._poll()
            except Exception as error:  # noqa: BLE001 (the loop's edge: the folder is gone, or there are too many watches)
                self._tell("watch", f"{self._settings.mappings_path} is not watched, changes there wait: {error}")
                _log.warning("mappings not watched, trying again: %s", error)
                self.look(files=False)
                self._stop.wait(RETRY_SECONDS)

    def _poll(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look(files=False)

    def _watch(self) -> None:
        """Until stopped, or until the folder is another one: a watch follows a folder, not its name."""
        folder, first = self._settings.mappings_path, True
        watched = folder.stat().st_ino
        timeout = int(LOOK_SECONDS * 1000)
        for changes in watch(folder, stop_event=self._stop, rust_timeout=timeout, yield_on_timeout=True):
            self._tell("watch", "")
            self.look(files=bool(changes) or first)  # first: what was saved before the watch began was not seen
            first = False
            if folder.stat().st_ino != watched:
                return

    def _look_at_files(self) -> None:
        try:
            mappings = load(self._settings, self._store.moment().date())
            publish_found(self._settings, self._store, mappings, seen=self._seen, actor="reload")
        except Misconfigured as error:
            self._refuse("files", error)
        else:
            self._seen = {name: mapping.digest for name, mapping in mappings.items()}
            self._tell("files", "")

    def _look_at_store(self) -> None:
        with self._store.reading() as tx:
            newest = revisions.newest(tx)
        if newest != self._newest:
            self._take(newest)
        self._library.apart = self._apart()

    def _take(self, newest: int) -> None:
        try:
            found = in_use(self._settings, self._store, known=self._library.current)
        except Misconfigured as error:
            self._refuse("published", error)
            self._newest = newest  # told; the same publications would bring the same about
            return
        self._use(found)

    def _use(self, found: InUse) -> None:
        with self._store.transaction() as tx:
            log_taken(tx, found.current, actor="reload", now=self._store.now(tx))
        changed = self._library.swap(found.current)
        self._newest = found.newest
        self._unreplayed |= changed
        self._tell("published", _kept(found))
        _log.info("mappings in use: %s changed", ", ".join(sorted(changed)) or "none")

    def _look_at_sources(self, *, news: bool) -> None:
        """`news`: the mappings changed, so that sources which could not use them may now."""
        try:
            wanted = self._sources_file.wanted(self._settings)
            if wanted is None:
                self._refused = None
            elif news or self._refused is None or wanted.sources != self._refused.sources:
                self._refused = None  # a secret that went away meanwhile is looked for again at the next look
                open_doors = self._sources_file.opening(wanted)
                self._refused = wanted
                self._take_sources(wanted, open_doors)
                self._refused = None
        except Misconfigured as error:
            self._refuse("sources", error)
        else:
            if self._refused is None:
                self._tell("sources", "")

    def _take_sources(self, wanted: Settings, open_doors: Callable[[], None]) -> None:
        """Their mappings first: no door opens before what is behind it is in use."""
        mappings = load(wanted, self._store.moment().date()) if self._auto else {}
        publish_found(wanted, self._store, mappings, seen=self._seen, actor="reload")
        found = in_use(wanted, self._store, known=self._library.current)
        # Published. If we die here, a start finds the same bridge.yaml and takes the sources from there.
        self._use(found)
        with self._store.transaction() as tx:
            append(tx, _sources_loaded(self._settings.sources, wanted, self._store.now(tx)))
        # Told, and nothing can keep the doors shut any more but our death: a start opens the same ones.
        self._settings = wanted
        self._seen |= {name: mapping.digest for name, mapping in mappings.items()}
        open_doors()
        _log.info("sources in use: %s", ", ".join(sorted(wanted.sources)) or "none")

    def _replay(self) -> None:
        if not self._unreplayed:
            return
        waiting, self._unreplayed = self._unreplayed, set()  # a bug would come about again: it is met once
        try:
            mapped = replay_quarantine(
                self._settings, self._store, self._library, waiting, actor="reload", stopped=self._interrupted
            )
            if self._interrupted():
                self._unreplayed = waiting
        except Transient:
            self._unreplayed = waiting
            raise
        if mapped:
            _log.info("%d alerts left quarantine", mapped)

    def _interrupted(self) -> bool:
        """A long replay makes way for a newer revision, which begins it again."""
        if self._stop.is_set():
            return True
        with self._store.reading() as tx:
            return revisions.newest(tx) != self._newest

    def _apart(self) -> str:
        if not self._auto:
            return ""
        current = self._library.current
        names = [
            name for name, digest in self._seen.items() if name in current and current[name].mapping.digest != digest
        ]
        if not names:
            return ""
        told = ", ".join(f"{name} {current[name].revision}" for name in sorted(names))
        return (
            f"in use is a revision other than the disk's ({told}): it stays until the files change again, or "
            f"`bridge mapping publish {' '.join(sorted(names))}`"
        )

    def _refuse(self, what: str, error: Misconfigured) -> None:
        if self._problems.get(what) == error.message:
            return  # told already
        action, named = (
            (Action.SOURCES_REFUSED, "sources") if what == "sources" else (Action.MAPPINGS_REFUSED, "mappings")
        )
        with self._store.transaction() as tx:
            places = [f"{problem.file}:{problem.line}" for problem in error.problems]
            entry = Entry(at=self._store.now(tx), action=action, actor="reload", detail={"problems": places})
            append(tx, entry, said=error.message)  # it quotes the file
        self._tell(what, error.message)
        _log.warning("%s refused, the old ones stay in use: %s", named, error.message)

    def _tell(self, what: str, problem: str) -> None:
        if problem:
            self._problems[what] = problem
        else:
            self._problems.pop(what, None)
        self._library.refused = "; ".join(self._problems.values())


def _sources_loaded(before: Mapping[str, Source], wanted: Settings, now: datetime) -> Entry:
    both = before.keys() & wanted.sources.keys()
    detail: dict[str, Json] = {
        "added": sorted(wanted.sources.keys() - before.keys()),
        "changed": sorted(name for name in both if before[name] != wanted.sources[name]),
        "removed": sorted(before.keys() - wanted.sources.keys()),
    }
    return Entry(at=now, action=Action.SOURCES_LOADED, actor="reload", detail=detail)


def _kept(found: InUse) -> str:
    if not found.kept:
        return ""
    return (
        f"removed, and still used by a source here: {', '.join(sorted(found.kept))} (take that out of bridge.yaml, too)"
    )
