"""What a mapping would have made of a sequence of deliveries: intake's settling and the worker's decisions, by the very
functions that do it in earnest, on the alerts' own received times. No store, no ServiceNow.

The target counts as there to write to; people as staying away; no brake; no call fails. A decision is taken as soon as
an alert arrives, or when a timer falls due.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.alert import MappedAlert, Outcome, believed, key_of
from bridge.correlation.policy import (
    CloseWhen,
    Decision,
    Episode,
    Kind,
    Reason,
    Situation,
    carried,
    decide,
    rises,
    settled,
    shown,
)
from bridge.correlation.progress import Progress, fold, is_stale
from bridge.correlation.summary import AlertFacts, summarise
from bridge.mapping.compile import Mapping
from bridge.mapping.rendered import Facts
from bridge.store.correlation_state import CorrelationState
from bridge.store.naming import Naming
from bridge.store.prepare import PreparedAlert
from bridge.store.tables import to_us

# Nothing is written now, and one alert is enough to know what will be: once for each write that follows.
LATER = {Reason.REPEAT: Kind.UPDATE, Reason.QUIET_TIME: Kind.CLOSE}

Key = tuple[str, str]  # (tenant, correlation ID as it is compared)


@dataclass(frozen=True, slots=True)
class Step:
    """What one alert brought about."""

    outcome: Outcome
    mapped: MappedAlert | None  # None: quarantined
    reason: str  # of the outcome
    writes: Kind | None = None  # what is written because of it, now or when a timer falls due
    target: str | None = None  # where
    facts: Facts | None = None  # to render it with
    severity_rose: bool = False


@dataclass(slots=True)
class _Problem:
    """One correlation as the course has brought it about."""

    state: CorrelationState
    progress: Progress = field(default_factory=Progress)
    pending: list[AlertFacts] = field(default_factory=list)
    episode: Episode | None = None
    newest: AlertFacts | None = None  # of the accepted ones, by event time, then seq
    routed_to: str | None = None  # the newest's route
    target: str | None = None  # of the last episode
    wake_at: datetime | None = None
    foretold: bool = False  # the next update or close has been a step's `writes` already


class Course:
    """One mapping's course over the deliveries, which are given in the order of their receipt."""

    def __init__(self, mapping: Mapping, closes: MappingType[str, CloseWhen]) -> None:
        self.mapping = mapping
        self.decisions: Counter[Kind] = Counter()  # but for NOTHING
        self.outcomes: Counter[Outcome] = Counter()
        self._policies = {name: replace(mapping.policy, close_when=when) for name, when in closes.items()}
        self._problems: dict[Key, _Problem] = {}  # by every key that leads to one
        self._timers: list[tuple[datetime, int, _Problem]] = []  # the number keeps equal times in order
        self._timers_set = 0

    def open_keys(self) -> set[Key]:
        """The problems that have an open incident now."""
        return {key for key, problem in self._problems.items() if problem.state.open}

    def advance(self, now: datetime) -> None:
        """Time goes by: what falls due until then is decided."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            due, _, problem = heapq.heappop(timers)
            if problem.wake_at == due:
                self._decide(problem, due)

    def take(self, alert: PreparedAlert, *, tenant: str, source: str, now: datetime) -> Step:
        """One alert that was received at `now`."""
        mapped = alert.mapped
        if mapped is None:
            self.outcomes[Outcome.QUARANTINED] += 1
            return Step(Outcome.QUARANTINED, None, alert.code)
        problem = self._problem_of(mapped, tenant, source)
        event_time = believed(mapped.event_time, now)
        at, received = to_us(event_time), to_us(now)
        done = problem.state.settle(mapped, source=source, mapping=self.mapping.name, event_time=at, now=received)
        self.outcomes[done.outcome] += 1
        if done.seq is None:
            return Step(done.outcome, mapped, done.reason)
        self._register(problem)
        facts = AlertFacts(
            seq=done.seq,
            status=mapped.status,
            severity=mapped.severity,
            event_time=event_time,
            received_at=now,
            suppressed=done.outcome is Outcome.SUPPRESSED,
        )
        problem.pending.append(facts)
        if done.outcome is Outcome.SUPPRESSED:  # counted with the next decision, but no reason for one
            return Step(done.outcome, mapped, done.reason)
        newest = problem.newest
        if newest is None or (facts.event_time, facts.seq) > (newest.event_time, newest.seq):
            problem.newest, problem.routed_to = facts, mapped.target
        return self._accepted(problem, mapped, done.reason, source, now)

    def _problem_of(self, mapped: MappedAlert, tenant: str, source: str) -> _Problem:
        """By its ID, or by its former one: as intake names alerts."""
        key = (tenant, key_of(mapped.correlation_id))
        found = self._problems.get(key)
        if found is not None and found.state.key == key[1]:
            return found
        keys = [key, *((tenant, key_of(former)) for former in mapped.former_ids)]
        known = {one: self._problems[one] for one in keys if one in self._problems}
        by_state = {id(problem.state): problem for problem in known.values()}
        naming = Naming({one: problem.state for one, problem in known.items()})
        naming.name(mapped, tenant=tenant, source=source, mapping=self.mapping.name)
        state = naming.states[key]
        return by_state.get(id(state)) or _Problem(state)

    def _register(self, problem: _Problem) -> None:
        state = problem.state
        for key in state.new_keys:
            self._problems[state.tenant, key] = problem
        state.new_keys = ()

    def _accepted(self, problem: _Problem, mapped: MappedAlert, reason: str, source: str, now: datetime) -> Step:
        before = problem.episode
        decision, progress = self._decide(problem, now)
        if decision.reason in LATER and not problem.foretold:
            problem.foretold = True
            decision = replace(decision, kind=LATER[decision.reason])
        if decision.kind is Kind.NOTHING:
            return Step(Outcome.ACCEPTED, mapped, reason)
        facts = Facts.of(
            progress,
            shown(before, decision, progress),
            source=source,
            mapping=self.mapping.name,
            correlation_id=mapped.correlation_id,
            now=now,
        )
        rose = rises(before, decision, progress)
        return Step(Outcome.ACCEPTED, mapped, reason, decision.kind, problem.target, facts, rose)

    def _decide(self, problem: _Problem, now: datetime) -> tuple[Decision, Progress]:
        """What the worker does with a correlation that is due; (the decision, the progress that it was taken on)."""
        before = problem.progress
        pending = summarise(problem.pending, before)
        progress = fold(before, pending)
        situation = Situation(
            progress=progress,
            episode=problem.episode,
            stale=is_stale(pending, before),
            routed=problem.routed_to is not None,
        )
        decision = decide(situation, self._policies.get(problem.target or "", self.mapping.policy), now)
        problem.pending, problem.state.applied_seq = [], problem.state.last_seq
        problem.episode = settled(problem.episode, decision, progress, now)
        problem.progress = carried(progress, decision)
        if problem.progress.severity is None:
            problem.state.severity = 0  # what comes next counts from here
        if problem.episode is not None and problem.episode.open:
            problem.state.severity = max(problem.state.severity, int(problem.episode.severity))
        if decision.kind is not Kind.NOTHING:
            self.decisions[decision.kind] += 1
            _written(problem, decision)
        problem.wake_at = decision.wake_at
        if decision.wake_at is not None:
            self._timers_set += 1
            heapq.heappush(self._timers, (decision.wake_at, self._timers_set, problem))
        return decision, progress


def _written(problem: _Problem, decision: Decision) -> None:
    problem.foretold = False
    if decision.kind is Kind.CREATE:
        problem.target = problem.routed_to
    problem.state.open = problem.episode is not None and problem.episode.open
