"""The decision: what ServiceNow should be told about a correlation, and why.

Three pure functions carry it. `progress.fold` adds pending alerts to what is known, `decide` chooses one decision with
a named reason, `settled` says what is true once ServiceNow has taken it. The sync worker calls them between its
transactions; `bridge mapping test` calls the same three on a fake clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.alert import Severity, Status
from bridge.correlation.progress import Progress, ended

NOTES_PER_EPISODE_MAX = 20  # work notes about repeats; after that the counts go on in the store alone
BRAKE_RECHECK = timedelta(minutes=1)
JOIN_RECHECK_MIN = timedelta(seconds=1)  # whether an incident that is being created is there to join; from then on it
JOIN_RECHECK_MAX = timedelta(seconds=30)  # is asked after as long as it has been on its way already
CORRELATIONS_PER_INCIDENT_MAX = 50  # what shares many values is a flood, and no longer one problem


class Kind(StrEnum):
    CREATE = "create"
    JOIN = "join"  # taken into an incident that is open already, instead of a create
    UPDATE = "update"
    CLOSE = "close"
    REOPEN = "reopen"
    NOTHING = "nothing"


class Reason(StrEnum):
    """Each is a metric label and a log word."""

    STALE = "stale"
    RESOLVED_BEFORE_INCIDENT = "resolved_before_incident"
    ALREADY_CLOSED = "already_closed"
    CLOSED_BY_PERSON = "closed_by_person"
    CAME_BACK = "came_back"
    NOT_REOPENED = "not_reopened"
    SAME_VALUES = "same_values"
    WAITS_TO_JOIN = "waits_to_join"
    DROPPED = "dropped"
    BRAKE = "brake"
    FIRST_ALERT = "first_alert"
    NEW_EPISODE = "new_episode"
    REOPEN_REFUSED = "reopen_refused"
    SEVERITY_ROSE = "severity_rose"
    QUIET_TIME = "quiet_time"
    CLOSE_OFF = "close_off"
    CLOSE_REFUSED = "close_refused"
    RESOLVED = "resolved"
    LEFT_TO_PERSON = "left_to_person"
    FIRES_AGAIN = "fires_again"
    NOTE_LIMIT = "note_limit"
    REPEAT = "repeat"
    REPEATS = "repeats"
    IN_STEP = "in_step"
    JOINED = "joined"
    SPLIT = "split"


class CloseWhen(StrEnum):
    UNTOUCHED = "untouched"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The mapping's `correlation:` section and the target's `close.when`, as the decision needs them."""

    update_every: tuple[timedelta, ...] = (  # at least one; the last repeats
        timedelta(minutes=15),
        timedelta(hours=1),
        timedelta(hours=4),
        timedelta(hours=24),
    )
    reopen_within: timedelta = timedelta(days=7)  # 0 never reopens
    reopen_else_create: bool = True  # False: `else: nothing`
    after_person_closed: timedelta = timedelta(hours=24)  # repeats stay quiet this long after a person's end
    after_person_false_positive: timedelta = timedelta(days=30)
    close_after: timedelta = timedelta(0)  # quiet time before a close
    close_when: CloseWhen = CloseWhen.UNTOUCHED  # of the target; NEVER too when no close code is configured


class End(StrEnum):
    """How the last episode ended."""

    BY_US = "by_us"
    BY_PERSON = "by_person"  # closed, resolved or cancelled by somebody else
    FALSE_POSITIVE = "false_positive"  # by a person, with one of the target's false-positive codes
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """The life of one incident, as far as the decision cares: what we told ServiceNow and what people did."""

    open: bool
    severity: Severity  # what the incident shows, or showed when it ended
    told_count: int = 0  # repeat_count when we last told it
    told_at: datetime | None = None  # when an update, create or reopen was last written
    rung: int = 0  # index into update_every: how far the interval has widened
    notes: int = 0  # updates about repeats told in this episode
    told_resolved: bool = False  # the incident carries "the source reports this resolved"
    close_refused_for: datetime | None = None  # the resolve (see `the_resolve`) for which ServiceNow refused a close
    reopen_refused: bool = False
    touched: bool = False  # people are on it: assigned, state changed, or open children
    ended_at: datetime | None = None
    end: End | None = None
    taken: bool = False  # the record was there already, and was not read since: what it shows is not known


