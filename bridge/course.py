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
from typing import cast

from bridge.alert import MappedAlert, Outcome, believed, key_of
from bridge.correlation.policy import CloseWhen, Kind, Reason, rises, shown
from bridge.correlation.rounds import Correlation, Round, Rounds
from bridge.correlation.summary import AlertFacts
from bridge.mapping.compile import Mapping
from bridge.mapping.rendered import Facts
from bridge.store.columns import to_us
from bridge.store.correlation_state import CorrelationState
from bridge.store.naming import Naming
from bridge.store.prepare import PreparedAlert

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


@dataclass(slots=True, eq=False)
class _Problem(Correlation):
    """One correlation as the course has brought it about, with what intake keeps of it."""

    state: CorrelationState = field(kw_only=True)
    foretold: bool = False  # the next update or close of its incident has been a step's `writes` already


class Course:
    """One mapping's course over the deliveries, which are given in the order of their receipt."""

    def __init__(self, mapping: Mapping, closes: MappingType[str, CloseWhen]) -> None:
        self.mapping = mapping
        self.decisions: Counter[Kind] = Counter()  # but for NOTHING
        self.outcomes: Counter[Outcome] = Counter()
        self._policies = {name: replace(mapping.policy, close_when=when) for name, when in closes.items()}
        self._problems: dict[Key, _Problem] = {}  # by every key that leads to one
        self._rounds = Rounds()
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
        problem.take(facts, routed_to=mapped.target, join_keys=mapped.join_keys)
        if facts.suppressed:
            return Step(done.outcome, mapped, done.reason)
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
        state = naming.name(mapped, tenant=tenant, source=source, mapping=self.mapping.name)
        return by_state.get(id(state)) or _Problem(state=state)

    def _register(self, problem: _Problem) -> None:
        state = problem.state
        for key in state.new_keys:
            self._problems[state.tenant, key] = problem
        state.new_keys = ()

    def _accepted(self, problem: _Problem, mapped: MappedAlert, reason: str, source: str, now: datetime) -> Step:
        done = self._decide(problem, now)
        decision = done.decision
        if decision.reason in LATER and not any(one.foretold for one in self._sharing(problem)):
            problem.foretold = True
            decision = replace(decision, kind=LATER[decision.reason])
        if decision.kind is Kind.NOTHING:
            return Step(Outcome.ACCEPTED, mapped, reason)
        facts = Facts.of(
            done.progress,
            shown(done.before, decision, done.progress),
            source=source,
            mapping=self.mapping.name,
            correlation_id=mapped.correlation_id,
            now=now,
        )
        rose = rises(done.before, decision, done.progress)
        target = problem.incident.target if problem.incident is not None else None
        return Step(Outcome.ACCEPTED, mapped, reason, decision.kind, target, facts, rose)

    def _decide(self, problem: _Problem, now: datetime) -> Round:
        """What the worker does with a correlation that is due."""
        target = problem.incident.target if problem.incident is not None else problem.routed_to
        done = self._rounds.work(problem, self._policies.get(target or "", self.mapping.policy), now)
        written = done.decision.kind is not Kind.NOTHING
        if done.joined:
            self.decisions[Kind.JOIN] += 1
        if written:
            self.decisions[done.decision.kind] += 1
        for one in self._sharing(problem):
            state = one.state
            if not one.pending:
                state.applied_seq = state.last_seq
            if one.progress.severity is None:
                state.severity = 0  # what comes next counts from here
            if one.episode is not None and one.is_open:
                state.severity = max(state.severity, int(one.episode.severity))
            state.open = one.is_open
            one.foretold = one.foretold and not written
        if problem.wake_at is not None:
            self._timers_set += 1
            heapq.heappush(self._timers, (problem.wake_at, self._timers_set, problem))
        return done

    def _sharing(self, problem: _Problem) -> list[_Problem]:
        """All of its incident, whether that is open or has just ended."""
        return cast("list[_Problem]", problem.incident.correlations) if problem.incident is not None else [problem]
