"""Checkpoints of the log leave the database: the newest goes to each anchor, beside everything else that is done.

It is a thread's own matter: an anchor that is slow or fails holds up neither sealing nor intake. It is told on /readyz,
in the metrics and, once, in the service's log; and tried again.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from bridge.errors import BridgeError, Misconfigured, Permanent, Problem, Transient
from bridge.log.anchors import Anchor, Anchored, FileAnchor, anchor_for
from bridge.log.note import Checkpoint
from bridge.metrics import Metrics
from bridge.settings import AnchorFile, Settings
from bridge.store.anchors import anchors_of, claim, compare, mark, note_failed, note_taken
from bridge.store.engine import Store
from bridge.store.logbook import Seal, newest_checkpoint
from bridge.watch import SECONDS_MAX, Watch

_log = logging.getLogger(__name__)


class Anchoring:
    """Of one process. `start` and `finish` frame the thread's life; `look` is one round of it."""

    def __init__(self, store: Store, anchors: Sequence[Anchor], metrics: Metrics, *, actor: str) -> None:
        self._store = store
        self._anchors = anchors
        self._metrics = metrics
        self._actor = actor  # serve, worker
        self._failing: dict[str, str] = {}  # by anchor: the code that was told last
        self._marked: set[Checkpoint] = set()  # that the store is behind them is noted
        self._watch = Watch([(self.look, SECONDS_MAX)], threading.Event())

    def start(self) -> None:
        if self._anchors:
            self._watch.start()

    def wind_down(self) -> None:
        """No other round is begun. Returns at once."""
        self._watch.wind_down()

    def finish(self) -> None:
        """What was sealed at the end goes out too, at once; after the last seal. Raises nothing."""
        self._watch.stop()
        try:
            self.look(paced=False)
        except Transient as error:
            _log.warning("the last checkpoint is anchored after the next start: %s", error.message)

    def look(self, *, paced: bool = True) -> None:
        """Send the newest checkpoint to each anchor that lacks it and whose turn it is. Raises Transient where the
        store does not answer.
        """
        with self._store.reading() as tx:
            newest = newest_checkpoint(tx)
            sizes = {state.name: state.size for state in anchors_of(tx)}
        for anchor in self._anchors:
            size = sizes.get(anchor.name, 0)
            if newest is not None and size < newest.size:
                size = self._turn(anchor, newest, paced=paced) or size
            self._metrics.anchored(anchor.name, size)

    def _turn(self, anchor: Anchor, newest: Seal, *, paced: bool) -> int | None:
        """The size of what it took now; None: nothing."""
        with self._store.transaction() as tx:
            now = self._store.now(tx)
            if not claim(tx, anchor.name, newest.size, now, paced=paced):
                return None
        # The turn is ours, nothing was sent. If we die here, somebody sends it when the turn is over.
        try:
            if isinstance(anchor, FileAnchor):
                self._compare(anchor)
            anchor.send(newest.note, now)
        except (Transient, Permanent) as error:
            self._note_failed(anchor, error)
            return None
        # It has the checkpoint. If we die here, it is sent a second time: two equal lines.
        with self._store.transaction() as tx:
            note_taken(tx, anchor.name, newest.size, self._store.now(tx))
        if self._failing.pop(anchor.name, None) is not None:
            _log.info("the anchor %s takes checkpoints again", anchor.name)
        return newest.size

    def _compare(self, anchor: FileAnchor) -> None:
        """Before each line, not at the start alone: a database may fall back behind us, to a standby that lagged."""
        anchored = anchor.newest()
        if anchored is None or anchored.checkpoint in self._marked:
            return
        if mark_if_behind(self._store, anchor.name, anchored, actor=self._actor):
            self._marked.add(anchored.checkpoint)  # once, should the file refuse the line that follows

    def _note_failed(self, anchor: Anchor, error: BridgeError) -> None:
        self._metrics.anchor_failed(anchor.name)
        with self._store.transaction() as tx:
            now = self._store.now(tx)
            note_failed(tx, anchor.name, error.message, now, jitter=random.random())  # noqa: S311 (it spreads tries)
        if self._failing.get(anchor.name) != error.code:
            _log.warning("the anchor %s has not taken the log's checkpoint: %s", anchor.name, error.message)
            self._failing[anchor.name] = error.code


def anchoring_of(settings: Settings, store: Store, metrics: Metrics, *, actor: str) -> Anchoring:
    return Anchoring(store, [anchor_for(anchor) for anchor in settings.anchors], metrics, actor=actor)


def compare_before_start(settings: Settings, store: Store, *, actor: str) -> None:
    """Before anything is sent to ServiceNow: a file that is ahead of the store marks it as restored.

    A file that cannot be read keeps nobody from starting: it is told, and compared as soon as it can be. Raises
    Misconfigured when it is another installation's.
    """
    from bridge.settings.secrets import places

    problems: list[Problem] = []
    for index, setting in enumerate(settings.anchors):
        if not isinstance(setting, AnchorFile):
            continue
        try:
            # The anchor first: what it has was sealed by then, so no checkpoint of another process is in between.
            anchored = FileAnchor(setting.name, setting.path).newest()
            if anchored is not None:
                mark_if_behind(store, setting.name, anchored, actor=actor)
        except Transient as error:
            _log.warning(
                "whether the store was restored is not known by the anchor %s: %s", setting.name, error.message
            )
        except Permanent as error:
            path = ("log", "anchors", index, "file")
            problems.append(places(settings.file).problem(path, f"{setting.path}: {error.message}"))
    if problems:
        raise Misconfigured(problems)


def mark_if_behind(store: Store, name: str, anchored: Anchored, *, actor: str) -> bool:
    """Whether it is. Raises as `compare` does, and Transient where the store does not answer."""
    with store.reading() as tx:
        if not compare(tx, anchored):
            return False
    with store.transaction() as tx:
        reason = compare(tx, anchored)
        if reason:
            mark(tx, name, anchored, reason, store.now(tx), actor=actor)
    if reason:
        size = anchored.checkpoint.size
        _log.warning("the anchor %s has seen %d entries that this store does not hold so: it was restored", name, size)
    return bool(reason)