TAKEN_UNREAD = Episode(open=True, severity=Severity.INFO, taken=True)  # nothing is told yet: the next decision does
# Later rounds and people's commands go by these, as the last decision: an alert that is late takes nothing of it away.
STANDING = frozenset({Reason.BRAKE, Reason.WAITS_TO_JOIN, Reason.NOT_REOPENED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """An incident of the same mapping and target that shares a `join` value with what is to be opened."""

    incident: int  # which one it is, to whoever asked
    is_open: bool  # False: it is being created, or was not refused yet
    since: datetime  # when that was intended


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a decision looks at."""

    progress: Progress  # with the pending alerts folded in; of all correlations that share an open incident, together
    episode: Episode | None  # the open one, else the last; None before the first
    stale: bool = False  # all that is pending is older than the last status change applied
    routed: bool = True  # False: the route says drop (asked only where an episode is to be opened)
    brake: bool = False  # the target has made its creates for this hour
    taker: Taker | None = None  # asked only where an episode is to be opened
    untold: Reason | None = None  # JOINED, SPLIT: a correlation was taken in, or out, and the incident does not say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    kind: Kind
    reason: Reason
    # When to look again although no alert arrives; None: only a new alert or a person's command wakes it. An update may
    # carry one too: what it leaves unsaid is said in the next round.
    wake_at: datetime | None = field(default=None, compare=False)


def decide(situation: Situation, policy: Policy, now: datetime) -> Decision:
    """The table of the decision, first match wins. `situation.progress` already holds the pending alerts."""
    episode = situation.episode
    if episode is not None and episode.open:
        decision = _while_open(situation, episode, policy, now)
    else:
        decision = _while_none_open(situation, episode, policy, now)
    if decision.kind is Kind.NOTHING and situation.stale and decision.reason not in STANDING:
        return replace(decision, reason=Reason.STALE)
    return decision


def _while_none_open(situation: Situation, last: Episode | None, policy: Policy, now: datetime) -> Decision:
    progress = situation.progress
    if progress.status is None:
        return _nothing(Reason.IN_STEP)  # all alerts so far were suppressed
    if progress.status is Status.RESOLVED:
        return _nothing(Reason.RESOLVED_BEFORE_INCIDENT if last is None else Reason.ALREADY_CLOSED)
    if last is None:
        return _create(situation, Reason.FIRST_ALERT, now)
    if last.end is not End.BY_US:
        if _person_is_heeded(progress, last, policy, now):
            return _nothing(Reason.CLOSED_BY_PERSON)
        return _create(situation, Reason.NEW_EPISODE, now)  # a person's end is never undone by reopening
    within = policy.reopen_within and last.ended_at is not None and now - last.ended_at <= policy.reopen_within
    if within and not last.reopen_refused:
        return Decision(kind=Kind.REOPEN, reason=Reason.CAME_BACK)
    if not within and not policy.reopen_else_create:
        return _nothing(Reason.NOT_REOPENED)
    return _create(situation, Reason.REOPEN_REFUSED if last.reopen_refused else Reason.NEW_EPISODE, now)


def _person_is_heeded(progress: Progress, last: Episode, policy: Policy, now: datetime) -> bool:
    """A person ended it: repeats stay quiet until a resolve and return, a rise, or the end of the time."""
    if progress.severity is None:
        return True  # nothing has fired since: what the person closed is not opened again by the clock alone
    false_positive = last.end is End.FALSE_POSITIVE
    quiet = policy.after_person_false_positive if false_positive else policy.after_person_closed
    worse = progress.severity > last.severity
    return not progress.resolved_after_end and not worse and last.ended_at is not None and now - last.ended_at < quiet


def _create(situation: Situation, reason: Reason, now: datetime) -> Decision:
    if not situation.routed:
        return _nothing(Reason.DROPPED)
    if situation.taker is not None:
        return _join(situation.taker, now)
    if situation.brake:
        return _nothing(Reason.BRAKE, wake_at=now + BRAKE_RECHECK)
    return Decision(kind=Kind.CREATE, reason=reason)


def _join(taker: Taker, now: datetime) -> Decision:
    if taker.is_open:
        return Decision(kind=Kind.JOIN, reason=Reason.SAME_VALUES)
    wait = min(max(abs(now - taker.since), JOIN_RECHECK_MIN), JOIN_RECHECK_MAX)  # abs: the clock may have been set back
    return _nothing(Reason.WAITS_TO_JOIN, wake_at=now + wait)


def _while_open(situation: Situation, episode: Episode, policy: Policy, now: datetime) -> Decision:
    progress = situation.progress
    resolved = progress.status is Status.RESOLVED
    decision = (_while_resolved if resolved else _while_firing)(progress, episode, policy, now)
    if situation.untold is not None and decision.kind is Kind.NOTHING:  # any other write tells it beside its own news
        decision = Decision(kind=Kind.UPDATE, reason=situation.untold, wake_at=decision.wake_at if resolved else None)
    if progress.severity is None or progress.severity <= episode.severity or decision.kind is Kind.CLOSE:
        return decision  # an incident that is closed now is not raised first: two writes, and a page, for nothing
    # While firing, this update says all there is. While resolved, what the source says is told after it.
    wake_at = (now if decision.kind is Kind.UPDATE else decision.wake_at) if resolved else None
    return Decision(kind=Kind.UPDATE, reason=Reason.SEVERITY_ROSE, wake_at=wake_at)


def _while_resolved(progress: Progress, episode: Episode, policy: Policy, now: datetime) -> Decision:
    quiet_until = (progress.resolved_since or now) + policy.close_after
    if now < quiet_until:
        return _nothing(Reason.QUIET_TIME, wake_at=quiet_until)
    if policy.close_when is CloseWhen.NEVER:
        return _tell_once(episode, Reason.CLOSE_OFF)
    if episode.close_refused_for is not None and episode.close_refused_for == the_resolve(progress):
        return _tell_once(episode, Reason.CLOSE_REFUSED)
    if not episode.touched or policy.close_when is CloseWhen.ALWAYS:
        return Decision(kind=Kind.CLOSE, reason=Reason.RESOLVED)
    return _tell_once(episode, Reason.LEFT_TO_PERSON)


def the_resolve(progress: Progress) -> datetime | None:
    """What tells one resolve from the next, after it fired again: an answer to the first says nothing of the second."""
    return progress.resolved_since or progress.newest_time


def _tell_once(episode: Episode, reason: Reason) -> Decision:
    return _nothing(reason) if episode.told_resolved else Decision(kind=Kind.UPDATE, reason=reason)


def _while_firing(progress: Progress, episode: Episode, policy: Policy, now: datetime) -> Decision:
    if episode.told_resolved:
        return Decision(kind=Kind.UPDATE, reason=Reason.FIRES_AGAIN)
    if progress.repeat_count <= episode.told_count:
        return _nothing(Reason.IN_STEP)
    if episode.notes >= NOTES_PER_EPISODE_MAX:
        return _nothing(Reason.NOTE_LIMIT)
    every = policy.update_every[min(episode.rung, len(policy.update_every) - 1)]
    if episode.told_at is not None and now < episode.told_at + every:
        return _nothing(Reason.REPEAT, wake_at=episode.told_at + every)
    return Decision(kind=Kind.UPDATE, reason=Reason.REPEATS)


def _nothing(reason: Reason, *, wake_at: datetime | None = None) -> Decision:
    return Decision(kind=Kind.NOTHING, reason=reason, wake_at=wake_at)


def settled(episode: Episode | None, decision: Decision, progress: Progress, now: datetime) -> Episode | None:
    """What we have told, once ServiceNow has taken `decision`; the episode as the next decision will find it.

    A reopen counts as telling the severity: its write carries the fields that depend on it when it rose.
    """
    if decision.kind is Kind.CREATE:
        severity = progress.severity or Severity.INFO
        return Episode(open=True, severity=severity, told_count=progress.repeat_count, told_at=now)
    if episode is None:
        return None
    if decision.kind in (Kind.NOTHING, Kind.JOIN):
        return episode
    if decision.kind is Kind.CLOSE:
        # told_resolved: a person who opens it again knows that the source reported it resolved.
        return replace(episode, open=False, ended_at=now, end=End.BY_US, told_resolved=True)
    told = replace(episode, told_at=now, told_count=progress.repeat_count)
    if decision.kind is Kind.REOPEN:
        severity = shown(episode, decision, progress)
        return replace(
            told, open=True, ended_at=None, end=None, severity=severity, rung=0, told_resolved=False, touched=False
        )
    if decision.reason is Reason.SEVERITY_ROSE:
        told_resolved = episode.told_resolved and progress.status is Status.RESOLVED  # a rise says that it fires
        return replace(told, severity=progress.severity or episode.severity, rung=0, told_resolved=told_resolved)
    if decision.reason is Reason.FIRES_AGAIN:
        return replace(told, told_resolved=False, rung=0)
    if decision.reason is Reason.REPEATS:
        return replace(told, rung=episode.rung + 1, notes=episode.notes + 1)
    if decision.reason in (Reason.JOINED, Reason.SPLIT):
        return told
    return replace(told, told_resolved=True)  # close_off, close_refused, left_to_person


def shown(episode: Episode | None, decision: Decision, progress: Progress) -> Severity:
    """The severity that the incident shows once `decision` is carried out: a reopen does not lower it."""
    worst = progress.severity or Severity.INFO
    return worst if decision.kind is Kind.CREATE or episode is None else max(worst, episode.severity)


def rises(episode: Episode | None, decision: Decision, progress: Progress) -> bool:
    """Whether the write also brings the fields that depend on severity: the incident shows less than is now known."""
    if decision.kind not in (Kind.UPDATE, Kind.REOPEN) or episode is None:
        return False
    return shown(episode, decision, progress) > episode.severity


def carried(progress: Progress, decision: Decision) -> Progress:
    """The progress from which the next alerts count, once `decision` has been settled."""
    if decision.kind is Kind.CLOSE:
        return ended(progress)
    if decision.reason in (Reason.ALREADY_CLOSED, Reason.RESOLVED_BEFORE_INCIDENT):
        # What fired and is resolved without an incident is over: the next episode does not begin with its severity.
        return replace(progress, severity=None, repeat_count=0)
    return progress
