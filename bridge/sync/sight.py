"""What a round has before it when it decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from bridge.correlation.policy import (
    TAKEN_UNREAD,
    Decision,
    End,
    Episode,
    Kind,
    Policy,
    Reason,
    Situation,
    Taker,
    carried,
)
from bridge.correlation.progress import Progress, ended, is_stale
from bridge.dictionary.reading import Reading
from bridge.servicenow.table import TableApi
from bridge.servicenow.ways import Way
from bridge.settings import Target
from bridge.store.held import Held, Member, Part, Settlement, Share
from bridge.sync.alert import Speaker
from bridge.sync.reading import JOURNAL_FIELDS

LEFT_CLOSED = f"{Kind.NOTHING.value}: {Reason.NOT_REOPENED.value}"  # correlations.last_decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look at what is held: what the alerts say, where it goes, and by which policy."""

    held: Held
    speaker: Speaker
    # Where the decision is carried out: where its record is. Where there is none, or one is opened: the route's.
    target: Target
    table: TableApi
    way: Way
    reading: Reading  # what the instance has told of its tables
    policy: Policy
    progress: Progress  # with the pending alerts folded in; of all that share an open incident, together
    episode: Episode | None
    route: str  # the target at which an incident would be opened now
    record_url: str  # of the record that is held, for people; "": there is none
    taker: Taker | None = None  # the incident that takes it in, where none is open

    @property
    def watched(self) -> frozenset[str]:
        """The columns that updates will write: how they stand tells whether a person has written them."""
        return self.speaker.published.mapping.updates(self.target.table) - JOURNAL_FIELDS

    def situation(self, *, brake: bool = False) -> Situation:
        news = [one for one in self.held.deciding if one.pending.count]
        return Situation(
            progress=self.progress,
            episode=self.episode,
            stale=bool(news) and all(is_stale(one.pending, one.progress) for one in news),
            routed=self.speaker.mapped.target is not None,
            brake=brake,
            taker=self.taker,
            untold=_untold(self.held),
        )

    def settlement(
        self, decision: Decision, episode: Episode | None, *, reason: str | None = None, wake_at: datetime | None = None
    ) -> Settlement:
        """What is true once `decision` is carried out, for each of those that it is about."""
        held = self.held
        mine, *others = (_share(one, decision) for one in held.deciding)
        if decision.kind is Kind.REOPEN:  # it is theirs again, too; what is pending of them is for the next round
            others = [_as_applied(one) for one in held.others]
        tells = decision.kind in (Kind.UPDATE, Kind.CLOSE, Kind.REOPEN)
        return Settlement(
            kind=decision.kind.value,
            reason=reason or decision.reason.value,
            read_seq=mine.read_seq,
            progress=mine.progress,
            episode=episode,
            wake_at=wake_at,
            others=tuple(others),
            told=(*(one.correlation for one in joining(held)), *(row for row, _ in held.leaving)) if tells else (),
        )


def noticed(held: Held, before: Episode, after: Episode, *, reason: str, wake_at: datetime) -> Settlement:
    """What is true once people have ended the incident, or opened it again: nothing that is pending is in it.

    What has joined, and was not told, was not known to who ended it: it stays as it is, and its next round lets it go.
    What we had closed was resolved before: what has come since counts on. Where a person only closed it, or coded it
    anew, a return is a new incident; where they called it a false positive, repeats stay quiet.
    """
    over = not after.open and before.end in (None, End.BY_US)
    closed_by_us = before.end is End.BY_US
    heirs = [one for one in held.others if not (over and one.part is Part.JOINING)]
    mine, *others = (
        _closed_anew(one, after.end)
        if over and closed_by_us
        else _as_applied(one, over=over and one.part is not Part.JOINING)
        for one in ((held, *heirs) if over or after.open else (held,))
    )
    return Settlement(
        kind=Kind.NOTHING.value,
        reason=reason,
        read_seq=mine.read_seq,
        progress=mine.progress,
        episode=after,
        wake_at=wake_at,
        others=tuple(others),
    )


def taken(held: Held, *, reason: str, wake_at: datetime) -> Settlement:
    """What is true once a record that was there already is the incident: no alert is told by that."""
    mine = _as_applied(held)
    return Settlement(
        kind=Kind.CREATE.value,
        reason=reason,
        read_seq=mine.read_seq,
        progress=mine.progress,
        episode=TAKEN_UNREAD,
        wake_at=wake_at,
    )


def joining(held: Held) -> list[Member]:
    return [one for one in held.all if one.part is Part.JOINING]


def _share(member: Member, decision: Decision) -> Share:
    progress = carried(member.folded, decision)
    return Share(correlation=member.correlation, read_seq=member.read_seq, progress=progress)


def _as_applied(member: Member, *, over: bool = False) -> Share:
    progress = ended(member.progress) if over else member.progress
    return Share(correlation=member.correlation, read_seq=member.applied_seq, progress=progress)


def _closed_anew(member: Member, end: End | None) -> Share:
    # Of a return that opened nothing, only what comes from now on may open something.
    progress = ended(member.progress) if member.last_decision == LEFT_CLOSED else member.progress
    progress = replace(progress, resolved_after_end=end is End.BY_PERSON)
    return Share(correlation=member.correlation, read_seq=member.applied_seq, progress=progress)


def _untold(held: Held) -> Reason | None:
    if joining(held):
        return Reason.JOINED
    return Reason.SPLIT if held.leaving else None
