"""When each source last brought a delivery, and which were turned away: gathered in memory, stored once a minute.

A crash forgets the last minute of it, which no promise rests on.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from bridge.alert import Json
from bridge.correlation.lamps import Kind, Trouble
from bridge.correlation.vanishing import Look
from bridge.errors import Transient
from bridge.log.entries import CLAIM, Action, Entry, append
from bridge.store import vanishing
from bridge.store.engine import Store
from bridge.store.reconciler_tables import callers
from bridge.store.upsert import insert_into
from bridge.typed import decode

STREAK = timedelta(hours=1)  # refusals further apart, with a delivery taken between them, are not of one trouble
ADDRESSES_MAX = 5  # that an entry names of those that were turned away for one reason in a minute
LOOKED_AT_ENOUGH = 5  # alerts of a source in a minute, whose fields are looked at


Key = tuple[str, bool]  # (source, whether the fault was ours)


@dataclass(slots=True)
class _Refused:
    first: datetime
    last: datetime
    reasons: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, dict[str, None]] = field(default_factory=dict)  # reason -> some of those they came from

    def add(self, reason: str, many: int, addresses: Iterable[str]) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + many
        known = self.addresses.setdefault(reason, {})
        known.update(dict.fromkeys(list(addresses)[: max(0, ADDRESSES_MAX - len(known))]))


class Callers:
    """Thread-safe. `flush` is called once a minute, and at a stop."""

    def __init__(self, store: Store, sources: Collection[str]) -> None:
        self._store = store
        self._sources = sources  # may change while we serve
        self._lock = threading.Lock()
        self._came: dict[str, datetime] = {}
        self._refused: dict[Key, _Refused] = {}
        self._looks: dict[str, Look] = {}

    def came(self, source: str, now: datetime) -> None:
        with self._lock:
            self._came[source] = now

    def wants_look(self, source: str) -> bool:
        """Whether fewer alerts than are enough for a minute were looked at."""
        with self._lock:
            look = self._looks.get(source)
            return look is None or look.alerts < LOOKED_AT_ENOUGH

    def looked(self, source: str, reads: Collection[str], seen: Collection[frozenset[str]]) -> None:
        """What some alerts had of the fields that their mapping reads."""
        with self._lock:
            look = self._looks.setdefault(source, Look())
            for present in seen:
                look.add(reads, present)

    def refused(self, source: str, reason: str, now: datetime, *, address: str = "", ours: bool = False) -> None:
        """`source` as it is configured, or the word for all that are not. `ours`: nothing was wrong with it."""
        with self._lock:
            refused = self._refused.setdefault((source, ours), _Refused(now, now))
            refused.last = now
            refused.add(reason, 1, [address] if address else [])

    def flush(self) -> None:
        """Raises Transient as the store does; what was gathered is kept for the next time."""
        now = self._store.moment()
        with self._lock:
            came, self._came = self._came, {}
            refused, self._refused = self._refused, {}
            looks, self._looks = self._looks, {}
        if not came and not refused:
            return
        try:
            self._store.in_transaction(lambda tx: self._note(tx, came, refused, looks, now))
        except Transient:
            self._put_back(came, refused)  # not the looks: the next minute has others
            raise

    def _put_back(self, came: Mapping[str, datetime], refused: Mapping[Key, _Refused]) -> None:
        with self._lock:
            for source, at in came.items():
                self._came[source] = max(at, self._came.get(source, at))
            for key, one in refused.items():
                since = self._refused.get(key)
                if since is not None:
                    for word, many in since.reasons.items():
                        one.add(word, many, since.addresses.get(word, ()))
                    one.last = since.last
                self._refused[key] = one

    def _note(
        self,
        tx: Connection,
        came: Mapping[str, datetime],
        refused: Mapping[Key, _Refused],
        looks: Mapping[str, Look],
        now: datetime,
    ) -> None:
        vanished: list[Entry] = []
        theirs = {source: one for (source, ours), one in refused.items() if not ours}
        for source in sorted({*self._sources} & {*came, *theirs}):
            row = _row(tx, source, now)
            times = [at for at in (came.get(source), row.came_at) if at is not None]  # another process may know later
            values: dict[str, object] = {"came_at": max(times, default=None)}
            if source in theirs:
                values |= _streak(row, theirs[source])
            tx.execute(update(callers).where(callers.c.source == source).values(**values))
            look = looks.get(source)
            gone = vanishing.note(tx, source, look) if look is not None and look.alerts else []
            vanished += [
                Entry(at=now, action=Action.FIELD_VANISHED, actor=f"source:{source}", source=source, detail=detail)
                for path in gone
                for detail in [{"field": path}]
            ]
        entries = [
            _entry(key, reason, refused[key], now) for key in sorted(refused) for reason in sorted(refused[key].reasons)
        ]
        append(tx, *entries, *vanished)


def _entry(key: Key, reason: str, refused: _Refused, now: datetime) -> Entry:
    """Nobody has proven who it was: the name is the URL's."""
    source, ours = key
    detail: dict[str, Json] = {"deliveries": refused.reasons[reason], "addresses": sorted(refused.addresses[reason])}
    return Entry(
        at=now,
        action=Action.REFUSED,
        actor=f"source:{source}",
        known_by=CLAIM,
        source=source,
        outcome="unavailable" if ours else "refused",
        reason=reason,
        detail={word: value for word, value in detail.items() if value},
    )


def troubles(
    tx: Connection, expected: Mapping[str, timedelta | None], *, after: timedelta, now: datetime
) -> list[Trouble]:
    """Of the sources in `expected`: refusals that last for `after`, and silence for longer than that says."""
    known = {row.source: row for row in tx.execute(select(callers))}
    found = []
    for source, every in expected.items():
        row = known.get(source) or (_row(tx, source, now) if every is not None else None)
        if row is None:
            continue
        if _lasts(row, after, now):
            reasons = decode(row.reasons, dict[str, int])
            found.append(Trouble(source=source, kind=Kind.REFUSED, reasons=reasons))
        if every is not None and now - (row.came_at or row.known_since) > every:
            found.append(Trouble(source=source, kind=Kind.SILENT, reasons={}))
    return found


def _lasts(row: Row[Any], after: timedelta, now: datetime) -> bool:
    if row.refused_at is None or _over(row, now):
        return False
    unmended = row.came_at is None or row.came_at < row.refused_at
    return bool(row.refused_at - row.refused_since >= after or (unmended and now - row.refused_since >= after))


def _over(row: Row[Any], now: datetime) -> bool:
    mended = row.came_at is not None and row.came_at > row.refused_at
    return bool(mended and now - row.refused_at > STREAK)


def _streak(row: Row[Any], refused: _Refused) -> dict[str, object]:
    """One that goes on, or a new one."""
    anew = row.refused_at is None or _over(row, refused.last)
    before = {} if anew else decode(row.reasons, dict[str, int])
    reasons = {word: before.get(word, 0) + refused.reasons.get(word, 0) for word in {*before, *refused.reasons}}
    since = refused.first if anew else row.refused_since
    last = refused.last if anew else max(row.refused_at, refused.last)
    return {"refused_since": since, "refused_at": last, "reasons": msgspec.json.encode(reasons).decode()}


def _row(tx: Connection, source: str, now: datetime) -> Row[Any]:
    new = insert_into(tx, callers).values(source=source, known_since=now)
    tx.execute(new.on_conflict_do_nothing())
    return tx.execute(select(callers).where(callers.c.source == source).with_for_update()).one()
