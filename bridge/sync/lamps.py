"""Lamps: every half minute, what is wrong with a source or held by a brake is put into an alert of the bridge's own.

That alert takes the way of all others, through the same commit, decision, protocol and log: its incident is exactly
one, leaves people alone, and closes itself. In the transaction that stores the alert stands what was told, so that a
crash tells nothing twice and forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby

import msgspec
from sqlalchemy import Connection

from bridge.alert import OWN_MAPPING, OWN_SOURCE
from bridge.correlation.lamps import Lamp, Trouble, attention, flood
from bridge.library import Library
from bridge.settings import Attention, Mode, Source, Target
from bridge.store import advisory, brake, callers, intake, lamps, vanishing
from bridge.store.engine import Store
from bridge.store.prepare import PreparedDelivery, fingerprint, map_content


class Lamps:
    """Any number of processes may look: one at a time, and each finds what the last one told."""

    def __init__(
        self,
        *,
        store: Store,
        library: Library,
        targets: Mapping[str, Target],
        sources: Mapping[str, Source],
        attention: Attention | None,  # None: there are no incidents about sources
    ) -> None:
        self._store = store
        self._library = library
        self._targets = targets
        self._sources = sources
        self._attention = attention

    def look(self) -> None:
        """Raises Transient as the store does."""
        self._store.in_transaction(lambda tx: self._tell(tx, self._store.now(tx)), "lamps")

    def _tell(self, tx: Connection, now: datetime) -> None:
        advisory.hold(tx, "lamps")
        lit = {lamp.id: lamp for lamp in (*self._floods(tx), *self._attentions(tx, now))}
        told = lamps.told(tx)
        deliveries = []
        for lamp in lit.values():
            if lamp.id not in told or told[lamp.id].told != lamp.signature:
                deliveries.append(self._delivery(lamp.id, lamp.target, lamp, now))
                lamps.tell(tx, lamp.id, lamp.target, lamp.signature, now)
        for lamp_id in sorted(told.keys() - lit.keys()):
            if told[lamp_id].target in self._targets:
                deliveries.append(self._delivery(lamp_id, told[lamp_id].target, None, now))
            lamps.take_back(tx, lamp_id)
        if deliveries:
            intake.commit(tx, deliveries, now)

    def _floods(self, tx: Connection) -> Iterable[Lamp]:
        for held in brake.waiting(tx):
            target = self._targets.get(held.target)
            if target is not None and target.mode is Mode.WRITE and held.mapping != OWN_MAPPING:
                owner = self._owner(held.mapping)
                yield flood(
                    target=target.name, tenant=target.tenant, mapping=held.mapping, owner=owner, problems=held.problems
                )

    def _attentions(self, tx: Connection, now: datetime) -> Iterable[Lamp]:
        wanted = self._attention
        if wanted is None:
            return
        sources = dict(self._sources)  # may change meanwhile
        expected = {name: source.expect_every for name, source in sources.items()}
        called = callers.troubles(tx, expected, after=wanted.after, now=now)
        gone = vanishing.troubles(tx, sources)
        found = sorted([*lamps.troubles(tx, sources), *called, *gone], key=_source)
        since = lamps.since(tx, [trouble.name for trouble in found], now)
        for source, troubles in groupby(found, key=_source):
            lamp = attention(
                source,
                troubles,
                since,
                mapping=sources[source].mapping,
                target=wanted.target,
                tenant=self._targets[wanted.target].tenant,
                group=wanted.assignment_group,
                after=wanted.after,
                now=now,
            )
            if lamp is not None:
                yield lamp

    def _owner(self, mapping: str) -> str:
        try:
            return self._library[mapping].mapping.owner
        except KeyError:
            return "not known here"

    def _delivery(self, lamp_id: str, target: str, lamp: Lamp | None, now: datetime) -> PreparedDelivery:
        """`lamp` None: it is out."""
        document = {"lamp": lamp_id, "target": target, "status": "firing" if lamp is not None else "resolved"}
        if lamp is not None:
            document |= {"title": lamp.title, "text": lamp.text, "group": lamp.group, "severity": lamp.severity.word}
        body = msgspec.json.encode(document)
        published = self._library[OWN_MAPPING]
        sender_id = f"{lamp_id} {now.isoformat()}"
        return PreparedDelivery(
            source=OWN_SOURCE,
            tenant=self._targets[target].tenant,
            mapping=OWN_MAPPING,
            revision_id=published.revision_id,
            revision=published.revision,
            sender_id=sender_id,
            content_type="application/json",
            body=body,
            fingerprint=fingerprint(OWN_SOURCE, sender_id, body),
            alerts=map_content(published.mapping, body, now=now),
            quiet=published.mapping.quiet,
        )


def _source(trouble: Trouble) -> str:
    return trouble.source
