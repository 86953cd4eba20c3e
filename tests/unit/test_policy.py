"""The decision: one row per rule of the table, then what must hold for every history."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.alert import Severity, Status
from bridge.correlation.policy import (
    BRAKE_RECHECK,
    JOIN_RECHECK_MAX,
    JOIN_RECHECK_MIN,
    NOTES_PER_EPISODE_MAX,
    CloseWhen,
    Decision,
    End,
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
from bridge.correlation.progress import Pending, Progress, ended, fold, is_stale, together
from bridge.correlation.summary import AlertFacts, summarise

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIRING, RESOLVED = Status.FIRING, Status.RESOLVED
LOW, MEDIUM, HIGH, CRITICAL = Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL

FIRES = Progress(status=FIRING, newest_time=NOW, newest_seq=3, changed_time=NOW - HOUR, severity=MEDIUM, repeat_count=3)
IS_RESOLVED = replace(FIRES, status=RESOLVED, resolved_since=NOW - HOUR)
OPEN = Episode(open=True, severity=MEDIUM, told_count=3, told_at=NOW - MINUTE)
UNTOLD = replace(OPEN, told_count=1)
TOLD_RESOLVED = replace(OPEN, told_resolved=True)
BY_US = replace(OPEN, open=False, end=End.BY_US, ended_at=NOW - HOUR)
BY_PERSON = replace(BY_US, end=End.BY_PERSON)
LATE = Pending(count=1, firing_count=1, newest_time=NOW - 2 * HOUR, newest_seq=4, newest_status=FIRING)
POLICY = Policy()
NO_NEWS = Pending()
NO_ALERTS = Progress()


@dataclass(frozen=True, kw_only=True)
class Row:
    progress: Progress
    episode: Episode | None
    kind: Kind
    reason: Reason
    wake: timedelta | None = None  # from NOW
    policy: Policy = POLICY
    pending: Pending = NO_NEWS
    routed: bool = True
    brake: bool = False
    taker: Taker | None = None
    untold: Reason | None = None

    @property
    def situation(self) -> Situation:
        return Situation(
            progress=self.progress,
            episode=self.episode,
            stale=is_stale(self.pending, self.progress),
            routed=self.routed,
            brake=self.brake,
            taker=self.taker,
            untold=self.untold,
        )


def nothing(
    progress: Progress,
    episode: Episode | None,
    reason: Reason,
    wake: timedelta | None = None,
    *,
    policy: Policy = POLICY,
    pending: Pending = NO_NEWS,
    routed: bool = True,
    brake: bool = False,
) -> Row:
    return Row(
        progress=progress,
        episode=episode,
        kind=Kind.NOTHING,
        reason=reason,
        wake=wake,
        policy=policy,
        pending=pending,
        routed=routed,
        brake=brake,
    )


def does(
    kind: Kind,
    progress: Progress,
    episode: Episode | None,
    reason: Reason,
    wake: timedelta | None = None,
    *,
    policy: Policy = POLICY,
    pending: Pending = NO_NEWS,
) -> Row:
    return Row(progress=progress, episode=episode, kind=kind, reason=reason, wake=wake, policy=policy, pending=pending)


def update(
    progress: Progress,
    episode: Episode,
    reason: Reason,
    wake: timedelta | None = None,
    *,
    policy: Policy = POLICY,
    pending: Pending = NO_NEWS,
) -> Row:
    return does(Kind.UPDATE, progress, episode, reason, wake, policy=policy, pending=pending)


STALE_ROWS = {
    "only alerts older than the last status change: stale": nothing(FIRES, OPEN, Reason.STALE, pending=LATE),
    "a stale alert does not move a timer that is set": nothing(FIRES, UNTOLD, Reason.STALE, 14 * MINUTE, pending=LATE),
    "a stale alert does not hide a timer that is due": update(
        FIRES, replace(UNTOLD, told_at=NOW - HOUR), Reason.REPEATS, pending=LATE
    ),
    "a pending alert as old as the last status change is not stale": nothing(
        FIRES, OPEN, Reason.IN_STEP, pending=replace(LATE, newest_time=FIRES.changed_time)
    ),
    "a stale alert does not hide that the brake holds": nothing(
        FIRES, None, Reason.BRAKE, BRAKE_RECHECK, pending=LATE, brake=True
    ),
    "a stale alert does not hide that a return opened nothing": nothing(
        FIRES,
        replace(BY_US, ended_at=NOW - 8 * DAY),
        Reason.NOT_REOPENED,
        policy=Policy(reopen_else_create=False),
        pending=LATE,
    ),
    "without a pending alert nothing is stale": nothing(FIRES, OPEN, Reason.IN_STEP),
}

NONE_OPEN_ROWS = {
    "resolved before there was an incident: nothing": nothing(IS_RESOLVED, None, Reason.RESOLVED_BEFORE_INCIDENT),
    "resolved after we closed: nothing": nothing(IS_RESOLVED, BY_US, Reason.ALREADY_CLOSED),
    "resolved after a person closed: nothing": nothing(IS_RESOLVED, BY_PERSON, Reason.ALREADY_CLOSED),
    "only suppressed alerts so far: nothing to tell": nothing(Progress(repeat_count=2), None, Reason.IN_STEP),
    "the first firing alert: create": does(Kind.CREATE, FIRES, None, Reason.FIRST_ALERT),
}

PERSON_ROWS = {
    "a person closed it, it repeats: nothing": nothing(FIRES, BY_PERSON, Reason.CLOSED_BY_PERSON),
    "a person deleted it, it repeats: nothing": nothing(
        FIRES, replace(BY_PERSON, end=End.DELETED), Reason.CLOSED_BY_PERSON
    ),
    "a person closed it, it is less bad now: nothing": nothing(
        replace(FIRES, severity=LOW), BY_PERSON, Reason.CLOSED_BY_PERSON
    ),
    "a person closed it, it is worse now: a new episode": does(
        Kind.CREATE, replace(FIRES, severity=HIGH), BY_PERSON, Reason.NEW_EPISODE
    ),
    "a person closed it, the source resolved it, it returns: a new episode": does(
        Kind.CREATE, replace(FIRES, resolved_after_end=True), BY_PERSON, Reason.NEW_EPISODE
    ),
    "a person closed it a day ago, it repeats: a new episode": does(
        Kind.CREATE, FIRES, replace(BY_PERSON, ended_at=NOW - DAY), Reason.NEW_EPISODE
    ),
    "a person closed it just under a day ago: nothing": nothing(
        FIRES, replace(BY_PERSON, ended_at=NOW - DAY + MINUTE), Reason.CLOSED_BY_PERSON
    ),
    "a person closed it long ago and nothing has fired since: nothing": nothing(
        replace(FIRES, severity=None), replace(BY_PERSON, ended_at=NOW - 90 * DAY), Reason.CLOSED_BY_PERSON
    ),
    "a false positive stays quiet for longer: nothing": nothing(
        FIRES, replace(BY_PERSON, end=End.FALSE_POSITIVE, ended_at=NOW - 29 * DAY), Reason.CLOSED_BY_PERSON
    ),
    "a false positive that still fires after its time: a new episode": does(
        Kind.CREATE,
        FIRES,
        replace(BY_PERSON, end=End.FALSE_POSITIVE, ended_at=NOW - 30 * DAY),
        Reason.NEW_EPISODE,
    ),
    "the mapping sets the time after a person's close": does(
        Kind.CREATE, FIRES, BY_PERSON, Reason.NEW_EPISODE, policy=Policy(after_person_closed=MINUTE)
    ),
}

REOPEN_ROWS = {
    "we closed it, it returns within the time: reopen": does(Kind.REOPEN, FIRES, BY_US, Reason.CAME_BACK),
    "we closed it, it returns at the end of the time: reopen": does(
        Kind.REOPEN, FIRES, replace(BY_US, ended_at=NOW - 7 * DAY), Reason.CAME_BACK
    ),
    "we closed it, it returns too late: a new episode": does(
        Kind.CREATE, FIRES, replace(BY_US, ended_at=NOW - 7 * DAY - MINUTE), Reason.NEW_EPISODE
    ),
    "we closed it, it returns too late, else nothing: nothing": nothing(
        FIRES,
        replace(BY_US, ended_at=NOW - 8 * DAY),
        Reason.NOT_REOPENED,
        policy=Policy(reopen_else_create=False),
    ),
    "within 0 never reopens": does(
        Kind.CREATE,
        FIRES,
        replace(BY_US, ended_at=NOW),
        Reason.NEW_EPISODE,
        policy=Policy(reopen_within=timedelta(0)),
    ),
    "the reopen was refused: create": does(
        Kind.CREATE, FIRES, replace(BY_US, reopen_refused=True), Reason.REOPEN_REFUSED
    ),
    "the reopen was refused within the time, else nothing: create": does(
        Kind.CREATE,
        FIRES,
        replace(BY_US, reopen_refused=True),
        Reason.REOPEN_REFUSED,
        policy=Policy(reopen_else_create=False),
    ),
    "a refused reopen, too late, else nothing: nothing": nothing(
        FIRES,
        replace(BY_US, reopen_refused=True, ended_at=NOW - 8 * DAY),
        Reason.NOT_REOPENED,
        policy=Policy(reopen_else_create=False),
    ),
}

BRAKE_ROWS = {
    "the route says drop: nothing": nothing(FIRES, None, Reason.DROPPED, routed=False),
    "the route says drop, under the brake too: dropped": nothing(FIRES, None, Reason.DROPPED, routed=False, brake=True),
    "above the brake a first create waits": nothing(FIRES, None, Reason.BRAKE, BRAKE_RECHECK, brake=True),
    "above the brake a new episode waits": nothing(
        FIRES, replace(BY_PERSON, ended_at=NOW - DAY), Reason.BRAKE, BRAKE_RECHECK, brake=True
    ),
    "the brake holds no reopen": replace(does(Kind.REOPEN, FIRES, BY_US, Reason.CAME_BACK), brake=True),
    "the route is not asked for a reopen": replace(does(Kind.REOPEN, FIRES, BY_US, Reason.CAME_BACK), routed=False),
    "the route is not asked while an episode is open": nothing(FIRES, OPEN, Reason.IN_STEP, routed=False),
}

WORSE = replace(FIRES, severity=HIGH)
WORSE_RESOLVED = replace(IS_RESOLVED, severity=HIGH)
QUIET = Policy(close_after=2 * HOUR)

SEVERITY_ROWS = {
    "severity above what the incident shows: update at once": update(WORSE, OPEN, Reason.SEVERITY_ROSE),
    "severity rises although the interval is not over": update(WORSE, UNTOLD, Reason.SEVERITY_ROSE),
    "severity rises although 20 notes are told": update(
        WORSE, replace(UNTOLD, notes=NOTES_PER_EPISODE_MAX), Reason.SEVERITY_ROSE
    ),
    "severity rises as it fires again: one update": update(WORSE, TOLD_RESOLVED, Reason.SEVERITY_ROSE),
    "severity rose before a resolve, in the quiet time: update at once, the timer stays": update(
        WORSE_RESOLVED, OPEN, Reason.SEVERITY_ROSE, HOUR, policy=QUIET
    ),
    "severity rose before a resolve, a person is on it: update, then tell": update(
        WORSE_RESOLVED, replace(OPEN, touched=True), Reason.SEVERITY_ROSE, timedelta(0)
    ),
    "severity rose before a resolve and it is closed now: close": does(
        Kind.CLOSE, WORSE_RESOLVED, OPEN, Reason.RESOLVED
    ),
    "severity below what the incident shows: nothing": nothing(replace(FIRES, severity=LOW), OPEN, Reason.IN_STEP),
}

NEVER = Policy(close_when=CloseWhen.NEVER)
RESOLVED_ROWS = {
    "resolved, the quiet time is not over: nothing": nothing(IS_RESOLVED, OPEN, Reason.QUIET_TIME, HOUR, policy=QUIET),
    "resolved, the quiet time is just over: close": does(
        Kind.CLOSE, IS_RESOLVED, OPEN, Reason.RESOLVED, policy=Policy(close_after=HOUR)
    ),
    "resolved and untouched: close": does(Kind.CLOSE, IS_RESOLVED, OPEN, Reason.RESOLVED),
    "resolved, told before, untouched again: close": does(Kind.CLOSE, IS_RESOLVED, TOLD_RESOLVED, Reason.RESOLVED),
    "resolved, people are on it: told once": update(IS_RESOLVED, replace(OPEN, touched=True), Reason.LEFT_TO_PERSON),
    "resolved, people are on it, told: nothing": nothing(
        IS_RESOLVED, replace(TOLD_RESOLVED, touched=True), Reason.LEFT_TO_PERSON
    ),
    "resolved, people are on it, close always: close": does(
        Kind.CLOSE,
        IS_RESOLVED,
        replace(OPEN, touched=True),
        Reason.RESOLVED,
        policy=Policy(close_when=CloseWhen.ALWAYS),
    ),
    "resolved, close never: told once": update(IS_RESOLVED, OPEN, Reason.CLOSE_OFF, policy=NEVER),
    "resolved, close never, told: nothing": nothing(IS_RESOLVED, TOLD_RESOLVED, Reason.CLOSE_OFF, policy=NEVER),
    "resolved, a close was refused: told once": update(
        IS_RESOLVED, replace(OPEN, close_refused_for=IS_RESOLVED.resolved_since), Reason.CLOSE_REFUSED
    ),
    "resolved, a close was refused, told: nothing": nothing(
        IS_RESOLVED, replace(TOLD_RESOLVED, close_refused_for=IS_RESOLVED.resolved_since), Reason.CLOSE_REFUSED
    ),
    "a close was refused, but for an earlier resolve: close": does(
        Kind.CLOSE, IS_RESOLVED, replace(OPEN, close_refused_for=NOW - DAY), Reason.RESOLVED
    ),
    "close always does not repeat a refused close": update(
        IS_RESOLVED,
        replace(OPEN, close_refused_for=IS_RESOLVED.resolved_since),
        Reason.CLOSE_REFUSED,
        policy=Policy(close_when=CloseWhen.ALWAYS),
    ),
}

FIRING_ROWS = {
    "firing after a resolve that was told: update": update(FIRES, TOLD_RESOLVED, Reason.FIRES_AGAIN),
    "firing after a resolve that was not told: nothing": nothing(FIRES, OPEN, Reason.IN_STEP),
    "20 notes told: nothing": nothing(
        FIRES, replace(UNTOLD, notes=NOTES_PER_EPISODE_MAX, told_at=NOW - DAY), Reason.NOTE_LIMIT
    ),
    "19 notes told: one more": update(
        FIRES, replace(UNTOLD, notes=NOTES_PER_EPISODE_MAX - 1, told_at=NOW - DAY), Reason.REPEATS
    ),
    "a repeat, the interval is not over: nothing until it is": nothing(FIRES, UNTOLD, Reason.REPEAT, 14 * MINUTE),
    "a repeat, the interval is just over: told": update(
        FIRES, replace(UNTOLD, told_at=NOW - 15 * MINUTE), Reason.REPEATS
    ),
    "the interval widens with each telling": nothing(
        FIRES, replace(UNTOLD, rung=2, told_at=NOW - HOUR), Reason.REPEAT, 3 * HOUR
    ),
    "the last interval repeats": nothing(FIRES, replace(UNTOLD, rung=9, told_at=NOW - HOUR), Reason.REPEAT, 23 * HOUR),
    "a repeat in an incident that was never told anything: told": update(
        FIRES, replace(UNTOLD, told_at=None), Reason.REPEATS
    ),
    "nothing to tell: nothing": nothing(FIRES, replace(OPEN, told_at=NOW - DAY), Reason.IN_STEP),
    "nothing to tell, the interval is not over: nothing, and no timer": nothing(FIRES, OPEN, Reason.IN_STEP),
}

TAKER = Taker(incident=1, is_open=True, since=NOW - HOUR)
PLANNED = Taker(incident=1, is_open=False, since=NOW - timedelta(seconds=5))
JOIN_ROWS = {
    "an open incident shares a value: join instead of a first create": replace(
        does(Kind.JOIN, FIRES, None, Reason.SAME_VALUES), taker=TAKER
    ),
    "an open incident shares a value: join instead of a new episode": replace(
        does(Kind.JOIN, FIRES, replace(BY_PERSON, ended_at=NOW - DAY), Reason.SAME_VALUES), taker=TAKER
    ),
    "the brake holds no join": replace(does(Kind.JOIN, FIRES, None, Reason.SAME_VALUES), taker=TAKER, brake=True),
    "what we closed and may reopen does not join": replace(
        does(Kind.REOPEN, FIRES, BY_US, Reason.CAME_BACK), taker=TAKER
    ),
    "what a person closed stays quiet beside an open incident": replace(
        nothing(FIRES, BY_PERSON, Reason.CLOSED_BY_PERSON), taker=TAKER
    ),
    "what the route drops does not join": replace(nothing(FIRES, None, Reason.DROPPED, routed=False), taker=TAKER),
    "what has an incident of its own does not join": replace(nothing(FIRES, OPEN, Reason.IN_STEP), taker=TAKER),
    "an incident that is being created: wait as long as it has taken so far": replace(
        nothing(FIRES, None, Reason.WAITS_TO_JOIN, timedelta(seconds=5)), taker=PLANNED
    ),
    "an incident that has just been planned: wait a second": replace(
        nothing(FIRES, None, Reason.WAITS_TO_JOIN, JOIN_RECHECK_MIN), taker=replace(PLANNED, since=NOW)
    ),
    "an incident that has long been planned: wait half a minute": replace(
        nothing(FIRES, None, Reason.WAITS_TO_JOIN, JOIN_RECHECK_MAX), taker=replace(PLANNED, since=NOW - HOUR)
    ),
    "an incident that was planned before the clock was set back: wait half a minute": replace(
        nothing(FIRES, None, Reason.WAITS_TO_JOIN, JOIN_RECHECK_MAX), taker=replace(PLANNED, since=NOW + HOUR)
    ),
    "one that joined is told": replace(update(FIRES, OPEN, Reason.JOINED), untold=Reason.JOINED),
    "one that joined is told although a repeat's interval is not over": replace(
        update(FIRES, UNTOLD, Reason.JOINED), untold=Reason.JOINED
    ),
    "one that joined is told in the quiet time, and its timer stays": replace(
        update(IS_RESOLVED, OPEN, Reason.JOINED, HOUR, policy=QUIET), untold=Reason.JOINED
    ),
    "one that joined and is worse: one update": replace(
        update(WORSE, OPEN, Reason.SEVERITY_ROSE), untold=Reason.JOINED
    ),
    "one that joined and all are resolved: closed": replace(
        does(Kind.CLOSE, IS_RESOLVED, OPEN, Reason.RESOLVED), untold=Reason.JOINED
    ),
    "one that was taken out is told": replace(update(FIRES, OPEN, Reason.SPLIT), untold=Reason.SPLIT),
}

ROWS = (
    STALE_ROWS
    | NONE_OPEN_ROWS
    | PERSON_ROWS
    | REOPEN_ROWS
    | BRAKE_ROWS
    | SEVERITY_ROWS
    | RESOLVED_ROWS
    | FIRING_ROWS
    | JOIN_ROWS
)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_decide(row: Row) -> None:
    decision = decide(row.situation, row.policy, NOW)
    assert (decision.kind, decision.reason) == (row.kind, row.reason)
    assert decision.wake_at == (None if row.wake is None else NOW + row.wake)


def test_every_reason_is_the_answer_of_some_row() -> None:
    assert {row.reason for row in ROWS.values()} == set(Reason)


# ---- settled


@pytest.mark.parametrize(
    ("episode", "kind", "reason", "progress", "expected"),
    [
        pytest.param(
            None,
            Kind.CREATE,
            Reason.FIRST_ALERT,
            FIRES,
            Episode(open=True, severity=MEDIUM, told_count=3, told_at=NOW),
            id="a create opens an episode that has told all there is",
        ),
        pytest.param(
            replace(BY_US, notes=7, rung=3),
            Kind.CREATE,
            Reason.NEW_EPISODE,
            FIRES,
            Episode(open=True, severity=MEDIUM, told_count=3, told_at=NOW),
            id="a new episode takes nothing over from the last",
        ),
        pytest.param(
            replace(BY_US, severity=HIGH, rung=3, notes=7, told_resolved=True, touched=True),
            Kind.REOPEN,
            Reason.CAME_BACK,
            FIRES,
            Episode(open=True, severity=HIGH, told_count=3, told_at=NOW, notes=7),
            id="a reopen keeps the severity shown and the notes told, and starts the interval over",
        ),
        pytest.param(
            BY_US,
            Kind.REOPEN,
            Reason.CAME_BACK,
            WORSE,
            Episode(open=True, severity=HIGH, told_count=3, told_at=NOW),
            id="a reopen tells a severity that rose",
        ),
        pytest.param(
            OPEN,
            Kind.CLOSE,
            Reason.RESOLVED,
            IS_RESOLVED,
            replace(OPEN, open=False, ended_at=NOW, end=End.BY_US, told_resolved=True),
            id="a close ends the episode by us",
        ),
        pytest.param(
            replace(UNTOLD, rung=2, notes=3, told_resolved=True),
            Kind.UPDATE,
            Reason.SEVERITY_ROSE,
            WORSE,
            Episode(open=True, severity=HIGH, told_count=3, told_at=NOW, notes=3),
            id="a rise shows the severity, starts the interval over and says that it fires",
        ),
        pytest.param(
            TOLD_RESOLVED,
            Kind.UPDATE,
            Reason.SEVERITY_ROSE,
            WORSE_RESOLVED,
            replace(TOLD_RESOLVED, severity=HIGH, told_at=NOW),
            id="a rise while resolved does not take back that it is resolved",
        ),
        pytest.param(
            replace(UNTOLD, rung=2, told_resolved=True),
            Kind.UPDATE,
            Reason.FIRES_AGAIN,
            FIRES,
            Episode(open=True, severity=MEDIUM, told_count=3, told_at=NOW),
            id="firing again takes back the resolve and starts the interval over",
        ),
        pytest.param(
            replace(UNTOLD, rung=1, notes=1),
            Kind.UPDATE,
            Reason.REPEATS,
            FIRES,
            Episode(open=True, severity=MEDIUM, told_count=3, told_at=NOW, rung=2, notes=2),
            id="told repeats widen the interval and count as a note",
        ),
        pytest.param(
            OPEN,
            Kind.UPDATE,
            Reason.LEFT_TO_PERSON,
            IS_RESOLVED,
            replace(OPEN, told_at=NOW, told_resolved=True),
            id="left to a person: the resolve is told",
        ),
        pytest.param(
            replace(OPEN, close_refused_for=IS_RESOLVED.resolved_since),
            Kind.UPDATE,
            Reason.CLOSE_REFUSED,
            IS_RESOLVED,
            replace(OPEN, told_at=NOW, told_resolved=True, close_refused_for=IS_RESOLVED.resolved_since),
            id="a refused close stays refused while the resolve stands",
        ),
        pytest.param(OPEN, Kind.NOTHING, Reason.IN_STEP, FIRES, OPEN, id="nothing changes nothing"),
        pytest.param(None, Kind.NOTHING, Reason.BRAKE, FIRES, None, id="nothing without an episode is none"),
    ],
)
def test_settled(
    episode: Episode | None, kind: Kind, reason: Reason, progress: Progress, expected: Episode | None
) -> None:
    assert settled(episode, Decision(kind=kind, reason=reason), progress, NOW) == expected


def test_severity_and_repeats_start_over_when_an_episode_ends() -> None:
    before = replace(FIRES, resolved_after_end=True, first_seen=NOW - DAY, last_seen=NOW)
    assert ended(before) == replace(before, severity=None, repeat_count=0, resolved_after_end=False)


# ---- summarise and fold


def at(minutes: int) -> datetime:
    return NOW + minutes * MINUTE


def alert(
    seq: int,
    status: Status,
    minute: int,
    severity: Severity = MEDIUM,
    *,
    received: int | None = None,
    suppressed: bool = False,
) -> AlertFacts:
    return AlertFacts(
        seq=seq,
        status=status,
        severity=severity,
        event_time=at(minute),
        received_at=at(minute if received is None else received),
        suppressed=suppressed,
    )


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        pytest.param([], Pending(), id="no alert is an empty summary"),
        pytest.param(
            [alert(1, FIRING, 5, HIGH), alert(2, FIRING, 3, CRITICAL)],
            Pending(
                count=2,
                firing_count=2,
                severity=CRITICAL,
                newest_time=at(5),
                newest_seq=1,
                newest_status=FIRING,
                last_firing_time=at(5),
                first_seen=at(3),
                last_seen=at(5),
            ),
            id="the newest is the newest by event time, the severity is the worst",
        ),
        pytest.param(
            [alert(1, RESOLVED, 5), alert(2, FIRING, 5)],
            Pending(
                count=2,
                firing_count=1,
                severity=MEDIUM,
                newest_time=at(5),
                newest_seq=2,
                newest_status=FIRING,
                last_firing_time=at(5),
                first_seen=at(5),
                last_seen=at(5),
                any_resolved=True,
                resolved_since=at(5),
            ),
            id="equal event times are ordered by seq",
        ),
        pytest.param(
            [alert(1, FIRING, 1, LOW), alert(2, FIRING, 9, CRITICAL, suppressed=True)],
            Pending(
                count=1,
                firing_count=2,
                severity=LOW,
                newest_time=at(1),
                newest_seq=1,
                newest_status=FIRING,
                last_firing_time=at(1),
                first_seen=at(1),
                last_seen=at(9),
            ),
            id="a suppressed alert is only counted and seen",
        ),
        pytest.param(
            [
                alert(1, RESOLVED, 1, CRITICAL),
                alert(2, FIRING, 2, LOW),
                alert(3, RESOLVED, 4, received=6),
                alert(4, RESOLVED, 5, received=5),
            ],
            Pending(
                count=4,
                firing_count=1,
                severity=LOW,
                newest_time=at(5),
                newest_seq=4,
                newest_status=RESOLVED,
                last_firing_time=at(2),
                first_seen=at(1),
                last_seen=at(5),
                any_resolved=True,
                resolved_since=at(5),
            ),
            id="resolved since the first received of the resolves after the last firing; a resolve has no severity",
        ),
    ],
)
def test_summarise(alerts: list[AlertFacts], expected: Pending) -> None:
    assert summarise(alerts, Progress()) == expected


def test_a_resolve_older_than_an_applied_firing_is_not_since_when_it_is_resolved() -> None:
    applied = folded([alert(1, FIRING, 5)])
    assert summarise([alert(2, RESOLVED, 4)], applied).resolved_since is None


def folded(*batches: Sequence[AlertFacts], onto: Progress = NO_ALERTS) -> Progress:
    progress = onto
    for batch in batches:
        progress = fold(progress, summarise(batch, progress))
    return progress


@pytest.mark.parametrize(
    ("batches", "status", "severity", "count", "resolved_since"),
    [
        pytest.param([[]], None, None, 0, None, id="no alert says nothing"),
        pytest.param([[alert(1, FIRING, 1)]], FIRING, MEDIUM, 1, None, id="a firing alert"),
        pytest.param([[alert(1, RESOLVED, 1, received=2)]], RESOLVED, None, 0, at(2), id="a resolve, by receipt"),
        pytest.param([[alert(1, FIRING, 1, suppressed=True)]], None, None, 1, None, id="a suppressed one counts only"),
        pytest.param(
            [[alert(1, FIRING, 9)], [alert(2, RESOLVED, 5)]],
            FIRING,
            MEDIUM,
            1,
            None,
            id="a late resolve changes nothing",
        ),
        pytest.param(
            [[alert(1, FIRING, 1), alert(2, RESOLVED, 5)], [alert(3, FIRING, 3, CRITICAL)]],
            RESOLVED,
            MEDIUM,
            2,
            at(5),
            id="a stale firing alert counts, and raises nothing",
        ),
        pytest.param(
            [[alert(1, FIRING, 1)], [alert(2, FIRING, 9)], [alert(3, FIRING, 5, CRITICAL)]],
            FIRING,
            CRITICAL,
            3,
            None,
            id="a late firing alert of the present run raises the severity",
        ),
        pytest.param(
            [[alert(1, FIRING, 1), alert(2, FIRING, 9)], [alert(3, FIRING, 5, CRITICAL)]],
            FIRING,
            CRITICAL,
            3,
            None,
            id="and so it does when the run came at once",
        ),
        pytest.param(
            [[alert(1, RESOLVED, 5)], [alert(2, RESOLVED, 9)]], RESOLVED, None, 0, at(5), id="the first resolve counts"
        ),
        pytest.param(
            [[alert(1, RESOLVED, 5)], [alert(2, FIRING, 6), alert(3, RESOLVED, 9)]],
            RESOLVED,
            MEDIUM,
            1,
            at(9),
            id="after a return in one batch the next resolve counts",
        ),
        pytest.param(
            [[alert(1, RESOLVED, 5)], [alert(2, FIRING, 3), alert(3, RESOLVED, 9)]],
            RESOLVED,
            MEDIUM,
            1,
            at(5),
            id="a firing alert from before the resolve does not start the quiet time over",
        ),
        pytest.param(
            [[alert(1, RESOLVED, 5)], [alert(2, FIRING, 5)]],
            FIRING,
            MEDIUM,
            1,
            None,
            id="equal times: the later by seq",
        ),
    ],
)
def test_fold(
    batches: list[list[AlertFacts]],
    status: Status | None,
    severity: Severity | None,
    count: int,
    resolved_since: datetime | None,
) -> None:
    progress = folded(*batches)
    assert (progress.status, progress.severity, progress.repeat_count) == (status, severity, count)
    assert progress.resolved_since == resolved_since


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        pytest.param([alert(2, RESOLVED, 6)], True, id="a resolve"),
        pytest.param([alert(2, RESOLVED, 6), alert(3, FIRING, 7)], True, id="a resolve and return at once"),
        pytest.param([alert(2, FIRING, 6)], False, id="a repeat is none"),
        pytest.param([alert(2, RESOLVED, 4)], False, id="a late resolve, from before the newest alert, is none"),
    ],
)
def test_the_source_has_resolved_since_the_end(alerts: list[AlertFacts], expected: bool) -> None:
    assert folded(alerts, onto=ended(folded([alert(1, FIRING, 5)]))).resolved_after_end is expected


# ---- what holds for every history

severities = st.sampled_from(Severity)
alert_lists = st.lists(
    st.tuples(st.sampled_from([FIRING, FIRING, RESOLVED]), st.integers(0, 40), severities, st.booleans()), max_size=12
).map(
    lambda rows: [
        alert(seq, status, minute, severity, suppressed=suppressed and status is FIRING)
        for seq, (status, minute, severity, suppressed) in enumerate(rows, 1)
    ]
)
instants = st.integers(-50_000, 50_000).map(at)


@given(alert_lists, st.sets(st.integers(1, 11)))
def test_folding_in_pieces_says_the_same_as_at_once(alerts: list[AlertFacts], cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(alerts)), len(alerts)]
    pieces = folded(*(alerts[start:end] for start, end in itertools.pairwise(edges)))
    whole = folded(alerts)
    told = ("status", "newest_time", "newest_seq", "last_firing_time", "repeat_count", "first_seen", "last_seen")
    assert [getattr(pieces, name) for name in told] == [getattr(whole, name) for name in told]


@given(alert_lists, st.sets(st.integers(1, 11)))
def test_alerts_in_the_order_of_their_times_fold_to_the_same_severity_and_resolve(
    alerts: list[AlertFacts], cuts: set[int]
) -> None:
    # Strictly rising times: with equal ones an earlier resolve may start the quiet time, which errs by seconds.
    alerts = [replace(one, event_time=at(one.seq), received_at=at(one.seq)) for one in alerts]
    edges = [0, *sorted(cut for cut in cuts if cut < len(alerts)), len(alerts)]
    pieces = folded(*(alerts[start:end] for start, end in itertools.pairwise(edges)))
    whole = folded(alerts)
    told = ("severity", "resolved_since", "resolved_after_end")
    assert [getattr(pieces, name) for name in told] == [getattr(whole, name) for name in told]


@given(alert_lists, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_change_what_is_true_in_the_end(
    alerts: list[AlertFacts], rng: random.Random
) -> None:
    alerts = [replace(one, event_time=at(one.seq)) for one in alerts]  # no ties: those go by arrival
    shuffled = list(alerts)
    rng.shuffle(shuffled)
    one, other = folded(*([a] for a in alerts)), folded(*([a] for a in shuffled))
    told = ("status", "newest_time", "repeat_count", "first_seen", "last_seen", "last_firing_time")
    assert [getattr(one, name) for name in told] == [getattr(other, name) for name in told]


@given(alert_lists, st.sets(st.integers(1, 11)))
def test_resolved_since_is_known_exactly_while_resolved(alerts: list[AlertFacts], cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(alerts)), len(alerts)]
    progress = folded(*(alerts[start:end] for start, end in itertools.pairwise(edges)))
    assert (progress.resolved_since is not None) == (progress.status is RESOLVED)


durations = st.sampled_from([timedelta(0), MINUTE, 15 * MINUTE, HOUR, DAY, 30 * DAY])
policies = st.builds(
    Policy,
    update_every=st.lists(durations, min_size=1, max_size=4).map(tuple),
    reopen_within=durations,
    reopen_else_create=st.booleans(),
    after_person_closed=durations,
    after_person_false_positive=durations,
    close_after=durations,
    close_when=st.sampled_from(CloseWhen),
)
open_episodes = st.builds(
    Episode,
    open=st.just(True),
    severity=severities,
    told_count=st.integers(0, 20),
    told_at=st.none() | instants,
    rung=st.integers(0, 9),
    notes=st.integers(0, NOTES_PER_EPISODE_MAX + 1),
    told_resolved=st.booleans(),
    close_refused_for=st.none() | instants,
    reopen_refused=st.booleans(),
    touched=st.booleans(),
    ended_at=st.none(),
    end=st.none(),
)
last_episodes = st.builds(
    lambda episode, ended_at, end: replace(episode, open=False, ended_at=ended_at, end=end),
    open_episodes,
    instants,
    st.sampled_from(End),
)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    applied = folded(draw(alert_lists))
    if draw(st.booleans()):
        applied = ended(applied)
    fresh = [replace(one, seq=one.seq + 12) for one in draw(alert_lists)]
    pending = summarise(fresh, applied)
    return Situation(
        progress=fold(applied, pending),
        episode=draw(st.none() | open_episodes | last_episodes),
        stale=is_stale(pending, applied),
        routed=draw(st.booleans()),
        brake=draw(st.booleans()),
        taker=draw(st.none() | st.builds(Taker, incident=st.just(1), is_open=st.booleans(), since=instants)),
        untold=draw(st.sampled_from([None, Reason.JOINED, Reason.SPLIT])),
    )


def after(situation: Situation, decision: Decision, now: datetime) -> Situation:
    """The situation once `decision` is settled and nothing new has arrived."""
    progress = situation.progress
    episode = settled(situation.episode, decision, progress, now)
    if decision.kind is Kind.JOIN:  # what took it in is open, and shows at least as much
        episode = Episode(open=True, severity=CRITICAL, told_count=progress.repeat_count, told_at=now)
    return Situation(
        progress=carried(progress, decision),
        episode=episode,
        routed=situation.routed,
        brake=situation.brake,
        taker=situation.taker,
        untold=situation.untold if decision.kind is Kind.NOTHING else None,
    )


@given(situations(), policies, instants)
def test_decided_again_at_the_same_instant_it_is_nothing(situation: Situation, policy: Policy, now: datetime) -> None:
    decision = decide(situation, policy, now)
    if decision.wake_at != now:
        assert decide(after(situation, decision, now), policy, now).kind is Kind.NOTHING


@given(situations(), policies, instants)
def test_no_situation_loops(situation: Situation, policy: Policy, now: datetime) -> None:
    decisions = []
    for _ in range(3):  # a severity that rose, then that the source reports it resolved, then nothing
        decision = decide(situation, policy, now)
        decisions.append(decision.kind)
        situation = after(situation, decision, now)
    assert decisions[-1] is Kind.NOTHING


@given(situations(), policies, instants)
def test_a_timer_is_never_set_to_what_has_passed(situation: Situation, policy: Policy, now: datetime) -> None:
    decision = decide(situation, policy, now)
    if decision.wake_at is not None:
        assert decision.wake_at > now or (decision.kind is Kind.UPDATE and decision.wake_at == now)


@given(situations(), policies, instants)
def test_a_decision_suits_the_episode(situation: Situation, policy: Policy, now: datetime) -> None:
    is_open = situation.episode is not None and situation.episode.open
    kind = decide(situation, policy, now).kind
    while_open = {Kind.UPDATE, Kind.CLOSE, Kind.NOTHING}
    assert kind in (while_open if is_open else {Kind.CREATE, Kind.JOIN, Kind.REOPEN, Kind.NOTHING})


@given(situations(), policies, instants)
def test_what_is_written_depends_on_what_is_known_and_not_on_what_is_new(
    situation: Situation, policy: Policy, now: datetime
) -> None:
    # Level-triggered: new alerts are no command, so one that is late, or counted twice, does no harm.
    known = replace(situation, stale=False)
    assert decide(situation, policy, now).kind is decide(known, policy, now).kind


@given(situations(), policies, instants)
def test_a_person_s_end_is_never_undone_by_reopening(situation: Situation, policy: Policy, now: datetime) -> None:
    if situation.episode is not None and situation.episode.end is not End.BY_US:
        assert decide(situation, policy, now).kind is not Kind.REOPEN


@given(situations(), instants)
def test_what_people_are_on_is_never_closed_by_default(situation: Situation, now: datetime) -> None:
    if situation.episode is not None:
        touched = replace(situation, episode=replace(situation.episode, touched=True))
        assert decide(touched, POLICY, now).kind is not Kind.CLOSE


# ---- several that share an incident

histories = st.lists(alert_lists.map(folded), min_size=1, max_size=4)


@given(histories)
def test_together_they_are_over_when_the_last_of_them_is(many: list[Progress]) -> None:
    both = together(many)
    assert (both.status is FIRING) == any(one.status is FIRING for one in many)
    since = [one.resolved_since for one in many if one.resolved_since is not None]
    assert both.resolved_since == (max(since) if since and both.status is RESOLVED else None)


@given(histories)
def test_together_they_are_as_bad_as_the_worst_and_count_as_all(many: list[Progress]) -> None:
    both = together(many)
    assert (both.severity or 0) == max(one.severity or 0 for one in many)
    assert both.repeat_count == sum(one.repeat_count for one in many)


@given(histories)
def test_in_which_order_they_are_put_together_does_not_matter(many: list[Progress]) -> None:
    assert together(many) == together(many[::-1])


def test_one_alone_comes_to_itself() -> None:
    assert together([FIRES]) == FIRES


def test_a_suppressed_one_says_nothing_of_the_others_status() -> None:
    assert together([IS_RESOLVED, Progress(repeat_count=2)]).status is RESOLVED


# ---- stories


@dataclass
class Story:
    """One correlation with a fake clock and a ServiceNow that takes everything."""

    policy: Policy = POLICY
    minute: int = 0
    seq: int = 0
    progress: Progress = NO_ALERTS
    episode: Episode | None = None

    def step(self, minute: int, status: Status | None = None, severity: Severity = MEDIUM) -> str:
        """Let the clock stand at `minute`, with an alert of `status`, or with none; returns what was done."""
        self.minute = minute
        alerts = []
        if status is not None:
            self.seq += 1
            alerts = [alert(self.seq, status, minute, severity)]
        pending = summarise(alerts, self.progress)
        situation = Situation(
            progress=fold(self.progress, pending),
            episode=self.episode,
            stale=is_stale(pending, self.progress),
        )
        decision = decide(situation, self.policy, at(minute))
        settled_situation = after(situation, decision, at(minute))
        self.progress, self.episode = settled_situation.progress, settled_situation.episode
        return f"{decision.kind}: {decision.reason}"


def test_close_and_reopen_follow_each_other_as_often_as_the_source_says() -> None:
    story = Story()
    assert story.step(0, FIRING) == "create: first_alert"
    for day in range(1, 6):
        assert story.step(1440 * day, RESOLVED) == "close: resolved"
        assert story.step(1440 * day + 1, RESOLVED) == "nothing: already_closed"
        assert story.step(1440 * day + 2, FIRING) == "reopen: came_back"
        assert story.step(1440 * day + 3, FIRING) == "nothing: repeat"


def test_repeats_are_told_at_a_widening_interval_that_starts_over_on_a_rise() -> None:
    story = Story()
    story.step(0, FIRING)
    told = [minute for minute in range(1, 600) if story.step(minute, FIRING) == "update: repeats"]
    assert told == [15, 75, 315]
    assert story.step(600, FIRING, HIGH) == "update: severity_rose"
    assert [minute for minute in range(601, 700) if story.step(minute, FIRING) == "update: repeats"] == [615, 675]


def test_flapping_within_the_quiet_time_tells_nothing() -> None:
    story = Story(policy=Policy(close_after=5 * MINUTE))
    story.step(0, FIRING)
    for minute in range(2, 14, 4):
        assert story.step(minute, RESOLVED) == "nothing: quiet_time"
        assert story.step(minute + 2, FIRING) == "nothing: repeat"
    assert story.step(14, RESOLVED) == "nothing: quiet_time"
    assert story.step(18) == "nothing: quiet_time"
    assert story.step(19) == "close: resolved"


def test_a_return_under_a_person_s_hands_is_told_and_told_again() -> None:
    story = Story()
    story.step(0, FIRING)
    assert story.episode is not None
    story.episode = replace(story.episode, touched=True)
    assert story.step(1, RESOLVED) == "update: left_to_person"
    assert story.step(2, RESOLVED) == "nothing: left_to_person"
    assert story.step(3, FIRING) == "update: fires_again"
    assert story.step(4, RESOLVED) == "update: left_to_person"


def test_a_person_who_opens_again_what_we_closed_is_not_told_twice() -> None:
    story = Story()
    story.step(0, FIRING)
    story.step(1, RESOLVED)
    assert story.episode is not None
    story.episode = replace(story.episode, open=True, touched=True, end=None, ended_at=None)
    assert story.step(2) == "nothing: left_to_person"


def test_a_person_s_close_holds_until_a_resolve_and_a_return() -> None:
    story = Story()
    story.step(0, FIRING)
    assert story.episode is not None
    story.episode = replace(story.episode, open=False, end=End.BY_PERSON, ended_at=at(1))
    story.progress = ended(story.progress)
    assert story.step(2) == "nothing: closed_by_person"
    assert story.step(3, FIRING) == "nothing: closed_by_person"
    assert story.step(4, RESOLVED) == "nothing: already_closed"
    assert story.step(5, FIRING) == "create: new_episode"
