"""The statement of completeness: what became of all that was taken in during a period, and what is not as it must be.

Pure: `bridge.store.figures` and `bridge.store.crosscheck` read the rows. What each figure means, and of which alerts it
is, docs/correlation-log.md says under "The daily statement".
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.alert import Json, Outcome
from bridge.canonical import at_text

OPEN_NAMED_MAX = 100  # problems; the others are counted
DIFFERENCES_NAMED_MAX = 100
NAMED_IN_ENTRY_MAX = 20  # of each, in the entry of a day
OPEN_LONG = timedelta(hours=1)  # what is open for longer is shown as late
MILLISECOND = timedelta(milliseconds=1)
DISCARDED = "discarded"  # alerts.reason of what a person took out of quarantine


class End(StrEnum):
    """What became of an alert."""

    APPLIED = "applied"  # a decision has looked at it, and what it called for was carried out
    OBSERVED = "observed"  # the same, at a target that is only observed: nothing was written
    SUPPRESSED = "suppressed"
    DROPPED = "dropped"  # by the mapping's route
    DISCARDED = "discarded"  # by a person, out of quarantine
    QUARANTINED = "quarantined"  # held: it waits for another mapping, or a person
    OPEN = "open"  # none yet: see Why


class Why(StrEnum):
    """Why an accepted alert has no end yet."""

    LEASED = "leased"  # a round is at it
    PERSON = "person"  # a permanent failure: a person must look
    PAUSED = "paused"  # its target, by a person
    FAILING = "failing"  # it will be tried again
    BRAKED = "braked"  # its target has made its creates for this hour
    WAITING = "waiting"  # it is due, or will be
    LET_GO = "let_go"  # its mapping was removed with `--release`
    LOST = "lost"  # nothing would ever bring it forward: a difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Unended:
    """Alerts of one source and one problem without an end, and all that tells why."""

    source: str
    correlation_id: str
    target: str | None  # where its incident is, or would be
    alerts: int
    oldest: datetime  # when the first of them was received
    due_at: datetime | None
    leased_until: datetime | None
    waits_for_person: bool
    failure: str | None
    failure_text: str | None
    failures: int
    last_decision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    source: str
    correlation_id: str
    target: str | None
    alerts: int
    oldest: datetime
    why: Why
    text: str  # for a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where the record does not agree with itself, or an alert is lost."""

    code: str  # alert_missing | alert_not_logged | outcome_changed | delivery_missing | delivery_not_logged | …
    about: str  # `alert 12-0`, `delivery 12`, `intent 7`, `incident INC0010001`, `problem <correlation ID>`
    text: str  # a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The longest time without a delivery that ended in the period, or lasted at its end."""

    began: datetime
    lasted: timedelta
    broken: bool  # longer than the source's `expect_every`


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
    source: str
    received: int  # deliveries, duplicates not counted
    refused: Mapping[str, int]  # reason -> deliveries that were turned away
    alerts: int
    ends: Mapping[
        End, Mapping[str, int]
    ]  # -> rule (suppression, route_drop, quarantine code, new, repeat, …) -> alerts
    held: int  # alerts in quarantine now, of the period and before it
    open: int  # alerts without an end now, of the period and before it
    oldest_open: datetime | None  # when the first of them was received
    creates: int  # incidents whose create was begun in the period and applied
    p99: timedelta | None  # from the 200 to that; None: there were none
    worst: timedelta | None
    silence: Silence | None  # None: a name that no source has


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    since: datetime
    until: datetime  # not in it
    at: datetime  # when it was asked
    compared_from: datetime | None  # before it entries were pruned, and nothing can be compared; None: all was compared
    sources: tuple[SourceFigures, ...]  # by name
    open: tuple[Open, ...]  # those that are open longest, at most OPEN_NAMED_MAX
    open_by: Mapping[Why, int]  # -> problems
    differences: tuple[Difference, ...]  # at most DIFFERENCES_NAMED_MAX
    difference_count: int

    @property
    def word(self) -> str:
        """The outcome that its entry carries."""
        return "differences" if self.difference_count else "open" if self.open_by else "complete"


def end_of(outcome: str, reason: str, *, is_open: bool, is_observed: bool) -> End:
    """Of an alert as its row and its correlation's tell."""
    if outcome == Outcome.ACCEPTED:
        return End.OPEN if is_open else End.OBSERVED if is_observed else End.APPLIED
    if outcome == Outcome.DROPPED and reason == DISCARDED:
        return End.DISCARDED
    return End(outcome)


