"""Rounds in memory: what the worker decides of what is due, without a store and without a call. Pure.

`bridge mapping test` and `bridge mapping plan` play alerts through it. Every call counts as taken at once, so nothing
is ever on its way: what would wait to join has joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.alert import JoinKey
from bridge.correlation.policy import (
    CORRELATIONS_PER_INCIDENT_MAX,
    Decision,
    Episode,
    Kind,
    Policy,
    Reason,
    Situation,
    Taker,
    carried,
    decide,
    settled,
)
from bridge.correlation.progress import Progress, fold, is_stale, together
from bridge.correlation.summary import AlertFacts, summarise


@dataclass(slots=True, eq=False)
class Incident:
    """An incident and the correlations that share it."""

    target: str
    episode: Episode
    correlations: list[Correlation]
    untold: bool = False  # one of them has joined, and the incident does not say so yet


@dataclass(slots=True, eq=False)
class Correlation:
    """One correlation as its alerts have brought it about."""

    progress: Progress = field(default_factory=Progress)
    pending: list[AlertFacts] = field(default_factory=list)
    newest: AlertFacts | None = None  # of the accepted ones, by event time, then seq
    routed_to: str | None = None  # the newest's route
    join_keys: tuple[JoinKey, ...] = ()  # the newest's
    incident: Incident | None = None  # the newest
    wake_at: datetime | None = None  # of those that share an incident, one is woken for all

    @property
    def episode(self) -> Episode | None:
        return self.incident.episode if self.incident is not None else None

    @property
    def is_open(self) -> bool:
        return self.incident is not None and self.incident.episode.open

    @property
    def sharing(self) -> Sequence[Correlation]:
        """Those that one decision is about."""
        return self.incident.correlations if self.incident is not None and self.is_open else (self,)

    def take(self, alert: AlertFacts, *, routed_to: str | None, join_keys: tuple[JoinKey, ...]) -> None:
        """An alert that was received; a suppressed one is counted with the next decision, and no reason for one."""
        self.pending.append(alert)
        if alert.suppressed:
            return
        newest = self.newest
        if newest is None or (alert.event_time, alert.seq) > (newest.event_time, newest.seq):
            self.newest, self.routed_to, self.join_keys = alert, routed_to, join_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    decision: Decision  # of one that joins, what the incident that took it in is then told
    progress: Progress  # that it was taken on
    before: Episode | None  # that it was taken on
    joined: bool = False


class Rounds:
    """Which incident takes in what has which values, and a round after the other."""

    def __init__(self) -> None:
        self._takers: dict[tuple[str, str], tuple[Incident, datetime]] = {}  # (target, digest) -> it, since when

    def work(self, one: Correlation, policy: Policy, now: datetime) -> Round:
        """What becomes of a correlation that is due, and of those that share its incident."""
        taker = None if one.is_open else self._taker_of(one, now)
        round_ = self._decided(one, policy, now, taker)
        if round_.decision.kind is not Kind.JOIN or taker is None:
            return round_
        _leave(one)
        one.incident = taker
        taker.correlations.append(one)
        taker.untold = True
        told = self._decided(one, policy, now, None)
        return Round(decision=told.decision, progress=told.progress, before=told.before, joined=True)

    def _decided(self, one: Correlation, policy: Policy, now: datetime, taker: Incident | None) -> Round:
        sharing, before = one.sharing, one.episode
        news = [(each, summarise(each.pending, each.progress)) for each in sharing]
        folded = [fold(each.progress, pending) for each, pending in news]
        progress = together(folded)
        situation = Situation(
            progress=progress,
            episode=before,
            stale=all(is_stale(p, each.progress) for each, p in news if p.count) and any(p.count for _, p in news),
            routed=one.routed_to is not None,
            taker=Taker(incident=0, is_open=True, since=now) if taker is not None else None,
            untold=Reason.JOINED if one.incident is not None and one.is_open and one.incident.untold else None,
        )
        decision = decide(situation, policy, now)
        if decision.kind is not Kind.JOIN:  # else the incident that takes it in decides on the same
            for each, after in zip(sharing, folded, strict=True):
                each.progress = carried(after, decision)
                each.pending, each.wake_at = [], None
            one.wake_at = decision.wake_at
            self._settle(one, decision, settled(before, decision, progress, now), now)
        return Round(decision=decision, progress=progress, before=before)

    def _settle(self, one: Correlation, decision: Decision, after: Episode | None, now: datetime) -> None:
        if after is None:
            return
        if decision.kind is Kind.CREATE:
            _leave(one)
            one.incident = Incident(target=one.routed_to or "", episode=after, correlations=[one])
            for key in one.join_keys:
                self._takers[one.incident.target, key.digest] = one.incident, now
        elif one.incident is not None:
            one.incident.episode = after
            one.incident.untold = one.incident.untold and decision.kind is Kind.NOTHING

    def _taker_of(self, one: Correlation, now: datetime) -> Incident | None:
        for key in one.join_keys:
            incident, since = self._takers.get((one.routed_to or "", key.digest), (None, now))
            fits = incident is not None and len(incident.correlations) < CORRELATIONS_PER_INCIDENT_MAX
            if incident is not None and fits and incident.episode.open and now - since <= key.within:
                return incident
        return None


def _leave(one: Correlation) -> None:
    """The incident that has ended is another's from now on, if anybody's."""
    if one.incident is not None:
        one.incident.correlations.remove(one)
