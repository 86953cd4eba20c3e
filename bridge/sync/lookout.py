"""From what a round holds to what it sees: the alert that speaks, the target, the policy, an incident to join."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from bridge.correlation.policy import CloseWhen, Taker
from bridge.correlation.progress import together
from bridge.dictionary.reading import Reading
from bridge.errors import Permanent
from bridge.servicenow.table import TableApi
from bridge.servicenow.ways import way_of
from bridge.settings import Mode, Target
from bridge.store import joins
from bridge.store.engine import Store
from bridge.store.held import Held
from bridge.sync.alert import Alerts, Speaker
from bridge.sync.fit import closes
from bridge.sync.sight import Sight


class Lookout:
    """Reads the store, never ServiceNow."""

    def __init__(
        self,
        *,
        store: Store,
        alerts: Alerts,
        targets: Mapping[str, Target],
        tables: Mapping[str, TableApi],
        reading_of: Callable[[str], Reading],
    ) -> None:
        self._store = store
        self._alerts = alerts
        self._targets = targets
        self._tables = tables  # by instance
        self._ways = {name: way_of(target, tables[target.instance]) for name, target in targets.items()}
        self._reading_of = reading_of  # what an instance has told of its tables, as it is known now

    def sight(self, held: Held) -> Sight:
        """From where the record is, also of one that has ended: people may have opened it again, and there it is
        reopened. A plan, which has no record yet, is where the route says.
        """
        speaker = self._alerts.of(held)
        route = self._route(held, speaker)
        target = self._of_its_tenant(held, held.incident.target if held.incident.state == "ended" else route)
        table, reading = self._tables[target.instance], self._reading_of(target.instance)
        policy = speaker.published.mapping.policy
        if target.one_record_per_id and target.name == route:  # a second record could not be made there
            policy = replace(policy, reopen_within=timedelta.max)
        close_when = target.close.when if target.close is not None and closes(target, reading) else CloseWhen.NEVER
        episode = held.incident.episode or held.last_episode
        if episode is not None and any(one.sync_asked_at is not None for one in held.deciding):
            episode = replace(episode, close_refused_for=None, reopen_refused=False)
        if episode is not None and held.incident.state == "planned":
            episode = replace(episode, reopen_refused=True)  # its successor is planned: that one is to be created
        return Sight(
            held=held,
            speaker=speaker,
            target=target,
            table=table,
            way=self._ways[target.name],
            reading=reading,
            progress=together([one.folded for one in held.deciding]),
            policy=replace(policy, close_when=close_when),
            episode=episode,
            route=route,
            record_url=table.record_url(target.table, held.incident.sys_id) if held.incident.sys_id else "",
            taker=self._taker(held, speaker, route),
        )

    def opening(self, sight: Sight) -> Sight:
        """Of a decision that opens an incident, or joins one: that is done where the route says, wherever the record of
        the one before it is.
        """
        target = self._of_its_tenant(sight.held, sight.route)
        table, reading = self._tables[target.instance], self._reading_of(target.instance)
        return replace(sight, target=target, table=table, way=self._ways[target.name], reading=reading)

    def goes_elsewhere(self, held: Held) -> bool:
        """Whether the route of a plan leads to another table than the one where its create was tried."""
        tried = self._targets.get(held.incident.target)
        if tried is None or held.alert is None or held.alert.body is None:
            return False
        target = self._targets.get(self._route(held, self._alerts.of(held)), tried)
        return (target.instance, target.table) != (tried.instance, tried.table)

    def _taker(self, held: Held, speaker: Speaker, route: str) -> Taker | None:
        """Asked only where an episode may be opened, of a mapping that joins."""
        keys, target = speaker.mapped.join_keys, self._targets.get(route)
        if held.incident.state == "open" or not keys or target is None:
            return None
        with self._store.glance() as tx:
            now, observing = self._store.now(tx), target.mode is Mode.OBSERVE
            return joins.taker_of(tx, held, route, keys, now, observing=observing)

    def _route(self, held: Held, speaker: Speaker) -> str:
        """An incident that is open stays where it was opened; the next one follows the route, as does a plan."""
        if held.incident.state == "open":
            return held.incident.target
        return speaker.mapped.target or held.incident.target or held.target or next(iter(self._targets))

    def _of_its_tenant(self, held: Held, name: str) -> Target:
        target = self.target(name)
        if target.tenant != held.tenant:
            message = f"The target {name!r} is of tenant {target.tenant!r}, the alerts of {held.tenant!r}."
            raise Permanent("other_tenant", f"{message} Tenants never meet: route to a target of the alerts' own.")
        return target

    def target(self, name: str) -> Target:
        target = self._targets.get(name)
        if target is None:
            raise Permanent(
                "unknown_target", f"The target {name!r} is not in bridge.yaml any more: put it back, or pause it there."
            )
        return target