def why(one: Unended, *, paused: Collection[str | None], braked: str, let_go: str, now: datetime) -> tuple[Why, str]:
    """The first that holds, with a sentence. `braked`, `let_go`: the decisions that say so."""
    failure = ": ".join(part for part in (one.failure, one.failure_text) if part)
    if one.leased_until is not None and one.leased_until > now:
        return Why.LEASED, "a round is under way"
    if one.waits_for_person:
        return Why.PERSON, f"{failure.rstrip('.')}; then `bridge incidents sync`"
    if one.due_at is None:
        if one.last_decision == let_go:
            return Why.LET_GO, "its mapping was removed; `bridge incidents sync` takes it up again"
        return Why.LOST, "nothing will bring it forward: `bridge incidents sync` does, and please report it"
    if one.target in paused:
        return Why.PAUSED, f"`bridge targets resume {one.target}` ends it"
    if one.failures:
        return Why.FAILING, failure
    if one.last_decision == braked:
        return Why.BRAKED, f"`max_creates_per_hour` of {one.target}; `bridge targets release {one.target}` lets it go"
    return Why.WAITING, "due now" if one.due_at <= now else f"looks again at {one.due_at:%Y-%m-%d %H:%M:%SZ}"


def lost(one: Open) -> Difference:
    text = f"Alerts of it that were accepted, have no end, and that nothing will bring forward: {one.alerts}."
    return Difference(code="alert_lost", about=f"problem {one.correlation_id}", text=text)


class Opens:
    """Of any number of open problems those that are open longest, and how many there are for each reason."""

    def __init__(self) -> None:
        self._named: list[tuple[float, int, Open]] = []
        self.count: Counter[Why] = Counter()
        self.alerts: Counter[str] = Counter()  # by source
        self.oldest: dict[str, datetime] = {}

    def add(self, one: Open) -> None:
        self.count[one.why] += 1
        self.alerts[one.source] += one.alerts
        self.oldest[one.source] = min(one.oldest, self.oldest.get(one.source, one.oldest))
        entry = (-one.oldest.timestamp(), -self.count.total(), one)
        (heapq.heappush if len(self._named) < OPEN_NAMED_MAX else heapq.heappushpop)(self._named, entry)

    def named(self) -> tuple[Open, ...]:
        return tuple([one for _, _, one in sorted(self._named, key=lambda entry: entry[:2], reverse=True)])


class Differences:
    """The first ones by name, and how many there are. One that is found twice counts once while it is named."""

    def __init__(self) -> None:
        self._named: dict[tuple[str, str], Difference] = {}
        self.count = 0

    def add(self, found: Iterable[Difference]) -> None:
        for one in found:
            key = one.code, one.about
            if key not in self._named:
                self.count += 1
                if len(self._named) < DIFFERENCES_NAMED_MAX:
                    self._named[key] = one

    def named(self) -> tuple[Difference, ...]:
        return tuple(self._named.values())


@dataclass(slots=True)
class Times:
    """How long each create took, in microseconds: eight bytes each would do, and there are few."""

    values: list[int] = field(default_factory=list)

    def worst(self) -> timedelta | None:
        return timedelta(microseconds=max(self.values)) if self.values else None

    def p99(self) -> timedelta | None:
        """Exact, by nearest rank: the least that 99 of 100 do not exceed."""
        if not self.values:
            return None
        return timedelta(microseconds=sorted(self.values)[math.ceil(len(self.values) * 99 / 100) - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The deliveries of a source in a part of the period, and the longest time between two of them."""

    first: datetime
    last: datetime
    gap: timedelta
    gap_began: datetime


def silence_of(
    before: datetime | None, spans: Sequence[Span], since: datetime, until: datetime, expect_every: timedelta | None
) -> Silence:
    """The longest of all: each in its whole length, also where it began before the period.

    `before`: the last delivery before the period; None: there was none, and what came before the first is no silence.
    """
    began = before or (spans[0].first if spans else since)
    last, longest = began, timedelta(0)
    for span in spans:
        for start, lasted in ((last, span.first - last), (span.gap_began, span.gap)):
            if lasted > longest:
                began, longest = start, lasted
        last = span.last
    if until - last > longest:
        began, longest = last, until - last
    return Silence(began=began, lasted=longest, broken=expect_every is not None and longest > expect_every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one log entry says of the alerts of a delivery."""

    action: str  # entries.Action
    reason: str
    alerts: Mapping[int, str]  # position -> outcome
    positions: tuple[int, ...]  # of a discard, or of what a person brought back


def as_told(told: Iterable[Told]) -> dict[int, str] | None:
    """position -> outcome of a delivery's alerts, as its entries say in their order. None: no entry tells of it.

    What stands for the rest of a delivery is replaced at its own place, so a position that was there stays there.
    """
    found: dict[int, str] | None = None
    for one in told:
        if one.action == "delivered":
            found = (found or {}) | dict(one.alerts)
        elif found is not None and one.action == "replayed":
            found |= one.alerts
        elif found is not None and one.action == DISCARDED:
            found |= dict.fromkeys(one.positions, Outcome.DROPPED.value)
        elif found is not None and one.action == "quarantined" and one.positions:
            found |= dict.fromkeys(one.positions, Outcome.QUARANTINED.value)
    return found


def compared(delivery: int, rows: Mapping[int, str], told: Sequence[Told]) -> list[Difference]:
    """What the store and the log say differently of a delivery's alerts; `rows`: position -> outcome."""
    entries, logged = as_told(told), [one.action for one in told].count("delivered")
    about = f"delivery {delivery}"
    if entries is None:
        text = f"It is in the store, with alerts: {len(rows)}; the log has no entry of its receipt."
        return [Difference(code="delivery_not_logged", about=about, text=text)]
    found = []
    if logged > 1:
        text = f"The log has {logged} entries of its receipt; a delivery is received once."
        found.append(Difference(code="delivery_logged_twice", about=about, text=text))
    for position in sorted({*rows, *entries}):
        said, is_there = entries.get(position), rows.get(position)
        about = f"alert {delivery}-{position}"
        if is_there is None:
            text = f"The log says that it was {said}; the store does not have it."
            found.append(Difference(code="alert_missing", about=about, text=text))
        elif said is None:
            text = f"The store has it as {is_there}; the log does not say that it was received."
            found.append(Difference(code="alert_not_logged", about=about, text=text))
        elif said != is_there:
            text = f"The store has it as {is_there}; the log says {said}."
            found.append(Difference(code="outcome_changed", about=about, text=text))
    return found


def as_detail(statement: Statement) -> dict[str, Json]:
    """The `detail` of its entry: whole numbers and words, times in milliseconds, no longer than the sources make it."""
    return {
        "day": f"{statement.since:%Y-%m-%d}",
        "sources": {one.source: _source_detail(one) for one in statement.sources},
        "open": {reason.value: count for reason, count in sorted(statement.open_by.items())},
        "open_longest": [_open_detail(one) for one in statement.open[:NAMED_IN_ENTRY_MAX]],
        "differences": statement.difference_count,
        "differs": [f"{one.code}: {one.about}" for one in statement.differences[:NAMED_IN_ENTRY_MAX]],
    } | ({"compared_from": at_text(statement.compared_from)} if statement.compared_from is not None else {})


def _source_detail(one: SourceFigures) -> dict[str, Json]:
    shown: dict[str, Json] = {
        "received": one.received,
        "refused": dict(sorted(one.refused.items())),
        "alerts": one.alerts,
        "ends": {end.value: dict(sorted(rules.items())) for end, rules in sorted(one.ends.items())},
        "held": one.held,
        "open": one.open,
        "creates": one.creates,
    }
    if one.oldest_open is not None:
        shown["oldest_open"] = at_text(one.oldest_open)
    if one.p99 is not None and one.worst is not None:
        shown |= {"p99_ms": one.p99 // MILLISECOND, "worst_ms": one.worst // MILLISECOND}
    if one.silence is not None:
        lasted = int(one.silence.lasted.total_seconds())
        shown["silence"] = {"began": at_text(one.silence.began), "seconds": lasted, "broken": one.silence.broken}
    return shown


def _open_detail(one: Open) -> dict[str, Json]:
    shown = {"correlation_id": one.correlation_id, "source": one.source, "alerts": one.alerts}
    return shown | {"received": at_text(one.oldest), "why": one.why.value}
